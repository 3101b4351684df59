import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from arcadia.errors import UserError
from pipelines.places.images import Rejected
from pipelines.places.sources import UNREADABLE, Source, read_entry


def found(root: Path, list_file: Path | None = None) -> dict[str, object]:
    source = Source(str(root), None if list_file is None else str(list_file))
    return {entry.name: entry.label for entry in source.entries()}


def make_tar(path: Path, files: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_a_tree_of_places(make_tree):
    names = ("train/a/abbey/1.jpg", "train/b/beach/2.JPG", "train/b/bar/inner/3.jpeg")
    root = make_tree(dict.fromkeys(names, b""))
    assert found(root) == dict(zip(names, ("abbey", "beach", "bar/inner"), strict=True))


def test_a_flat_folder_has_no_classes(make_tree):
    root = make_tree({"1.jpg": b"", "2.png": b"", "without": b""})
    assert found(root) == {"1.jpg": "", "2.png": "", "without": ""}


def test_a_class_called_train_is_one(make_tree):
    root = make_tree({"train/1.jpg": b"", "car/2.jpg": b""})
    assert found(root) == {"train/1.jpg": "train", "car/2.jpg": "car"}
    (root / "car" / "2.jpg").unlink()
    (root / "car").rmdir()
    assert found(root) == {"train/1.jpg": ""}


def test_splits_are_not_mixed(make_tree):
    root = make_tree({"train/abbey/1.jpg": b"", "val/abbey/2.jpg": b""})
    with pytest.raises(UserError, match=rf"holds train and val.* by itself: {root}/train"):
        found(root)
    assert found(root / "val") == {"abbey/2.jpg": "abbey"}


def test_other_files_are_counted(make_tree):
    root = make_tree(
        {
            **dict.fromkeys(("a/1.jpg", "a/.DS_Store", ".git/2.jpg", "__MACOSX/3.jpg"), b""),
            **dict.fromkeys(("licence.txt", "a/film.mp4", "x.parquet"), b""),
        }
    )
    source = Source(str(root))
    assert [entry.name for entry in source.entries()] == ["a/1.jpg"]
    assert source.ignored == 3


def test_links_are_followed_and_circles_are_not(make_tree, tmp_path: Path):
    root = make_tree({"abbey/1.jpg": b"", "zoo/2.jpg": b""})
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "3.jpg").write_bytes(b"")
    (root / "lake").symlink_to(other)
    (root / "zoo" / "up").symlink_to(root)
    (root / "abbey" / "broken.jpg").symlink_to(tmp_path / "nothing")
    names = {"abbey/1.jpg", "abbey/broken.jpg", "zoo/2.jpg", "lake/3.jpg"}
    assert set(found(root)) == names


def test_a_pipe_is_no_picture(make_tree):
    root = make_tree({"a/1.jpg": b""})
    os.mkfifo(root / "a" / "2.jpg")
    assert set(found(root)) == {"a/1.jpg"}
    assert read_entry(str(root), None, "a/2.jpg", 0, 0, 100) == Rejected("not a file")


def test_a_name_that_is_no_text_is_kept(make_tree):
    root = make_tree({"a/1.jpg": b"x"})
    os.rename(root / "a" / "1.jpg", os.fsencode(root) + b"/a/\xff.jpg")
    (name,) = found(root)
    assert os.fsencode(name) == b"a/\xff.jpg"
    assert read_entry(str(root), None, name, 0, 0, 100) == b"x"


def test_a_list_says_what_is_prepared(make_tree, tmp_path: Path):
    root = make_tree({"a/abbey/1.jpg": b"", "not listed.jpg": b""})
    listed = tmp_path / "list.txt"
    listed.write_text("/a/abbey/1.jpg 3\n\nwith blanks.jpg 0\n")
    assert found(root, listed) == {"a/abbey/1.jpg": 3, "with blanks.jpg": 0}
    listed.write_text("a/abbey/1.jpg,3\n")
    assert found(root, listed) == {"a/abbey/1.jpg": 3}
    listed.write_text("a/abbey/1.jpg\nb.jpg\n")
    assert found(root, listed) == {"a/abbey/1.jpg": None, "b.jpg": None}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("1.jpg 0\n2.jpg\n", "entry 2 has no number at its end, as the first has: '2.jpg'"),
        ("../other/1.jpg 0\n", r"'\.\./other/1\.jpg' leads out of"),
    ],
)
def test_a_bad_list_is_refused(make_tree, tmp_path: Path, text: str, complaint: str):
    root = make_tree({"1.jpg": b""})
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(UserError, match=complaint):
        found(root, tmp_path / "list.txt")


