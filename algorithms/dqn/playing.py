"""Playing a trained policy: loading it, and the shares of an evaluation, here or in Ray actors."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray
import torch
from gymnasium.error import DependencyNotInstalled
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.rllib.core import COMPONENT_RL_MODULE

from algorithms.dqn.config import DQNConfig
from algorithms.dqn.options import options_of
from algorithms.dqn.protocols import Share
from algorithms.dqn.runner import DQNRunner
from algorithms.dqn.scores import Game
from arcadia.cluster import state_environment
from arcadia.errors import UserError
from arcadia.runs import RunFolder

_TURN_S = 1.0  # how long an actor plays before it tells how far it is
_START_S = 120.0


def load_runner(
    run: RunFolder,
    *,
    num_envs: int,
    seed: int | None,
    picture: bool = False,
    checkpoint: str = "last",
    config_class: type[DQNConfig] = DQNConfig,
) -> DQNRunner:
    """A runner that plays a run's checkpoint with `epsilon_eval`.

    Args:
        run: A run of the algorithm.
        num_envs: Environments played side by side.
        seed: Of the environments and of the random actions.
        picture: Make Gymnasium environments with the render mode `rgb_array`.
        checkpoint: `last`, `best` or a step; see `RunFolder.find_checkpoint`.
        config_class: Of the algorithm, whose runner it is.

    Raises:
        UserError: the run has no such checkpoint, or one that holds no policy of the algorithm or
            one for something else than the run plays; or the environment takes no render mode.
    """
    folder, _ = run.find_checkpoint(checkpoint)
    policy, options = config_class.read_policy(folder), options_of(run, config_class.options_class)
    policy.check_played(options, str(folder))
    config = config_class.of_options(options).debugging(seed=seed)
    config.check_played()
    config.num_envs_per_env_runner = num_envs
    config.in_evaluation = True
    if picture and config.env is not None:
        config.environment(env_config={"render_mode": "rgb_array"})
    try:
        runner = _runner(config)
    except DependencyNotInstalled as error:
        raise UserError(f'env "{config.env}": {error}') from error
    except TypeError as error:  # of an environment that takes no render mode
        if not picture:
            raise
        raise UserError(
            f'env "{config.env}": cannot be made with the render mode "rgb_array" ({error}); it '
            "cannot be filmed"
        ) from error
    try:
        runner.take_policy(policy, str(folder))
    except UserError:
        runner.stop()
        raise
    return runner


def _runner(config: DQNConfig) -> DQNRunner:
    runner = config.env_runner_cls(config=config, worker_index=0)  # type: ignore[misc]
    assert isinstance(runner, DQNRunner)
    return runner


class SharePlayer:
    """Plays shares one after another, each with a runner of its own, a turn at a time.

    Args:
        config: What is played, and `epsilon_eval`.
        weights: The policy's network, as `DQNRunner.get_weights` gives it.
        shares: What to play.
    """

    def __init__(self, config: DQNConfig, weights: dict[str, Any], shares: Sequence[Share]) -> None:
        # Nothing that can fail: an actor whose start fails says so in a page of text.
        self._turns = self._play(config, weights, shares)

    def start(self) -> None:
        """Answers from an actor that has its CPU, and keeps it to that."""
        state_environment()
        torch.set_num_threads(1)

    def turn(self) -> tuple[int, list[Game]] | None:
        """Plays on for about a second.

        Returns:
            The steps taken and the games that ended; None when everything is played.
        """
        until, steps, games = time.monotonic() + _TURN_S, 0, []
        for taken, ended in self._turns:
            steps += taken
            games += ended
            if time.monotonic() > until:
                return steps, games
        return (steps, games) if steps else None

    def _play(
        self, config: DQNConfig, weights: dict[str, Any], shares: Sequence[Share]
    ) -> Iterator[tuple[int, list[Game]]]:
        for share in shares:
            own = config.copy(copy_frozen=False).debugging(seed=share.seed)
            own.num_envs_per_env_runner = share.num_envs
            own.in_evaluation = True
            runner = _runner(own)
            try:
                runner.set_state({COMPONENT_RL_MODULE: weights})
                yield from play_share(runner, share)
            finally:
                runner.stop()


def play_share(runner: DQNRunner, share: Share) -> Iterator[tuple[int, list[Game]]]:
    """Plays one share on a runner that has not played yet, yielding after each batched step.

    Yields:
        The steps taken since the last yield, and the games that ended and count.
    """
    epsilon = runner.play_as(share.player)
    left = share.episodes if share.episodes is not None else share.steps
    assert left is not None
    open_steps, num_ended = 0, 0
    while left > 0:
        before = runner.num_env_steps_sampled_lifetime
        runner.start_step(epsilon)
        # Those that start first, so that short ones are not favoured.
        ended = [
            Game(
                player=share.player,
                share=share.index,
                index=episode.index,
                return_=episode.return_,
                length=episode.length,
                goals=tuple(episode.goals),
            )
            for episode in runner.finish_step()
            if share.episodes is None or episode.index < share.episodes
        ]
        runner.forget()  # or the frames would pile up
        steps = runner.num_env_steps_sampled_lifetime - before
        num_ended += len(ended)
        open_steps = 0 if ended else open_steps + steps
        left -= steps if share.episodes is None else len(ended)
        if left <= 0 and share.episodes is None and open_steps:
            cut = runner.current_episode(0)
            ended.append(
                Game(
                    player=share.player,
                    share=share.index,
                    index=num_ended,
                    return_=cut.return_,
                    length=open_steps,
                    ended=False,
                    goals=tuple(cut.goals),
                )
            )
        yield steps, ended


def play_here(
    config: DQNConfig,
    weights: dict[str, Any],
    shares: Sequence[Share],
    tell: Callable[[int, list[Game]], None],
) -> None:
    """Plays shares in this process.

    Args:
        config: What is played.
        weights: The policy's network.
        shares: What to play.
        tell: Called now and then with the steps taken since and the games that ended.
    """
    player = SharePlayer(config, weights, shares)
    while (turn := player.turn()) is not None:
        tell(*turn)


def play_in_actors(
    config: DQNConfig,
    weights: dict[str, Any],
    shares: Sequence[Share],
    tell: Callable[[int, list[Game]], None],
    num_actors: int,
) -> None:
    """Plays shares in Ray actors of one CPU each, dealt out in turn; ends the actors.

    Args:
        config: What is played.
        weights: The policy's network.
        shares: What to play.
        tell: As in `play_here`.
        num_actors: At most so many actors.

    Raises:
        UserError: the cluster has not as many CPUs, or they stay taken.
        RuntimeError: an actor died.
    """
    num_actors = min(num_actors, len(shares))
    cpus = ray.cluster_resources().get("CPU", 0.0)
    if num_actors > cpus:
        raise UserError(
            f"num_env_runners {num_actors}: each takes a CPU and the cluster has {cpus:g}; ask for "
            "at most that"
        )
    kept = ray.put(weights)
    remote = ray.remote(num_cpus=1)(SharePlayer)
    actors: list[Any] = [
        remote.remote(config, kept, shares[i::num_actors]) for i in range(num_actors)
    ]
    try:
        _start(actors)
        turns = {actor.turn.remote(): i for i, actor in enumerate(actors)}
        while turns:
            (ready,), _ = ray.wait(list(turns), num_returns=1)
            i = turns.pop(ready)
            turn = _answer(ready, i, num_actors)
            if turn is not None:
                turns[actors[i].turn.remote()] = i
                tell(*turn)
    finally:
        for actor in actors:
            with contextlib.suppress(Exception):  # a cluster that is gone took them along
                ray.kill(actor)


def _start(actors: list[Any]) -> None:
    starts = [actor.start.remote() for actor in actors]
    up, _ = ray.wait(starts, num_returns=len(starts), timeout=_START_S)
    if len(up) < len(starts):
        raise UserError(
            f"num_env_runners {len(starts)}: only {len(up)} found a free CPU within {_START_S:g} s;"
            " ask for fewer, or wait until others are done"
        )
    for i, start in enumerate(starts):
        _answer(start, i, len(starts))


def _answer(ref: Any, i: int, num_actors: int) -> Any:
    """What an actor answered; its own error as it was, its death as one line."""
    try:
        return ray.get(ref)
    except RayTaskError as error:
        raise error.cause from error
    except (RayError, GetTimeoutError) as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        raise RuntimeError(
            f"env runner {i + 1} of {num_actors} died while it played ({type(error).__name__}: "
            f"{reason.strip()}); what it played is lost, evaluate again"
        ) from error
