"""Shards in actors, as whoever drives the run sees them."""

import os
import signal
import time
from collections.abc import Callable

import numpy as np
import pytest
import ray
from ray.exceptions import RayActorError

from algorithms.replay.sharded import ShardedReplay
from tests.algorithms.replay.test_shards import ARGUMENTS, PRIORITIZED, episode

pytestmark = pytest.mark.usefixtures("ray_session")


def make(num_shards: int, arguments: dict = ARGUMENTS) -> ShardedReplay:
    return ShardedReplay(
        num_shards,
        arguments | {"capacity": 200},
        num_streams=4,
        seed=[0, 2],
        num_cpus=0.1,
        rng=np.random.default_rng(0),
    )


def kill(replay: ShardedReplay, i: int) -> None:
    ((_, pid),) = ray.get([replay.shards[i].place.remote()])
    os.kill(pid, signal.SIGKILL)


def hear_until(replay: ShardedReplay, condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, replay.statuses
        replay.hear()
        time.sleep(0.01)


def test_a_shard_that_somebody_finds_dead_too_late_is_not_given_up():
    """Two runners notice the same death, one of them after its successor was heard of."""
    replay = make(1)
    replay.note(0, ray.get(replay.shards[0].add.remote(episode(5))))
    kill(replay, 0)
    heard = None
    while heard is None:
        try:
            heard = ray.get(replay.shards[0].add.remote(episode(8)))
        except RayActorError:
            continue
    replay.note(0, heard)
    assert (replay.num_restarts, replay.num_lost) == (1, 5)
    replay.suspect(0)
    assert not replay.can_draw
    hear_until(replay, lambda: replay.can_draw)
    assert (replay.num_restarts, replay.num_lost, len(replay)) == (1, 5, 8)
    replay.stop()


def test_answers_of_the_dead_come_to_nothing():
    replay = make(1)
    old = ray.get(replay.shards[0].add.remote(episode(5)))
    replay.note(0, old)
    kill(replay, 0)
    replay.suspect(0)
    replay.note(0, old)
    assert not replay.can_draw
    hear_until(replay, lambda: replay.num_restarts == 1)
    replay.note(0, old)
    assert len(replay) == 0
    batch, status = ray.get(list(replay.shards[0].sample.options(num_returns=2).remote(4)))
    assert batch is None
    assert status.mass == 0
    replay.stop()


def test_shares_follow_the_mass_of_the_shards_and_priorities_find_their_way():
    replay = make(2, PRIORITIZED)
    for i, length in enumerate((4, 12)):
        replay.note(i, ray.get(replay.shards[i].add.remote(episode(length, start=20 * i))))
    sizes = [0, 0]
    for _ in range(40):
        draw = replay.draw([16, 16], 0.4)
        assert len(draw.parts) == 2
        assert len(draw.waiting) == 2  # each shard is asked once for both
        for part in ray.get([ref for parts in draw.parts for ref in parts]):
            which = [s.origin for s in replay.statuses].index(int(part.origin[0]))
            sizes[which] += len(part)
            assert (part.weight == 1).all()
        hear_until(replay, lambda draw=draw: draw.is_ready)
        assert not draw.is_lost
    assert sum(sizes) == 40 * 32
    assert sizes[1] / sum(sizes) == pytest.approx(12 / 16, abs=0.05)
    origins = np.array([status.origin for status in replay.statuses])
    replay.update_priorities(origins[[0, 1, 1]], np.array([0, 0, 1]), np.array([3.0, 5.0, 7.0]))
    replay.settle()
    assert [s.mass for s in replay.statuses] == pytest.approx([3 + 3, 10 + 12], rel=1e-4)
    assert max(s.priority_max for s in replay.statuses) == pytest.approx(7, rel=1e-4)
    replay.stop()


@pytest.mark.parametrize("new", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_a_save_is_taken_up_by_as_many_shards_or_others(tmp_path, new: int):
    old = make(2, PRIORITIZED)
    for i in range(2):
        added = old.shards[i].add.remote(episode(6, start=40 * i, stream=2 * i))
        old.note(i, ray.get(added))
    old.save(tmp_path / "saved")
    other = make(new, PRIORITIZED)
    other.restore(tmp_path / "saved")
    assert len(other) == len(old) == 12
    # A shard that died comes back with nothing, and nothing else is missing.
    kill(old, 1)
    old.save(tmp_path / "again")
    other.restore(tmp_path / "again")
    assert len(other) == 6
    old.stop()
    other.stop()
