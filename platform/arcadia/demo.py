"""`arcadia demo`: the main jobs on real input, in a few minutes, ending with a report."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from arcadia.cli import COMMANDS
from arcadia.errors import UserError
from arcadia.options import CommonOptions, parse
from arcadia.runs import default_run_dir


@dataclass(frozen=True, kw_only=True)
class DemoOptions(CommonOptions):
    """Trains DQN on Pong for a few minutes, evaluates it beside a random player, films it and
    writes the report."""

    minutes: float = 2.5
    """Minutes of training."""
    episodes: int = 4
    """Episodes to evaluate with each player."""
    game: str = "pong"
    """Atari game by ROM name."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.minutes < float("inf"):
            raise UserError(f"minutes {self.minutes}: must be a finite number above 0")
        if self.episodes < 1:
            raise UserError(f"episodes {self.episodes}: must be at least 1")


def demo(argv: list[str], prog: str) -> dict[str, Any]:
    """Runs the same commands that a user would, one after another."""
    options = parse(DemoOptions, argv, prog)
    made = None if options.run_dir else default_run_dir("demo")
    run_dir = options.run_dir or str(made)
    seed = ["--seed", str(1 if options.seed is None else options.seed)]
    address = ["--address", options.address] if options.address else []
    print(
        f"Arcadia demo: DQN on {options.game} for {options.minutes:g} minutes, on this machine.\n"
        "Minutes of training are not a trained agent (the paper's took ten million frames): this\n"
        "shows that everything works, and how it looks.\n",
        flush=True,
    )
    game, minutes = ["--game", options.game], ["--minutes", str(options.minutes)]
    steps = (
        ("train dqn", [*game, *minutes, "--run-dir", run_dir, *seed, *address]),
        ("evaluate", [run_dir, "--episodes", str(options.episodes), *seed]),
        ("watch", [run_dir, "--max-seconds", "60", *seed]),
        ("report", [run_dir]),
    )
    results: dict[str, Any] = {}
    try:
        for name, arguments in steps:
            print(f"$ arcadia {name} {' '.join(arguments)}", flush=True)
            results[name] = COMMANDS[name].load()(arguments, f"arcadia {name}")
            print(flush=True)
    except UserError:
        if made is not None:  # nothing was begun: the folder is empty
            with contextlib.suppress(OSError):
                made.rmdir()
                made.parent.rmdir()
        raise
    return {
        "run": run_dir,
        "report": results["report"]["report"],
        "train": results["train dqn"],
        "mean": results["evaluate"]["mean"],
        "random_mean": results["evaluate"]["random_mean"],
    }
