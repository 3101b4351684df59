"""The order in which frames are painted, what each is given, and going on after a stop."""

import dataclasses
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from arcadia.storage import Storage
from pipelines.flow import Motion, Motions
from pipelines.stylization.config import StyleOptions
from pipelines.stylization.parts import Part, parts_of
from pipelines.stylization.results import FrameFiles, Manifest
from pipelines.stylization.stylizer import Neighbour, Painted, Stylizer
from pipelines.stylization.sweeps import Work, blended, paint

(SHOT,) = parts_of("clip", [(0, 8)])


class Call(NamedTuple):
    number: int
    past: list[np.ndarray]
    start: np.ndarray | None
    iterations: int


class Watched(Stylizer):
    """Keeps what it is given."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.calls: list[Call] = []

    def paint(self, number, content_hwc, past=(), *, start, iterations, check=lambda i: None):
        self.calls.append(Call(number, [n.result for n in past], start, iterations))
        return super().paint(
            number, content_hwc, past, start=start, iterations=iterations, check=check
        )


@pytest.fixture
def begin(tmp_path: Path, frames, style_hwc: np.ndarray) -> Callable[..., Work]:
    """All that painting takes, made anew as another process would."""
    stylizers: dict[StyleOptions, Watched] = {}

    def make(options: StyleOptions, part: Part = SHOT, folder: str = "run", **kwargs: Any) -> Work:
        storage = Storage.at(tmp_path / folder)
        if options not in stylizers:
            stylizers[options] = Watched(options, style_hwc, seed=3)
        stylizers[options].calls.clear()
        motions = Motions(
            options.flow,
            storage,
            frames.__getitem__,
            height=32,
            width=48,
            prefix="videos/clip/flow",
        )
        return Work(
            part=part,
            storage=storage,
            stylizer=stylizers[options],
            frames=frames,
            motions=motions,
            manifest=Manifest(storage, part),
            **kwargs,
        )

    return make


def finish(work: Work, count: int | None = None) -> list[Any]:
    """Paints so many frames, or all."""
    with work.motions:
        return list(itertools.islice(paint(work), count))


def calls_of(work: Work) -> list[Call]:
    assert isinstance(work.stylizer, Watched)
    return work.stylizer.calls


def result(work: Work, number: int) -> np.ndarray:
    return FrameFiles(work.storage, "videos/clip/frames").read(number)


def told(work: Work) -> dict[str, Any]:
    """The manifest as it is on disk, but for how long things took."""
    state = json.loads(work.storage.read_bytes("videos/clip/parts/0000.json"))
    for record in (*state["frames"], *state["passes"]):
        del record["seconds"]
    return state


def pictures(work: Work) -> dict[str, bytes]:
    return {name: work.storage.read_bytes(name) for name in work.storage.list("videos/clip/frames")}


def test_a_single_pass_paints_in_order_and_continues_the_frames_that_its_spans_name(begin, small):
    work = begin(small(spans=(1, 2, 4)))
    records = finish(work)
    assert [r["frame"] for r in records] == [c.number for c in calls_of(work)] == list(range(8))
    assert [r.get("neighbour") for r in records] == [None, *range(7)]
    assert all(0 <= r["covered"] <= 1 and r["warping_error_lai"] >= 0 for r in records[1:])
    for call in calls_of(work):
        numbers = [call.number - span for span in (1, 2, 4) if call.number >= span]
        assert len(call.past) == len(numbers)
        for got, number in zip(call.past, numbers, strict=True):
            np.testing.assert_array_equal(got, result(work, number))
    assert [c.iterations for c in calls_of(work)] == [3] + [2] * 7
    assert work.manifest.is_complete and len(work.manifest.frames) == 8
    assert list(paint(begin(small(spans=(1, 2, 4))))) == []


@pytest.mark.parametrize("how", ["warped", "previous", "content", "random"])
def test_later_frames_begin_as_the_options_say(begin, small, frames, how: str):
    work = begin(small(start=how, spans=()))
    with work.motions:
        list(itertools.islice(paint(work), 3))
        motion = work.motions.get(1, 2)
    first, _, third = calls_of(work)
    assert first.start is None and third.past == []
    expected = {
        "warped": lambda: work.stylizer.warped(Neighbour(result(work, 1), motion)),
        "previous": lambda: result(work, 1),
        "content": lambda: frames[2],
        "random": lambda: None,
    }[how]()
    if expected is None:
        assert third.start is None
    else:
        np.testing.assert_array_equal(third.start, expected)


def test_the_first_frame_may_begin_as_its_source(begin, small, frames):
    work = begin(small(start_first="content"))
    finish(work, 1)
    np.testing.assert_array_equal(calls_of(work)[0].start, frames[0])


def test_a_run_in_is_painted_and_lies_apart(begin, small):
    part = Part(video="clip", number=1, shot=0, first=2, start=5, stop=7, shot_start=0, shot_stop=8)
    work = begin(small(spans=(1, 4)), part)
    records = finish(work)
    assert [r["frame"] for r in records] == [2, 3, 4, 5, 6]
    assert [len(c.past) for c in calls_of(work)] == [0, 1, 1, 1, 2]
    run_in = FrameFiles(work.storage, "videos/clip/run_in/0001")
    np.testing.assert_array_equal(calls_of(work)[3].past[0], run_in.read(4))
    assert len(pictures(work)) == 2


def test_a_blend_is_the_papers_rule():
    own, warped = np.full((1, 3, 3), 100.0, np.float32), np.full((1, 3, 3), 200.0, np.float32)
    motion = Motion(
        flow=np.zeros((2, 1, 3), np.float32), mask=np.array([[1.0, 0.5, 0.0]], np.float32)
    )
    # delta c w + ((1 - delta) + delta (1 - c)) x with delta 0.5: 100 + 50 at 1, + 25 at one half.
    np.testing.assert_allclose(blended(own, warped, motion, 0.5)[0, :, 0], [150, 125, 100])
    np.testing.assert_allclose(blended(own, warped, motion, 1.0)[0, :, 0], [200, 150, 100])
    np.testing.assert_allclose(blended(own, warped, motion, 0.0)[0, :, 0], [100, 100, 100])


def test_passes_alternate_and_have_the_temporal_loss_from_the_given_one_on(begin, small):
    work = begin(small(passes=4, temporal_from_pass=3, spans=(1,)))
    records = finish(work)
    order = list(range(8))
    assert [r["frame"] for r in records] == order + order[::-1] + order + order[::-1]
    assert [r["pass"] for r in records] == [n for n in (1, 2, 3, 4) for _ in order]
    first, second, third, fourth = (calls_of(work)[8 * i : 8 * i + 8] for i in range(4))
    assert all(c.start is None and not c.past for c in first)
    assert all(c.start is not None and not c.past for c in second)
    assert [len(c.past) for c in third] == [len(c.past) for c in fourth] == [0] + [1] * 7
    assert {c.iterations for c in calls_of(work)} == {2}
    # The last pass goes backward: each frame continues the one after it.
    assert [r["neighbour"] for r in records[-7:]] == [7, 6, 5, 4, 3, 2, 1]
    for call in fourth[1:]:
        np.testing.assert_array_equal(call.past[0], result(work, call.number + 1))
    assert len(pictures(work)) == 8
    assert work.storage.list("videos/clip/passes") == []
    assert work.manifest.is_complete
    assert [one["pass"] for one in work.manifest.passes] == [1, 2, 3, 4]


def test_a_pass_begins_with_the_last_one_blended_with_its_neighbour(begin, small):
    work = begin(small(passes=2, blend=0.25, temporal_from_pass=2))
    with work.motions:
        list(itertools.islice(paint(work), 8))
        earlier = FrameFiles(work.storage, "videos/clip/passes/0000/001")
        own = {n: earlier.read(n).astype(np.float32) for n in (6, 7)}
        list(itertools.islice(paint(dataclasses.replace(work, manifest=work.manifest)), 2))
        motion = work.motions.get(7, 6)
    last, before = calls_of(work)[8:10]
    np.testing.assert_array_equal(last.start, own[7])
    moved = work.stylizer.warped(Neighbour(result(work, 7), motion))
    np.testing.assert_array_equal(before.start, blended(own[6], moved, motion, 0.25))


@pytest.mark.parametrize(
    ("options", "stops"),
    [
        (dict(spans=(1, 2, 4)), (1, 5)),
        (dict(spans=(1,), start="previous"), (7,)),
        (dict(passes=3, temporal_from_pass=2), (3, 8, 13, 16, 23)),
    ],
    ids=["long-term", "short-term", "passes"],
)
def test_a_part_that_goes_on_ends_as_one_that_was_never_stopped(begin, small, options, stops):
    straight = begin(small(**options), folder="straight")
    finish(straight)
    painted = 0
    for stop in stops:
        work = begin(small(**options), folder="stopped")
        painted += len(finish(work, stop - painted))
    work = begin(small(**options), folder="stopped")
    total = 8 * work.stylizer.options.passes
    assert len(finish(work)) == total - painted  # nothing twice
    assert pictures(work) == pictures(straight)
    assert told(work) == told(straight)
    assert work.storage.list("videos/clip/passes") == []


def test_a_stop_within_a_frame_loses_that_frame_only(begin, small):
    straight = begin(small(), folder="straight")
    finish(straight)

    def check(iteration: int) -> None:
        if iteration == 1 and len(work.manifest.frames) == 3:
            raise KeyboardInterrupt

    work = begin(small(), folder="stopped", check=check)
    with work.motions, pytest.raises(KeyboardInterrupt):
        list(paint(work))
    assert len(work.manifest.frames) == len(pictures(work)) == 3
    finish(begin(small(), folder="stopped"))
    assert pictures(work) == pictures(straight)


def test_a_frame_whose_line_was_not_written_is_painted_again(begin, small):
    straight = begin(small(), folder="straight")
    finish(straight)
    work = begin(small(), folder="killed")
    finish(work, 3)
    name = "videos/clip/frames/00000003.png"
    work.storage.write_bytes(name, straight.storage.read_bytes(name)[:100])
    assert len(finish(begin(small(), folder="killed"))) == 5
    assert pictures(work) == pictures(straight)


def test_a_search_that_diverged_is_told(begin, small, monkeypatch):
    work = begin(small())
    whole = Stylizer.paint

    def diverging(self, number, *args: Any, **kwargs: Any) -> Painted:
        painted = whole(self, number, *args, **kwargs)
        return dataclasses.replace(painted, diverged=number == 1)

    monkeypatch.setattr(Stylizer, "paint", diverging)
    assert [r.get("diverged", False) for r in finish(work, 3)] == [False, True, False]