def test_archives_of_class_folders(tmp_path: Path):
    files = {"abbey/1.jpg": b"one", "./zoo/2.png": b"two", "notes.txt": b"a caption of words"}
    make_tar(tmp_path / "src" / "x" / "shard.tar", files)
    source = Source(str(tmp_path / "src"))
    entries = list(source.entries())
    names = ["x/shard.tar/abbey/1.jpg", "x/shard.tar/zoo/2.png"]
    assert [(e.name, e.label) for e in entries] == list(zip(names, ("abbey", "zoo"), strict=True))
    for entry, data in zip(entries, (b"one", b"two"), strict=True):
        tar = source.tars[entry.tar]
        assert read_entry(source.root, tar, entry.name, entry.offset, entry.size, 9) == data


def test_samples_of_webdataset(tmp_path: Path):
    files = {
        "001.jpg": b"1",
        "001.cls": b"7\n",
        "002.cls": b"abbey",
        "002.jpg": b"22",
        "003.json": b'{"label": 5}',
        "003.seg.png": b"333",
        "003.jpg": b"4444",
        "004.txt": b"a caption of some words",
        "004.jpg": b"55555",
        "005.txt": b"zoo",
        "005.jpg": b"6",
        "006.json": b"{broken",
        "006.jpg": b"7",
        "train/a/lake/007.jpg": b"8",
    }
    path = make_tar(tmp_path / "shard.tar", files)
    source = Source(str(path))
    entries = list(source.entries())
    assert {e.name: e.label for e in entries} == {
        "001.jpg": 7,
        "002.jpg": "abbey",
        "003.seg.png": 5,
        "003.jpg": 5,
        "004.jpg": "",
        "005.jpg": "zoo",
        "006.jpg": "",
        "train/a/lake/007.jpg": "lake",
    }
    read = [read_entry(source.root, "", e.name, e.offset, e.size, 9) for e in entries]
    assert read == [files[e.name] for e in entries]


def test_an_archive_that_breaks_off_gives_what_it_has(tmp_path: Path):
    path = make_tar(tmp_path / "src" / "a.tar", {f"{i}.jpg": bytes(2000) for i in range(5)})
    path.write_bytes(path.read_bytes()[:5000])
    (tmp_path / "src" / "b.tar").write_bytes(b"no archive at all" * 100)
    (tmp_path / "src" / "1.jpg").write_bytes(b"")
    source = Source(str(tmp_path / "src"))
    names = {entry.name for entry in source.entries()}
    assert {"1.jpg", "a.tar/0.jpg"} <= names and len(names) <= 4
    assert ("b.tar", "damaged archive") in source.rejected
    assert {name for name, _ in source.rejected} == {"a.tar", "b.tar"}


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tgz", "x.zip"])
def test_compressed_archives_are_refused_with_the_way_out(tmp_path: Path, name: str):
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / name).write_bytes(b"packed")
    with pytest.raises(UserError, match=rf"{name}: is compressed.*(tar -xf|unzip) {folder}/{name}"):
        Source(str(folder / name))
    source = Source(str(folder))
    assert list(source.entries()) == []
    assert "is compressed" in str(source.nothing())


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda p: None, "src: cannot read: No such file"),
        (lambda p: p.write_text("hello"), "give a folder of pictures or a .tar archive"),
    ],
)
def test_what_is_no_source_is_refused(tmp_path: Path, make, complaint: str):
    make(tmp_path / "src")
    with pytest.raises(UserError, match=complaint):
        Source(str(tmp_path / "src"))


def test_what_cannot_be_read_is_a_reason(make_tree):
    root = make_tree({"1.jpg": b"12345", "folder/2.jpg": b""})

    def reason(name: str, max_bytes: int = 100) -> object:
        return read_entry(str(root), None, name, 0, 0, max_bytes)

    assert reason("1.jpg") == b"12345"
    assert reason("1.jpg", 4) == Rejected("file too large")
    assert reason("none.jpg") == Rejected("missing")
    assert reason("1.jpg/2.jpg") == Rejected("missing")
    assert reason("folder") == Rejected("not a file")
    assert reason("nul\0.jpg") == Rejected("unreadable")


def test_a_link_that_leads_nowhere_costs_no_other_picture(make_tree):
    root = make_tree({f"abbey/{number}.jpg": b"" for number in range(9)})
    (root / "abbey" / "circle.jpg").symlink_to("circle.jpg")
    (root / "top").symlink_to("top")
    source = Source(str(root))
    assert len([entry.name for entry in source.entries()]) == 9
    assert sorted(source.rejected) == [("abbey/circle.jpg", UNREADABLE), ("top", UNREADABLE)]
