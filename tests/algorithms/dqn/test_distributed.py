"""A distributed run: actors that play, store and learn, and that are killed."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import ray
import torch

from algorithms.dqn import DQN, DQNConfig, learners
from algorithms.dqn.episodes import Episode
from algorithms.dqn.learners import LearnerActors
from algorithms.dqn.options import MAX_STEPS_AHEAD
from algorithms.dqn.pushing import Report
from algorithms.replay.sharded import ShardedReplay
from tests.algorithms.dqn.faults import kill, loop_of, num_stored, pid_of, shard_pids, train_until

pytestmark = pytest.mark.usefixtures("ray_session")


def config(**options: Any) -> DQNConfig:
    defaults = dict(
        env="CartPole-v1",
        clip_rewards=False,
        hidden_size=32,
        num_envs_per_env_runner=4,
        num_env_runners=2,
        num_replay_shards=2,
        num_learners=2,
        num_cpus_per_replay_shard=0.25,
        prioritized=True,
        learning_starts=200,
        replay_capacity=20_000,
        steps_per_iteration=400,
        eval_period_frames=0,
        held_out_states=20,
        learner_snapshot_period=40,
        weights_period=10,
    )
    made = DQNConfig.preset("fast", **(defaults | options)).debugging(seed=3)
    made.env_runners(num_cpus_per_env_runner=0.25)
    made.learners(num_cpus_per_learner=0.25)
    return made


def build(**options: Any) -> DQN:
    algo = config(**options).build_algo()
    assert isinstance(algo, DQN)
    return algo


def replay_of(algo: DQN) -> ShardedReplay:
    assert isinstance(algo.replay, ShardedReplay)
    return algo.replay


@pytest.fixture(scope="module")
def algo() -> Iterator[DQN]:
    """Two runners, two shards, two learners, in training since a while."""
    made = build()
    for _ in range(3):
        made.train()
    yield made
    made.stop()


def test_actors_play_store_and_learn(algo: DQN):
    loop, result = loop_of(algo), algo.train()
    learner = result["learners"]["default_policy"]
    assert np.isfinite([learner[name] for name in ("loss", "td_error_abs", "q")]).all()
    assert learner["num_updates"] == algo.num_updates > 100
    assert result["env_runners"]["episode_return_mean"] > 5
    assert result["env_runners"]["num_env_steps_sampled"] > 0
    assert set(result["faults"].values()) == {0}
    assert [episode["step"] for episode in result["episodes"]] == sorted(
        {episode["step"] for episode in result["episodes"]}
    )
    # Each shard has the streams of one runner, and both were learnt from.
    sizes = [status.num_transitions for status in replay_of(algo).statuses]
    assert sum(sizes) == len(algo.replay)
    assert min(sizes) > 0.4 * sum(sizes)
    loop.settle()
    (stored,) = num_stored(algo).values()
    assert stored == algo.num_env_steps  # none is counted that is not stored, and none is not
    processes = [pid_of(runner.actor) for runner in loop._runners.all]
    processes += [pid_of(worker) for worker in loop.learners.workers]  # type: ignore[union-attr]
    processes += [pid for pids in shard_pids(algo).values() for pid in pids]
    assert len({os.getpid(), *processes}) == 7
    # Priorities came back: they are not all those that new records enter with.
    masses = [s.mass / s.num_transitions for s in replay_of(algo).statuses]
    assert all(mass != 1 for mass in masses)


def test_curves_never_go_back_where_steps_are_lost(algo: DQN, monkeypatch: pytest.MonkeyPatch):
    loop = loop_of(algo)
    loop.settle()
    # The fixture's own counters stay as they are.
    monkeypatch.setattr(loop, "levels", {})
    monkeypatch.setattr(loop, "_episodes", [])
    for name in ("num_env_steps", "_num_lost", "epsilon"):
        monkeypatch.setattr(loop, name, getattr(loop, name))
    before = loop.num_env_steps
    # Of 16 steps those of a shard that died are missing.
    loop._hear_of_steps(Report(num_steps=8, num_lost=8, episodes=ended(3, 8, 13)))
    loop._hear_of_steps(Report(num_steps=16, episodes=ended(1)))
    assert [episode.end_step - before for episode in loop._episodes] == [3, 8, 8, 9]


def ended(*steps: int) -> list[Episode]:
    return [Episode(id_="", index=0, env_index=0, end_step=step) for step in steps]


def test_learners_stay_equal_and_runners_get_their_network(algo: DQN):
    loop = loop_of(algo)
    assert isinstance(loop.learners, LearnerActors)
    algo.train()
    loop.settle()
    states = ray.get([worker.get_state.remote() for worker in loop.learners.workers])
    first, second = (state["rl_module"]["default_policy"] for state in states)
    assert states[0]["num_updates"] == states[1]["num_updates"]
    assert states[0]["num_updates"] == {"default_policy": algo.num_updates}
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], name)
    runner = loop._runners.all[0]
    for _ in range(100):  # until its latest call brought the latest network
        loop.run(1)
        loop.settle()
        if runner.weights_version == loop._weights_version:
            break
    theirs = ray.get(runner.actor.apply.remote(lambda r: r.get_state()["rl_module"]))
    assert runner.weights_version > 1
    sent = ray.get(loop._weights)["default_policy"]
    for name, value in theirs["default_policy"].items():
        np.testing.assert_array_equal(value, sent[name], name)


@pytest.mark.slow
def test_ratio_of_updates_to_steps_holds_over_any_stretch(algo: DQN):
    """Within 5 % of 10,000 steps' worth, and no more is under way than that."""
    loop = loop_of(algo)
    ((name, level),) = loop.levels.items()
    trail = [(loop.num_env_steps, algo.num_updates)]
    limit = loop.num_env_steps + 11_000
    ahead = 0.0
    while loop.num_env_steps < limit:
        loop.run(1)
        trail.append((loop.num_env_steps, algo.num_updates))
        # What is less than a call of the learners waits for more, and holds nobody back.
        owed = (level.updates_owed - level.options.updates_per_call) / 0.25
        ahead = max(ahead, owed + loop._runners.steps_asked)
        assert level.updates_owed >= 0  # nothing is learnt that is not owed
        assert loop.learners.num_calls(name) + level.num_drawn <= 4
    lag = [0.25 * steps - updates for steps, updates in trail]
    assert max(lag) - min(lag) <= 0.05 * 10_000 * 0.25
    assert ahead <= MAX_STEPS_AHEAD


