"""`arcadia stylize`, in this process, with the tests' Ray."""

import json
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from arcadia.cli import main
from arcadia.media import PictureSource, probe, write_image
from arcadia.runs import RunFolder
from pipelines.stylization.plan import read_style
from tests.pipelines.commands import Done, call_with

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture
def call(capsys, small_words: list[str]) -> Callable[..., Done]:
    """Runs the command with the small options and `--json`."""

    return lambda *words: call_with(capsys, "stylize", *words, *small_words)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("job")


@pytest.fixture(scope="module")
def words(folder: Path, make_film, style: Path, sound: Path) -> list[str]:
    """A film of two shots with sound, painted where the map is white."""
    film = make_film(folder / "film.mp4", 16, 15, audio_from=sound, stop=Fraction(31, 25))
    half = np.zeros((32, 48), np.uint8)
    half[:, 24:] = 255
    write_image(folder / "half.png", half)
    names = ["--output", "out.mp4", "--run-dir", "run", "--style-weight-map", "half.png"]
    places = [str(folder / n) if n[0] != "-" else n for n in names]
    workers = ["--num-workers", "2", "--num-cpus-per-worker", "1", "--crf", "20"]
    return [str(film), "--style", str(style), *places, *workers]


@pytest.fixture
def painted(folder: Path, words: list[str], call) -> Path:
    """Its run, painted once."""
    if not (folder / "out.mp4").exists():
        done = call(*words)
        assert done.code == 0, done.error
        (folder / "done.json").write_text(json.dumps(done._asdict()))
    return folder / "run"


def test_a_film_is_painted_with_its_rate_and_sound(painted: Path, folder: Path):
    done = Done(**json.loads((folder / "done.json").read_text()))
    result = done.result
    assert result["run"] == str(painted) and result["outputs"] == [str(folder / "out.mp4")]
    assert (result["frames"], result["frames_painted"], result["shots"]) == (31, 31, 2)
    assert result["problems"] == [] and result["warping_error_lai"] > 0
    assert result["seconds_per_frame"] > 0 and result["report"] == str(painted / "report.html")
    source, got = probe(folder / "film.mp4"), probe(folder / "out.mp4")
    assert (got.num_frames, got.fps, got.has_audio) == (31, source.fps, True)
    with av.open(str(folder / "film.mp4")) as a, av.open(str(folder / "out.mp4")) as b:
        sounds = [[bytes(p) for p in c.demux(audio=0) if p.size] for c in (a, b)]
    assert sounds[0] == sounds[1] and len(sounds[0]) > 50


def test_the_run_says_what_was_done(painted: Path):
    run = RunFolder.open(painted)
    assert (run.kind, run.status, run.seed) == ("stylize", "completed", 5)
    half = read_style(run.storage)[1]
    assert half is not None and half[:, :24].max() == 0 and half[:, 24:].min() == 1
    assert run.config["options"]["style_layers"] == ["relu1_1", "relu2_1"]
    assert run.info["command"][:2] == ["arcadia", "stylize"]
    html = (painted / "report.html").read_text()
    assert "film: source, style, result" in html and "completed" in html
    left = {name.split("/")[2] for name in run.storage.list("videos")}
    assert left == {"plan.json", "parts", "report", "written.json"}  # no frames, no flow


def test_what_is_told_on_the_way_is_few_plain_lines(painted: Path, folder: Path):
    done = Done(**json.loads((folder / "done.json").read_text()))
    told = done.out.splitlines()
    assert told[0].startswith("1 video, 31 frames in 2 shots, painted at 48 x 32 by 2 workers (CPU")
    assert told[1].startswith("About ")
    assert told[2:-1] == [
        f"Run: {painted}",
        f"Video: {folder}/out.mp4",
        f"Report: {painted}/report.html",
    ]
    lines = [line for line in done.error.splitlines() if "core_worker.cc" not in line]
    kinds = ("Reading film: ", "Painting: ", "Writing out.mp4: ")
    assert {k for k in kinds for line in lines if line.startswith(k)} == set(kinds)
    assert all(line.startswith(kinds) for line in lines)
    assert lines[-1].startswith("Writing out.mp4: 31/31 frames (100%)")


def test_the_same_words_do_not_replace_the_result(painted: Path, folder: Path, words, call):
    before = (folder / "out.mp4").read_bytes()
    done = call(*words)
    assert done.code == 2
    assert done.error == (
        f"arcadia: {folder}/out.mp4: exists; give another name, or --overwrite to replace it\n"
    )
    done = call(*words, "--overwrite")
    assert done.code == 0 and done.result["frames_painted"] == 0
    assert (folder / "out.mp4").read_bytes() == before
    assert "which goes on where it was" in done.out


