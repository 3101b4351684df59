"""What a reduced colorizer learns on two CPU cores: the figures of docs/results/colorization.md.

Works in one folder, and goes on where it was when it is started again:

- **cifar**: trains the same small network in the three colour spaces, and without global features,
  on 8,500 images of CIFAR-10, and judges each by the other 1,500, which it has not seen, at the
  checkpoint that did best. Prints the tables.
- **statistics**: what the mean of the weights is worth, with the weights' statistics of batch
  normalisation and with its own.
- **photographs**: trains on the test data's photographs, but for sixteen that are kept aside, once
  anew and once from the network that CIFAR-10 taught, and judges both by the sixteen.
- **pictures**: colours the sixteen: beside the truth, each with the global features of others, and
  as if they were old.
- **demo**: trains the network that the demo ships, on the same photographs, larger.

    python -m benchmarks.colorization_evidence FOLDER cifar
    python -m benchmarks.colorization_evidence FOLDER statistics
    python -m benchmarks.colorization_evidence FOLDER photographs
    python -m benchmarks.colorization_evidence FOLDER pictures
    python -m benchmarks.colorization_evidence FOLDER demo
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arcadia.runs import RunFolder
from pipelines.colorization.checkpoints import COLORIZER, done_of

CIFAR_VARIANTS: Mapping[str, Sequence[str]] = {
    "lab": (),
    "lab-local": ("--no-global-features",),
    "yuv": ("--colorspace", "yuv"),
    "rgb": ("--colorspace", "rgb"),
}
"""Options of each run, by its name."""
_SMALL = ("--width", "0.25", "--optimizer", "adam", "--ema-decay", "0.998", "--seed", "1")
_WORKERS = ("--num-workers", "2", "--num-cpus-per-worker", "1")
_NUM_TRAINING = 8_500
ASIDE = (
    "landscapes/aitzgorri_by_Aitzol_Berasategi.jpg",
    "landscapes/friends_by_Aitzol_Berasategi.jpg",
    "landscapes/life_by_Aitzol_Berasategi.jpg",
    "landscapes/sunset_by_Aitzol_Berasategi.jpg",
    "landscapes/Picture_0B_by_freespace.jpg",
    "landscapes/Wine_by_Jakkub_Mede.jpg",
    "landscapes/seeding_by_Clements_Engelhardt.jpg",
    "renewable/dam2.webp",
    "renewable/windmill.webp",
    "renewable/solar4.webp",
    "animals/moose.webp",
    "animals/crocodile.webp",
    "animals/panda.webp",
    "others/igloo.webp",
    "fishes/fish4.webp",
    "fishes/fish8.webp",
)
"""Photographs that are not trained on; their licences let the documentation show them."""
_FIGURES = ("ab_mse", "psnr", "ssim", "colorfulness", "top1", "top5")


def cifar_folders(parquet: Path, folder: Path) -> tuple[Path, Path]:
    """CIFAR-10 as folders named after classes: what is trained on, and what is kept aside."""
    import pyarrow.parquet as pq

    parts = folder / "cifar-training", folder / "cifar-aside"
    if all(part.exists() for part in parts):
        return parts
    table = pq.read_table(parquet)
    temporary = folder / "cifar-parts"
    shutil.rmtree(temporary, ignore_errors=True)
    rows = zip(table["image"].to_pylist(), table["label"].to_pylist(), strict=True)
    for number, (image, label) in enumerate(rows):
        part = parts[0 if number < _NUM_TRAINING else 1]
        path = temporary / part.name / label / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)
    for part in parts:
        shutil.rmtree(part, ignore_errors=True)
        (temporary / part.name).rename(part)
    temporary.rmdir()
    return parts


def arcadia(*words: object) -> str:
    """A command of Arcadia's in a process of its own; its stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "arcadia", *map(str, words)], stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def prepared(source: Path, out: Path, *words: object) -> Path:
    """A data set, made once."""
    arcadia("places", "prepare", source, out, *words)
    return out


