from __future__ import annotations

import io
import math
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from arcadia.errors import UserError
from arcadia.runs import RunFolder
from arcadia.storage import Storage
from arcadia.telemetry import Telemetry, read_scalars
from tests.disks import fill


def make_run(target: Storage | Path) -> RunFolder:
    return RunFolder.create(target, kind="dqn", config={}, seed=None)


def attempt(run: RunFolder, points: dict[str, dict[int, float]], start: int | None = None) -> None:
    with Telemetry(run, start_step=start) as telemetry:
        for tag, values in points.items():
            for step, value in values.items():
                telemetry.scalars({tag: value}, step)


def points(run: RunFolder) -> dict[str, dict[int, float]]:
    return {
        tag: dict(zip(steps.tolist(), values.tolist(), strict=True))
        for tag, (steps, values) in read_scalars(run).items()
    }


def test_scalars_come_back_sorted_in_their_types(storage: Storage):
    run = make_run(storage)
    with Telemetry(run) as telemetry:
        for step in (3, 1, 2):
            telemetry.scalars({"train/loss": step / 2, "return": np.float32(step)}, step)
    steps, values = read_scalars(RunFolder.open(storage))["train/loss"]
    assert (steps.dtype, values.dtype) == (np.int64, np.float64)
    assert steps.tolist() == [1, 2, 3] and values.tolist() == [0.5, 1.0, 1.5]
    assert points(run)["return"] == {1: 1.0, 2: 2.0, 3: 3.0}


def test_every_point_is_kept(tmp_path: Path):
    run = make_run(tmp_path / "run")
    steps = np.arange(20_000) * 5_000_000
    attempt(run, {"x": {step: float(step % 97) for step in steps.tolist()}})
    np.testing.assert_array_equal(read_scalars(run)["x"][0], steps)


def test_none_and_nan_are_left_out(tmp_path: Path):
    run = make_run(tmp_path / "run")
    attempt(run, {"x": {1: math.nan, 2: 5.0}, "y": {1: None}, "z": {1: math.inf}})  # type: ignore[dict-item]
    assert points(run) == {"x": {2: 5.0}, "z": {1: math.inf}}


def test_a_run_without_events_has_no_scalars(storage: Storage):
    assert read_scalars(make_run(storage)) == {}


def test_a_later_attempt_wins_from_its_first_step_on(storage: Storage):
    run = make_run(storage)
    attempt(run, {"loss": {1: 1.0, 2: 2.0, 3: 3.0, 9: 9.0}, "only": {1: 1.0, 9: 1.0}})
    attempt(RunFolder.open(storage), {"loss": {3: 30.0, 4: 40.0}})
    attempt(RunFolder.open(storage), {"loss": {5: 50.0}})
    assert points(RunFolder.open(storage)) == {
        "loss": {1: 1.0, 2: 2.0, 3: 30.0, 4: 40.0, 5: 50.0},
        "only": {1: 1.0, 9: 1.0},
    }


def test_a_resumed_run_voids_everything_from_its_start_on(tmp_path: Path):
    run = make_run(tmp_path / "run")
    attempt(run, {"loss": {1: 1.0, 9: 9.0}, "only": {1: 1.0, 4: 4.0, 9: 1.0}})
    attempt(run, {"loss": {6: 60.0}}, start=4)
    assert points(run) == {"loss": {1: 1.0, 6: 60.0}, "only": {1: 1.0}}


def test_what_a_killed_writer_left_half_way_is_passed_over(tmp_path: Path):
    run = make_run(tmp_path / "run")
    attempt(run, {"x": dict.fromkeys(range(100), 1.0)})
    (events,) = (run.path / "tensorboard").iterdir()
    events.write_bytes(events.read_bytes()[:-7])
    assert list(points(run)["x"]) == list(range(99))


def test_a_flush_shows_the_points_to_others(storage: Storage):
    with Telemetry(make_run(storage)) as telemetry:
        telemetry.scalars({"x": 1.0}, 1)
        telemetry.flush()
        assert points(RunFolder.open(storage)) == {"x": {1: 1.0}}


