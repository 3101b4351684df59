"""The picture of Montezuma's Revenge says what its memory says."""

import numpy as np
import pytest

from algorithms.hdqn.config import HDQNConfig
from algorithms.hdqn.montezuma import OBJECTS
from algorithms.hdqn.montezuma_pixels import MontezumaPixelGoals, pixel_entities
from algorithms.hdqn.runner import HDQNRunner
from arcadia.errors import UserError
from benchmarks.hdqn_detector import lives, measure
from tests.algorithms.hdqn import walks

PIXELS = "algorithms.hdqn.montezuma_pixels:MontezumaPixelGoals"


def test_all_is_seen_at_the_start():
    frames = walks.start()
    (*_, (_, _, moment)) = walks.steps(frames, "-8")
    frames.close()
    seen = pixel_entities(moment)
    assert set(seen) == {"agent", "skull", *OBJECTS}
    assert all(seen[name] == OBJECTS[name] for name in OBJECTS)
    assert pixel_entities(moment) is seen  # looked at once


@pytest.mark.parametrize(
    ("walk", "fell"),
    [("-8 R4 -20", True), (walks.TO_LOWER_FLOOR + " L30", False)],
    ids=["falls", "meets the skull"],
)
def test_one_who_dies_is_not_seen(walk: str, fell: bool):
    frames = walks.start()
    trace = list(walks.steps(frames, walk))
    frames.close()
    died = next(i for i, (_, step, _) in enumerate(trace) if step.life_lost[0])
    while lives(trace[died][2].info["ram"]):
        died += 1
    dying = [after for _, _, after in trace[died : died + 12] if not lives(after.info["ram"])]
    assert len(dying) > 5
    assert (dying[-1].info["ram"][54] == 6) == fell
    assert not any("agent" in pixel_entities(moment) for moment in dying[1:])


def test_the_agent_is_seen_where_the_memory_says_it_is():
    result = measure(600, 4, seed=1)
    assert result.agreement >= 0.95 and result.num_counted == 600
    assert result.error_x_px["p95"] <= 3 and result.error_y_px["p95"] <= 6


@pytest.mark.slow
@pytest.mark.parametrize("frame_skip", [4, 1])
def test_the_agent_is_seen_so_over_5000_pictures(frame_skip: int):
    result = measure(5_000, frame_skip, seed=0)
    assert result.agreement >= 0.95
    assert result.num_counted == 5_000 and result.num_episodes > 1


def config(**options) -> HDQNConfig:
    defaults = dict(game="montezuma_revenge", num_envs_per_env_runner=3, goals=PIXELS)
    defaults |= dict(full_action_space=True, noop_max=0, replay_capacity=2_000, learning_starts=50)
    return HDQNConfig().training(**(defaults | options)).debugging(seed=1)


def test_a_runner_plays_for_goals_that_are_seen():
    """A random player comes to the ladder below its start, by the picture as by the memory."""
    outcomes, ladder = [], list(OBJECTS).index("middle ladder")
    for goals in (PIXELS, None):
        runner = HDQNRunner(config=config(goals=goals), worker_index=0)
        for _ in range(100):
            runner.goal[:] = ladder
            runner.start_step(1.0)
            runner.finish_step()
        assert ("screen" in runner._moments[0].info) == (goals == PIXELS)
        outcomes.append(runner.take_outcomes())
        runner.stop()
    assert all(sum(outcome.reached for outcome in found) >= 2 for found in outcomes)


@pytest.mark.usefixtures("ray_session")
def test_h_dqn_learns_from_them():
    algo = config(
        steps_per_iteration=80,
        phase1_frames=40,
        meta_replay_capacity=200,
        meta_learning_starts=4,
        meta_batch_size=4,
        max_goal_steps=10,
        eval_period_frames=0,
    ).build_algo()
    result = [algo.train() for _ in range(3)][-1]
    algo.stop()
    assert list(result["goals"]) == list(OBJECTS)
    assert result["learners"]["controller"]["num_updates"] > 0
    assert result["learners"]["meta"]["num_updates"] > 0


def test_what_is_no_game_is_refused():
    with pytest.raises(UserError, match="read the console's picture, which only a game has"):
        config(env="KeyDoor-v0", game=None).validate()


def test_the_goals_are_those_of_the_memory():
    goals = MontezumaPixelGoals()
    assert goals.names == tuple(OBJECTS) and goals.needs_screen
    np.testing.assert_array_equal(goals.inputs().reshape(7, -1).max(axis=1), 255)
