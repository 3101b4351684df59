"""`arcadia places prepare`, in this process, with the tests' Ray."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from arcadia.cli import main
from pipelines.places import PreparedData
from tests.pipelines.commands import Done, call_with
from tests.pipelines.pictures import colorful, decoded, encoded

ROOT = Path(__file__).parents[3]
SMALL = ["--size", "32", "--shard-images", "8", "--row-group-images", "4"]


@pytest.fixture
def call(capsys) -> Callable[..., Done]:
    """Runs the command with small options and `--json`."""

    return lambda *words: call_with(capsys, "places", "prepare", *SMALL, *words)


@pytest.fixture
def root(make_tree) -> Path:
    """Two classes, and what else is found among pictures."""
    names = [f"{'abbey' if i % 3 else 'zoo'}/{i:02d}.jpg" for i in range(24)]
    good = {name: encoded(colorful(seed=i)) for i, name in enumerate(names)}
    cmyk = Image.fromarray(colorful()).convert("CMYK")
    return make_tree(
        good
        | {
            "abbey/cmyk.jpg": encoded(cmyk),
            "abbey/called.jpg": encoded(colorful(), "PNG"),
            "abbey/cut.jpg": encoded(colorful())[:-40],
            "abbey/empty.jpg": b"",
            "abbey/text.jpg": b"hello",
            "abbey/tiny.jpg": encoded(colorful(8, 8)),
            "abbey/grey.jpg": encoded(np.full((64, 64), 90, np.uint8)),
            "abbey/notes.txt": b"hello",
        }
    )


def rejected(out: Path) -> dict[str, str]:
    with open(out / "rejected.csv", newline="") as file:
        return {row["name"]: row["reason"] for row in csv.DictReader(file)}


@pytest.mark.usefixtures("ray_session")
def test_a_folder_becomes_a_data_set(root: Path, tmp_path: Path, call):
    out = tmp_path / "out"
    done = call(root, out)
    assert done.code == 0, done.error
    result = done.result
    data = PreparedData.open(str(out))
    assert result == {
        "out": str(out),
        "images": 26,
        "classes": 2,
        "rejected": 4,
        "filtered": 1,
        "ignored": 1,
        "shards": 4,
        "hash": data.hash,
        "seconds": result["seconds"],
    }
    assert [(c.id, c.name, c.count) for c in data.classes] == [(0, "abbey", 18), (1, "zoo", 8)]
    rows = [row for group in data.row_groups() for row in data.read(group).to_pylist()]
    assert len({row["name"] for row in rows}) == 26 == data.num_images
    for row in rows:
        assert row["name"].startswith(data.classes[row["label"]].name + "/")
        assert decoded(row["image"]).shape == (32, 32, 3)
    assert rejected(out) == {
        "abbey/cut.jpg": "damaged",
        "abbey/empty.jpg": "empty file",
        "abbey/text.jpg": "not a picture",
        "abbey/tiny.jpg": "too small",
        "abbey/grey.jpg": "little colour",
    }
    assert data.manifest["filtered"] == 1
    assert sum(data.manifest["rejected"].values()) == 4
    assert "work" not in os.listdir(out)
    again = call(root, out)
    assert again.code == 0 and "is prepared already" in again.out
    assert again.result | {"seconds": 0} == result | {"seconds": 0}
    other = call(root, out, "--quality", "50", "--seed", "1")
    assert other.code == 2
    assert (
        f"{out}: was prepared with other words (seed, quality); choose another OUT" in other.error
    )


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_a_stopped_job_goes_on_and_ends_with_the_same_data(make_tree, tmp_path: Path, call):
    root = make_tree({f"a/{i:03d}.png": encoded(colorful(900, 900, i), "PNG") for i in range(64)})
    whole, out = tmp_path / "whole", tmp_path / "out"
    expected = call(root, whole).result

    def stop_after_a_part() -> None:
        while not list(out.glob("parts/*.json")):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    stopper = threading.Thread(target=stop_after_a_part, daemon=True)
    stopper.start()
    stopped = call(root, out)
    stopper.join(10)
    assert stopped.code == 1, stopped.error
    assert "stopped before all was prepared; the same words go on" in stopped.error
    done = len(list(out.glob("parts/*.json")))
    assert 0 < done < 8 and not (out / "manifest.json").exists()
    before = {path: path.stat().st_mtime_ns for path in out.glob("shards/*.parquet")}
    other = call(root, out, "--seed", "3")
    assert other.code == 2 and "was prepared with other words (seed)" in other.error
    resumed = call(root, out)
    assert resumed.code == 0 and "are done: it goes on" in resumed.out
    assert resumed.result["hash"] == expected["hash"]
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())
    for file in ("rejected.csv", "shards/00003.parquet"):
        assert (out / file).read_bytes() == (whole / file).read_bytes()


@pytest.mark.usefixtures("ray_session")
def test_too_many_rejects_end_the_job_and_a_larger_limit_goes_on(root: Path, tmp_path: Path, call):
    out = tmp_path / "out"
    done = call(root, out, "--max-rejected-fraction", "0.1")
    assert done.code == 2
    assert f"{root}: 4 of 31 images were rejected (" in done.error.splitlines()[-1]
    assert "more than max_rejected_fraction 0.1; give a larger one" in done.error
    assert len(rejected(out)) == 5
    assert not PreparedData.is_at(str(out))
    done = call(root, out, "--max-rejected-fraction", "0.2")
    assert done.code == 0 and "4 are done: it goes on" in done.out


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_a_source_that_is_bad_beyond_doubt_ends_early(make_tree, tmp_path: Path, call):
    good = encoded(colorful(1200, 1200), "PNG")
    root = make_tree({f"{i:04d}.jpg": good if i % 4 == 0 else b"bad" for i in range(1200)})
    done = call(root, tmp_path / "out", "--shard-images", "1200")
    assert done.code == 2 and "(not a picture " in done.error
    read = int(done.error.split(" images were rejected")[0].split()[-1].replace(",", ""))
    assert 256 <= read < 1200


@pytest.mark.usefixtures("ray_session")
def test_nothing_left_is_told(make_tree, tmp_path: Path, call):
    grey = encoded(np.full((64, 64), 90, np.uint8))
    root = make_tree({"1.jpg": grey, "2.jpg": grey})
    done = call(root, tmp_path / "out")
    assert done.code == 2 and "no image is left, 0 were rejected, 2 have little" in done.error
    done = call(root, tmp_path / "kept", "--keep-grey")
    assert done.code == 0 and done.result["classes"] == 0 and "2 images of 0 classes" in done.out


@pytest.mark.usefixtures("ray_session")
def test_another_data_set_gets_the_same_numbers(root: Path, tmp_path: Path, call):
    assert call(root, tmp_path / "train").code == 0
    val = tmp_path / "val"
    (val / "zoo").mkdir(parents=True)
    (val / "zoo" / "1.jpg").write_bytes(encoded(colorful()))
    done = call(val, tmp_path / "out", "--categories", tmp_path / "train")
    assert done.code == 0, done.error
    data = PreparedData.open(str(tmp_path / "out"))
    assert [(c.name, c.count) for c in data.classes] == [("abbey", 0), ("zoo", 1)]
    assert data.read(data.row_groups()[0])["label"].to_pylist() == [1]
    (val / "zoo").rename(val / "zo")
    done = call(val, tmp_path / "other", "--categories", tmp_path / "train")
    assert done.code == 2 and f'"zo": no class of {tmp_path}/train is called so' in done.error


@pytest.mark.usefixtures("ray_session")
def test_a_list_with_categories(root: Path, tmp_path: Path, call):
    (tmp_path / "list.txt").write_text("/zoo/00.jpg 1\n/abbey/01.jpg 0\n/abbey/none.jpg 0\n")
    (tmp_path / "names.txt").write_text("/a/abbey 0\n/z/zoo 1\n")
    files = ["--list", tmp_path / "list.txt", "--categories", tmp_path / "names.txt"]
    done = call(root, tmp_path / "out", *files)
    assert done.code == 0, done.error
    data = PreparedData.open(str(tmp_path / "out"))
    rows = [row for group in data.row_groups() for row in data.read(group).to_pylist()]
    assert {row["name"]: row["label"] for row in rows} == {"zoo/00.jpg": 1, "abbey/01.jpg": 0}
    assert rejected(tmp_path / "out") == {"abbey/none.jpg": "missing"}
    assert done.result["rejected"] == 1


@pytest.mark.usefixtures("ray_session")
def test_a_full_disk_is_told_and_what_is_finished_is_kept(
    make_tree, tmp_path: Path, make_disk, call
):
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    picture = encoded(cv2.resize(noise[:64, :64], (256, 256)), quality=80)
    root = make_tree({f"{i}.jpg": picture for i in range(40)})
    disk = make_disk("1m")
    done = call(root, disk / "out", "--size", "256")
    assert done.code == 1, done.error
    assert "No space left on device; free some space there" in done.error.splitlines()[-1]
    assert "what is finished is kept, the same words go on" in done.error.splitlines()[-1]
    assert not PreparedData.is_at(str(disk / "out"))
    subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
    done = call(root, disk / "out", "--size", "256")
    assert done.code == 0 and done.result["images"] == 40


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["none", "out"], "none: cannot read: No such file or directory"),
        (["text.txt", "out"], "text.txt: give a folder of pictures or a .tar archive"),
        (["x.tar.gz", "out"], "x.tar.gz: is compressed"),
        (["s3://bucket/photos", "out"], "s3://bucket/photos: pictures are read from disks"),
        (["src", "full"], "full: holds other things (mine.txt); choose an empty or new folder"),
        (["src", "out", "--run-dir", "x"], "run_dir x: what this makes goes to OUT"),
        (["src", "out", "--size", "4"], "size 4: must be from 8 to 4,096"),
        (["src", "out", "--quality", "0"], "quality 0: must be from 1 to 100"),
        (["src", "out", "--max-rejected-fraction", "2"], "max_rejected_fraction 2.0: must be"),
        (["src", "out", "--keep-gray"], '--keep-gray: no such option; did you mean "--keep-grey"'),
        (["src", "out", "--categories", "none.txt"], "none.txt: cannot read"),
        (["src", "out", "--seed", "-1"], "seed -1: must be at least 0"),
        (["src"], "OUT"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    root: Path, tmp_path: Path, words: list[str], complaint: str, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "x.tar.gz").write_bytes(b"packed")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert main(["places", "prepare", *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and complaint in error
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_a_killed_job_goes_on_with_the_same_words(make_tree, tmp_path: Path):
    root = make_tree({f"a/{i:03d}.png": encoded(colorful(900, 900, i), "PNG") for i in range(120)})
    path = os.pathsep.join([str(ROOT), str(ROOT / "platform")])
    environment = os.environ | {"PYTHONPATH": path}

    def run(out: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "arcadia", "places", "prepare", str(root), out, *SMALL]
        return subprocess.Popen(
            [*words, "--json"],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    process = run("out")
    while len(list((tmp_path / "out").glob("parts/*.json"))) < 3:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert not (tmp_path / "out" / "manifest.json").exists()
    outputs = []
    for out in ("out", "whole"):
        text, _ = run(out).communicate(timeout=240)
        outputs.append(text)
    assert "are done: it goes on" in outputs[0]
    resumed, whole = (json.loads(text.splitlines()[-1]) for text in outputs)
    assert resumed["hash"] == whole["hash"] and resumed["images"] == whole["images"]


def test_an_archive_whose_name_is_no_text_may_be_damaged(make_tree, tmp_path: Path, call):
    root = make_tree({f"abbey/{i}.jpg": encoded(colorful(seed=i)) for i in range(8)})
    with open(os.fsencode(root) + b"/caf\xe9.tar", "wb") as file:
        file.write(b"no archive" * 200)
    done = call(root, tmp_path / "out")
    assert done.code == 0, done.error
    assert list(rejected(tmp_path / "out")) == ["caf\\udce9.tar"]
