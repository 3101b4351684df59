from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from arcadia.errors import UserError
from pipelines.flow import FlowFiles, read_flo, resize_flow, write_flo

# (dx, dy) of a frame of two rows and three columns.
FLOW = np.arange(12, dtype=np.float32).reshape(2, 2, 3) / 4 - 1


def test_a_file_by_hand(tmp_path: Path):
    path = tmp_path / "a.flo"
    write_flo(path, FLOW)
    data = path.read_bytes()
    assert np.frombuffer(data[:4], "<f4") == 202021.25 and data[:4] == b"PIEH"
    assert np.frombuffer(data, "<i4", 2, offset=4).tolist() == [3, 2]
    values = np.frombuffer(data, "<f4", offset=12)
    assert values[:4].tolist() == [FLOW[0, 0, 0], FLOW[1, 0, 0], FLOW[0, 0, 1], FLOW[1, 0, 1]]
    read = read_flo(path)
    assert read.dtype == np.float32 and (read == FLOW).all()


def test_opencv_reads_what_we_write_and_we_what_it_writes(tmp_path: Path):
    write_flo(tmp_path / "ours.flo", FLOW)
    assert (cv2.readOpticalFlow(str(tmp_path / "ours.flo")) == FLOW.transpose(1, 2, 0)).all()
    cv2.writeOpticalFlow(
        str(tmp_path / "theirs.flo"), np.ascontiguousarray(FLOW.transpose(1, 2, 0))
    )
    assert (read_flo(tmp_path / "theirs.flo") == FLOW).all()


def test_the_unknown_is_not_a_number_and_comes_back_as_such(tmp_path: Path):
    flow = FLOW.copy()
    flow[0, 1, 1] = np.nan
    write_flo(tmp_path / "a.flo", flow)
    assert np.frombuffer((tmp_path / "a.flo").read_bytes(), "<f4").max() >= 1e9
    read = read_flo(tmp_path / "a.flo")
    assert np.isnan(read[:, 1, 1]).all() and np.isnan(read).sum() == 2


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "is not a .flo file"),
        (b"GIF89a" + bytes(20), "is not a .flo file"),
        (b"PIEH" + bytes(3), "is not a .flo file"),
        (b"PIEH" + bytes(8), r"says 0 x 0 px"),
        (b"PIEH" + np.array([3, 2], "<i4").tobytes() + bytes(47), "3 x 2 px, so should have 60"),
        (b"PIEH" + np.array([3, 2], "<i4").tobytes() + bytes(49), "has 61"),
        (b"PIEH" + np.array([-3, -2], "<i4").tobytes() + bytes(48), "says -3 x -2"),
    ],
)
def test_what_is_no_flow_is_one_clear_line(tmp_path: Path, data: bytes, match: str):
    (tmp_path / "a.flo").write_bytes(data)
    with pytest.raises(UserError, match=match) as caught:
        read_flo(tmp_path / "a.flo")
    assert "\n" not in str(caught.value) and "a.flo" in str(caught.value)


def test_no_file_and_no_flow_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"gone\.flo: cannot read"):
        read_flo(tmp_path / "gone.flo")
    with pytest.raises(ValueError, match=r"needs \(2, H, W\)"):
        write_flo(tmp_path / "a.flo", np.zeros((3, 4, 4)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("height", "width"), [(4, 12), (8, 3), (2, 3), (4, 6)])
def test_vectors_grow_with_the_frame(height: int, width: int):
    flow = np.empty((2, 4, 6), np.float32)
    flow[0], flow[1] = 3, -2
    resized = resize_flow(flow, height, width)
    assert resized.shape == (2, height, width) and resized.dtype == np.float32
    np.testing.assert_allclose(resized[0], 3 * width / 6)
    np.testing.assert_allclose(resized[1], -2 * height / 4)


def test_the_unknown_stays_unknown_at_another_size():
    flow = np.zeros((2, 8, 8), np.float32)
    flow[:, 2:4, 2:4] = np.nan
    for size in ((4, 4), (16, 16)):
        resized = resize_flow(flow, *size)
        scale = size[0] / 8
        assert np.isnan(resized[:, int(2.5 * scale), int(2.5 * scale)]).all()
        assert np.isfinite(resized[:, -1]).all()


def test_a_folder_is_named_and_numbered_as_by_artistic_videos(tmp_path: Path):
    # Their first frame is 1.
    for name, value in [("forward_1_2", 1), ("backward_2_1", 2), ("forward_1_5", 3)]:
        write_flo(tmp_path / f"{name}.flo", np.full((2, 4, 6), value, np.float32))
    files = FlowFiles(folder=tmp_path, height=4, width=6)
    assert files(0, 1).max() == 1 and files(1, 0).max() == 2 and files(0, 4).max() == 3
    assert FlowFiles(folder=tmp_path, height=8, width=6)(0, 1)[:, 0, 0].tolist() == [1, 2]
    with pytest.raises(UserError, match=r"backward_5_1.flo: no such .* frame 4 to frame 0"):
        files(4, 0)
    from_zero = FlowFiles(folder=tmp_path, height=4, width=6, first_number=0)
    assert from_zero(1, 2).max() == 1
    with pytest.raises(UserError, match=r"forward_0_1.flo: .* taken to be number 0"):
        from_zero(0, 1)
