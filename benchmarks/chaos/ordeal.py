"""A job from its begin to its end, while its processes are killed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import psutil  # pyright: ignore[reportMissingModuleSource, reportMissingImports]

from arcadia.errors import UserError
from benchmarks.chaos.call import Call
from benchmarks.chaos.kind import DRIVER, Blow, Ended, Kind
from benchmarks.chaos.victims import choose

_POLL_S = 0.2
_PATIENCE_S = 300.0  # with a job that finishes nothing
_TRIES = 20  # to look at files that are being written

Seen = TypeVar("Seen")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Of one kind of job."""

    kind: str
    unit: str
    """What `done` counts."""
    killed: list[str]
    """Actors' classes and tasks, in the order in which their processes were killed, the command
    last."""
    waited_s: list[float]
    """After each, the seconds until more was finished than before."""
    rewound: str
    """What was made again, in words."""
    begun_again: int
    """How often the command was begun again; 1: it went on by itself until it was killed."""
    ended_by: list[str]
    """Where it ended by the death of a worker: that one, and what was said."""
    left_behind: list[str]
    """Processes of the killed command that had to be ended, too."""
    seconds: float
    """From the first begin to the end."""
    done: int
    """What was finished in the end."""
    missing: list[str]
    """What a whole result has and this one has not."""

    @property
    def is_complete(self) -> bool:
        return not self.missing

    @property
    def lost_s(self) -> float:
        """Seconds in which nothing was finished."""
        return sum(self.waited_s)


class TooShort(UserError):
    """A job was done before all was killed that was to be."""


class Ordeal:
    """What a job goes through: every so often a random one of its workers is killed, at last the
    command itself; it is begun again, and let be.

    A blow waits until the job has gone on since the one before: what it is to show is that it does.

    Args:
        kind: of the job.
        period_s: between blows, in seconds.
        kills: of workers.
        seed: of whom they hit.
    """

    def __init__(self, kind: Kind, *, period_s: float, kills: int, seed: int):
        self._kind, self._period_s, self._kills = kind, period_s, kills
        self._rng = np.random.default_rng(seed)
        self._blows: list[Blow] = []
        self._calls: list[Call] = []

    def carry_out(self) -> Outcome:
        """Begins the job, strikes, lets it end, and looks at what came of it.

        Raises:
            TooShort: it was done before.
            RuntimeError: it failed before anything was killed, or again and again.
        """
        kind = self._kind
        kind.prepare()
        began = time.monotonic()
        try:
            self._begin(kind.words())
            self._wait_for_more(0, self._look)
            for _ in range(self._kills):
                self._pause()
                self._strike()
            self._pause()
            self._note(DRIVER)
            left = self._call.kill()
            problem = self._let_it_end()
            seconds = time.monotonic() - began
        finally:
            for call in self._calls:
                call.kill()
        said = "\n".join(call.said for call in self._calls)
        ended = Ended(result=self._call.result, said=said, blows=self._blows)
        return Outcome(
            kind=kind.name,
            unit=kind.unit,
            killed=[blow.victim for blow in self._blows],
            waited_s=[round(blow.waited_s, 2) for blow in self._blows],
            rewound=kind.rewound(ended),
            begun_again=len(self._calls) - 1,
            ended_by=[f"{blow.victim}: {blow.ended}" for blow in self._blows if blow.ended],
            left_behind=left,
            seconds=round(seconds, 1),
            done=kind.done(),
            missing=[problem] if problem else self._missing(ended),
        )

    @property
    def _call(self) -> Call:
        return self._calls[-1]

    def _begin(self, words: list[str]) -> None:
        self._calls.append(Call(self._kind.folder, self._kind.module, words))

    def _missing(self, ended: Ended) -> list[str]:
        try:
            return self._kind.missing(ended)
        except (UserError, OSError, LookupError, ValueError, RuntimeError) as error:
            return [f"what came of it cannot be looked at: {type(error).__name__}: {error}"]

    def _pause(self) -> None:
        until = time.monotonic() + self._period_s
        while time.monotonic() < until:
            time.sleep(_POLL_S)
            self._look()

    def _strike(self) -> None:
        """Kills one worker, and waits until the job goes on."""
        until = time.monotonic() + _PATIENCE_S
        while not self._has_struck():  # all of them are only starting
            if time.monotonic() > until:
                raise RuntimeError(f"{self._kind.name}: has had no workers for {_PATIENCE_S:g} s")
            time.sleep(_POLL_S)
            self._look()
        self._wait(self._look)

    def _has_struck(self) -> bool:
        """Kills one worker; whether there was any."""
        workers = self._call.workers()
        if not workers:
            return False
        victim = choose(workers, self._rng)
        self._note(victim.name)
        try:
            victim.process.kill()
        except psutil.NoSuchProcess:  # it has ended by itself meanwhile
            self._blows.pop()
            return False
        return True

    def _note(self, victim: str) -> None:
        """That a process is about to be killed, and what is finished."""
        done, finished = _seen(self._kind.done), _seen(self._kind.finished)
        self._blows.append(
            Blow(victim=victim, at=time.time(), done=done, finished=finished, waited_s=0.0)
        )

    def _wait(self, look: Callable[[], object]) -> None:
        """Until the job has gone on since the last blow; notes how long that took."""
        self._wait_for_more(_seen(self._kind.done), look)
        self._blows[-1] = replace(self._blows[-1], waited_s=time.time() - self._blows[-1].at)

    def _wait_for_more(self, done: int, look: Callable[[], object]) -> None:
        until = time.monotonic() + _PATIENCE_S
        while _seen(self._kind.done) <= done and time.monotonic() < until:
            time.sleep(_POLL_S)
            if look():
                return

    def _look(self) -> None:
        """Begins the job again where it has ended by a blow."""
        name, code = self._kind.name, self._call.code
        if code is None:
            return
        if code == 0:
            raise TooShort(
                f"{name}: was done after {len(self._blows)} of {self._kills} kills; give a larger "
                "--scale, or a shorter --period"
            )
        if not self._blows or len(self._calls) > 2 * self._kills + 1:
            raise RuntimeError(f"{name}: {self._call.last_words}")
        self._blows[-1] = replace(self._blows[-1], ended=self._call.last_words)
        self._begin(self._kind.again(to_the_end=False))

    def _let_it_end(self) -> str:
        """Begins the job for the last time; why it did not end well, or an empty string."""
        self._begin(self._kind.again(to_the_end=True))
        call = self._call
        self._wait(lambda: call.code is not None)
        limit = _PATIENCE_S + 4 * self._period_s * (self._kills + 2)
        until = time.monotonic() + limit
        while call.code is None:
            if time.monotonic() > until:
                return f"had not ended {limit:,.0f} s after it was begun again"
            time.sleep(_POLL_S)
        return "" if call.code == 0 else call.last_words


def _seen(look: Callable[[], Seen]) -> Seen:
    """What a look at files answers, which may be caught while they are being replaced."""
    for _ in range(_TRIES - 1):
        try:
            return look()
        except (UserError, OSError, ValueError):
            time.sleep(0.05)
    return look()
