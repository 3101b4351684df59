"""All kinds of jobs, by the names by which they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.chaos.games import DQN, HDQN
from benchmarks.chaos.kind import Kind
from benchmarks.chaos.ordeal import Ordeal, Outcome
from benchmarks.chaos.pictures import Colorize, Places, Stylize
from benchmarks.chaos.sweeps import Tune
from benchmarks.chaos.trainings import Colorizer, Sequence

KINDS: Mapping[str, type[Kind]] = {
    kind.name: kind for kind in (DQN, HDQN, Colorizer, Sequence, Places, Stylize, Colorize, Tune)
}


def torment(
    name: str, folder: Path, *, period_s: float, kills: int, seed: int = 0, scale: float = 1.0
) -> Outcome:
    """What comes of a job of a kind whose processes are killed.

    Args:
        name: of the kind.
        folder: is made, for all that the job reads and writes.
        period_s: between blows, in seconds.
        kills: of workers; the command itself comes after them.
        seed: of whom they hit.
        scale: of the work, where that is fixed beforehand; 1 lasts about kills + 2 periods on two
            cores.

    Raises:
        FileExistsError: the folder is there.
        TooShort, RuntimeError: see `Ordeal.carry_out`.
    """
    folder.mkdir(parents=True)
    kind = KINDS[name](folder, scale * period_s * (kills + 2))
    return Ordeal(kind, period_s=period_s, kills=kills, seed=seed).carry_out()
