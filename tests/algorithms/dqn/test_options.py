"""Options and presets, against the papers."""

import dataclasses

import pytest

from algorithms.dqn.options import DQNOptions
from algorithms.dqn.presets import PRESETS, preset
from arcadia.errors import UserError


def test_nips2013_is_the_paper():
    o = preset("nips2013", game="breakout")
    assert (o.preprocess, o.frame_stack, o.frame_skip, o.max_pool) == ("crop", 4, 4, False)
    assert (o.network, o.double, o.dueling, o.n_step) == ("nips2013", False, False, 1)
    assert (o.loss, o.target_update_period) == ("squared", 0)
    assert (o.optimizer, o.batch_size) == ("rmsprop", 32)
    assert (o.updates_per_step, o.updates_per_call, o.overlap) == (1.0, 1, False)
    assert (o.replay_capacity, o.total_frames) == (1_000_000, 10_000_000)
    assert (o.clip_rewards, o.sticky_actions, o.life_loss_terminal) == (True, 0.0, False)
    assert o.epsilon_eval == 0.05


@pytest.mark.parametrize(("game", "skip"), [("breakout", 4), ("space_invaders", 3)])
def test_nips2013_repeats_actions_three_times_in_space_invaders(game: str, skip: int):
    assert preset("nips2013", game=game).frame_skip == skip
    assert preset("nips2013", game=game).emulator_frames_per_step == skip
    assert preset("nature2015", game=game).frame_skip == 4


@pytest.mark.parametrize(
    ("frames", "epsilon"),
    [(0, 1.0), (250_000, 0.775), (500_000, 0.55), (1_000_000, 0.1), (3_000_000, 0.1)],
)
def test_epsilon_of_nips2013_falls_over_the_first_million_frames(frames: int, epsilon: float):
    assert preset("nips2013", game="pong").epsilon(frames) == pytest.approx(epsilon)


def test_frames_may_count_emulator_frames():
    o = preset("nips2013", game="pong", frames_are="emulated")
    assert o.steps(1_000_000) == 250_000
    assert o.epsilon(250_000) == pytest.approx(0.1)
    # Outside Atari a step is a frame whatever is said.
    assert preset("fast", env="CartPole-v1", frames_are="emulated").steps(1_000) == 1_000


def test_nature2015_is_the_paper():
    o = preset("nature2015", game="pong")
    assert (o.preprocess, o.max_pool, o.noop_max, o.life_loss_terminal) == (
        "resize",
        True,
        30,
        True,
    )
    assert (o.network, o.loss, o.target_update_period) == ("nature2015", "huber", 10_000)
    assert (o.updates_per_step, o.learning_starts, o.lr) == (0.25, 50_000, 2.5e-4)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_takes_overrides(name: str):
    assert preset(name, game="pong", lr=1e-3).lr == 1e-3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gamma": 1.5}, "gamma 1.5: must be between 0 and 1"),
        ({"lr": -1}, "lr -1: must be between"),
        ({"batch_size": 0}, "batch_size 0: must be at least 1"),
        ({"n_step": True}, "n_step True: must be a number"),
        ({"loss": "l1"}, "loss 'l1': must be one of squared, huber"),
        ({"game": "pong", "env": "CartPole-v1"}, "give one of the two"),
        ({"target_update_period": 0}, "double True: needs a target network"),
        ({"replay_capacity": 100, "learning_starts": 200}, "learning would never start"),
        ({"replay_capacity": 20, "learning_starts": 10}, "holds less than one batch"),
        ({"updates_per_step": 0}, "updates_per_step 0: must be between"),
    ],
)
def test_a_bad_value_is_named_with_the_way_out(changes: dict, words: str):
    with pytest.raises(UserError, match=words) as caught:
        DQNOptions(**changes)
    assert "\n" not in str(caught.value)


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"preset 'fats'.*did you mean \"fast\""):
        preset("fats")
    with pytest.raises(UserError, match='gama: no option of DQN; did you mean "gamma"'):
        preset("fast", gama=0.9)


def test_options_are_frozen_and_documented():
    with pytest.raises(dataclasses.FrozenInstanceError):
        DQNOptions().lr = 1.0  # type: ignore[misc]
    import inspect

    source = "".join(inspect.getsource(cls) for cls in DQNOptions.__mro__[:-1])
    for field in dataclasses.fields(DQNOptions):
        after = source.split(f"\n    {field.name}: ", 1)[1].split("\n", 1)[1]
        assert after.lstrip().startswith('"""'), f"{field.name} has no docstring"