def test_a_run_is_resumed_by_its_name(painted: Path, folder: Path, capsys, call):
    assert main(["stylize", "--resume", str(painted), "--overwrite", "--json"]) == 0
    assert Done(0, *capsys.readouterr()).result["frames_painted"] == 0  # of the same quality
    assert main(["stylize", "--resume", str(painted), "--overwrite", "--crf", "25"]) == 2
    assert "out.mp4: is not as this run wrote it, or is wanted with another --crf" in (
        capsys.readouterr().err
    )
    for words, name in (
        (["--iterations", "3"], "options"),
        (["--style", "x.png"], "style"),
        (["--preset", "fast"], "preset"),
        (["--seed", "6"], "seed"),
        (["--preview", "0:3"], "preview"),
    ):
        assert main(["stylize", "--resume", str(painted), *words]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"arcadia: {name}: the run {painted} was made with another")


def test_other_words_are_refused_in_the_same_folder(painted: Path, words, call):
    for more, what in (
        (["--style-weight", "3"], "style_weight"),
        (["--preview", "0:3"], "preview"),
    ):
        done = call(*words, *more, "--overwrite")
        assert done.code == 2
        assert f"{painted}: holds a run with other words ({what})" in done.error


def test_the_report_is_made_again(painted: Path, capsys):
    (painted / "report.html").unlink()
    assert main(["report", str(painted)]) == 0
    assert (painted / "report.html").exists()
    assert main(["evaluate", str(painted)]) == 2
    assert "painted videos have no policy" in capsys.readouterr().err


def test_a_changed_source_is_not_gone_on_with(painted: Path, folder: Path, words, call, capsys):
    film = folder / "film.mp4"
    stat = film.stat()
    try:
        os.utime(film, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))
        message = f"arcadia: {film}: was changed since the run {painted} began; start a new run"
        assert call(*words, "--overwrite").error.startswith(message)
        assert main(["stylize", "--resume", str(painted), "--overwrite"]) == 2
        assert capsys.readouterr().err.startswith(message)
    finally:
        os.utime(film, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.slow
def test_an_estimate_leaves_nothing_behind(tmp_path: Path, folder: Path, words, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call(words[0], *words[1:3], "--estimate", "--passes", "3")
    assert done.code == 0
    assert done.result["estimate"]["seconds"] > 0
    assert done.result["estimate"]["disk_bytes"] > 31 * 48 * 32
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_several_videos_of_which_one_is_none(
    tmp_path: Path, make_film, style: Path, call, monkeypatch
):
    """Films, pictures and what cannot be read, painted in parts, with the source's colours."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "films").mkdir()
    make_film(tmp_path / "films" / "a.mp4", 18)
    (tmp_path / "films" / "b.mp4").write_text("no video")
    whole = make_film(tmp_path / "whole.mp4", 14).read_bytes()
    (tmp_path / "films" / "c.mp4").write_bytes(whole[: int(len(whole) * 0.8)])
    for number in range(3):
        write_image(tmp_path / "pictures" / f"{number}.png", np.full((32, 48, 3), 99, np.uint8))
    words = [
        *("films", "pictures", "--style", style, "--output", "out", "--run-dir", "run"),
        *("--segment-frames", "9", "--run-in", "2", "--original-colors"),
        *("--num-workers", "2", "--num-cpus-per-worker", "1"),
    ]
    done = call(*words)
    assert done.code == 1
    last = done.error.splitlines()[-1]
    assert f"{tmp_path}/films/b.mp4: cannot be read as video" in last
    assert f"{tmp_path}/films/c.mp4: ends after" in last
    result = done.result
    assert len(result["problems"]) == 2
    names = [f"a-{style.stem}.mp4", f"c-{style.stem}.mp4", f"pictures-{style.stem}"]
    assert result["outputs"] == [str(tmp_path / "out" / name) for name in names]
    assert probe(tmp_path / "out" / names[0]).num_frames == 18
    assert 1 <= probe(tmp_path / "out" / names[1]).num_frames < 14
    pictures = [frame.image for frame in PictureSource(tmp_path / "out" / names[2]).frames()]
    assert len(pictures) == 3
    assert all(np.ptp(p.astype(int), axis=2).max() <= 1 for p in pictures)  # grey as the source
    run = RunFolder.open(tmp_path / "run")
    assert run.status == "failed"
    assert len(run.read_json("videos/a/report/seams.json")) == 1
    html = run.read_bytes("report.html").decode()
    assert "Approximate: long shots were cut" in html and "shots are cut at 1 place." in html


@pytest.mark.slow
def test_a_stretch_of_a_real_film_has_its_sound(tmp_path: Path, test_data: Path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    film = test_data / "videos" / "bigbuckbunny.mp4"
    style = test_data / "styles" / "great_wave.png"
    words = [film, "--style", style, "--preview", "2s:2.4s", "--size", "96"]
    done = call(*words, "--num-cpus-per-worker", "1")
    assert done.code == 0, done.error
    assert done.result["outputs"] == [str(tmp_path / "bigbuckbunny-great_wave-preview.mp4")]
    assert "Reading bigbuckbunny: 25/25 frames (100%)" in done.error  # 15 before the stretch
    source, got = probe(film), probe(done.result["outputs"][0])
    assert (got.num_frames, got.fps, got.width, got.has_audio) == (10, source.fps, 96, True)
    with av.open(done.result["outputs"][0]) as container:
        heard = sum(f.samples for f in container.decode(audio=0) if (f.pts or 0) >= 0)
    assert abs(heard / 48000 - 0.4) < 0.05
