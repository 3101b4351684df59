"""The runner: records, stacks, streams, exploration, whole episodes."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from ray.tune.registry import register_env

from algorithms.dqn import DQNConfig
from algorithms.dqn.runner import DQNRunner
from algorithms.dqn.stacks import FrameStacks
from algorithms.replay import FrameReplay, RecordFlag


class Counter(gym.Env):
    """An image whose pixels count the steps; episode e (0, 1, ...) lasts e % 3 + 2 steps.

    Odd episodes are truncated, even ones terminate. Reward: 5 at every step.
    """

    def __init__(self, config: Any = None) -> None:
        self.observation_space = gym.spaces.Box(0, 255, (40, 36), np.uint8)
        self.action_space = gym.spaces.Discrete(2)
        self.episode = -1

    def _observe(self) -> np.ndarray:
        return np.full((40, 36), 16 * (self.episode % 8) + self.t + 1, np.uint8)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        self.t, self.episode = 0, self.episode + 1
        return self._observe(), {}

    def step(self, action: Any):
        self.t += 1
        over, cut = self.t == self.episode % 3 + 2, self.episode % 2 == 1
        return self._observe(), 5.0, over and not cut, over and cut, {}


register_env("Counter", Counter)


def runner(env: str = "Counter", **options: Any) -> DQNRunner:
    config = DQNConfig.preset("fast", env=env, num_envs_per_env_runner=2, **options)
    return DQNRunner(config=config.debugging(seed=0), worker_index=0)


def rollout(one: DQNRunner, steps: int):
    for _ in range(steps):
        one.start_step()
        one.finish_step()
    return one.take_fragment()


def test_an_episode_of_three_steps_ships_four_records():
    one = runner()
    f = rollout(one, 6)
    mine = f.stream == 0
    flags = [RecordFlag(int(x)) for x in f.flags[mine]]
    first, final = RecordFlag.FIRST, RecordFlag.FINAL
    end, cut, none = RecordFlag.TERMINATED, RecordFlag.TRUNCATED, RecordFlag(0)
    # Episodes of 2 steps (terminated) and 3 steps (truncated); a reset ships nothing.
    assert flags == [first, end, final, first, none, cut, final, first]
    assert f.sequence[mine].tolist() == list(range(8))
    assert f.reward[mine].tolist() == [5, 5, 0, 5, 5, 5, 0, 5]
    frame = one.recorder.codec.frame_nbytes
    assert frame == 40 * 36
    assert set(f.stream.tolist()) == {0, 1}


def test_what_was_acted_on_is_what_is_replayed():
    """The stack that the network saw at each step equals the one the replay makes."""
    one = runner(n_step=1)
    replay = FrameReplay(
        capacity=1_000, frame_shape=(40, 36), n_step=1, rng=np.random.default_rng(0)
    )
    acted: list[np.ndarray] = []
    for _ in range(60):
        one.start_step()
        seen = one.stacks.observation.copy()
        one.finish_step()
        fragment = one.take_fragment()
        acted += [
            seen[s]
            for s, g in zip(fragment.stream, fragment.flags, strict=True)
            if not g & RecordFlag.FINAL
        ]
        replay.add(fragment)
    stored = replay.gather(replay.valid_ids())
    # Every record with an action was acted on, in order; the newest may wait for its successor.
    assert len(stored.id) >= len(acted) - 2
    np.testing.assert_array_equal(stored.s_tm1, np.stack(acted)[: len(stored.id)])


def test_a_stack_never_crosses_an_episode():
    one = runner()
    one.reset(np.array([0, 1]))
    for _ in range(30):
        one.start_step()
        one.finish_step()
        for stack in one.stacks.observation:
            planes = {int(p[0, 0] - 1) // 16 for p in stack if p.any()}
            assert len(planes) == 1


def test_stacks_empty_where_an_episode_starts():
    class Frames:
        num_envs, stacks, frame_shape, frame_dtype = 2, True, (1,), np.uint8

    stacks = FrameStacks(Frames(), 3)  # type: ignore[arg-type]
    stacks.start(np.full((2, 1), 1), np.array([True, True]))
    stacks.push(np.full((2, 1), 2))
    stacks.push(np.full((2, 1), 2))
    stacks.start(np.full((1, 1), 3), np.array([True, False]))
    assert stacks.observation[:, :, 0].tolist() == [[0, 0, 3], [1, 2, 2]]
    assert stacks.depth.tolist() == [0, 2]


def test_a_lost_life_is_terminal_for_learning_only_when_asked():
    def lives_lost(**options: Any) -> tuple[int, int]:
        config = DQNConfig.preset(
            "fast", game="breakout", num_envs_per_env_runner=1, **options
        ).debugging(seed=3)
        one = DQNRunner(config=config, worker_index=0)
        flags = []
        while len(flags) < 2 or not flags[-1] & RecordFlag.FINAL:
            one.start_step(epsilon=1.0)
            one.finish_step()
            flags += one.take_fragment().flags.tolist()
        ends = sum(bool(f & RecordFlag.TERMINATED) for f in flags)
        return ends, sum(bool(f & RecordFlag.FIRST) for f in flags)

    assert lives_lost(life_loss_terminal=False) == (1, 1)
    assert lives_lost(life_loss_terminal=True) == (5, 1)


def test_epsilon_one_ignores_the_network_and_zero_never_does():
    one = runner("CartPole-v1")
    one.reset(np.array([0, 1]))
    greedy = one.q_values(one.stacks.observation).argmax(axis=1)
    assert all((one.choose(0.0) == greedy).all() for _ in range(20))
    chosen = np.concatenate([one.choose(1.0) for _ in range(200)])
    assert 0.4 < chosen.mean() < 0.6


def test_epsilon_follows_the_schedule_and_the_evaluation():
    one = runner(epsilon_decay_frames=100, epsilon_end=0.1, epsilon_eval=0.05)
    assert one.epsilon == 1.0
    one.set_state({"num_env_steps_sampled_lifetime": 50})
    assert one.epsilon == pytest.approx(0.55)
    one.config.in_evaluation = True
    assert one.epsilon == 0.05


def test_the_first_episodes_to_start_are_played_however_long():
    one = runner()
    episodes = one.play_episodes(5)
    assert [e.index for e in episodes] == sorted(e.index for e in episodes)
    assert len({e.index for e in episodes}) == 5
    # Each environment's episodes last 3, 4, 2, ... steps: none is left out for being long.
    assert sorted(e.length for e in episodes)[-1] == 4
    assert all(e.return_ == 5.0 * e.length for e in episodes)
    assert one.num_env_steps_sampled_lifetime == 0


def test_scores_are_never_clipped():
    one = runner(clip_rewards=True)
    assert {e.return_ for e in one.play_episodes(4)} <= {10.0, 15.0, 20.0}


def test_sample_serves_rllib():
    one = runner()
    fragment = one.sample(num_timesteps=10)
    assert len(fragment) >= 10
    one.config.in_evaluation = True
    episodes = one.sample(num_episodes=3)
    assert len(episodes) == 3
    assert sum(e.env_steps() for e in episodes) == sum(len(e) for e in episodes)
    metrics = one.get_metrics()
    assert "episode_return_mean" in metrics


def test_the_same_seed_acts_alike():
    one, two = runner("CartPole-v1"), runner("CartPole-v1")
    two.set_state(one.get_state())
    a, b = rollout(one, 50), rollout(two, 50)
    np.testing.assert_array_equal(a.frames, b.frames)
    np.testing.assert_array_equal(a.action, b.action)


def test_a_runner_that_takes_a_dead_ones_place_plays_something_else():
    one, first, second = (runner("CartPole-v1") for _ in range(3))
    first.connect([], 4, takes_place=1)
    second.connect([], 4, takes_place=2)
    played = [rollout(each, 50).action.tolist() for each in (one, first, second)]
    assert played[0] != played[1] != played[2] != played[0]


def test_a_remote_runner_says_which_streams_are_its_own():
    config = DQNConfig.preset("fast", env="Counter", num_envs_per_env_runner=2)
    other = DQNRunner(config=config, worker_index=3)
    assert set(rollout(other, 2).stream.tolist()) == {4, 5}


def test_callbacks_see_episodes():
    seen: list[tuple[str, Any]] = []
    config = DQNConfig.preset("fast", env="Counter", num_envs_per_env_runner=1).callbacks(
        on_episode_start=lambda episode, **_: seen.append(("start", episode.id_)),
        on_episode_end=lambda episode, **_: seen.append(("end", episode.get_return())),
        on_environment_created=lambda env, **_: seen.append(("created", env.num_envs)),
        on_sample_end=lambda samples, **_: seen.append(("sample", len(samples))),
    )
    DQNRunner(config=config, worker_index=0).sample(num_timesteps=5)
    assert seen == [
        ("created", 1),
        ("start", "0-0"),
        ("end", 10.0),
        ("start", "0-1"),
        ("end", 15.0),
        ("sample", 7),
    ]


def test_nothing_is_explored_where_rllib_says_so():
    config = DQNConfig.preset("fast", env="CartPole-v1").env_runners(explore=False)
    one = DQNRunner(config=config.debugging(seed=0), worker_index=0)
    assert one.epsilon == 0
    for _ in range(30):
        action = one.start_step()
        assert (action == one.q_values(one.stacks.observation).argmax(axis=1)).all()
        one.finish_step()
    one.stop()
