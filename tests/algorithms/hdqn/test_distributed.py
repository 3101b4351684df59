"""A distributed run of both levels: actors that play, store and learn, and that are killed."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from algorithms.dqn.learners import LearnerActors
from algorithms.dqn.options import MAX_STEPS_AHEAD
from algorithms.hdqn.algorithm import HDQN
from algorithms.hdqn.config import HDQNConfig
from algorithms.hdqn.options import CONTROLLER, META
from algorithms.hdqn.runner import HDQNRunner
from algorithms.hdqn.statistics import Outcome
from algorithms.replay import Fragment, RecordFlag
from algorithms.replay.reshard import load_replay
from algorithms.replay.sharded import ShardedReplay, saved_folders
from tests.algorithms.dqn.faults import kill, loop_of, num_stored, pid_of, shard_pids, train_until

pytestmark = pytest.mark.usefixtures("ray_session")

PHASE1 = 800
SHARE = {CONTROLLER: 0.25, META: 0.02}  # updates for every step


def config(**options: Any) -> HDQNConfig:
    defaults: dict[str, Any] = {
        "env": "KeyDoor-v0",
        "num_envs_per_env_runner": 4,
        "num_env_runners": 2,
        "num_replay_shards": 2,
        "meta_num_replay_shards": 1,
        "num_learners": 1,
        "num_cpus_per_replay_shard": 0.25,
        "rollout_fragment_length": 3,  # far less than goals are pursued for
        "learning_starts": 100,
        "steps_per_iteration": 400,
        "replay_capacity": 20_000,
        "hidden_size": 32,
        "phase1_frames": PHASE1,
        "meta_learning_starts": 4,
        "meta_batch_size": 4,
        "meta_replay_capacity": 2_000,
        "max_goal_steps": 25,
        "eval_period_frames": 0,
        "weights_period": 10,
        "learner_snapshot_period": 40,
    }
    made = HDQNConfig().training(**(defaults | options)).debugging(seed=3)
    made.env_runners(num_cpus_per_env_runner=0.25)
    made.learners(num_cpus_per_learner=0.25)
    # By hand: the tests say when.
    made.evaluation(
        evaluation_num_env_runners=int(made.options.is_distributed),
        evaluation_duration=3,
        evaluation_config=HDQNConfig.overrides(num_cpus_per_env_runner=0.25),
    )
    return made


def build(**options: Any) -> HDQN:
    algo = config(**options).build_algo()
    assert isinstance(algo, HDQN)
    return algo


def replay_of(algo: HDQN, level: str) -> ShardedReplay:
    replay = algo.replays[level]
    assert isinstance(replay, ShardedReplay)
    return replay


def ask_runners(algo: HDQN, question: Any) -> list[Any]:
    return ray.get([r.actor.apply.remote(question) for r in loop_of(algo)._runners.all])


def num_tried(algo: HDQN) -> int:
    return int(algo.runner.statistics.tried.sum())


def learner_state(algo: HDQN) -> dict[str, tuple[int, int]]:
    """By level, the updates that a learner has made, and those that its optimizer has."""
    learners = loop_of(algo).learners
    assert isinstance(learners, LearnerActors)

    def ask(learner: Any) -> dict[str, tuple[int, int]]:
        steps = {
            name: {int(own["step"]) for own in level.optimizer.state.values()} or {0}
            for name, level in learner.levels.items()
        }
        return {n: (level.num_updates, *steps[n]) for n, level in learner.levels.items()}

    return ray.get(learners.workers[0].apply.remote(ask))


@pytest.fixture(scope="module")
def algo() -> Iterator[HDQN]:
    """Two runners, three shards, one learner, in phase 2 since a while."""
    made = build()
    for _ in range(4):
        made.train()
    yield made
    made.stop()


def test_both_levels_play_store_and_learn_in_actors(algo: HDQN):
    loop, result = loop_of(algo), algo.train()
    for name in (CONTROLLER, META):
        learner = result["learners"][name]
        assert np.isfinite([learner[key] for key in ("loss", "td_error_abs", "q")]).all()
        assert learner["num_updates"] == algo.loop.num_updates[name] > 0
    assert set(result["faults"].values()) == {0}
    assert result["env_runners"]["meta_epsilon"] < 1
    loop.settle()
    # None is counted that is not stored, and none is not; each goal's end is one meta record.
    assert num_stored(algo) == {CONTROLLER: algo.num_env_steps, META: num_tried(algo)}
    assert min(s.num_transitions for s in replay_of(algo, CONTROLLER).statuses) > 100
    processes = [pid_of(runner.actor) for runner in loop._runners.all]
    processes += [pid_of(worker) for worker in loop.learners.workers]  # type: ignore[union-attr]
    processes += [pid for pids in shard_pids(algo).values() for pid in pids]
    assert len({os.getpid(), *processes}) == 7
    # No step of phase 1, and every one of phase 2, is owed updates of the meta-controller.
    owed = loop.num_updates[META] + loop.updates_owed[META]
    assert owed == pytest.approx(SHARE[META] * (algo.num_env_steps - PHASE1))
    assert learner_state(algo) == {n: (made, made) for n, made in loop.num_updates.items()}


def test_goals_go_on_over_fragments(algo: HDQN, tmp_path: Path):
    """Every step belongs to one meta record, or to a goal that is still pursued."""
    loop_of(algo).settle()
    algo.save_replays(tmp_path)
    records = [load_replay(folder) for folder in saved_folders(tmp_path / META)]
    durations = np.concatenate([r.gather(r.valid_ids()).duration for r in records])
    columns = [r._records.columns(np.arange(r.tail, r.head)) for r in records]
    lasted = [c["duration"][(c["flags"] & RecordFlag.FINAL) == 0].sum() for c in columns]
    under_way = ask_runners(algo, lambda runner: int(runner._goal_steps[runner.goal >= 0].sum()))
    assert sum(lasted) + sum(under_way) == algo.num_env_steps
    assert durations.max() == 25  # given up; a fragment has 3 steps


def check_ratios(algo: HDQN, num_steps: int, shares: dict[str, float]) -> None:
    """Within 5 % of 10,000 steps' worth, and no more is under way than that."""
    loop = loop_of(algo)
    trail = [(loop.num_env_steps, loop.num_updates)]
    ahead = 0.0
    while loop.num_env_steps < trail[0][0] + num_steps:
        loop.run(1)
        trail.append((loop.num_env_steps, loop.num_updates))
        for name, level in loop.levels.items():
            assert level.updates_owed >= 0  # nothing is learnt that is not owed
            # What is less than a call of the learners waits for more, and holds nobody back.
            a_call = level.options.updates_per_call / shares[name]
            owed = level.updates_owed / shares[name]
            ahead = max(ahead, owed + loop._runners.steps_asked - a_call)
            assert loop.learners.num_calls(name) + level.num_drawn <= 4
    assert ahead <= MAX_STEPS_AHEAD
    for name, share in shares.items():
        lag = [share * steps - updates[name] for steps, updates in trail]
        assert max(lag) - min(lag) <= 0.05 * 10_000 * share
        assert trail[-1][1][name] - trail[0][1][name] > 0.5 * num_steps * share


