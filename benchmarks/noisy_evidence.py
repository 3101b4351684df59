"""What noisy activations are worth: experiments of Gulcehre et al. 2016, smaller, over seeds.

- **unique**: counting unique integers; plain hard functions, noise, noise that is made less.
- **recall**: associative recall by a Neural Turing Machine, with and without annealed noise.
- **language**: perplexity on a text, two layers, plain and noisy.

Each run is `arcadia train sequence` in a process of one thread, two at a time; what is there is
gone on with. At the end all are judged by the test set, and a figure of their curves is written.

    python -m benchmarks.noisy_evidence FOLDER unique
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from arcadia.bands import groups_figure
from arcadia.comparison import mean_and_error, with_error
from arcadia.runs import RunFolder
from arcadia.telemetry import read_scalars

_HARD: Sequence[str] = ("--activation", "hard")
_NAN: Sequence[str] = ("--activation", "nan")
_ANNEALED: Sequence[str] = (*_NAN, "--anneal", "30:0.5")

VARIANTS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "unique": {
        "hard": _HARD,
        "hard, curriculum": (*_HARD, "--curriculum"),
        "nan": _NAN,
        "nan, annealed": _ANNEALED,
    },
    "recall": {"hard": _HARD, "nan": _NAN, "nan, annealed": _ANNEALED},
    "language": {
        "hard": _HARD,
        "soft": ("--activation", "soft"),
        "nan": _NAN,
        "nah": ("--activation", "nah"),
    },
}
_WORDS: Mapping[str, Sequence[str]] = {
    "unique": ("--task", "unique_integers"),
    "recall": ("--task", "associative_recall"),
    "language": ("--task", "language"),
}
_METRICS = {"unique": "error", "recall": "bits", "language": "perplexity"}
_AXES = {
    "error": "share of the counts that are wrong",
    "bits": "wrong bits of an answer",
    "perplexity": "perplexity",
}


def run(folder: Path, words: Sequence[str], seed: int) -> float:
    """Trains, or goes on; seconds of training, all attempts."""
    command = [sys.executable, "-m", "arcadia", "train", "sequence"]
    if (folder / "run.json").exists():
        command += ["--resume", str(folder)]
    else:
        command += ["--run-dir", str(folder), "--seed", str(seed), *words]
    command += ["--num-cpus-per-worker", "1", "--json"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{folder}: {done.stderr.splitlines()[-1:]}")
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def judge(folder: Path) -> dict[str, float]:
    """The figures of a run's last network on the test set."""
    command = [sys.executable, "-m", "arcadia", "evaluate", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["runs"][0]["figures"]


def main() -> None:
    """Trains, judges, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("experiment", choices=list(VARIANTS))
    parser.add_argument("--only", nargs="*", help="variants, by default all")
    parser.add_argument("--seeds", type=int, default=5, help="of each (default: 5)")
    parser.add_argument("--at-once", type=int, default=2, help="runs (default: 2)")
    parser.add_argument("--words", default="", help="more words for arcadia train sequence")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    words = [*_WORDS[options.experiment], *options.words.split()]
    if options.experiment == "language" and "--data" not in words:
        if "ARCADIA_TEST_DATA" not in os.environ:
            parser.error("ARCADIA_TEST_DATA is not set: it names the folder of text; or --words")
        words += ["--data", f"{os.environ['ARCADIA_TEST_DATA']}/text/brown.txt"]
    variants = VARIANTS[options.experiment]
    names = [name for name in variants if not options.only or name in options.only]
    # Seed after seed, so that what is there early compares all variants.
    todo = [(name, seed) for seed in range(options.seeds) for name in names]

    def place(name: str, seed: int) -> Path:
        return options.folder / options.experiment / f"{name.replace(', ', '-')}-{seed}"

    def carry_out(name: str, seed: int) -> float:
        began = time.monotonic()
        seconds = run(place(name, seed), [*words, *variants[name]], seed)
        spent = time.monotonic() - began
        print(f"{name}, seed {seed}: {seconds:,.0f} s of training, {spent:,.0f} s now", flush=True)
        return seconds

    with ThreadPoolExecutor(options.at_once) as pool:
        seconds = list(pool.map(lambda pair: carry_out(*pair), todo))
    found = {pair: judge(place(*pair)) for pair in todo}
    metric = _METRICS[options.experiment]
    table = Table(title=f"{metric} on the test set, mean and its standard error")
    for column in ("variant", "seeds", metric, "each", "minutes of training"):
        table.add_column(column)
    result: dict[str, Any] = {}
    for name in names:
        values = [found[name, seed][metric] for seed in range(options.seeds)]
        spent = [s for s, (other, _) in zip(seconds, todo, strict=True) if other == name]
        result[name] = mean_and_error(values) | {"values": values, "seconds": sum(spent)}
        each = ", ".join(f"{value:.4g}" for value in values)
        minutes = f"{sum(spent) / 60:.0f}"
        table.add_row(name, str(len(values)), with_error(result[name]), each, minutes)
    Console(width=120).print(table)
    curves = {
        name: [
            read_scalars(RunFolder.open(place(name, seed)))[f"validation/{metric}"]
            for seed in range(options.seeds)
        ]
        for name in names
    }
    title = f"{options.experiment.capitalize()}: mean of seeds, standard error"
    figure = options.folder / f"{options.experiment}.png"
    figure.write_bytes(groups_figure(curves, "updates", _AXES[metric], title))
    print(f"Figure: {figure}")
    if options.json:
        print(json.dumps({options.experiment: result}))


if __name__ == "__main__":
    main()
