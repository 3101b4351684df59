import dataclasses
import itertools
from fractions import Fraction

import numpy as np
import pytest

from pipelines.stylization.estimate import (
    Cost,
    estimate,
    history_bytes,
    in_words,
    iterations_of,
    measure_cost,
)
from pipelines.stylization.parts import parts_of
from pipelines.stylization.plan import VideoPlan

SIZE = (32, 48)
COSTS = {SIZE: Cost(seconds=0.5, bytes=2e9, device="a device")}


def plan_of(*lengths: int) -> VideoPlan:
    edges = np.cumsum([0, *lengths]).tolist()
    return VideoPlan(
        name="clip",
        path="/clip.mp4",
        output="/out.mp4",
        fps=Fraction(25),
        start=0,
        stop=edges[-1],
        times=tuple(Fraction(n, 25) for n in range(edges[-1])),
        can_seek=True,
        shots=tuple(itertools.pairwise(edges)),
        size=SIZE,
        reaches_end=True,
        problem=None,
    )


def test_iterations_are_counted_frame_by_frame(small):
    (part,) = parts_of("clip", [(0, 4)])
    assert iterations_of(part, small(iterations_first=9, iterations=5)) == [9, 5, 5, 5]
    assert iterations_of(part, small(passes=3, pass_iterations=7)) == [7] * 12


def test_time_is_that_of_the_longest_worker(small):
    options, plan = small(iterations_first=10, iterations=4), plan_of(3, 5)
    parts = plan.parts(options)
    # 10 + 4 + 4 and 10 + 4 x 4 gradients of half a second.
    found = [estimate([plan], parts, options, COSTS, workers) for workers in (1, 2, 9)]
    assert [f.seconds for f in found] == [22, 13, 13]
    assert found[0].seconds_per_frame == 22 / 8
    assert found[0].memory_bytes == 2e9
    # Flows of spans 1, 2 and 4 and PNGs of 2.25 bytes a pixel.
    assert found[0].disk_bytes == 8 * 32 * 48 * (2.25 + 3 * 8)


def test_what_is_done_takes_no_time(small):
    options, plan = small(iterations_first=10, iterations=4), plan_of(3, 5)
    parts = plan.parts(options)
    done = {("clip", 0): 3, ("clip", 1): 1}
    assert estimate([plan], parts, options, COSTS, 1, done).seconds == 8
    everything = {("clip", 0): 3, ("clip", 1): 5}
    assert estimate([plan], parts, options, COSTS, 1, everything).seconds == 0


def test_passes_count_for_each_frame(small):
    options, plan = small(passes=3, pass_iterations=4), plan_of(5)
    found = estimate([plan], plan.parts(options), options, COSTS, 1)
    assert found.seconds == 5 * 3 * 4 * 0.5
    assert found.seconds_per_frame == 3 * 4 * 0.5


def test_lbfgs_keeps_a_history_and_adam_does_not(small):
    vector = 4 * 3 * 32 * 48
    assert history_bytes(small(history=10), SIZE) == 26 * vector
    assert history_bytes(small(optimiser="adam"), SIZE) == 4 * vector


def test_a_gradient_is_measured(small, style_hwc):
    cost = measure_cost(dataclasses.asdict(small()), SIZE, style_hwc, 1, 0, 1)
    assert 0 < cost.seconds < 5
    assert cost.bytes > 1e8 and cost.device == "CPU, 1 thread"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(22, "About 22 s"), (600, "About 10 min"), (36000, "About 10.0 h")],
)
def test_words_say_how_long_and_how_much(small, seconds, said):
    plan = plan_of(1, 5)
    found = estimate([plan], plan.parts(small()), small(), COSTS, 1)
    told = in_words(dataclasses.replace(found, seconds=seconds), [plan], COSTS, 1)
    assert said in told and "2.0 GB of memory a worker" in told
    assert "1 video, 6 frames in 2 shots, painted at 48 x 32 by 1 worker (a device)" in told
