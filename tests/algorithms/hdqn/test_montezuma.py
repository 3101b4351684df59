"""The goals of Montezuma's Revenge lie where its first room shows them."""

import numpy as np
import pytest

from algorithms.envs.atari_ram import AtariRamFrames
from algorithms.hdqn.boxes import Box, is_near, overlaps
from algorithms.hdqn.goals import check_goals
from algorithms.hdqn.montezuma import OBJECTS, MontezumaGoals, agent_box, entities, mask_of

NOOP, RIGHT, DOWN = 0, 3, 5


@pytest.fixture
def room():
    frames = AtariRamFrames("montezuma_revenge", 1, noop_max=0, full_action_space=True)
    frames.reset(np.array([1]))
    walk(frames, NOOP, 8)  # until the agent, which begins in a jump, stands
    yield frames
    frames.close()


def walk(frames: AtariRamFrames, action: int, steps: int) -> list[str]:
    """Repeats an action; the goals that were reached on the way."""
    goals, reached = MontezumaGoals(), []
    for _ in range(steps):
        (before,) = frames.moments()
        frames.send(np.array([action]))
        frames.recv()
        (after,) = frames.moments()
        reached += [n for g, n in enumerate(goals.names) if goals.reached(before, after, g)]
    return reached


def test_all_objects_of_the_first_room_are_there_at_the_start(room):
    there = entities(room.moments()[0])
    assert set(there) == {"agent", *OBJECTS}


def test_the_agent_is_where_its_sprite_is(room):
    """Moving, the pixels that change beside the skull are the agent's."""
    emulator = room.emulators[0]
    before = emulator.getScreenRGB().astype(int)
    box = agent_box(room.moments()[0].info["ram"])
    walk(room, RIGHT, 2)
    after = emulator.getScreenRGB().astype(int)
    changed = np.abs(after - before).sum(axis=2) > 0
    changed[110:] = False  # belt and skull move down there
    ys, xs = np.nonzero(changed)
    there = agent_box(room.moments()[0].info["ram"])
    assert there.x > box.x
    assert min(box.x, there.x) - 3 <= xs.min() and xs.max() <= there.x + there.width + 3
    assert abs(ys.mean() - box.center[1]) < 6


def test_the_ladder_below_the_start_is_reached_by_going_down(room):
    assert walk(room, DOWN, 4) == ["middle ladder"]
    assert walk(room, DOWN, 4) == []  # it is on it already


@pytest.mark.parametrize("preprocess", ["crop", "resize"])
def test_masks_lie_over_what_the_agent_sees(preprocess: str):
    goals = MontezumaGoals(preprocess)
    masks = check_goals(goals, (84, 84), is_picture=True)
    assert goals.names == tuple(OBJECTS)
    assert (masks.reshape(7, -1).max(axis=1) == 255).all()
    frames = AtariRamFrames("montezuma_revenge", 1, noop_max=0, preprocess=preprocess)
    picture = frames.reset(np.array([1]))[0].astype(int)
    # Doors and key are drawn on black.
    for name in ("key", "left door", "right door"):
        mask = masks[goals.names.index(name)] > 0
        assert picture[mask].mean() > 40, name


def test_a_box_covers_at_least_a_pixel():
    mask = mask_of(OBJECTS["rope"], "crop", 18)
    assert mask.shape == (84, 84) and (mask.max(axis=0) > 0).sum() == 1
    assert mask_of(Box(0, 40, 160, 40), "resize", 18)[16:32].min() == 255


def test_boxes_overlap_or_are_near():
    a = Box(0, 0, 8, 20)
    assert overlaps(a, Box(7, 19, 5, 5)) and not overlaps(a, Box(8, 0, 5, 5))
    assert is_near(a, Box(8, 0, 8, 20)) and not is_near(a, Box(9, 0, 8, 20))
    by_distance = MontezumaGoals(reached_by="distance")
    assert by_distance.names == tuple(OBJECTS)
