"""What a person gets wrong, and what happens to a job from outside."""

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from arcadia.cli import main
from arcadia.media import VideoWriter, probe, write_image
from arcadia.runs import RunFolder

ROOT = Path(__file__).parents[3]


@pytest.fixture
def place(tmp_path: Path, make_film, style: Path, monkeypatch) -> Path:
    """A folder to stand in, with a film and what can be mistaken for one."""
    monkeypatch.chdir(tmp_path)
    film = make_film(tmp_path / "film.mp4", 4)
    shutil.copyfile(style, tmp_path / "style.png")
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "head.mp4").write_bytes(film.read_bytes()[:200])
    (tmp_path / "link.mp4").symlink_to(film)
    (tmp_path / "folder").mkdir()
    (tmp_path / "there.mp4").write_bytes(b"before")
    (tmp_path / "cut.png").write_bytes((tmp_path / "style.png").read_bytes()[:60])
    with VideoWriter(tmp_path / "tiny.mp4", 25) as video:
        video.write(np.zeros((10, 40, 3), np.uint8))
    with av.open(str(tmp_path / "tone.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        heard = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.int16), "s16", "stereo")
        heard.sample_rate = 48000
        container.mux([*stream.encode(heard), *stream.encode(None)])
    write_image(tmp_path / "mixed" / "0.png", np.zeros((32, 32, 3), np.uint8))
    write_image(tmp_path / "mixed" / "1.png", np.zeros((32, 40, 3), np.uint8))
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


FILM = ["film.mp4", "--style", "style.png"]


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "VIDEO: give at least one video"),
        (["film.mp4"], "style: give --style with a picture"),
        (["flim.mp4", *FILM[1:]], 'flim.mp4: no such file or folder; did you mean "film.mp4"?'),
        (["text.mp4", *FILM[1:]], "text.mp4: cannot be read as video"),
        (["style.png", *FILM[1:]], "style.png: is a picture; give a video"),
        (["empty.mp4", *FILM[1:]], "empty.mp4: cannot be read as video"),
        (["head.mp4", *FILM[1:]], "head.mp4: holds no video stream"),
        (["tone.mp4", *FILM[1:]], "tone.mp4: holds no video stream"),
        (["tiny.mp4", *FILM[1:]], "at 40 x 10 pixels, and the network needs at least 16"),
        (["mixed", *FILM[1:]], "1.png: is 40x32, but 0.png is 32x32"),
        (["folder", *FILM[1:]], "folder: holds no video and no picture"),
        (["none/%d.png", *FILM[1:]], "none/%d.png: no file has such a name"),
        (["film.mp4", "--style", "nostyle.png"], "nostyle.png: no such file"),
        (["film.mp4", "--style", "text.mp4"], "text.mp4: is not a picture"),
        (["film.mp4", "--style", "cut.png"], "cut.png: cannot read the picture"),
        (["film.mp4", "--style", "folder"], "folder: cannot read the picture: Is a directory"),
        ([*FILM, "--style-weight-map", "text.mp4"], "text.mp4: is not a picture"),
        ([*FILM, "--style-weight-map", "none.png"], "none.png: no such file"),
        ([*FILM, "--output", "there.mp4"], "there.mp4: exists; give another name, or --overwrite"),
        ([*FILM, "--output", "film.mp4", "--overwrite"], "would write over the input"),
        ([*FILM, "--output", "link.mp4", "--overwrite"], "would write over the input"),
        (["link.mp4", *FILM[1:], "--output", "film.mp4", "--overwrite"], "over the input"),
        ([*FILM, "--output", "style.png", "--overwrite"], 'no video is written as ".png"'),
        ([*FILM, "--output", "out.avi"], 'no video is written as ".avi"; use .mp4'),
        ([*FILM, "--output", "text.mp4/out.mp4"], "cannot write: Not a directory"),
        (["film.mp4", "link.mp4", *FILM[1:], "--output", "out.mp4"], "it must be a folder"),
        ([*FILM, "--preview", "nonsense"], 'preview "nonsense": want START:STOP'),
        ([*FILM, "--preview", "4:8"], "film.mp4 has 4 frames"),
        ([*FILM, "--preset", "fats"], 'preset "fats": nothing of that name; did you mean "fast"?'),
        ([*FILM, "--styel", "x"], '--styel: no such option; did you mean "--style"?'),
        ([*FILM, "--style-layers", "relu9_1"], 'style_layers "relu9_1": vgg16 has relu1_1'),
        ([*FILM, "--weights", "none.safetensors"], "none.safetensors"),
        ([*FILM, "--weights", "text.mp4"], "text.mp4"),
        ([*FILM, "--crf", "60"], "crf 60: must be from 0 to 51"),
        ([*FILM, "--num-workers", "0"], "num_workers 0: must be from 1"),
        ([*FILM, "--num-cpus-per-worker", "64"], "no machine has more than 4 CPUs"),
        ([*FILM, "--num-gpus-per-worker", "64"], "num_gpus_per_worker 64: the cluster has"),
        ([*FILM, "--flow", "files", "--flow-dir", "none"], "none: no such folder"),
        ([*FILM, "--resume", "nowhere"], "nowhere: no such folder"),
        ([*FILM, "--run-dir", "."], "holds a style.png and no run; choose an empty folder"),
        ([*FILM, "--run-dir", "text.mp4"], "text.mp4"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_everything_as_it_was(
    place: Path, words: Sequence[str], complaint: str, capsys
):
    before = contents(place)
    # Should one not be refused, it is at least soon over.
    code = main(["stylize", *words, "--iterations", "1", "--iterations-first", "1"])
    error = [
        line
        for line in capsys.readouterr().err.splitlines()
        if not line.startswith(("Reading", "Painting"))
    ]
    assert code == 2, error
    assert len(error) == 1 and error[0].startswith("arcadia: ") and complaint in error[0]
    assert len(error[0]) < 400 and "Traceback" not in error[0]
    assert contents(place) == before
    assert not (place / "runs").exists()


def test_a_run_of_another_kind_is_left_alone(place: Path, capsys):
    RunFolder.create("other", kind="dqn", config={}, seed=1)
    before = contents(place)
    assert main(["stylize", *FILM, "--run-dir", "other"]) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert main(["stylize", "--resume", "other"]) == 2
    assert "a run of the kind 'dqn', no stylization" in capsys.readouterr().err
    assert contents(place) == before


def test_sound_that_mp4_cannot_hold_is_told_before_the_work(place: Path, capsys):
    with av.open("film.mkv", "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width = video.height = 32
        stream = container.add_stream("wavpack", rate=48000)
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
        picture.pts, picture.time_base = 0, Fraction(1, 25)
        heard = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.int16), "s16", "stereo")
        heard.sample_rate = 48000
        container.mux([*video.encode(picture), *video.encode(None)])
        container.mux([*stream.encode(heard), *stream.encode(None)])
    assert main(["stylize", "film.mkv", *FILM[1:]]) == 2
    error = capsys.readouterr().err
    assert "cannot hold the wavpack audio" in error and "write a .mkv file" in error


def test_a_place_that_may_not_be_written_is_told_before_the_work(place: Path, make_disk, capsys):
    disk = make_disk("64k")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert main(["stylize", *FILM, "--output", str(disk / "new" / "out.mp4")]) == 2
    error = capsys.readouterr().err
    assert f"{disk}/new/out.mp4: cannot write: Permission denied" in error


@pytest.mark.usefixtures("ray_session")
def test_a_disk_that_is_too_small_for_the_run_is_told_before_the_work(place, make_disk, capsys):
    disk = make_disk("64k")
    assert main(["stylize", *FILM, "--run-dir", str(disk / "run")]) == 2
    assert re.search(r"run: has .* free, and about .* are needed", capsys.readouterr().err)
    assert os.listdir(disk) == []


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_a_disk_that_fills_up_stops_the_job_and_nothing_is_lost(
    tmp_path: Path, make_film, style: Path, small_words, make_disk, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    make_film(tmp_path / "film.mp4", 20)
    disk = make_disk("600k")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)  # others fill it later
    words = ["stylize", *FILM, "--run-dir", str(disk / "run"), *small_words, "--json"]
    words[3] = str(style)
    assert main(words) == 1
    done = capsys.readouterr()
    assert "cannot write: No space left on device" in done.err.splitlines()[-1]
    assert not (tmp_path / f"film-{style.stem}.mp4").exists()
    painted = json.loads(done.out.splitlines()[-1])["frames_painted"]
    assert 2 < painted < 20
    subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["frames_painted"] == 20 - painted


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_a_result_that_finds_no_room_can_be_written_later(
    tmp_path: Path, make_film, style: Path, small_words, make_disk, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    make_film(tmp_path / "film.mp4", 4)
    disk = make_disk("8k")
    words = ["stylize", "film.mp4", "--style", str(style), "--output", str(disk / "out.mp4")]
    words += ["--size", "96", "--crf", "0", *small_words, "--json"]
    assert main(words) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "out.mp4: cannot write: No space left on device" in last
    assert "its painted frames are kept in the run" in last
    assert os.listdir(disk) == []
    subprocess.run(["mount", "-o", "remount,size=2m", str(disk)], check=True)
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["frames_painted"] == 0
    assert probe(disk / "out.mp4").num_frames == 4


class Job:
    """The command as a process of its own, with a Ray of its own."""

    def __init__(self, folder: Path, words: Sequence[str]):
        self._folder = folder
        self._mark = secrets.token_hex(8)
        self._log = folder / f"log-{self._mark}"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        paths = os.pathsep.join([str(ROOT), str(ROOT / "platform")])
        with open(f"{self._log}.out", "w") as out, open(f"{self._log}.err", "w") as error:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "arcadia", "stylize", *words],
                cwd=folder,
                env=environment | {"PYTHONPATH": paths, "ARCADIA_TEST_MARK": self._mark},
                stdout=out,
                stderr=error,
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        return Path(f"{self._log}.out").read_text()

    @property
    def error(self) -> str:
        return Path(f"{self._log}.err").read_text()

    def wait(self) -> int:
        return self.process.wait(240)

    def wait_for_frames(self, count: int) -> None:
        for _ in range(4000):
            assert self.process.poll() is None, self.error
            if num_done(self._folder / "run") >= count:
                return
            time.sleep(0.05)
        raise TimeoutError(self.error)

    def painters(self) -> list[int]:
        """The painters' process numbers."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                name, mark = (entry / "cmdline").read_bytes(), self._mark.encode()
                if b"Painter" in name and mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
        return found


def num_done(run: Path) -> int:
    manifests = run.glob("videos/film/parts/*.json")
    return sum(len(json.loads(manifest.read_bytes())["frames"]) for manifest in manifests)


@pytest.fixture(scope="module")
def straight(tmp_path_factory, make_film, style: Path, small_words) -> dict[str, Any]:
    """A job that nothing happened to, in a process of its own."""
    folder = tmp_path_factory.mktemp("straight")
    make_film(folder / "film.mp4", 16, 15)
    words = ["film.mp4", "--style", str(style), "--output", "out.mp4", "--run-dir", "run"]
    words += [*small_words, "--iterations", "40", "--num-workers", "2", "--json", "--keep-frames"]
    job = Job(folder, words)
    assert job.wait() == 0, job.error
    frames = {f.name: f.read_bytes() for f in (folder / "run/videos/film/frames").iterdir()}
    return {"folder": folder, "words": words, "job": job, "frames": frames}


@pytest.fixture
def again(tmp_path: Path, straight) -> Callable[[], Job]:
    """Starts the same job in another folder."""
    shutil.copy2(straight["folder"] / "film.mp4", tmp_path)
    return lambda: Job(tmp_path, straight["words"])


def check_same(folder: Path, straight: dict[str, Any]) -> None:
    assert (folder / "out.mp4").read_bytes() == (straight["folder"] / "out.mp4").read_bytes()
    frames = {f.name: f.read_bytes() for f in (folder / "run/videos/film/frames").iterdir()}
    assert frames == straight["frames"] and len(frames) == 31


@pytest.mark.slow
def test_as_a_process_the_last_line_is_the_result_and_the_rest_is_plain(straight):
    job = straight["job"]
    result = json.loads(job.out.splitlines()[-1])
    assert (result["frames"], result["frames_painted"], result["problems"]) == (31, 31, [])
    kinds = ("Reading film: ", "Painting: ", "Writing ")
    others = [line for line in job.error.splitlines() if not line.startswith(kinds)]
    assert [line for line in others if "core_worker.cc" not in line] == []


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGINT", "SIGINT to all", "SIGTERM"])
def test_a_job_that_was_asked_to_stop_goes_on_with_the_same_words(tmp_path, straight, again, how):
    job = again()
    job.wait_for_frames(5)
    number = getattr(signal, how.split()[0])
    # A terminal sends Ctrl-C to all that the command has started.
    (os.killpg if how.endswith("all") else os.kill)(job.process.pid, number)
    assert job.wait() == 1
    assert "Stopped; the same words or --resume" in job.out
    last = job.error.splitlines()[-1]
    assert last == "arcadia: stopped before all was painted; what is finished is kept"
    assert "Traceback" not in job.error
    done = num_done(tmp_path / "run")
    assert 5 <= done < 31 and RunFolder.open(tmp_path / "run").status == "stopped"
    assert json.loads(job.out.splitlines()[-1])["frames_painted"] == done
    job = again()
    assert job.wait() == 0, job.error
    assert json.loads(job.out.splitlines()[-1])["frames_painted"] == 31 - done
    check_same(tmp_path, straight)


@pytest.mark.slow
def test_a_job_that_was_killed_goes_on_with_the_same_words(tmp_path, straight, again):
    job = again()
    job.wait_for_frames(5)
    job.process.kill()
    job.wait()
    done = num_done(tmp_path / "run")
    job = again()  # at once, while what is left of the first may still be there
    assert job.wait() == 0, job.error
    assert 0 < json.loads(job.out.splitlines()[-1])["frames_painted"] <= 31 - done
    check_same(tmp_path, straight)


@pytest.mark.slow
def test_a_painter_that_is_killed_is_replaced_and_its_shot_goes_on(tmp_path, straight, again):
    job = again()
    job.wait_for_frames(8)
    frames = tmp_path / "run/videos/film/frames"
    manifests = [json.loads(m.read_bytes()) for m in (tmp_path / "run/videos/film/parts").iterdir()]
    finished = [f"{record['frame']:08d}.png" for m in manifests for record in m["frames"]]
    before = {name: (frames / name).stat().st_mtime_ns for name in finished}
    painters = job.painters()
    assert len(painters) == 2
    for painter in painters:
        os.kill(painter, signal.SIGKILL)
    assert job.wait() == 0, job.error
    after = {name: (frames / name).stat().st_mtime_ns for name in finished}
    assert after == before and len(before) >= 8  # nothing that was finished is painted twice
    check_same(tmp_path, straight)