@pytest.mark.slow
def test_a_killed_runner_is_replaced(algo: DQN, said: pytest.LogCaptureFixture):
    loop = loop_of(algo)
    runner = loop._runners.all[1]
    before = loop._runners.num_restarts
    start = time.monotonic()
    kill(pid_of(runner.actor))
    train_until(algo, lambda: loop._runners.num_restarts > before and runner.starting is None)
    assert time.monotonic() - start < 60
    assert "Runner 2 of 2 died" in said.text
    assert "Runner 2 of 2 plays again" in said.text
    steps = algo.num_env_steps
    train_until(algo, lambda: algo.num_env_steps > steps)
    loop.settle()
    assert runner.calls == {}
    assert ray.get(runner.actor.apply.remote(lambda r: r.worker_index)) == 2


@pytest.mark.slow
def test_a_killed_shard_is_replaced_by_an_empty_one(algo: DQN, said: pytest.LogCaptureFixture):
    replay = replay_of(algo)
    held = replay.statuses[0].num_transitions
    assert held > 0
    kill(shard_pids(algo)["default_policy"][0])
    result = train_until(algo, lambda: replay.num_restarts == 1)
    train_until(algo, lambda: replay.statuses[0].mass > 0)
    assert "Replay shard 1 of 2 died" in said.text
    assert replay.num_lost >= held
    assert result["faults"]["shard_restarts"] == 1
    updates = algo.num_updates
    train_until(algo, lambda: algo.num_updates > updates)


