"""h-DQN whole, shrunken: both levels learn, it repeats itself, and resumes as if unstopped."""

from typing import Any

import numpy as np
import pytest
import torch

from algorithms.hdqn.algorithm import HDQN
from algorithms.hdqn.config import HDQNConfig
from algorithms.hdqn.options import CONTROLLER, META
from algorithms.hdqn.runner import HDQNRunner
from algorithms.replay import FrameReplay
from arcadia.errors import UserError

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build(seed: int = 1, **options: Any) -> HDQN:
    defaults: dict[str, Any] = {
        "env": "KeyDoor-v0",
        "num_envs_per_env_runner": 4,
        "learning_starts": 100,
        "steps_per_iteration": 400,
        "replay_capacity": 20_000,
        "hidden_size": 32,
        "phase1_frames": 800,
        "meta_learning_starts": 4,
        "meta_batch_size": 8,
        "meta_replay_capacity": 1_000,
        "max_goal_steps": 25,
        "eval_period_frames": 0,
    }
    config = HDQNConfig().training(**(defaults | options)).debugging(seed=seed)
    algo = config.build_algo()
    assert isinstance(algo, HDQN)
    return algo


def weights(algo: HDQN) -> dict[str, np.ndarray]:
    return {
        name: torch.cat(
            [p.detach().flatten() for p in algo.learner.q_module(name).parameters()]
        ).numpy()
        for name in (CONTROLLER, META)
    }


def test_both_levels_learn_each_in_its_phase():
    algo = build()
    start = weights(algo)
    results = [algo.train() for _ in range(2)]
    after = weights(algo)
    assert (after[CONTROLLER] != start[CONTROLLER]).any()
    np.testing.assert_array_equal(after[META], start[META])  # phase 1
    assert results[-1]["env_runners"]["meta_epsilon"] == 1.0
    results += [algo.train() for _ in range(3)]
    assert (weights(algo)[META] != start[META]).any()
    learners = results[-1]["learners"]
    steps = algo.num_env_steps
    made = learners[CONTROLLER]["num_updates"]
    assert made == pytest.approx(0.25 * (steps - 100), abs=20)
    assert learners[META]["num_updates"] == pytest.approx(0.02 * (steps - 800), abs=3)
    assert np.isfinite([learners[name]["loss"] for name in (CONTROLLER, META)]).all()
    assert results[-1]["env_runners"]["meta_epsilon"] < 1.0
    goals = results[-1]["goals"]
    assert list(goals) == ["key", "door", "left gap", "right gap"]
    assert sum(goal["tried"] for goal in goals.values()) > 40
    for goal in goals.values():
        assert 0 <= goal["reached"] <= goal["tried"]
        schedule = 1 - 0.9 * steps / 1_000_000
        assert goal["epsilon"] == pytest.approx(max(0.1, min(schedule, 1 - goal["success_rate"])))
    algo.stop()


def replay_of(algo: HDQN, level: str) -> FrameReplay:
    replay = algo.replays[level]
    assert isinstance(replay, FrameReplay)
    return replay


def test_what_each_level_replays_is_what_happened():
    algo = build(phase1_frames=10_000, n_step=1)
    for _ in range(3):
        algo.train()
    controller, meta = replay_of(algo, CONTROLLER), replay_of(algo, META)
    low, high = (r.gather(r.valid_ids()) for r in (controller, meta))
    # The controller is paid for reaching, which ends what it is worth, and for nothing else.
    reached = low.r_t == 1
    assert set(np.unique(low.r_t)) <= {0.0, 1.0} and reached.any()
    assert (low.discount_t[reached] == 0).all()
    assert set(np.unique(low.goal)) == {0, 1, 2, 3}
    assert (low.duration >= 1).all()
    # The meta-controller's choices last until they are reached, given up, or the episode is over.
    assert set(np.unique(high.a_tm1)) == {0, 1, 2, 3}
    assert high.duration.max() == 25 and high.duration.min() >= 1
    first = high.s_tm1[0].ravel()
    assert (
        first.sum() == 1 and first[3 * 17 + 8] == 1
    )  # the state in which it was chosen: the start
    places = high.s_t.reshape(len(high), -1)[:, :-1].argmax(axis=1)
    came_to_key = (high.a_tm1 == 0) & (places == 17 + 1)
    assert (high.duration[came_to_key] < 25).all()
    total = sum(len(r) for r in (controller, meta))
    assert total < algo.num_env_steps + 4 + len(meta)
    algo.stop()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run():
    runs = []
    for seed in (1, 1, 2):
        algo = build(seed=seed, phase1_frames=400)
        for _ in range(2):
            algo.train()
        runs.append(weights(algo))
        algo.stop()
    for name in (CONTROLLER, META):
        np.testing.assert_array_equal(runs[0][name], runs[1][name])
        assert (runs[0][name] != runs[2][name]).any()