def train(run: Path, steps: int, *words: object) -> None:
    """Trains, or goes on."""
    if (run / "run.json").exists():
        arcadia("train", "colorizer", "--resume", run, *_WORKERS, "--steps", steps)
    else:
        fixed = ("--run-dir", run, "--steps", steps, *_SMALL, *_WORKERS)
        arcadia("train", "colorizer", *fixed, *words)


def cifar(folder: Path, data: Path, steps: int, variants: Sequence[str]) -> list[dict[str, Any]]:
    """Trains and judges the variants; a row of figures of each, baselines first."""
    own, aside = cifar_folders(data / "photos" / "cifar10_train_10k.parquet", folder)
    # A little larger than what is cut out of them, so that there is something to choose.
    fixed = ("--size", 40, "--quality", 95, "--keep-grey")
    training = prepared(own, folder / "cifar", *fixed)
    validation = prepared(aside, folder / "cifar-val", *fixed, "--categories", training)
    runs = []
    for name in variants:
        runs.append(folder / f"cifar-{name}")
        sizes = ("--image-size", 32, "--batch-size", 128)
        periods = ("--validation-period", 66, "--checkpoint-period", 330)
        given = ("--data", training, "--validation", validation, *sizes, *periods)
        train(runs[-1], steps, *given, *CIFAR_VARIANTS[name])
    return judged(runs, validation)


def prepared_photographs(folder: Path, data: Path, name: str, size: int) -> tuple[Path, Path]:
    """Photographs whose short sides have so many pixels: those to train on, and those aside."""
    parts = folder / "photographs-training", folder / "photographs-aside"
    for path in sorted((data / "photos").glob("*/*")):
        name = f"{path.parent.name}/{path.name}"
        target = parts[name in ASIDE] / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    fixed = ("--size", size, "--quality", 95, "--keep-grey", "--row-group-images", 8)
    training = prepared(parts[0], folder / name, *fixed)
    return training, prepared(parts[1], folder / f"{name}-val", *fixed, "--categories", training)


def photographs(folder: Path, data: Path, steps: int) -> list[dict[str, Any]]:
    """Trains on photographs, anew and from what CIFAR-10 taught; judges by those kept aside."""
    training, validation = prepared_photographs(folder, data, "photographs", 48)
    known, _ = RunFolder.open(str(folder / "cifar-lab")).find_checkpoint("best")
    runs = {
        "photographs-new": (),
        "photographs-tuned": ("--weights", known / COLORIZER, "--learning-rate", 3e-4),
    }
    for name, words in runs.items():
        sizes = ("--image-size", 32, "--batch-size", 32)
        periods = ("--validation-period", 24, "--checkpoint-period", 120)
        given = ("--data", training, "--validation", validation, *sizes, *periods)
        train(folder / name, steps, *given, *words)
    return judged([folder / name for name in (*runs, "cifar-lab")], validation)


def demo(folder: Path, data: Path, steps: int) -> list[dict[str, Any]]:
    """Trains what the demo colours with, which is the best checkpoint; judges it by those aside."""
    training, validation = prepared_photographs(folder, data, "demo-photographs", 80)
    sizes = ("--image-size", 64, "--batch-size", 32, "--weight-decay", 3e-4)
    periods = ("--validation-period", 24, "--checkpoint-period", 120)
    train(folder / "demo", steps, "--data", training, "--validation", validation, *sizes, *periods)
    return judged([folder / "demo"], validation)


def pictures(folder: Path, data: Path) -> None:
    """Makes the pictures of the sixteen photographs, and writes them into the folder."""
    from arcadia.media import read_image, write_image
    from benchmarks.colorization_pictures import Sheets
    from pipelines.colorization import load_colorizer

    best, _ = RunFolder.open(str(folder / "photographs-tuned")).find_checkpoint("best")
    shown = [read_image(data / "photos" / name) for name in ASIDE]
    sheets = Sheets(load_colorizer(best / COLORIZER), shown)
    for name, sheet in (
        ("colorized.jpg", sheets.beside_the_truth()),
        ("colorized_style.jpg", sheets.in_the_style_of_others()),
        ("colorized_old.jpg", sheets.as_if_old()),
    ):
        write_image(folder / name, sheet)
        print(folder / name)


