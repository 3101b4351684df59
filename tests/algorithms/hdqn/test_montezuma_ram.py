"""What the console's memory says of the first room, confirmed by walks that use it: to the key and
both doors."""

import numpy as np
import pytest

from algorithms.hdqn.montezuma import OBJECTS, MontezumaGoals, entities
from algorithms.hdqn.montezuma_pixels import MontezumaPixelGoals, pixel_entities
from tests.algorithms.hdqn import walks

ROOM, ITEM, KEYS, LEFT_DOOR, RIGHT_DOOR = 3, 49, 65, 26, 28
LIES, OPEN, CLOSED = 4, 117, 124


def facts(moment) -> dict[str, int]:
    ram = moment.info["ram"]
    named = {"room": ROOM, "item": ITEM, "keys": KEYS, "left": LEFT_DOOR, "right": RIGHT_DOOR}
    return {name: int(ram[address]) for name, address in named.items()}


def walk(path: str, goals=None):
    """Walks; each step, and the names of the goals that were reached."""
    goals = goals or MontezumaGoals()
    frames = walks.start()
    try:
        trace = list(walks.steps(frames, path))
    finally:
        frames.close()
    assert not any(step.life_lost[0] or step.terminated[0] for _, step, _ in trace)
    reached = [
        name
        for before, _, after in trace
        for goal, name in enumerate(goals.names)
        if goals.reached(before, after, goal)
    ]
    return trace, reached


def shows(moment, name: str) -> bool:
    """Whether something golden is where the object would be."""
    box = OBJECTS[name]
    picture = moment.info["screen"]
    part = picture[int(box.y) : int(box.y + box.height), int(box.x) : int(box.x + box.width)]
    return bool((part == (232, 204, 99)).all(axis=2).any())


def test_the_key_is_taken():
    trace, reached = walk(walks.TO_KEY)
    assert reached == ["rope", "right ladder", "left ladder", "key"]
    first, last = trace[0][0], trace[-1][2]
    assert facts(first) == dict(room=1, item=LIES, keys=0, left=CLOSED, right=CLOSED)
    assert facts(last) == dict(room=1, item=0, keys=2, left=CLOSED, right=CLOSED)
    assert shows(first, "key") and not shows(last, "key")
    assert "key" in entities(first) and "key" not in entities(last)
    rewards = [float(step.reward[0]) for _, step, _ in trace]
    assert sum(rewards) == 100
    # The goal is reached on the step before it is paid: their boxes meet first.
    paid = rewards.index(100)
    goals = MontezumaGoals()
    at = [i for i, (b, _, a) in enumerate(trace) if goals.reached(b, a, 0)]
    assert at == [paid - 1]


@pytest.mark.parametrize(
    ("path", "door", "side"),
    [(walks.TO_LEFT_DOOR, "left door", "left"), (walks.TO_RIGHT_DOOR, "right door", "right")],
)
def test_the_key_opens_a_door(path: str, door: str, side: str):
    trace, reached = walk(path + " -2")
    assert reached[-2:] == ["middle ladder", door]
    last = trace[-1][2]
    assert facts(last) == dict(room=1, item=0, keys=0, left=CLOSED, right=CLOSED) | {side: OPEN}
    other = "right door" if side == "left" else "left door"
    assert shows(last, other) and not shows(last, door)
    assert other in entities(last) and door not in entities(last)
    assert sum(float(step.reward[0]) for _, step, _ in trace) == 400
    paid = next(i for i, (_, step, _) in enumerate(trace) if step.reward[0] == 300)
    goals = MontezumaGoals()
    goal = goals.names.index(door)
    (at,) = [i for i, (before, _, after) in enumerate(trace) if goals.reached(before, after, goal)]
    assert paid - at in (0, 1)  # on the step that is paid, or the one before
    before, _, after = trace[paid]
    assert facts(after)["keys"] == 0 and facts(before)["keys"] == 2


def test_a_door_stays_closed_without_the_key():
    """The agent comes to it all the same, which is what the goal asks."""
    trace, reached = walk("-8 R1 FR20")
    assert reached == ["right door"]
    assert facts(trace[-1][2])["right"] == CLOSED and shows(trace[-1][2], "right door")
    assert sum(float(step.reward[0]) for _, step, _ in trace) == 0


def test_by_distance_the_objects_of_the_walk_are_reached_but_for_the_door():
    """Its centre is 10.5 px above that of an agent who stands before it, over the authors' 9."""
    goals = MontezumaGoals(reached_by="distance")
    _, reached = walk(walks.TO_LEFT_DOOR, goals)
    assert set(reached) == set(OBJECTS) - {"left door", "right door"}


def test_the_room_changes_through_the_open_door():
    trace, _ = walk(walks.TO_ROOM_ON_THE_LEFT)
    rooms = [facts(after)["room"] for _, _, after in trace]
    assert rooms[0] == 1 and rooms[-1] == 0 and sum(np.diff(rooms) != 0) == 1
    last = trace[-1][2]
    assert set(entities(last)) == {"agent"}
    seen = pixel_entities(last)
    assert not set(OBJECTS) & set(seen) and "agent" in seen


def test_a_position_that_is_written_is_where_the_agent_is_drawn():
    """The memory is not only a report: who writes it moves the agent."""
    frames = walks.start()
    list(walks.steps(frames, "-8"))
    emulator = frames.emulators[0]
    kept = emulator.cloneState()
    emulator.setRAM(42, 120)
    (after,) = [after for _, _, after in walks.steps(frames, "-1")]
    seen = pixel_entities(after)["agent"]
    assert abs(seen.x - 119) <= 1 and abs(seen.y - 73) <= 3
    emulator.restoreState(kept)
    (after,) = [after for _, _, after in walks.steps(frames, "-1")]
    assert abs(pixel_entities(after)["agent"].x - 76) <= 1
    frames.close()


def test_the_picture_says_what_the_memory_says_all_the_way():
    """On ladders and rope, in leaps and falls, with the key and a door going."""
    trace, by_memory = walk(walks.TO_LEFT_DOOR)
    errors = []
    for _, _, moment in trace:
        true, seen = entities(moment), pixel_entities(moment)
        assert {"skull"} | set(true) == {"skull"} | set(seen)
        errors.append(np.abs(np.subtract(seen["agent"][:2], true["agent"][:2])))
        for name in set(OBJECTS) & set(true):
            assert seen[name] == true[name] == OBJECTS[name]
    near = np.all(np.array(errors) <= (3, 6), axis=1)
    assert near.mean() > 0.98
    goals = MontezumaPixelGoals()
    by_picture = [
        name
        for before, _, after in trace
        for goal, name in enumerate(goals.names)
        if goals.reached(before, after, goal)
    ]
    assert by_picture == by_memory