@pytest.mark.slow
def test_killed_learners_go_on_from_their_snapshot(
    algo: DQN, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    loop = loop_of(algo)
    learners = loop.learners
    # No network is due for long, so that only new learners' is sent out.
    monkeypatch.setattr(loop, "_options", replace(loop._options, weights_period=1_000_000))
    train_until(algo, lambda: loop._next_weights is None)
    version = loop._weights_version
    assert isinstance(learners, LearnerActors)
    before, old = algo.num_updates, list(learners.workers)
    kill(pid_of(learners.workers[1]))
    start = time.monotonic()
    seen: list[int] = []

    def is_replaced() -> bool:
        seen.append(algo.num_updates)
        return learners.num_restarts == 1

    train_until(algo, is_replaced)
    assert time.monotonic() - start < 60
    assert learners.workers != old
    assert algo.learner_group is not None and algo.learner_group._workers == learners.workers
    assert "A learner died" in said.text
    assert f"{learners.num_updates_lost} updates are made again" in said.text
    # Back to a snapshot no older than its period and what was on its way to the learners.
    assert learners.num_updates_lost <= 40 + 16
    assert min(seen) >= before - 40 - 16
    train_until(algo, lambda: algo.num_updates > before + 50)
    loop.settle()
    lag = 0.25 * algo.num_env_steps - algo.num_updates
    assert lag < 0.25 * MAX_STEPS_AHEAD + 0.25 * 400  # what was lost is made again
    states = ray.get([worker.get_state.remote() for worker in learners.workers])
    first, second = (state["rl_module"]["default_policy"] for state in states)
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], name)
    assert loop._weights_version == version + 1
    train_until(algo, lambda: all(r.weights_version > version for r in loop._runners.all))


def test_what_a_learner_raises_ends_the_run_as_what_it_is(algo: DQN, tmp_path):
    loop = loop_of(algo)
    assert isinstance(loop.learners, LearnerActors)
    path = algo.save_to_path(tmp_path / "good")

    def spoil(learner: Any) -> None:
        with torch.no_grad():
            next(learner.dqn_module.online.parameters()).fill_(torch.inf)

    ray.get([worker.apply.remote(spoil) for worker in loop.learners.workers])
    with pytest.raises(FloatingPointError, match="lower lr"):
        for _ in range(5):
            algo.train()
    algo.restore_from_path(path)
    algo.train()


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_everything(algo: DQN, tmp_path):
    algo.train()
    path = algo.save_to_path(tmp_path / "saved")
    steps, updates, held = algo.num_env_steps, algo.num_updates, len(algo.replay)
    weights = ray.get(loop_of(algo).learners.weights()[0])["default_policy"]
    other = build(num_env_runners=1, num_replay_shards=3, num_learners=0)
    try:
        other.restore_from_path(path)
        assert (other.num_env_steps, other.num_updates, len(other.replay)) == (steps, updates, held)
        theirs = ray.get(loop_of(other).learners.weights()[0])["default_policy"]
        for name, value in weights.items():
            np.testing.assert_array_equal(value, theirs[name], name)
        other.train()
        assert other.num_env_steps >= steps + 400
        assert other.num_updates > updates
        # All shards at once: nothing can be learnt until they have filled again.
        for pid in shard_pids(other)["default_policy"]:
            kill(pid)
        train_until(other, lambda: replay_of(other).num_restarts == 3)
        updates = other.num_updates
        train_until(other, lambda: other.num_updates > updates)
        steps, held = other.num_env_steps, len(other.replay)
        second = other.save_to_path(tmp_path / "again")
    finally:
        other.stop()
    alone = build(num_env_runners=0, num_learners=0)
    try:
        alone.restore_from_path(second)
        assert alone.num_env_steps >= steps
        assert len(alone.replay) >= held
        alone.train()
        third = alone.save_to_path(tmp_path / "third")
        steps, held = alone.num_env_steps, len(alone.replay)
    finally:
        alone.stop()
    algo.restore_from_path(third)
    assert (algo.num_env_steps, len(algo.replay)) == (steps, held)
    algo.train()
    assert algo.num_env_steps > steps


def test_learners_that_find_no_place_say_so(monkeypatch, said: pytest.LogCaptureFixture):
    monkeypatch.setattr(learners, "_WAITING_S", 0.05)
    with learners._say_while_waiting(2):
        end = time.monotonic() + 10
        while "2 new learners wait for a place" not in said.text:
            assert time.monotonic() < end
            time.sleep(0.01)
    assert "'CPU'" in said.text


@pytest.mark.slow
def test_what_evaluates_is_replaced_and_plays_again(said: pytest.LogCaptureFixture):
    algo = build(num_env_runners=1, num_replay_shards=1, num_learners=0, eval_period_frames=100_000)
    try:
        group = algo.eval_env_runner_group
        assert group is not None
        first = algo.evaluate()["env_runners"]
        (actor,) = group._worker_manager.actors().values()
        kill(pid_of(actor))
        second = algo.evaluate()["env_runners"]
        assert "What evaluates died" in said.text
        assert second["num_episodes"] == first["num_episodes"] > 0
        # The same network and the same starts.
        assert second["episode_return_mean"] == first["episode_return_mean"]
    finally:
        algo.stop()
