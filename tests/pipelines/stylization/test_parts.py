import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.stylization.parts import Part, longest_first, makespan, parts_of


def test_a_shot_is_a_part_by_default():
    parts = parts_of("clip", [(0, 30), (30, 76)])
    assert [(p.first, p.start, p.stop, p.shot) for p in parts] == [(0, 0, 30, 0), (30, 30, 76, 1)]
    assert not any(p.begins_with_seam for p in parts)


def test_long_shots_are_cut_with_a_run_in_that_stays_in_the_shot():
    parts = parts_of("clip", [(10, 34), (34, 40)], segment_frames=8, run_in=3)
    assert [(p.first, p.start, p.stop) for p in parts] == [
        (10, 10, 18),
        (15, 18, 26),
        (23, 26, 34),
        (34, 34, 40),
    ]
    assert [p.begins_with_seam for p in parts] == [False, True, True, False]


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=6),
    st.integers(2, 30),
    st.integers(0, 12),
)
def test_parts_cover_every_frame_once(lengths, segment_frames, run_in):
    edges = [0]
    for length in lengths:
        edges.append(edges[-1] + length)
    shots = list(itertools.pairwise(edges))
    parts = parts_of("clip", shots, segment_frames=segment_frames, run_in=run_in)
    covered = [frame for part in parts for frame in range(part.start, part.stop)]
    assert covered == list(range(edges[-1]))
    for part in parts:
        assert shots[part.shot][0] == part.shot_start <= part.first <= part.start < part.stop
        assert part.stop - part.start <= 1.5 * segment_frames


def test_a_part_is_the_same_after_json():
    (part,) = parts_of("clip", [(3, 9)])
    assert Part(**json.loads(json.dumps(part.to_json()))) == part


def test_the_longest_part_is_handed_out_first():
    parts = longest_first(parts_of("clip", [(0, 5), (5, 50), (50, 60)]))
    assert [p.num_frames for p in parts] == [45, 10, 5]


@pytest.mark.parametrize(
    ("costs", "workers", "expected"),
    [([4, 3, 2, 1], 1, 10), ([4, 3, 2, 1], 2, 5), ([9, 1, 1, 1], 2, 9), ([2, 2], 8, 2)],
)
def test_makespan_of_parts_that_are_handed_out_in_order(costs, workers, expected):
    assert makespan(costs, workers) == expected