def test_ratio_is_held_for_each_level(algo: HDQN):
    check_ratios(algo, 1_500, SHARE)


def test_runners_explore_as_the_driver_counts_and_act_with_both_networks(algo: HDQN):
    loop, runner = loop_of(algo), algo.runner
    runner.hear_of_goals([Outcome(1, True)] * 100)  # as if the door had been reached by all

    def agree() -> bool:
        loop.settle()
        told = ask_runners(algo, lambda r: r.goal_epsilon)
        return all(epsilon[1] < 0.3 for epsilon in told) and all(
            r.weights_version == loop._weights_version for r in loop._runners.all
        )

    for _ in range(100):
        loop.run(1)
        if agree():
            break
    assert agree()
    theirs = ask_runners(algo, lambda r: r.get_weights())
    sent = ray.get(loop._weights)
    for weights in theirs:
        assert set(weights) == {CONTROLLER, META}
        for name, own in weights.items():
            for key, value in own.items():
                np.testing.assert_array_equal(value, sent[name][key], key)


def test_evaluation_plays_in_an_actor(algo: HDQN):
    stored = num_stored(algo)
    first = algo.evaluate()["env_runners"]
    assert first["num_episodes"] == 3
    assert algo.evaluate()["env_runners"]["episode_len_mean"] == first["episode_len_mean"]
    loop_of(algo).settle()
    assert num_stored(algo)[META] >= stored[META]
    assert num_stored(algo)[CONTROLLER] == algo.num_env_steps


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_everything(algo: HDQN, tmp_path: Path):
    algo.train()
    path = algo.save_to_path(tmp_path / "saved")
    counts = algo.num_env_steps, algo.loop.num_updates, algo.loop.updates_owed
    held = {name: len(replay) for name, replay in algo.replays.items()}
    goals = algo.runner.statistics.rows(algo.runner.goal_epsilon)
    open_goals = [state["goals"] for state in loop_of(algo)._runners.get_states() if state]
    weights = ray.get(loop_of(algo).learners.weights()[0])
    other = build(
        num_env_runners=1,
        num_replay_shards=1,
        meta_num_replay_shards=2,
        num_learners=0,
        updates_per_step=0.05,
        meta_updates_per_step=1.0,
    )
    try:
        other.restore_from_path(path)
        loop = loop_of(other)
        assert (other.num_env_steps, loop.num_updates, loop.updates_owed) == counts
        assert {name: len(replay) for name, replay in other.replays.items()} == held
        assert other.runner.statistics.rows(other.runner.goal_epsilon) == goals
        assert other.runner.meta_epsilon == other.options.meta_epsilon(other.num_env_steps) < 1
        theirs = ray.get(loop.learners.weights()[0])
        for name, own in weights.items():
            for key, value in own.items():
                np.testing.assert_array_equal(value, theirs[name][key], key)
        (resumed,) = loop._runners.get_states()
        assert resumed is not None
        for key, value in open_goals[0].items():
            np.testing.assert_array_equal(resumed["goals"][key], value, key)
        updates = loop.num_updates
        train_until(other, lambda: all(loop.num_updates[n] > updates[n] for n in SHARE))
        assert min(s.num_transitions for s in replay_of(other, META).statuses) > 0
        # Here it is the meta-controller that runners have to wait for.
        check_ratios(other, 1_500, {CONTROLLER: 0.05, META: 1.0})
        second = other.save_to_path(tmp_path / "again")
        steps, tried = other.num_env_steps, num_tried(other)
    finally:
        other.stop()
    alone = build(num_env_runners=0, num_learners=0)
    try:
        alone.restore_from_path(second)
        assert (alone.num_env_steps, num_tried(alone)) == (steps, tried)
        alone.train()
        assert num_tried(alone) > tried
        third = alone.save_to_path(tmp_path / "third")
        steps, tried = alone.num_env_steps, num_tried(alone)
        held = {name: len(replay) for name, replay in alone.replays.items()}
        goals = alone.runner.statistics.rows(alone.runner.goal_epsilon)
    finally:
        alone.stop()
    algo.restore_from_path(third)
    assert algo.num_env_steps == steps
    assert {name: len(replay) for name, replay in algo.replays.items()} == held
    assert algo.runner.statistics.rows(algo.runner.goal_epsilon) == goals
    algo.train()
    assert num_tried(algo) > tried


