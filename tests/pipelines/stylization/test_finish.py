import dataclasses
import itertools
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest

from arcadia.errors import UserError
from arcadia.media import PictureSource, VideoSource, probe, read_video, write_image
from arcadia.runs import RunFolder
from pipelines.stylization.finish import (
    COMPARISON,
    PICTURES,
    drop_frames,
    end_time,
    seam_errors,
    write_output,
    write_pictures,
)
from pipelines.stylization.plan import Clip, VideoPlan, plan_video, save_style
from pipelines.stylization.results import FrameFiles


class Painted(NamedTuple):
    """A run whose frames are painted: here, the source turned upside down."""

    run: RunFolder
    plan: VideoPlan


@pytest.fixture
def painted(tmp_path: Path, make_film, style: Path, small):
    def make(preview: str | None = None, source: Path | None = None, **options) -> Painted:
        source = source or make_film(tmp_path / "film.mp4", 18, 16)
        run = RunFolder.create(tmp_path / "run", kind="stylize", config={}, seed=0)
        save_style(run, str(style), None)
        clip = Clip(name="film", path=str(source), output=str(tmp_path / "out.mp4"))
        plan = plan_video(clip, small(**options), fps=Fraction(25), preview=preview)
        frames, files = (
            plan.frames(plan.start, plan.stop),
            FrameFiles(run.storage, "videos/film/frames"),
        )
        for number in range(plan.start, plan.stop):
            files.write(number, frames[number][::-1].copy())
        return Painted(run, plan)

    return make


def near(a: np.ndarray, b: np.ndarray) -> bool:
    return np.abs(a.astype(int) - b).mean() < 6


def test_the_result_has_the_frames_and_times_of_the_source(painted, small):
    run, plan = painted()
    counted: list[int] = []
    write_output(run, plan, small(), crf=1, on_frame=counted.append)
    assert counted == list(range(1, 35))
    got, source = probe(plan.output), plan.open().info
    assert (got.num_frames, got.fps, got.width, got.height) == (34, source.fps, 48, 32)
    for written, original in zip(read_video(plan.output), read_video(plan.path), strict=True):
        assert near(written, original[::-1])


def test_original_colours_are_kept_on_the_way_out(painted, small):
    run, plan = painted("0:3")
    write_output(run, plan, small(), crf=1)
    plain = list(read_video(plan.output))
    write_output(run, plan, small(original_colors=True), crf=1)

    def redness(picture: np.ndarray) -> np.ndarray:
        return picture[..., 0].astype(int) - picture[..., 2]

    for kept, painting, source in zip(
        read_video(plan.output), plain, read_video(plan.path), strict=False
    ):
        apart = [np.abs(redness(p) - redness(source)).mean() for p in (kept, painting)]
        assert apart[0] < 0.5 * apart[1]


def test_a_stretch_has_the_sound_of_the_stretch(painted, small, test_data: Path, tmp_path: Path):
    run, plan = painted("2s:2.4s", test_data / "videos" / "bigbuckbunny.mp4", size=32)
    write_output(run, plan, small(), crf=18)
    got = probe(plan.output)
    assert got.num_frames == plan.num_frames == 10 and got.has_audio
    with av.open(plan.output) as container:
        length = sum(f.samples for f in container.decode(audio=0) if (f.pts or 0) >= 0) / 48000
    assert abs(length - 0.4) < 0.05
    assert end_time(plan) - plan.time(plan.start) == Fraction(10, 25)


def test_pictures_may_be_the_result(painted, small, tmp_path: Path):
    run, plan = painted("5:9")
    for output in (tmp_path / "out", tmp_path / "other" / "%03d.png"):
        write_output(run, dataclasses.replace(plan, output=str(output)), small(), crf=18)
        pictures = list(PictureSource(output).frames())
        assert len(pictures) == 4
        whole = itertools.islice(VideoSource(plan.path).frames(), 5, 9)
        for picture, source in zip(pictures, whole, strict=True):
            np.testing.assert_array_equal(picture.image, source.image[::-1])


def test_a_frame_that_is_missing_leaves_no_result(painted, small, tmp_path: Path):
    run, plan = painted()
    (run.path / "videos/film/frames/00000030.png").unlink()
    with pytest.raises(UserError, match=r"00000030\.png: cannot read"):
        write_output(run, plan, small(), crf=18)
    assert not [f for f in tmp_path.iterdir() if f.name not in ("film.mp4", "run")]


def test_what_the_report_shows_is_put_into_the_run(painted, small):
    run, plan = painted()
    write_pictures(run, plan, small())
    video = probe(run.path / "videos/film" / COMPARISON)
    assert (video.num_frames, video.fps) == (34, 25)
    assert video.width == 3 * 320
    names = run.storage.list(f"videos/film/{PICTURES}")
    numbers = [int(Path(name).stem) for name in names]
    assert len(numbers) == 4 and not {0, 18} & set(numbers)  # each has a frame before it
    assert run.storage.list("videos/film/flow")


def test_a_shot_of_one_frame_has_no_flow_to_show(painted, small):
    run, plan = painted("3:4")
    write_pictures(run, plan, small())
    assert run.storage.list(f"videos/film/{PICTURES}") == []
    assert probe(run.path / "videos/film" / COMPARISON).num_frames == 1


def test_seams_are_measured_where_shots_were_cut(painted, small):
    run, plan = painted()
    assert seam_errors(run, plan, small()) == []
    files = FrameFiles(run.storage, "videos/film/frames")
    # Of parts (0, 9), (9, 18), (18, 26), (26, 34) the second begins elsewhere.
    files.write(9, 255 - files.read(9))
    first, second = seam_errors(run, plan, small(segment_frames=9))
    assert first > 10 * second >= 0


def test_frames_and_flows_of_a_finished_video_are_dropped(painted, small):
    run, plan = painted()
    write_pictures(run, plan, small())
    drop_frames(run, plan)
    drop_frames(run, plan)
    left = run.storage.list("videos/film")
    assert left and all(name.startswith("videos/film/report/") for name in left)


def test_no_room_leaves_what_was_there(painted, small, make_disk):
    run, plan = painted()
    disk = make_disk("8k")
    plan = dataclasses.replace(plan, output=str(disk / "out.mp4"))
    (disk / "out.mp4").write_bytes(b"before")
    with pytest.raises(UserError, match=r"out\.mp4: cannot write: No space left on device"):
        write_output(run, plan, small(), crf=0)
    assert (disk / "out.mp4").read_bytes() == b"before"
    assert [f.name for f in disk.iterdir()] == ["out.mp4"]


def test_a_style_of_any_shape_fills_its_panel(painted, small, tmp_path: Path):
    run, plan = painted("0:2")
    for number, shape in enumerate([(400, 30, 3), (16, 500, 3)]):
        picture = np.full(shape, 200, np.uint8)
        write_image(tmp_path / f"{number}.png", picture)
        save_style(run, str(tmp_path / f"{number}.png"), None)
        write_pictures(run, plan, small())
        (first, _) = read_video(run.path / "videos/film" / COMPARISON)
        assert np.abs(first[60:-10, 330:630].astype(int) - 200).max() < 12