def test_a_resumed_run_is_the_straight_one(tmp_path):
    straight = build(phase1_frames=400)
    straight.train()
    straight.train()
    path = straight.save_to_path(tmp_path / "checkpoint")
    resumed = build(seed=7, phase1_frames=400)
    resumed.restore_from_path(path)
    for algo in (straight, resumed):
        for _ in range(2):
            result = algo.train()
    for name in (CONTROLLER, META):
        np.testing.assert_array_equal(weights(straight)[name], weights(resumed)[name])
        assert len(straight.replays[name]) == len(resumed.replays[name])
    assert straight.runner.statistics.rows(straight.runner.goal_epsilon) == (
        resumed.runner.statistics.rows(resumed.runner.goal_epsilon)
    )
    np.testing.assert_array_equal(straight.runner.goal, resumed.runner.goal)
    assert result["goals"]
    straight.stop()
    resumed.stop()


def test_evaluation_plays_both_levels_with_the_learnt_networks():
    algo = build(phase1_frames=400, eval_period_frames=400, eval_episodes=3)
    algo.train()
    result = algo.train()
    assert result["evaluated"]
    assert result["evaluation"]["env_runners"]["num_episodes"] == 3
    plays = algo.eval_env_runner
    assert isinstance(plays, HDQNRunner)
    assert (plays.epsilon, plays.meta_epsilon) == (0.05, 0.05)
    assert plays.statistics.tried.sum() == 0  # its goals are not the training's
    assert plays.outcomes == [] and not plays.meta_recorder.has_records
    for name, module in algo.runner.modules.items():
        for own, theirs in zip(
            module.online.parameters(), plays.modules[name].online.parameters(), strict=True
        ):
            assert torch.equal(own, theirs)
    first = algo.evaluate()["env_runners"]
    assert algo.evaluate()["env_runners"]["episode_len_mean"] == first["episode_len_mean"]
    # By steps, too, it keeps nothing.
    plays.sample(num_timesteps=60)
    assert plays.outcomes == [] and not plays.meta_recorder.has_records
    algo.stop()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"env": "CartPole-v1"}, 'env "CartPole-v1": has no goals; give goals'),
        ({"goals": "nowhere:Goals"}, 'goals "nowhere:Goals": cannot be loaded'),
        ({"goals": "builtins:dict"}, 'goals "builtins:dict": is no GoalSpace'),
        ({"meta_gamma": 1.5}, "meta_gamma 1.5: must be between 0 and 1"),
        ({"meta_replay_capacity": 4}, "meta_.*replay_capacity 4"),
        (
            {"num_env_runners": 1, "meta_num_replay_shards": 9},
            "meta_num_replay_shards 9: 4 environments send to fewer shards",
        ),
        (
            {"num_env_runners": 1, "num_learners": 2, "meta_batch_size": 5},
            "num_learners 2: cannot share a meta_batch_size of 5 evenly",
        ),
        ({"prioritized": True}, "h-DQN replays uniformly"),
        ({"emulator": "vector"}, 'emulator "vector": shows goals no memory; h-DQN plays on "ram"'),
        ({"goal": "x"}, "goal: no option of h-DQN; did you mean"),
    ],
)
def test_mistakes_are_named(options: dict, message: str):
    with pytest.raises(UserError, match=message):
        build(**options)
