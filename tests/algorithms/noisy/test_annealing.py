"""How c falls."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from algorithms.noisy import Annealing, NoisyHardSigmoid, NoisyHardTanh, Schedule
from algorithms.noisy.schedule import parse_anneal
from arcadia.errors import UserError


def test_the_papers_schedule():
    """30 / sqrt(t + 1), one more every 200 updates, is at 0.5 after 719,800."""
    schedule = Schedule(start=30, end=0.5, duration=3599 * 200)
    for t in (0, 1, 2, 10, 100, 1000, 3599):
        assert schedule(200 * t) == pytest.approx(30 / math.sqrt(t + 1))


def test_other_shapes():
    assert Schedule(start=8, end=2, duration=10, shape="linear")(5) == 5
    assert Schedule(start=8, end=2, duration=10, shape="exponential")(5) == pytest.approx(4)


@pytest.mark.parametrize("shape", ["inverse_sqrt", "exponential", "linear"])
@given(
    start=st.floats(0.1, 100),
    share=st.floats(0.001, 1),
    duration=st.integers(1, 10_000),
    at=st.data(),
)
def test_it_falls_from_start_to_end_and_stays(
    shape: Any, start: float, share: float, duration: int, at: Any
):
    schedule = Schedule(start=start, end=start * share, duration=duration, shape=shape)
    assert schedule(0) == pytest.approx(start)
    assert schedule(duration) == pytest.approx(start * share)
    assert schedule(3 * duration) == schedule(duration)
    now = at.draw(st.integers(0, duration))
    assert schedule(now) >= schedule(now + 1)


def test_all_of_a_network_are_set():
    network = nn.Sequential(NoisyHardTanh(), nn.Sequential(NoisyHardSigmoid(), nn.ReLU()))
    annealing = Annealing(network, Schedule(start=30, end=0.5, duration=100))
    assert [network[0].c.item(), network[1][0].c.item()] == [30, 30]
    for _ in range(100):
        annealing.step()
    assert [network[0].c.item(), network[1][0].c.item()] == [0.5, 0.5]
    assert annealing.c == pytest.approx(0.5)


def test_it_goes_on_where_it_was():
    schedule = Schedule(start=30, end=0.5, duration=50)
    one, other = NoisyHardTanh(), NoisyHardTanh()
    annealing = Annealing(one, schedule)
    for _ in range(20):
        annealing.step()
    resumed = Annealing(other, schedule)
    resumed.set_state(annealing.get_state())
    assert other.c.item() == one.c.item()
    for _ in range(7):
        annealing.step()
        resumed.step()
    assert other.c.item() == one.c.item() == pytest.approx(schedule(27))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (dict(start=0.5, end=30, duration=10), "anneal 0.5:30: rises; give the larger one first"),
        (dict(start=30, end=0.5, duration=0), "anneal duration 0: must be at least 1 update"),
        (dict(start=30, end=0, duration=5), "anneal end 0: must be above 0"),
        (dict(start=30, end=-1, duration=5), "anneal end -1: must be above 0"),
        (dict(start=float("inf"), end=1, duration=5), "anneal inf:1"),
        (dict(duration=5, shape="lineal"), 'anneal_shape "lineal".*did you mean "linear"'),
    ],
)
def test_what_does_not_fall_is_refused(arguments: dict[str, Any], said: str):
    with pytest.raises(UserError, match=said):
        Schedule(**arguments)


def test_words():
    assert parse_anneal("30:0.5") == (30, 0.5)
    for text in ("30", "", "a:b", "30-0.5", ":"):
        with pytest.raises(UserError, match="give START:END"):
            parse_anneal(text)
