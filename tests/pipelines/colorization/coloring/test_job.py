"""`arcadia colorize`, in this process, with the tests' Ray."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from arcadia.cli import main
from arcadia.media import image_bytes, probe, read_image, write_image
from arcadia.runs import RunFolder
from pipelines.colorization.files import save_colorizer
from pipelines.colorization.networks import Colorizer
from tests.pipelines.commands import Done, call_with

from .conftest import make_network

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture
def call(capsys) -> Callable[..., Done]:
    """Runs the command with `--json`."""

    return lambda *words: call_with(capsys, "colorize", *words)


@pytest.fixture(scope="module")
def place(tmp_path_factory, make_film, photo, network: Colorizer) -> Path:
    """A folder of 20 photographs and a film, and a training run."""
    folder = tmp_path_factory.mktemp("job")
    rng = np.random.default_rng(0)
    for number in range(20):
        image = np.clip(photo.astype(int) + rng.integers(-20, 20, 3), 0, 255).astype(np.uint8)
        path = folder / "in" / f"{number % 3}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image_bytes(image, ".jpg"))
    make_film(folder / "in" / "film.mp4", 16, 15)
    run = RunFolder.create(folder / "trained", kind="colorizer", config={}, seed=1)
    (folder / "checkpoint").mkdir()
    save_colorizer(network, folder / "checkpoint" / "colorizer.safetensors")
    run.publish_checkpoint(folder / "checkpoint", 100)
    return folder


@pytest.fixture(scope="module")
def words(place: Path) -> list[str]:
    names = ["--run", "trained", "--output", "out", "--run-dir", "run"]
    workers = ["--num-workers", "2", "--num-cpus-per-worker", "1"]
    places = [str(place / n) if n[0] != "-" else n for n in names]
    return [str(place / "in"), *places, *workers]


@pytest.fixture
def colored(place: Path, words, call) -> Path:
    """Its run, done once."""
    if not (place / "done.json").exists():
        done = call(*words)
        assert done.code == 0, done.error
        (place / "done.json").write_text(json.dumps(done._asdict()))
    return place / "run"


def test_a_folder_of_photographs_and_films_is_coloured(colored: Path, place: Path, network):
    done = Done(**json.loads((place / "done.json").read_text()))
    result = done.result
    assert (result["images"], result["films"], result["frames"]) == (20, 1, 31)
    assert result["colored"] == 51 and result["images_per_s"] > 0 and result["problems"] == []
    names = [f"{n % 3}/{n}-color.jpg" for n in range(20)] + ["film-color.mp4"]
    assert set(result["outputs"]) == {str(place / "out" / name) for name in names}
    assert probe(place / "out" / "film-color.mp4").num_frames == 31
    before, after = read_image(place / "in/1/4.jpg"), read_image(place / "out/1/4-color.jpg")
    assert before.shape == after.shape and np.abs(before.astype(int) - after).max() > 20


def test_the_run_says_what_was_done(colored: Path, place: Path, words):
    run = RunFolder.open(colored)
    assert (run.kind, run.status) == ("colorize", "completed")
    assert run.config["run"] == str(place / "trained") and run.config["checkpoint"] == "100"
    assert run.info["command"][:2] == ["arcadia", "colorize"]
    assert len(run.storage.list("report/pictures")) == 12
    html = run.read_bytes("report.html").decode()
    assert html.count("data:image/jpeg") == 12 and html.count("data:video/mp4") == 1
    told = Done(**json.loads((place / "done.json").read_text())).out.splitlines()
    assert told[:-1] == [
        f"Run: {colored}",
        f"Coloured: 21 files in {place}/out",
        f"Report: {colored}/report.html",
    ]


def test_what_is_done_is_not_done_again(colored: Path, place: Path, words, call):
    done = call(*words)
    assert done.code == 2 and "exists; give another name, or --overwrite" in done.error
    stamps = {path: path.stat().st_mtime_ns for path in (place / "out").rglob("*.*")}
    assert len(stamps) == 21
    done = call(*words, "--overwrite")
    assert done.code == 0 and done.result["colored"] == 0 and len(done.result["outputs"]) == 21
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    lost, changed = place / "out/2/5-color.jpg", place / "out/0/0-color.jpg"
    lost.unlink()
    changed.write_bytes(b"somebody's own")
    done = call("--resume", colored, "--overwrite")
    assert done.code == 0 and done.result["colored"] == 2
    again = {path: path.stat().st_mtime_ns for path in stamps}
    assert {path for path in stamps if again[path] != stamps[path]} == {lost, changed}
    assert read_image(changed).shape == (30, 41, 3)


def test_other_words_are_refused_in_the_same_run(colored: Path, words, call, place: Path):
    done = call(*words, "--size", "16", "--overwrite")
    assert done.code == 2
    assert f"{colored}: holds a run with other words (size)" in done.error
    done = call("--resume", colored, "--smoothing", "0.5")
    assert done.code == 2 and "smoothing 0.5: the run" in done.error


def test_the_report_is_made_again(colored: Path, capsys):
    (colored / "report.html").unlink()
    assert main(["report", str(colored)]) == 0
    assert (colored / "report.html").exists()
    for command in ("evaluate", "watch", "export"):
        words = [command, str(colored)]
        assert main(words) == 2
        assert "Traceback" not in capsys.readouterr().err


def test_damaged_files_are_named_and_the_rest_is_done(tmp_path: Path, photo, weights, call):
    for name in ("a.png", "c.png"):
        write_image(tmp_path / "in" / name, photo)
    (tmp_path / "in" / "b.png").write_bytes(image_bytes(photo, ".png")[:100])
    (tmp_path / "in" / "film.mp4").write_text("no film")
    words = [tmp_path / "in", "--weights", weights, "--output", tmp_path / "out"]
    words += ["--run-dir", tmp_path / "run", "--num-workers", "1", "--num-cpus-per-worker", "1"]
    done = call(*words)
    assert done.code == 1
    last = done.error.splitlines()[-1]
    assert f"{tmp_path}/in/b.png: cannot read the picture" in last
    assert f"{tmp_path}/in/film.mp4: cannot be read as video" in last
    assert len(done.result["problems"]) == 2 and done.result["images"] == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("a-color.png", "c-color.png"),
    ]
    run = RunFolder.open(tmp_path / "run")
    assert run.status == "failed" and "Problems" in run.read_bytes("report.html").decode()
    done = call(*words)  # the results are its own
    assert done.code == 1 and done.result["colored"] == 0 and done.result["images"] == 2


@pytest.mark.slow
def test_another_picture_lends_its_style(tmp_path: Path, photo, weights, call):
    write_image(tmp_path / "a.png", photo)
    write_image(
        tmp_path / "style.png", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    )
    words = [tmp_path / "a.png", "--weights", weights, "--num-cpus-per-worker", "1"]
    for name, more in (("own", []), ("lent", ["--style-from", tmp_path / "style.png"])):
        output = ["--output", tmp_path / f"{name}.png", "--run-dir", tmp_path / name]
        done = call(*words, *output, *more)
        assert done.code == 0, done.error
        assert done.result["outputs"] == [str(tmp_path / f"{name}.png")]
    own, lent = read_image(tmp_path / "own.png"), read_image(tmp_path / "lent.png")
    assert np.abs(own.astype(int) - lent).max() > 5


@pytest.mark.slow
def test_results_of_addresses_go_to_addresses(tmp_path: Path, photo, make_film, weights, call):
    write_image(tmp_path / "in" / "a.png", photo)
    make_film(tmp_path / "in" / "film.mp4", 3)
    words = [f"file://{tmp_path}/in", "--weights", weights, "--output", f"file://{tmp_path}/out"]
    done = call(*words, "--run-dir", tmp_path / "run", "--num-cpus-per-worker", "1")
    assert done.code == 0, done.error
    assert read_image(tmp_path / "out" / "a-color.png").shape == photo.shape
    assert probe(tmp_path / "out" / "film-color.mp4").num_frames == 3


@pytest.fixture
def stand(tmp_path: Path, photo, make_film, weights, monkeypatch) -> Path:
    """A folder to stand in, with what can be mistaken."""
    monkeypatch.chdir(tmp_path)
    write_image("a.png", photo)
    write_image("there-color.png", photo)
    write_image("there.png", photo)
    (tmp_path / "w.safetensors").write_bytes(weights.read_bytes())
    (tmp_path / "cut.safetensors").write_bytes(weights.read_bytes()[:500])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "text.mp4").write_text("no film")
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    save_colorizer(make_network(global_features=False), "plain.safetensors")
    RunFolder.create("other", kind="dqn", config={}, seed=1)
    RunFolder.create("young", kind="colorizer", config={}, seed=1)
    return tmp_path


W = ["--weights", "w.safetensors"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (W, "INPUT: give at least one picture"),
        (["a.png"], "run: give --run with a run of arcadia train colorizer, or --weights"),
        (["a.png", *W, "--run", "young"], "not both"),
        (["a.png", "--run", "nowhere"], "nowhere: no such folder"),
        (["a.png", "--run", "other"], "other: a run of the kind 'dqn'; give one of arcadia train"),
        (["a.png", "--run", "young"], "young: has no checkpoint yet"),
        (["a.png", "--weights", "none.safetensors"], "none.safetensors"),
        (["a.png", "--weights", "a.png"], "a.png: cannot be read as safetensors"),
        (["a.png", "--weights", "cut.safetensors"], "cut.safetensors: cannot be read as"),
        (["text.jpg", *W], "text.jpg: is not a picture that can be read"),
        (["text.mp4", *W], "text.mp4: cannot be read as video"),
        (["b.png", *W], 'b.png: no such file or folder; did you mean "a.png"?'),
        (["there.png", *W], "there-color.png: exists; give another name, or --overwrite"),
        (["a.png", *W, "--output", "a.png", "--overwrite"], "would write over the input"),
        (["a.png", *W, "--output", "link.png", "--overwrite"], "would write over the input"),
        (["a.png", *W, "--style-from", "text.jpg"], "text.jpg: is not a picture"),
        (
            ["a.png", "--weights", "plain.safetensors", "--style-from", "there.png"],
            "style_from there.png: the network plain.safetensors was trained without global",
        ),
        (
            ["a.png", *W, "--style-from", "there.png", "--output", "there.png", "--overwrite"],
            "would write over the input",
        ),
        (["a.png", *W, "--smoothing", "1"], "smoothing 1.0: must be from 0 to 0.99"),
        (["a.png", *W, "--crf", "60"], "crf 60: must be from 0 to 51"),
        (["a.png", *W, "--num-cpus-per-worker", "64"], "no machine has more than 4 CPUs"),
        (["a.png", *W, "--stile-from", "x"], 'no such option; did you mean "--style-from"?'),
        (["a.png", *W, "--resume", "other"], "a run of the kind 'dqn', no colouring"),
        (["a.png", *W, "--run-dir", "other"], "already holds a run"),
        (["a.png", *W, "--user-study", "."], "INPUT a.png: the pictures of a user study are"),
        ([*W, "--user-study", ".", "--output", "x.png"], "give a name in .html"),
        ([*W, "--user-study", "none"], "none: no such file or folder"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_everything_as_it_was(
    stand: Path, words: list[str], complaint: str, capsys
):
    def contents() -> dict[str, bytes]:
        return {str(f): f.read_bytes() for f in sorted(stand.rglob("*")) if f.is_file()}

    before = contents()
    code = main(["colorize", *words])
    error = capsys.readouterr().err.splitlines()
    assert code == 2, error
    assert len(error) == 1 and error[0].startswith("arcadia: ") and complaint in error[0]
    assert len(error[0]) < 400
    assert contents() == before and not os.path.exists("runs")


@pytest.mark.slow
def test_a_full_disk_is_told_and_what_is_finished_is_kept(
    tmp_path: Path, weights: Path, make_disk, call
):
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for number in range(12):  # about 100 kB each, also in colour
        image = rng.integers(0, 256, (180, 180, 3), np.uint8)
        write_image(tmp_path / "in" / f"{number}.png", image)
    disk = make_disk("600k")
    words = [tmp_path / "in", "--weights", weights, "--output", disk / "out"]
    words += ["--run-dir", disk / "run", "--num-workers", "2", "--num-cpus-per-worker", "1"]
    done = call(*words)
    assert done.code == 1, done.error
    assert "No space left on device; free some space there" in done.error.splitlines()[-1]
    assert "Traceback" not in done.error
    before = {path: path.stat().st_mtime_ns for path in (disk / "out").glob("[!.]*")}
    assert 0 < len(before) < 12
    for path in before:
        assert read_image(path).shape == (180, 180, 3)  # each is whole
    subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
    done = call(*words)
    assert done.code == 0, done.error
    assert done.result["images"] == 12 and done.result["problems"] == []
    assert len(list((disk / "out").iterdir())) == 12
