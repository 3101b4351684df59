"""`arcadia demo`: all five systems at work on real input, in some minutes, ending with one page."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from arcadia.cli import COMMANDS
from arcadia.errors import UserError
from arcadia.options import CommonOptions, parse
from arcadia.runs import RunFolder, default_run_dir
from arcadia.storage import Storage

ASSETS = Path(__file__).parent / "assets" / "demo"
"""What the demo works on: a clip, a style, photographs and a network that colours them."""
_INTEGERS = (
    "--task unique_integers --activation nan --anneal 30:0.5 --learning-rate 0.005 --steps 2000 "
    "--validation-period 200"
)
_DRAFT = "--preset draft --iterations 20"
PartName = Literal["pong", "photographs", "chain", "clip", "integers"]


@dataclass(frozen=True, kw_only=True)
class DemoOptions(CommonOptions):
    """Shows all five systems on this machine: trains DQN on Pong for some minutes and films it,
    colours photographs, solves h-DQN's chain, paints a clip as The Starry Night and counts integers
    with noisy activations. One page shows what came of each."""

    parts: tuple[str, ...] = get_args(PartName)
    """Which of them: pong, photographs, chain, clip, integers."""
    minutes: float = 2.0
    """Minutes of training on Pong."""
    episodes: int = 2
    """Games of Pong to evaluate with each player."""
    game: str = "pong"
    """Another Atari game instead of Pong, by ROM name."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.minutes < float("inf"):
            raise UserError(f"minutes {self.minutes}: must be a finite number above 0")
        if self.episodes < 1:
            raise UserError(f"episodes {self.episodes}: must be at least 1")
        names = get_args(PartName)
        for name in self.parts:
            if name not in names:
                raise UserError(f'parts "{name}": want some of {", ".join(names)}')
        if not self.parts:
            raise UserError(f"parts: want at least one of {', '.join(names)}")
        if self.run_dir and "://" in self.run_dir:
            raise UserError(f"run_dir {self.run_dir}: the demo needs a folder on this machine")


class Part(NamedTuple):
    """One system at work."""

    name: PartName
    title: str
    what: str
    """What is shown."""
    what_not: str
    """What that is not."""
    commands: Sequence[tuple[str, Sequence[str]]]
    """Of arcadia: their names and words. The first makes the run."""


def demo(argv: list[str], prog: str) -> dict[str, Any]:
    """Runs the same commands that a user would, one after another.

    Raises:
        UserError: the folder holds a demo, or a part cannot be begun.
    """
    from arcadia.demo_page import write_note

    options = parse(DemoOptions, argv, prog)
    folder = Path(options.run_dir).expanduser() if options.run_dir else default_run_dir("demo")
    parts = [part for part in _parts(options, folder) if part.name in options.parts]
    for part in parts:
        RunFolder.check_free(folder / part.name)
    print(
        f"Arcadia's demo: {', '.join(part.title for part in parts)}.\n"
        "Minutes are no training: this shows that everything works, and how it looks.\n",
        flush=True,
    )
    results: dict[str, dict[str, Any]] = {}
    try:
        for number, part in enumerate(parts, 1):
            print(f"{number}/{len(parts)}  {part.title}: {part.what} {part.what_not}", flush=True)
            results[part.name] = {}
            for name, words in part.commands:
                results[part.name] |= _call(name, words)
            write_note(folder / part.name, part)
            if "stopped" in {found.get("status") for found in results.values()}:
                break
    except BaseException:
        with contextlib.suppress(Exception):  # what ended it is what is told
            _index(folder, parts)
        if not options.run_dir:
            _remove_empty(folder)
        raise
    index = _index(folder, parts)
    print(f"All of it on one page: {index}", flush=True)
    return {"run": str(folder), "report": index, "parts": results}


def _parts(options: DemoOptions, folder: Path) -> Iterator[Part]:
    seed = ["--seed", str(1 if options.seed is None else options.seed)]
    address = ["--address", options.address] if options.address else []

    def run(name: PartName) -> list[str]:
        return ["--run-dir", str(folder / name), *seed]

    pong = str(folder / "pong")
    trained = ["--game", options.game, "--minutes", str(options.minutes)]
    game = options.game.replace("_", " ").title()
    yield Part(
        name="pong",
        title=f"DQN on {game}",
        what=f"A network learns {game} from its screen, {options.minutes:g} minutes long, and "
        "plays beside a random player.",
        what_not="It is no trained player: the paper's saw ten million frames, this one some "
        "hundred thousand.",
        commands=(
            ("train dqn", [*trained, *run("pong"), *address]),
            ("evaluate", [pong, "--episodes", str(options.episodes), *seed]),
            ("watch", [pong, "--max-seconds", "20", *seed]),
        ),
    )
    photographs, weights = str(ASSETS / "photographs"), str(ASSETS / "colorizer.safetensors")
    coloured = ["--weights", weights, "--size", "80", "--output", str(folder / "coloured")]
    yield Part(
        name="photographs",
        title="Colorization",
        what="A network gives photographs that it has never seen colours by their lightness alone.",
        what_not="It is no network of the paper's: a sixteenth of its size, taught by 206 "
        "photographs instead of two million. Its colours are faint, and often wrong.",
        commands=(("colorize", [photographs, *coloured, *run("photographs"), *address]),),
    )
    yield Part(
        name="chain",
        title="h-DQN on the chain",
        what="The paper's chain of six states at full length, h-DQN beside Q-learning, ten seeds "
        "each: one learns to go to the far end first, the other does not.",
        what_not="It has tables instead of networks: Montezuma's Revenge takes hours.",
        commands=(("train hdqn", ["--env", "chain", *run("chain")]),),
    )
    clip, style = str(ASSETS / "big_buck_bunny.mp4"), str(ASSETS / "starry_night.jpg")
    painted = ["--style", style, *_DRAFT.split(), "--output", str(folder / "painted.mp4")]
    yield Part(
        name="clip",
        title="Video stylization",
        what="Two seconds of Big Buck Bunny, painted as The Starry Night; each frame follows the "
        "ones before it along the motion.",
        what_not="It is a draft: 192 pixels and few iterations, where the paper takes 1,000 at "
        "full size.",
        commands=(("stylize", [clip, *painted, *run("clip"), *address]),),
    )
    yield Part(
        name="integers",
        title="Noisy activation functions",
        what="An LSTM whose gates are hard and noisy learns to count the different integers of a "
        "sequence, while the noise falls.",
        what_not="It is a tenth of a training, and no comparison: docs/results/noisy.md has that.",
        commands=(("train sequence", [*_INTEGERS.split(), *run("integers"), *address]),),
    )


def _call(name: str, words: Sequence[str]) -> dict[str, Any]:
    print(f"$ arcadia {name} {shlex.join(words)}", flush=True)
    result = COMMANDS[name].load()(list(words), f"arcadia {name}")
    print(flush=True)
    return result or {}


def _index(folder: Path, parts: Sequence[Part]) -> str | None:
    """The page of what was begun, if anything was."""
    from arcadia.demo_page import write_index

    begun = [part for part in parts if RunFolder.is_run(folder / part.name)]
    return write_index(Storage.at(str(folder)), begun) if begun else None


def _remove_empty(folder: Path) -> None:
    """Nothing was begun."""
    with contextlib.suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()