def statistics(folder: Path) -> list[dict[str, Any]]:
    """Judges the last weights of `cifar-lab`, and their mean with either's statistics of batch
    normalisation, by the centred 32 x 32 of the images kept aside."""
    from pipelines.colorization.checkpoints import load_state
    from pipelines.colorization.data import Share
    from pipelines.colorization.learner import Learner
    from pipelines.colorization.options import options_from
    from pipelines.colorization.validation import judge
    from pipelines.places import PreparedData

    run = RunFolder.open(str(folder / "cifar-lab"))
    options = options_from(run.config["options"])
    data = PreparedData.open(str(folder / "cifar-val"))
    share = Share(data=data, groups=tuple(data.row_groups()))
    learner = Learner(len(data.classes), options)
    load_state(run.find_checkpoint()[0], learner)
    weights = {name: value.clone() for name, value in learner.network.state_dict().items()}
    with learner.evaluating() as network:
        mean = {name: value.clone() for name, value in network.state_dict().items()}
        theirs = {n: weights[n] if ".running_" in n else value for n, value in mean.items()}
        rows = []
        for name, state in (
            ("weights", weights),
            ("their mean, with the weights' statistics", theirs),
            ("their mean, with its own statistics", mean),
        ):
            network.load_state_dict(state)
            batches = share.centred_batches(options.crop, data.num_images)
            rows.append({"what": name} | judge(network, batches, learner.pictures).means())
    return rows


def judged(runs: Sequence[Path], data: Path) -> list[dict[str, Any]]:
    """What `arcadia evaluate` says of runs: grey, the mean colour, and each at its best."""
    words = ("evaluate", *runs, "--data", data, "--checkpoint", "best", "--json")
    found = json.loads(arcadia(*words).splitlines()[-1])
    rows = [{"what": "grey"} | found["grey"]]
    rows.append({"what": "mean colour"} | found["runs"][0]["mean_color"])
    for run, one in zip(runs, found["runs"], strict=True):
        rows.append({"what": run.name, "seconds": done_of(RunFolder.open(str(run))).seconds} | one)
    rows.append({"what": "truth"} | found["truth"])
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a table in Markdown."""
    lines = ["| | " + " | ".join(_FIGURES) + " | step | seconds |", "|---|" + "---|" * 8]
    for row in rows:
        cells = [f"{row[n]:.4g}" if n in row else "" for n in (*_FIGURES, "step", "seconds")]
        lines.append(f"| {row['what']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Trains, judges, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="that all of it is kept in")
    what = ("cifar", "statistics", "photographs", "pictures", "demo")
    parser.add_argument("what", choices=what)
    parser.add_argument(
        "--steps", type=int, help="of each run (default: 2640, photographs 480, demo 3000)"
    )
    parser.add_argument("--only", nargs="*", choices=tuple(CIFAR_VARIANTS), help="of cifar's")
    options = parser.parse_args()
    if "ARCADIA_TEST_DATA" not in os.environ:
        parser.error("ARCADIA_TEST_DATA is not set: it names the folder of photographs")
    data, folder = Path(os.environ["ARCADIA_TEST_DATA"]), options.folder
    folder.mkdir(parents=True, exist_ok=True)
    if options.what == "cifar":
        variants = options.only or tuple(CIFAR_VARIANTS)
        print(table(cifar(folder, data, options.steps or 2640, variants)))
    elif options.what == "statistics":
        print(table(statistics(folder)))
    elif options.what == "photographs":
        print(table(photographs(folder, data, options.steps or 480)))
    elif options.what == "demo":
        print(table(demo(folder, data, options.steps or 3000)))
    else:
        pictures(folder, data)


if __name__ == "__main__":
    main()
