"""The learners of a distributed run, as one thing that takes batches and acknowledges updates.

`LocalLearner` learns in this process; `LearnerActors` in actors, each from its part of every
minibatch, with gradients averaged by DDP. A call is of one level, and levels are told apart in all
that is counted. A killed learner takes its group with it (the others
would wait for it in all-reduce for ever): a new group takes up a recent snapshot.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from algorithms.dqn.learner import DQNLearner, Learned

if TYPE_CHECKING:
    from ray.rllib.core.learner.learner_group import LearnerGroup

logger = logging.getLogger(__name__)

_WAITING_S = 30.0  # between warnings that there is no place for new learners
_DEATH_S = 10.0  # until Ray tells of a process that is gone
_MAX_REPLACEMENTS = 3  # of a group that dies before it has learnt anything


class LocalLearner:
    """Learns in this process, one call at a time, when asked for what is done.

    Attributes:
        num_updates: By level, minibatch updates acknowledged.
        num_restarts: How often a group was replaced.
        num_updates_lost: Updates of all levels that were acknowledged and have to be made again.
    """

    num_restarts = num_updates_lost = 0

    def __init__(self, learner: DQNLearner) -> None:
        self._learner = learner
        self._calls: deque[tuple[list[ray.ObjectRef], dict[str, Any]]] = deque()

    @property
    def num_learners(self) -> int:
        """Parts that a batch is handed over in."""
        return 1

    @property
    def num_updates(self) -> dict[str, int]:
        return {name: level.num_updates for name, level in self._learner.levels.items()}

    @property
    def is_busy(self) -> bool:
        """Whether anything was handed over and is not acknowledged yet."""
        return bool(self._calls)

    def num_in_flight(self, level: str) -> int:
        """Minibatches of a level that were handed over and are not acknowledged yet."""
        own = (a for _, a in self._calls if a["level"] == level)
        return sum(arguments["num_minibatches"] for arguments in own)

    def num_calls(self, level: str) -> int:
        """Calls of them."""
        return sum(arguments["level"] == level for _, arguments in self._calls)

    def submit(self, parts: list[list[ray.ObjectRef]], **arguments: Any) -> None:
        """Hands batches of one level over.

        Args:
            parts: For each learner, references to its batches, all of which are there.
            **arguments: Of `DQNLearner.learn`.
        """
        self._calls.append((parts[0], arguments))

    def waiting(self) -> list[ray.ObjectRef]:
        """References that are ready when there may be something to collect."""
        return self._calls[0][0] if self._calls else []

    def collect(self) -> list[tuple[str, list[Learned]]]:
        """What has been acknowledged since the last call: of each call, its level and its learners'
        answers."""
        if not self._calls:
            return []
        parts, arguments = self._calls.popleft()
        try:
            batches = ray.get(parts)
        except RayError:  # gone with a machine; others are drawn for it
            return []
        return [(arguments["level"], [self._learner.learn(*batches, **arguments)])]

    def weights(self) -> tuple[ray.ObjectRef, ray.ObjectRef]:
        """References to the networks that act, of all levels, as they are after what was handed
        over, and to the number of updates they are from, which tells that they are there without
        fetching them."""
        network, num_updates = self._learner.weights()
        return ray.put(network), ray.put(num_updates)

    def max_q(self, states: ray.ObjectRef) -> ray.ObjectRef:
        """A reference to `DQNLearner.max_q` of states."""
        return ray.put(self._learner.max_q(ray.get(states)))

    def take_snapshot(self) -> None:
        """Nothing to do: this learner lives and dies with the run."""

    def check(self) -> None:
        """Replaces learners that died while nothing was asked of them; here there is none."""


@dataclass
class _Call:
    """Minibatches of a level that all learners are at."""

    level: str
    refs: list[ray.ObjectRef]
    num_minibatches: int
    answers: dict[ray.ObjectRef, Learned] = field(default_factory=dict)


class LearnerActors:
    """Learns in the actors of a LearnerGroup; attributes and methods as `LocalLearner`.

    Args:
        group: Built, with remote learners.
        rebuild: Makes another group like it.
        snapshot_period: Updates between snapshots.
        on_replaced: Told of a new group.
    """

    def __init__(
        self,
        group: LearnerGroup,
        rebuild: Callable[[], LearnerGroup],
        snapshot_period: int,
        on_replaced: Callable[[LearnerGroup], None],
    ) -> None:
        self._rebuild, self._on_replaced = rebuild, on_replaced
        self._period = snapshot_period
        self.num_restarts = self.num_updates_lost = 0
        self._failures = 0  # since the last acknowledged update
        self._calls: deque[_Call] = deque()
        self._next: tuple[ray.ObjectRef, dict[str, int]] | None = None
        self._use(group)
        self.take_snapshot()

    def _use(self, group: LearnerGroup) -> None:
        self._group = group
        workers = group._workers
        assert workers is not None
        self.workers: list[Any] = list(workers)

    @property
    def num_learners(self) -> int:
        return len(self.workers)

    @property
    def is_busy(self) -> bool:
        return bool(self._calls)

    def num_in_flight(self, level: str) -> int:
        return sum(call.num_minibatches for call in self._calls if call.level == level)

    def num_calls(self, level: str) -> int:
        return sum(call.level == level for call in self._calls)

    def submit(self, parts: list[list[ray.ObjectRef]], **arguments: Any) -> None:
        refs = [
            worker.learn.remote(*own, **arguments)
            for worker, own in zip(self.workers, parts, strict=True)
        ]
        self._calls.append(_Call(arguments["level"], refs, arguments["num_minibatches"]))

    def waiting(self) -> list[ray.ObjectRef]:
        return [ref for call in self._calls for ref in call.refs if ref not in call.answers]

    def collect(self) -> list[tuple[str, list[Learned]]]:
        try:
            done = self._collect()
            if done:
                self._failures = 0
            self._follow_snapshot()
        except RayActorError as error:
            self._replace(error)
            return []
        except Exception:  # the learners' own: what they were at is not to be asked for again
            self._calls.clear()
            raise
        return done

    def _collect(self) -> list[tuple[str, list[Learned]]]:
        waiting = self.waiting()
        ready, _ = ray.wait(waiting, num_returns=len(waiting), timeout=0) if waiting else ([], [])
        arrived = set(ready)
        for call in self._calls:
            for ref in call.refs:
                if ref in arrived:
                    call.answers[ref] = _answer(ref, call.refs)
        done = []
        while self._calls and len(self._calls[0].answers) == len(self._calls[0].refs):
            call = self._calls.popleft()
            done.append((call.level, [call.answers[ref] for ref in call.refs]))
            self.num_updates[call.level] += call.num_minibatches
        return done

    def weights(self) -> tuple[ray.ObjectRef, ray.ObjectRef]:
        return tuple(self.workers[0].weights.options(num_returns=2).remote())

    def max_q(self, states: ray.ObjectRef) -> ray.ObjectRef:
        return self.workers[0].max_q.remote(states)

    # Snapshots

    def take_snapshot(self) -> None:
        """Takes one now, of learners that nothing is on its way to."""
        state: Any = ray.get(self.workers[0].get_state.remote())
        self.num_updates: dict[str, int] = dict(state["num_updates"])
        self._snapshot, self._next = (ray.put(state), dict(self.num_updates)), None

    def check(self) -> None:
        try:
            ray.get([worker.apply.remote(_nothing) for worker in self.workers])
        except RayTaskError:
            raise
        except RayError as error:
            self._replace(_death(error))

    def _follow_snapshot(self) -> None:
        """Asks for the next snapshot when it is time, and takes it up once it is here."""
        if self._next is not None:
            # Fetched to this machine: that of the learner may be the next to go.
            ready, _ = ray.wait([self._next[0]], timeout=0, fetch_local=True)
            if ready:
                if is_whole(self._next[0]):  # put, so that it is not only a copy, which may go
                    self._snapshot = ray.put(ray.get(self._next[0])), self._next[1]
                self._next = None
        elif sum(self.num_updates.values()) >= sum(self._snapshot[1].values()) + self._period:
            state = self.workers[0].get_state.remote()
            self._next = state, {n: u + self.num_in_flight(n) for n, u in self.num_updates.items()}

    def _replace(self, error: RayActorError) -> None:
        """Ends all learners and goes on with new ones from the latest snapshot."""
        while True:
            try:
                self._replace_once(error)
                return
            except RayActorError as another:  # one of the new ones
                error = another

    def _replace_once(self, error: RayActorError) -> None:
        self._failures += 1
        self.num_restarts += 1
        if self._failures > _MAX_REPLACEMENTS:
            raise RuntimeError(
                f"learners died {self._failures} times in a row before they learnt anything; the "
                f"last said: {error}"
            ) from error
        if self._next is not None:  # it may have been taken before the death
            ready, _ = ray.wait([self._next[0]], timeout=0)
            if ready and is_whole(self._next[0]):
                self._snapshot = self._next
        state, num_updates = self._snapshot
        lost = sum(max(0, u - num_updates[name]) for name, u in self.num_updates.items())
        self.num_updates_lost += lost
        logger.warning(
            "A learner died (%s): all %d are replaced, and go on from the snapshot at %s updates; "
            "%s updates are made again",
            str(error).strip().splitlines()[0],
            len(self.workers),
            f"{sum(num_updates.values()):,}",
            f"{lost:,}",
        )
        self._end()
        with _say_while_waiting(len(self.workers)):
            self._use(self._rebuild())
            ray.get([worker.set_state.remote(state) for worker in self.workers])
        self.num_updates = dict(num_updates)
        self._on_replaced(self._group)

    def _end(self) -> None:
        """Kills what is left of the group; not in RLlib's way, which waits for the dead, and takes
        Tune's placement group along."""
        for worker in self.workers:
            ray.kill(worker)
        self._calls.clear()
        self._next = None
        self._group._is_shut_down = True


