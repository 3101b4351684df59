"""DQN and h-DQN with two runners, replay shards and a learner, on worlds that cost little."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from arcadia.runs import RunFolder
from arcadia.telemetry import read_scalars
from benchmarks.chaos.counters import (
    Kept,
    beyond_checkpoints,
    falling,
    falls_in,
    gaps,
    read_attempts,
    rewinds,
)
from benchmarks.chaos.kind import Ended, Kind, last_checkpoint

_ENDLESS = 1_000_000_000  # frames: how far it is to go is said when it is begun again
_MORE = 1.25  # of what is done when the command is killed
_ITERATION, _CAPACITY, _SNAPSHOT = 500, 300_000, 200
_AHEAD = 60  # updates that may be made until a snapshot that was asked for is here
# Steps that may be under way, or be acknowledged and not be in a shard's latest account.
_SLACK = 1_500

_LOGGED: Mapping[str, tuple[str, str]] = {
    "runners": ("Runner", r"Runner \d+ of \d+ died"),
    "shards": ("ReplayShard", r"Replay shard \d+ of \d+ .*died"),
    # RLlib wraps the learner's class in one that it calls so.
    "learners": ("_WrappedExecutable", r"A learner died"),
}
"""Of what starts again: what is in the names of its actors' classes, and how its death is told."""


class Game(Kind):
    """What both have in common."""

    unit = "steps"
    env: ClassVar[str]
    more: ClassVar[tuple[str, ...]] = ()
    """Words of the kind's own."""
    rising: ClassVar[tuple[str, ...]] = ()
    """Tags of counters that never fall, over all attempts."""
    records_per_step: ClassVar[int] = 1
    """Transitions of a step, at most."""

    _how = ("--checkpoint-minutes", "0.05", "--json")

    def prepare(self) -> None:
        self._until = 0

    def words(self) -> list[str]:
        words = ["train", self.name, "--env", self.env, "--run-dir", str(self.run), "--seed", "1"]
        words += ["--num-env-runners", "2", "--num-replay-shards", "1", "--num-learners", "1"]
        words += ["--learner-snapshot-period", str(_SNAPSHOT), "--hidden-size", "64"]
        words += ["--replay-capacity", str(_CAPACITY), "--learning-starts", "500"]
        words += ["--steps-per-iteration", str(_ITERATION), "--eval-period-frames", "0"]
        return [*words, "--total-frames", str(_ENDLESS), *self.more, *self._how]

    def again(self, *, to_the_end: bool) -> list[str]:
        words = ["train", self.name, "--resume", str(self.run), *self._how]
        if to_the_end:
            self._until = int(self.done() * _MORE)
            words += ["--total-frames", str(self._until)]
        return words

    def done(self) -> int:
        return last_checkpoint(self.run)

    def missing(self, ended: Ended) -> list[str]:
        run, result = RunFolder.open(self.run), ended.result
        attempts, history = read_attempts(run), read_scalars(run)
        kept = [Kept(blow.at, blow.done) for blow in ended.blows]
        steps = int(result["env_steps"])
        found = []
        if steps < self._until:
            found.append(f"{steps:,} of {self._until:,} steps were made")
        if run.status != "completed":
            found.append(f"the run is {run.status}")
        if run.checkpoints()[-1] != steps or run.checkpoints("replay") != [steps]:
            found.append(f"the checkpoint or the replay of step {steps:,} is not there")
        found += beyond_checkpoints(attempts, kept)
        found += falling(attempts, "faults/") + falls_in(history, self.rising)
        noted = history.get("replay/transitions", ([], []))
        # An iteration ends when what was under way has come back.
        found += gaps([int(step) for step in noted[0]], steps, 3 * _ITERATION)
        if len(noted[1]):
            most = steps * self.records_per_step
            found += lost_transitions(int(noted[1][-1]), steps, most, ended.said)
        return found + unlogged(ended) + too_far(ended.said)

    def rewound(self, ended: Ended) -> str:
        again = [rewind.steps for rewind in rewinds(read_attempts(RunFolder.open(self.run)))]
        made_again = updates_made_again(ended.said)
        return f"{sum(again):,} steps, {sum(made_again):,} updates"


class DQN(Game):
    name = "dqn"
    env = "CartPole-v1"
    more = ("--no-clip-rewards",)


class HDQN(Game):
    name = "hdqn"
    env = "KeyDoor-v0"
    more = (
        *("--preset", "gridworld", "--phase1-frames", "2000", "--max-goal-steps", "25"),
        *("--meta-replay-capacity", "50000", "--meta-learning-starts", "100"),
    )
    rising = tuple(f"goal/{goal}/tried" for goal in ("key", "door", "left gap", "right gap"))
    records_per_step = 2  # at most each ends a goal, too


def unlogged(ended: Ended) -> list[str]:
    """Deaths that nothing was said of; a line for each kind of actor."""
    found = []
    for what, (of_class, line) in _LOGGED.items():
        killed = sum(of_class in blow.victim and not blow.ended for blow in ended.blows)
        told = len(re.findall(line, ended.said))
        if told < killed:
            found.append(f"{killed} {what} were killed, and {told} deaths were told")
    return found


def lost_transitions(held: int, steps: int, most: int, said: str) -> list[str]:
    """Whether a replay holds what was played, but for what was told to be lost.

    Args:
        held: transitions.
        steps: that were played.
        most: transitions that these may be.
        said: what the job wrote.
    """
    told = re.findall(r"died: its ([\d,]+) transitions are lost", said)
    lost = sum(_number(number) for number in told)
    if min(steps - lost, _CAPACITY) - _SLACK <= held <= most:
        return []
    return [
        f"the replay holds {held:,} transitions of {steps:,} steps, and {lost:,} were told to be "
        "lost"
    ]


def updates_made_again(said: str) -> list[int]:
    """By the deaths of learners, in their order."""
    return [_number(n) for n in re.findall(r"([\d,]+) updates are made again", said)]


def too_far(said: str) -> list[str]:
    """Learners that went on from before their last snapshot."""
    most = _SNAPSHOT + _AHEAD
    return [
        f"{number:,} updates were made again, and a snapshot is made every {_SNAPSHOT}"
        for number in updates_made_again(said)
        if number > most
    ]


def _number(text: str) -> int:
    return int(text.replace(",", ""))
