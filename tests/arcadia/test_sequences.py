from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from arcadia.errors import UserError
from arcadia.media import PictureSource, PictureWriter, open_source, read_image, write_image


def picture(shade: int, height: int = 20, width: int = 30) -> np.ndarray:
    return np.full((height, width, 3), shade, np.uint8)


def shades(source: PictureSource, *args: int) -> list[int]:
    return [int(frame.image[0, 0, 0]) for frame in source.frames(*args)]


def fill(folder: Path, *names: str) -> Path:
    """A folder of pictures, each as bright as its place among the names."""
    for index, name in enumerate(names):
        write_image(folder / name, picture(index))
    return folder


def test_a_folder_is_read_in_natural_order(tmp_path: Path):
    folder = fill(tmp_path, "f1.png", "f2.PNG", "f9.png", "f10.png", "g1.bmp")
    (folder / "notes.txt").write_text("not a picture")
    (folder / ".f3.png").write_text("nor this")
    (folder / "f5.png").mkdir()
    source = PictureSource(folder, 24)
    assert shades(source) == [0, 1, 2, 3, 4]
    assert shades(source, 1, 3) == [1, 2] and shades(source, 4) == [4] and shades(source, 9) == []
    frames = list(source.frames(2, start_time=Fraction(2, 24)))
    assert [(f.index, f.time) for f in frames] == [(i, Fraction(i, 24)) for i in (2, 3, 4)]
    info = source.info
    assert (info.height, info.width, info.num_frames, info.fps) == (20, 30, 5, 24)
    assert not info.has_audio and not info.is_variable and info.duration_s == pytest.approx(5 / 24)


def test_a_pattern_takes_the_numbers_that_it_fits(tmp_path: Path):
    fill(tmp_path, "a008.png", "a009.png", "a010.png", "b011.png", "a11.png", "a012.jpg")
    assert shades(PictureSource(tmp_path / "a%03d.png")) == [0, 1, 2]
    fill(tmp_path / "more", "99999.png", "100000.png")
    assert shades(PictureSource(tmp_path / "more" / "%05d.png")) == [0, 1]
    assert shades(PictureSource(tmp_path / "more" / "%d.png")) == [0, 1]


def test_a_number_that_is_missing_is_named(tmp_path: Path):
    fill(tmp_path, "1.png", "2.png", "4.png")
    with pytest.raises(UserError, match=r"%d\.png: number 3 is missing"):
        PictureSource(tmp_path / "%d.png").files  # noqa: B018


def test_a_picture_of_another_size_is_named(tmp_path: Path):
    fill(tmp_path, "1.png", "2.png")
    write_image(tmp_path / "3.png", picture(0, 20, 31))
    for read in (lambda s: s.info, lambda s: next(s.frames())):
        with pytest.raises(UserError, match=r"3\.png: is 31x20, but 1\.png is 30x20"):
            read(PictureSource(tmp_path))


def test_a_camera_held_upright_counts_as_seen(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(0, 30, 20)).save(tmp_path / "1.jpg", exif=exif)
    write_image(tmp_path / "2.jpg", picture(0, 20, 30))
    assert (PictureSource(tmp_path).info.height, PictureSource(tmp_path).info.width) == (20, 30)
    assert [f.image.shape for f in PictureSource(tmp_path).frames()] == [(20, 30, 3)] * 2


def test_what_is_no_sequence_is_told_in_one_line(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: holds no picture; give a folder of PNG"):
        open_source(tmp_path / "empty").info  # noqa: B018
    with pytest.raises(UserError, match=r"%05d\.png: no file has such a name"):
        list(open_source(tmp_path / "none" / "%05d.png").frames())
    with pytest.raises(UserError, match=r"fram: no such file; did you mean \"frames\""):
        fill(tmp_path / "frames", "1.png")
        open_source(tmp_path / "fram")
    (tmp_path / "frames" / "2.png").write_bytes(b"text")
    with pytest.raises(UserError, match=r"2\.png: is not a picture"):
        open_source(tmp_path / "frames").info  # noqa: B018


def test_a_sequence_goes_to_another_process(tmp_path: Path):
    source = open_source(fill(tmp_path, "1.png", "2.png"), fps=Fraction(30000, 1001))
    copy = pickle.loads(pickle.dumps(source))
    assert copy.info == source.info and copy.info.fps == Fraction(30000, 1001)


@pytest.mark.parametrize("is_there", [False, True])
def test_pictures_come_back_as_they_were_written(tmp_path: Path, is_there: bool):
    folder = tmp_path / "new" / "frames"
    if is_there:
        folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (3, 21, 33, 3), np.uint8)
    with PictureWriter(folder) as pictures:
        for index, image in enumerate(noise):
            pictures.write(image, Fraction(index, 25))
        assert not is_there or os.listdir(folder) != []
        assert not list(folder.glob("*.png"))  # nothing before all is done
    assert sorted(os.listdir(folder)) == ["00000000.png", "00000001.png", "00000002.png"]
    assert os.listdir(folder.parent) == ["frames"]
    for frame, image in zip(PictureSource(folder).frames(), noise, strict=True):
        np.testing.assert_array_equal(frame.image, image)


def test_a_pattern_says_the_names_and_where_numbers_start(tmp_path: Path):
    with PictureWriter(tmp_path / "out" / "shot_%03d.png", first=12) as pictures:
        pictures.write(picture(1))
        pictures.write(picture(2))
    assert sorted(os.listdir(tmp_path / "out")) == ["shot_012.png", "shot_013.png"]


def test_pictures_of_an_earlier_run_are_replaced_and_others_stay(tmp_path: Path):
    fill(tmp_path, "000.png", "001.png", "002.png", "x.png", "0.png")
    with PictureWriter(tmp_path / "%03d.png") as pictures:
        pictures.write(picture(77))
    assert sorted(os.listdir(tmp_path)) == ["0.png", "000.png", "x.png"]
    assert read_image(tmp_path / "000.png")[0, 0, 0] == 77


def test_a_failed_sequence_leaves_what_was_there(tmp_path: Path):
    fill(tmp_path / "old", "00000000.png")
    for folder in (tmp_path / "old", tmp_path / "new"):
        with pytest.raises(KeyError), PictureWriter(folder) as pictures:
            pictures.write(picture(9))
            raise KeyError
        with pytest.raises(ValueError, match="no frame was written"), PictureWriter(folder):
            pass
        with pytest.raises(ValueError, match=r"want \(20, 30, 3\), got .* as frame 1"):
            with PictureWriter(folder) as pictures:
                pictures.write(picture(9))
                pictures.write(picture(9, 21))
    assert os.listdir(tmp_path) == ["old"] and os.listdir(tmp_path / "old") == ["00000000.png"]
    assert read_image(tmp_path / "old" / "00000000.png")[0, 0, 0] == 0


def test_a_full_disk_is_one_line_and_leaves_nothing(make_disk: Callable[[str], Path]):
    disk = make_disk("256k")
    noise = np.random.default_rng(0).integers(0, 256, (99, 64, 64, 3), np.uint8)
    for folder in (disk, disk / "new"):
        with pytest.raises(UserError, match="cannot write: No space left on device") as told:
            with PictureWriter(folder) as pictures:
                for image in noise:
                    pictures.write(image)
        assert len(str(told.value).splitlines()) == 1
        assert ".tmp" not in str(told.value)
    assert os.listdir(disk) == []