def test_pictures_texts_and_videos_come_back(tmp_path: Path):
    run = make_run(tmp_path / "run")
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    frames = np.zeros((4, 16, 24, 3), np.uint8)
    frames[:, :, :12] = np.array([40, 90, 160, 250], np.uint8)[:, None, None, None]
    figure = Figure()
    figure.add_subplot().plot([1, 2])
    with Telemetry(run) as telemetry:
        telemetry.image("image", image, 1)
        telemetry.figure("figure", figure, 2)
        telemetry.video("video", frames, 3, fps=10)
        telemetry.text("text", "some *words*", 4)
    events = EventAccumulator(str(run.path / "tensorboard")).Reload()

    def picture(tag: str) -> Image.Image:
        (event,) = events.Images(tag)
        return Image.open(io.BytesIO(event.encoded_image_string))

    np.testing.assert_array_equal(np.asarray(picture("image")), image)
    assert picture("figure").size == (640, 480)
    video = picture("video")
    assert video.format == "GIF" and video.n_frames == 4  # type: ignore[attr-defined]
    for index, frame in enumerate(frames):
        video.seek(index)
        assert video.info["duration"] == 100
        np.testing.assert_allclose(np.asarray(video.convert("RGB")), frame, atol=4)
    (text,) = events.Tensors("text/text_summary")
    assert b"some *words*" in text.tensor_proto.string_val[0]


def test_a_long_video_keeps_its_length_with_fewer_frames(tmp_path: Path):
    run = make_run(tmp_path / "run")
    frames = np.arange(700, dtype=np.uint16).view(np.uint8).reshape(700, 2, 1, 1)
    frames = np.tile(frames, (1, 4, 8, 3))
    with Telemetry(run) as telemetry:
        telemetry.video("video", frames, 0, fps=50)
    events = EventAccumulator(str(run.path / "tensorboard")).Reload()
    video = Image.open(io.BytesIO(events.Images("video")[0].encoded_image_string))
    assert video.n_frames == 234  # type: ignore[attr-defined]
    assert video.info["duration"] == 60


@pytest.mark.slow
def test_ray_gauges_carry_the_values_until_they_are_closed():
    pytest.importorskip("ray")
    # A process of its own: the port of the metrics is set when Ray starts.
    code = """
import sys, tempfile, time, ray
from arcadia.errors import UserError
from arcadia.runs import RunFolder
from arcadia.telemetry import Telemetry
run = RunFolder.create(tempfile.mkdtemp() + "/my-run", kind="dqn", config={}, seed=1)
with Telemetry(run, ray_metrics=True) as telemetry:
    telemetry.scalars({"before/init": 1.0}, 0)
    ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False,
             _metrics_export_port=0)
    port = ray.nodes()[0]["MetricsExportPort"]
    telemetry.scalars({"train/loss-mean": 0.25, "skipped": None}, 1)
    print(port, flush=True)
    sys.stdin.readline()
sys.stdin.readline()
"""
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "RAY_metrics_report_interval_ms": "1000",
    }
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None and child.stdout is not None
    try:
        port = int(child.stdout.readline().split()[-1])
        (line,) = lines_once(port, True)
        assert re.search(r'run="[^"/]+/my-run"', line) and 'kind="dqn"' in line
        assert line.endswith(" 0.25")
        text = "\n".join(scraped(port))
        assert "arcadia_before_init" not in text and "arcadia_skipped" not in text
        time.sleep(6)  # Ray drops what was told once after two seconds
        assert lines_once(port, True) == [line]
        child.stdin.write("\n")
        child.stdin.flush()
        assert lines_once(port, False) == []
    finally:
        child.communicate("\n", timeout=30)


def scraped(port: int) -> list[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return answer.read().decode().splitlines()


def lines_once(port: int, there: bool) -> list[str]:
    """The gauge's lines once there are some, or none any more."""
    deadline = time.monotonic() + 20
    while True:
        time.sleep(0.3)
        own = [line for line in scraped(port) if line.startswith("ray_arcadia_train_loss_mean{")]
        if bool(own) == there or time.monotonic() > deadline:
            return own


def test_a_full_disk_is_one_line_that_names_the_folder(make_disk, capsys):
    disk = make_disk("256k")
    run = make_run(disk / "run")
    telemetry = Telemetry(run)
    telemetry.scalars({"x": 1.0}, 1)
    telemetry.flush()
    ballast = fill(disk)
    full = r"run/tensorboard: cannot write: No space left on device; free some space there"
    with pytest.raises(UserError, match=full):
        for step in range(2, 10_000):
            telemetry.scalars({"x": 1.0}, step)
    for write in (telemetry.flush, telemetry.close):
        with pytest.raises(UserError, match=full):
            write()
    assert "Traceback" not in capsys.readouterr().err
    # What was flushed is there, and whoever goes on goes on.
    ballast.unlink()
    with Telemetry(run, start_step=2) as telemetry:
        telemetry.scalars({"x": 2.0}, 2)
    assert points(run)["x"] == {1: 1.0, 2: 2.0}