@pytest.mark.slow
def test_a_killed_runner_is_replaced_and_begins_with_new_goals(algo: HDQN, said):
    loop = loop_of(algo)
    runner = loop._runners.all[1]
    before, tried = loop._runners.num_restarts, num_tried(algo)
    kill(pid_of(runner.actor))
    train_until(algo, lambda: loop._runners.num_restarts > before and runner.starting is None)
    assert "Runner 2 of 2 died" in said.text
    steps = algo.num_env_steps
    train_until(algo, lambda: algo.num_env_steps > steps and num_tried(algo) > tried)
    train_until(algo, lambda: runner.weights_version > 0)
    loop.settle()
    told = ask_runners(algo, lambda r: (r.worker_index, r.goal_epsilon, r._goal_steps.max()))
    assert [index for index, _, _ in told] == [1, 2]
    assert (told[1][1] < 1).any()  # it explores as the others do
    assert told[1][2] <= 25


@pytest.mark.parametrize("level", [META, pytest.param(CONTROLLER, marks=pytest.mark.slow)])
def test_a_killed_shard_is_replaced_while_the_other_level_learns_on(algo: HDQN, said, level: str):
    loop, replay = loop_of(algo), replay_of(algo, level)
    (other,) = set(SHARE) - {level}
    held, kept = replay.statuses[0].num_transitions, len(algo.replays[other])
    assert held > 0
    tried = num_tried(algo)
    kill(shard_pids(algo)[level][0])
    result = train_until(algo, lambda: replay.num_restarts == 1)
    assert f"Replay shard 1 of {len(replay.shards)} of the {level} died" in said.text
    assert replay.num_lost >= held
    assert result["faults"]["transitions_lost"] >= held
    assert len(algo.replays[other]) >= kept
    assert num_tried(algo) >= tried  # what became of goals is not forgotten with the records
    updates = loop.num_updates
    train_until(algo, lambda: loop.num_updates[other] > updates[other])
    train_until(algo, lambda: replay.statuses[0].mass > 0)
    train_until(algo, lambda: loop.num_updates[level] > updates[level])


