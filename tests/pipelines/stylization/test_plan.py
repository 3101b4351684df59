import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from arcadia.errors import UserError
from arcadia.media import VideoWriter, write_image
from arcadia.runs import RunFolder
from arcadia.storage import Storage
from pipelines.stylization.plan import (
    Clip,
    VideoPlan,
    find_clips,
    num_to_read,
    plan_video,
    preview_range,
    read_style,
    save_style,
    stamp_of,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_film) -> Path:
    """A film of two shots, of 20 and 16 frames, and a folder of pictures."""
    folder = tmp_path_factory.mktemp("films")
    make_film(folder / "film.mp4", 20, 16)
    (folder / "pictures").mkdir()
    for number in range(3):
        picture = np.full((32, 48, 3), 80 * number, np.uint8)
        write_image(folder / "pictures" / f"{number:03d}.png", picture)
    return folder


@pytest.fixture(autouse=True)
def _stand_in_an_empty_folder(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def clip_of(path: Path) -> Clip:
    return Clip(name="film", path=str(path), output="/out.mp4")


def plan(path: Path, options, preview: str | None = None) -> VideoPlan:
    return plan_video(clip_of(path), options, fps=Fraction(25), preview=preview)


def test_shots_and_times_are_found_and_kept(folder, small, tmp_path):
    found = plan(folder / "film.mp4", small(size=24))
    assert found.shots == ((0, 20), (20, 36)) and found.size == (16, 24)
    assert (found.start, found.stop, found.num_frames, found.problem) == (0, 36, 36, None)
    assert found.times == tuple(Fraction(n, 25) for n in range(36))
    assert [(p.start, p.stop) for p in found.parts(small())] == [(0, 20), (20, 36)]
    storage = Storage.at(tmp_path)
    assert not VideoPlan.exists(storage, "film")
    found.save(storage)
    assert VideoPlan.exists(storage, "film") and VideoPlan.load(storage, "film") == found


def test_without_a_detector_there_are_no_cuts(folder, small):
    assert plan(folder / "film.mp4", small(detector="none")).shots == ((0, 36),)


@pytest.mark.parametrize(
    ("preview", "shots"),
    [
        ("0:8", ((0, 8),)),
        ("5:", ((5, 20), (20, 36))),
        ("18:30", ((18, 20), (20, 30))),  # a cut close behind the start is found
        ("0.8s:1.2s", ((20, 30),)),
        (":99", ((0, 20), (20, 36))),
        ("35:36", ((35, 36),)),
    ],
)
def test_a_stretch_has_the_videos_own_numbers_and_cuts(folder, small, preview, shots):
    seen: list[int] = []
    found = plan_video(
        clip_of(folder / "film.mp4"),
        small(),
        fps=Fraction(25),
        preview=preview,
        on_frame=seen.append,
    )
    assert found.shots == shots
    assert found.time(found.start) == Fraction(found.start, 25)
    assert len(found.times) == found.num_frames
    assert seen[-1] == num_to_read(found.open().info, preview)
    whole = list(found.open().frames())
    frames = found.frames(found.start, found.stop)
    for number in (found.start, found.stop - 1):
        np.testing.assert_array_equal(frames[number], whole[number].image)


@pytest.mark.parametrize(
    ("preview", "complaint"),
    [
        ("nonsense", "want START:STOP in frames, such as 0:48"),
        ("5", "want START:STOP"),
        ("1.5:3", "want START:STOP"),
        ("-3:8", "want START:STOP"),
        ("1:2:3", "want START:STOP"),
        ("8:8", "its end must lie behind its start"),
        ("2s:1s", "its end must lie behind its start"),
        (":0", "its end must lie behind its start"),
        ("36:40", r'preview "36:40": .*film\.mp4 has 36 frames'),
        ("500s:", r'preview "500s:": .*film\.mp4 has 36 frames'),
    ],
)
def test_a_stretch_that_is_none_is_refused(folder, small, preview, complaint):
    with pytest.raises(UserError, match=complaint):
        plan(folder / "film.mp4", small(), preview)


def test_seconds_count_at_the_videos_rate():
    assert preview_range("2s:4.5s", Fraction(30000, 1001)) == (60, 135)
    assert preview_range(None, Fraction(25)) == (0, None)
    assert preview_range(":", Fraction(25)) == (0, None)


def test_frames_too_small_for_the_network_are_refused(tmp_path, folder, small):
    with VideoWriter(tmp_path / "tiny.mp4", 25) as video:
        for _ in range(3):
            video.write(np.zeros((12, 64, 3), np.uint8))
    with pytest.raises(UserError, match=r"tiny\.mp4: .*at 64 x 12 pixels.*needs at least 16"):
        plan(tmp_path / "tiny.mp4", small())
    with pytest.raises(UserError, match=r"at 20 x 13 pixels.*give a larger --size"):
        plan(folder / "film.mp4", small(size=20))
    assert plan(tmp_path / "tiny.mp4", small(size=128)).size == (24, 128)


def test_what_a_damaged_file_lacks_is_its_problem(tmp_path, folder, small):
    data = (folder / "film.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: int(len(data) * 0.6)])
    found = plan(tmp_path / "cut.mp4", small())
    assert 5 < found.num_frames < 36
    assert found.problem is not None and found.problem.count("cut.mp4") == 1
    assert f"ends after {found.num_frames} of 36 frames" in found.problem


def test_a_result_is_called_after_its_video_and_style(folder, tmp_path):
    (clip,) = find_clips([f"{folder}/film.mp4"], None, "art/wave.jpg", "")
    assert clip == Clip(name="film", path=f"{folder}/film.mp4", output=f"{tmp_path}/film-wave.mp4")
    (clip,) = find_clips([f"{folder}/film.mp4"], None, "wave.jpg", "-preview")
    assert clip.output == f"{tmp_path}/film-wave-preview.mp4"
    (clip,) = find_clips([f"{folder}/pictures"], None, "wave.jpg", "")
    assert (clip.name, clip.output) == ("pictures", f"{tmp_path}/pictures-wave")
    (clip,) = find_clips([f"{folder}/pictures/%03d.png"], "x/%d.png", "wave.jpg", "")
    assert (clip.name, clip.output) == ("pictures", f"{tmp_path}/x/%d.png")
    assert clip.path == f"{folder}/pictures/%03d.png"


def test_paths_are_absolute_whatever_was_said(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder / "pictures")
    (clip,) = find_clips(["../film.mp4"], "../x/out.mp4", "wave.jpg", "")
    assert (clip.path, clip.output) == (f"{folder}/film.mp4", f"{folder}/x/out.mp4")
    (clip,) = find_clips(["."], None, "wave.jpg", "")
    assert (clip.name, clip.path) == ("pictures", f"{folder}/pictures")


def test_a_folder_stands_for_its_videos(tmp_path):
    for name in ("b.mp4", "a.MOV", ".hidden.mp4", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    clips = find_clips([str(tmp_path)], "out", "wave.jpg", "")
    assert [(c.name, c.output) for c in clips] == [
        ("a", f"{tmp_path}/out/a-wave.mp4"),
        ("b", f"{tmp_path}/out/b-wave.mp4"),
    ]
    for output in (None, str(tmp_path), f"{tmp_path}/."):
        with pytest.raises(UserError, match="would lie among the videos of"):
            find_clips([str(tmp_path)], output, "wave.jpg", "")


def test_videos_of_one_name_get_names_of_their_own(tmp_path):
    for name in ("x/clip.mp4", "y/clip.mp4", "z/Clip.mkv"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    clips = find_clips(["x/clip.mp4", "y", "z/Clip.mkv"], "out", "wave.jpg", "")
    assert [c.name for c in clips] == ["clip", "clip-2", "Clip-3"]
    assert len({c.output.casefold() for c in clips}) == 3


@pytest.mark.parametrize(
    ("inputs", "output", "complaint"),
    [
        (["flim.mp4"], None, r'flim\.mp4: no such file or folder; did you mean "film\.mp4"'),
        (["film.mp4", "film.mp4"], "out.mp4", r"output out\.mp4: of 2 videos it must be a folder"),
        (["film.mp4", "film.mp4"], "o/%d.png", "of 2 videos it must be a folder"),
        (["."], "out", "holds videos and pictures; name the videos themselves"),
        (["empty"], None, "empty: holds no video and no picture"),
    ],
)
def test_inputs_that_cannot_be_meant_are_refused(tmp_path, inputs, output, complaint):
    (tmp_path / "film.mp4").write_bytes(b"")
    (tmp_path / "film.png").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=complaint):
        find_clips(inputs, output, "wave.jpg", "")


def test_a_change_of_files_is_seen(tmp_path, folder):
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    before = stamp_of(str(file))
    assert stamp_of(str(file)) == before and stamp_of(str(tmp_path / "none")) is None
    os.utime(file, ns=(1, 1))
    assert stamp_of(str(file)) != before
    pattern = str(folder / "pictures" / "%03d.png")
    assert stamp_of(pattern) == stamp_of(str(folder / "pictures"))
    assert stamp_of(str(folder / "none" / "%03d.png")) is None


def test_pictures_of_the_style_are_the_runs_own(tmp_path):
    style = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    where = np.zeros((10, 10, 3), np.uint8)
    where[:, 5:] = 255
    write_image(tmp_path / "style.png", style)
    write_image(tmp_path / "where.png", where)
    run = RunFolder.create(tmp_path / "run", kind="stylize", config={}, seed=0)
    save_style(run, "style.png", None)
    saved, none = read_style(run.storage)
    assert none is None
    np.testing.assert_array_equal(saved, style)
    save_style(run, "style.png", "where.png")
    _, kept = read_style(run.storage)
    assert kept is not None and kept.dtype == np.float32
    np.testing.assert_array_equal(kept, where[:, :, 0] / 255)