@contextlib.contextmanager
def _say_while_waiting(num_learners: int) -> Iterator[None]:
    """Warns, again and again, as long as new learners find no place."""
    done = threading.Event()

    def say() -> None:
        while not done.wait(_WAITING_S):
            logger.warning(
                "%d new learners wait for a place; the cluster has free: %s",
                num_learners,
                ray.available_resources(),
            )

    thread = threading.Thread(target=say, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def merge(answers: list[Learned]) -> Learned:
    """The answers of all learners to one call, as one: their parts are of the same size."""
    names = answers[0].metrics
    return Learned(
        metrics={name: float(np.mean([a.metrics[name] for a in answers])) for name in names},
        origin=np.concatenate([a.origin for a in answers]),
        id=np.concatenate([a.id for a in answers]),
        error=np.concatenate([a.error for a in answers]),
    )


def _answer(ref: ray.ObjectRef, call: list[ray.ObjectRef]) -> Learned:
    """A learner's answer.

    Args:
        ref: Of it.
        call: Of the answers of all learners.

    Raises:
        RayActorError: A learner died, or its batch is gone, so that the learners are out of step.
        BaseException: What the learner itself raised.
    """
    try:
        return ray.get(ref)
    except RayTaskError as error:
        if isinstance(error.cause, RayError):
            raise RayActorError(error_msg=f"its batch was lost: {error.cause}") from error
        # Those that live may say first that they lost the connection to the one that died.
        others = [other for other in call if other != ref]
        if others:
            ready, _ = ray.wait(others, num_returns=len(others), timeout=_DEATH_S)
            for other in ready:
                try:
                    ray.get(other)
                except RayTaskError:
                    continue
                except RayError as death:
                    raise _death(death) from error
        raise (error.cause or error) from None
    except RayError as error:
        raise _death(error) from error


def _death(error: RayError) -> RayActorError:
    """A learner's end as one kind of error: killed for its memory, it would be another."""
    return error if isinstance(error, RayActorError) else RayActorError(error_msg=str(error))


def is_whole(ref: ray.ObjectRef) -> bool:
    """Whether there is a result, not an error, in a reference that is ready."""
    try:
        ray.get(ref)
    except RayError:
        return False
    return True


def _nothing(learner: DQNLearner) -> None:
    """What a sign of life is asked for with."""
