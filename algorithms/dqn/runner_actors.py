"""The remote runners of a run: what is asked of each, and who takes the place of one that died."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError, RayTaskError

from algorithms.dqn.pushing import Report
from algorithms.replay.sharded import get_all

if TYPE_CHECKING:
    from ray.rllib.env.env_runner_group import EnvRunnerGroup

logger = logging.getLogger(__name__)

_MAX_FAILURES = 3  # of one runner in a row, before it is the run that has failed


@dataclass(eq=False)
class RunnerActor:
    """One of them."""

    number: int
    """From 1; RLlib's worker index."""
    actor: Any
    calls: dict[ray.ObjectRef, int] = field(default_factory=dict)
    """`push` calls that are under way, with the steps asked for."""
    num_steps: int = 0
    """Steps that it was ever asked for."""
    weights_version: int = 0
    wants_metrics: bool = False
    failures: int = 0
    """In a row."""
    starting: ray.ObjectRef | None = None
    """Ready when one that took a dead one's place can be asked."""

    @property
    def steps_asked(self) -> int:
        """Steps that are under way."""
        return sum(self.calls.values())


class RunnerActors:
    """Asks runners for steps and takes up their reports.

    A runner that dies, or raises, is replaced by a new one of the same number: its open episodes
    and what it had not yet sent are lost, and its streams begin anew.

    Args:
        group: RLlib's, which made them and stops them in the end.

    Attributes:
        all: The runners, by number.
        num_restarts: How often one was replaced.
    """

    def __init__(self, group: EnvRunnerGroup) -> None:
        self._group = group
        self.all = [
            RunnerActor(number, actor) for number, actor in group._worker_manager.actors().items()
        ]
        self._connection: tuple[Any, ...] = ()
        self.num_restarts = 0

    def connect(self, shards: Mapping[str, Sequence[Any]], num_streams: int) -> None:
        """Says where all of them, and those to come, send to; see `DQNRunner.connect`."""
        self._connection = (shards, num_streams)
        get_all([runner.actor.connect.remote(*self._connection) for runner in self.all])

    @property
    def steps_asked(self) -> int:
        """Steps that are under way."""
        return sum(runner.steps_asked for runner in self.all)

    def waiting(self) -> list[ray.ObjectRef]:
        """References that are ready when there is something to take up."""
        refs = [ref for runner in self.all for ref in runner.calls]
        return refs + [runner.starting for runner in self.all if runner.starting is not None]

    def ask(self, runner: RunnerActor, num_steps: int, **arguments: Any) -> None:
        """Asks one for steps; `arguments` are those of `DQNRunner.push`."""
        ref = runner.actor.push.remote(num_steps, with_metrics=runner.wants_metrics, **arguments)
        runner.wants_metrics = False
        runner.calls[ref] = num_steps
        runner.num_steps += num_steps

    def take_up(self) -> list[Report]:
        """The reports that have come; replaces those that died."""
        waiting = self.waiting()
        if not waiting:
            return []
        refs, _ = ray.wait(waiting, num_returns=len(waiting), timeout=0, fetch_local=False)
        ready, reports = set(refs), []
        for runner in self.all:
            try:
                if runner.starting is not None and runner.starting in ready:
                    ray.get(runner.starting)
                    runner.starting = None
                    logger.warning("Runner %d of %d plays again", runner.number, len(self.all))
                for ref in [ref for ref in runner.calls if ref in ready]:
                    reports.append(ray.get(ref))
                    del runner.calls[ref]
                    runner.failures = 0
            except RayTaskError as error:  # what its environment or a callback raised
                cause = error.cause or error
                self._replace(runner, f"{type(cause).__name__}: {cause}", cause)
            except RayError as error:  # killed, also by Ray for its memory, or its node is gone
                self._replace(runner, str(error).strip().splitlines()[0], error)
        return reports

    def _replace(self, runner: RunnerActor, reason: str, error: BaseException) -> None:
        runner.failures += 1
        if runner.failures > _MAX_FAILURES:
            raise RuntimeError(
                f"runner {runner.number} failed {runner.failures} times in a row: {reason}"
            ) from error
        logger.warning(
            "Runner %d of %d died (%s): up to %d steps and its open episodes are lost; another "
            "takes its place",
            runner.number,
            len(self.all),
            reason,
            runner.steps_asked,
        )
        self.num_restarts += 1
        # Else it would be asked alone, afterwards, until it has caught up.
        runner.num_steps = max(other.num_steps for other in self.all)
        runner.calls.clear()
        runner.weights_version = 0
        ray.kill(runner.actor)
        group: Any = self._group
        manager = group._worker_manager
        runner.actor = group._make_worker(
            env_creator=group._env_creator,
            validate_env=None,
            worker_index=runner.number,
            num_workers=len(self.all),
            recreated_worker=True,
            config=group._remote_config_obj_ref,
        )
        manager._remote_actor_states[runner.number].is_healthy = True
        manager._actors[runner.number] = runner.actor
        runner.starting = runner.actor.connect.remote(
            *self._connection, takes_place=self.num_restarts
        )

    def stop(self) -> None:
        """Ends those that are only starting, which RLlib would wait for."""
        manager: Any = self._group._worker_manager
        for runner in self.all:
            if runner.starting is not None:
                ray.kill(runner.actor)
                manager.remove_actor(runner.number)

    def get_states(self) -> list[dict[str, Any] | None]:
        """What each keeps besides its network, once nothing is under way; None of one that died."""
        refs = [runner.actor.get_state.remote(not_components="rl_module") for runner in self.all]
        states: list[dict[str, Any] | None] = []
        for runner, ref in zip(self.all, refs, strict=True):
            if runner.starting is not None:  # it may never find a place
                states.append(None)
                continue
            try:
                states.append(ray.get(ref))
            except RayTaskError:
                raise
            except RayError as error:
                self._replace(runner, str(error).strip().splitlines()[0], error)
                states.append(None)
        return states

    def set_states(self, states: list[dict[str, Any] | None]) -> None:
        """Takes up as many of the states as there are runners."""
        get_all(
            [
                runner.actor.set_state.remote(state)
                for runner, state in zip(self.all, states, strict=False)
                if state is not None
            ]
        )


def play_again_where_actors_die(
    play: Callable[[], dict[str, Any]], group: EnvRunnerGroup | None, num_runners: int
) -> dict[str, Any]:
    """Has the runners of a group play; RLlib passes over those that die, and tells old scores.

    Args:
        play: RLlib's `evaluate`.
        group: What plays; None: this process does.
        num_runners: Actors in it; 0: it plays in this process.

    Returns:
        What `play` returned when all of them lived through it.

    Raises:
        RuntimeError: They died `_MAX_FAILURES` times in a row.
    """
    if group is None or num_runners == 0:
        return play()
    reason = "it does not answer"
    for _ in range(_MAX_FAILURES):
        try:
            result = play()
            if group.num_healthy_remote_workers() >= num_runners:
                return result
        except RayError as error:
            reason = str(error).strip().splitlines()[0]
        logger.warning("What evaluates died (%s): it is played again by another", reason)
        group.reset([])
        group.add_workers(num_runners)
    raise RuntimeError(f"what evaluates died {_MAX_FAILURES} times in a row: {reason}")