@pytest.mark.slow
def test_a_killed_learner_goes_on_from_its_snapshot_with_both_levels(algo: HDQN, said):
    loop = loop_of(algo)
    learners = loop.learners
    assert isinstance(learners, LearnerActors)
    train_until(algo, lambda: sum(learners._snapshot[1].values()) > 0)
    before = loop.num_updates
    kill(pid_of(learners.workers[0]))
    start = time.monotonic()
    train_until(algo, lambda: learners.num_restarts == 1)
    assert time.monotonic() - start < 60
    assert "A learner died" in said.text
    assert learners.num_updates_lost <= 40 + 16  # snapshots' period and what was on its way
    train_until(algo, lambda: all(loop.num_updates[n] > before[n] for n in SHARE))
    loop.settle()
    # Networks, optimizers and counters of both, not one's counters with another's network.
    assert learner_state(algo) == {n: (made, made) for n, made in loop.num_updates.items()}
    for name, share in SHARE.items():
        assert loop.updates_owed[name] < share * (MAX_STEPS_AHEAD + 400)  # made again


def test_a_goal_pursued_over_fragments_is_one_record():
    def play(fragment_steps: int) -> list[dict[str, Fragment]]:
        one = HDQNRunner(config=config(num_env_runners=0, num_learners=0), worker_index=0)
        fragments = []
        for step in range(1, 61):
            one.start_step()
            one.finish_step()
            if step % fragment_steps == 0:
                fragments.append(one.take_fragments())
        one.stop()
        return fragments

    def joined(fragments: list[dict[str, Fragment]], level: str, name: str) -> np.ndarray:
        parts = [getattr(own[level], name) for own in fragments if level in own]
        return np.concatenate(parts)

    whole, pieces = play(60), play(2)
    assert any(META not in own for own in pieces)  # a fragment in which no goal ended
    for level in (CONTROLLER, META):
        for name in ("stream", "sequence", "action", "reward", "flags", "goal", "duration"):
            np.testing.assert_array_equal(
                joined(whole, level, name), joined(pieces, level, name), name
            )
    assert joined(pieces, META, "duration").max() == 25


def test_learners_ask_for_gpus_and_tune_for_shards_of_both_levels():
    made = config(num_gpus_per_learner=1, num_learners=2, meta_num_replay_shards=3)
    request = HDQN.default_resource_request(made)
    assert request.required_resources["GPU"] == 2
    shards = [bundle for bundle in request.bundles if bundle == {"CPU": 0.25}]
    assert len(shards) >= 2 + 3
    fewer = config(num_gpus_per_learner=1, num_learners=2, meta_num_replay_shards=1)
    other = HDQN.default_resource_request(fewer)
    assert request.required_resources["CPU"] - other.required_resources["CPU"] == 2 * 0.25
