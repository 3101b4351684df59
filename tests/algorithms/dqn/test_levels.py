"""What a level is owed, and what runners wait for."""

from typing import Any, cast

import pytest

from algorithms.dqn.levels import RemoteLevel
from algorithms.dqn.options import DQNOptions
from algorithms.replay.sharded import ShardedReplay


class Filled:
    """As much of a replay as says that it can be learnt from."""

    can_draw, has_evicted = True, False

    def __init__(self, number: int) -> None:
        self._number = number

    def __len__(self) -> int:
        return self._number


def level(number: int = 1_000, *, first_step: int = 0, **options: Any) -> RemoteLevel:
    own = DQNOptions(game="pong", learning_starts=500, **options)
    return RemoteLevel("own", own, cast(ShardedReplay, Filled(number)), first_step=first_step)


def test_steps_are_owed_for_once_it_learns():
    own = level(first_step=1_000, updates_per_step=0.25)
    own.owe(900, 900)
    assert own.updates_owed == 0
    own.owe(300, 1_200)  # 200 of them after the first step
    assert own.updates_owed == 50
    own.owe(100, 1_300)
    assert own.updates_owed == 75
    empty = level(499, updates_per_step=0.25)
    empty.owe(100, 100)
    assert empty.updates_owed == 0


@pytest.mark.parametrize(
    ("steps", "waited_for"),
    [(0, 0), (900, 0), (1_000, 1_000), (1_999, 1_000), (2_000, 2_000)],
)
def test_runners_wait_for_whole_calls_only(steps: int, waited_for: float):
    own = level(updates_per_step=0.002, updates_per_call=2)
    own.owe(steps, steps)
    assert own.steps_owed == pytest.approx(waited_for)
    assert own.can_pay == (waited_for > 0)
