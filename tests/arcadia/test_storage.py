from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from arcadia.atomic import explained, held_alone
from arcadia.errors import UserError
from arcadia.manifests import check_manifest
from arcadia.storage import MANIFEST, Storage, folder_and_name
from arcadia.stores import LocalStorage, ObjectStorage

TREE = {"weights.bin": b"\x00\x01" * 5000, "module/state.json": b"{}", "empty": b""}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder as a trainer leaves it, with an empty folder inside."""
    return make_tree(tmp_path / "tree", TREE)


def make_tree(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / "hollow").mkdir()
    return root


def contents(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def test_what_is_written_is_read_back_and_replaced(storage: Storage):
    storage.write_bytes("a/b.bin", b"one")
    storage.write_bytes("a/b.bin", b"two, longer")
    storage.write_bytes("empty", b"")
    assert storage.read_bytes("a/b.bin") == b"two, longer"
    assert storage.read_bytes("empty") == b""
    assert storage.list() == ["a/b.bin", "empty"]
    assert storage.list("a") == ["a/b.bin"]
    assert storage.list("nothing") == []


def test_existence_tells_files_from_folders(storage: Storage):
    assert not storage.exists()
    storage.write_bytes("a/b.bin", b"one")
    assert storage.exists() and storage.exists("a") and storage.exists("a/b.bin")
    assert storage.is_file("a/b.bin") and not storage.is_file("a")
    assert not storage.exists("a/c.bin") and not storage.is_file("a/c.bin")


def test_files_are_copied_up_and_down(storage: Storage, tmp_path: Path):
    data = os.urandom(20 << 20)  # more than one piece
    (tmp_path / "up").write_bytes(data)
    storage.upload(tmp_path / "up", "big.bin")
    storage.download("big.bin", tmp_path / "new" / "down")
    assert (tmp_path / "new" / "down").read_bytes() == data


def test_a_large_file_is_there_whole_or_not_at_all(storage: Storage):
    with storage.writing("a/big.bin") as path:
        path.write_bytes(b"0123456789")
        assert not storage.exists("a/big.bin")
    with pytest.raises(KeyError), storage.writing("a/big.bin") as path:
        path.write_bytes(b"other")
        raise KeyError
    assert storage.list() == ["a/big.bin"]
    with storage.open_file("a/big.bin") as file:
        assert file.size() == 10
        file.seek(6)
        assert file.read(3) == b"678"
        file.seek(0)
        assert file.read(1) == b"0"
    with pytest.raises(UserError, match="cannot read"):
        storage.open_file("a/none.bin")


def test_a_missing_file_is_named(storage: Storage):
    with pytest.raises(UserError, match=r"nothing\.json: cannot read: .*; check"):
        storage.read_bytes("nothing.json")


@pytest.mark.parametrize("name", ["", ".", "/etc/passwd", "../other", "a/../../b"])
def test_names_that_lead_outside_are_refused(storage: Storage, name: str):
    with pytest.raises(ValueError, match="inside the storage"):
        storage.write_bytes(name, b"")


def test_a_tree_comes_back_whole(storage: Storage, tree: Path):
    storage.publish_tree(tree, "checkpoints/000000100")
    assert storage.trees("checkpoints") == ["checkpoints/000000100"]
    fetched = storage.fetch_tree("checkpoints/000000100")
    assert contents(fetched) == TREE
    assert (fetched / "hollow").is_dir()
    check_manifest(fetched, "what was fetched")  # it says itself what it holds
    assert contents(tree) == TREE, "the source stays"


def test_a_tree_published_again_replaces_the_old_one(storage: Storage, tree: Path, tmp_path: Path):
    storage.publish_tree(tree, "t/x")
    assert contents(storage.fetch_tree("t/x")) == TREE
    second = make_tree(tmp_path / "second", {"only": b"new"})
    for _ in range(2):
        storage.publish_tree(second, "t/x")
    assert storage.trees("t") == ["t/x"]
    assert contents(storage.fetch_tree("t/x")) == {"only": b"new"}
    assert not any("weights" in name for name in storage.list())


def test_a_fetched_tree_can_be_published_elsewhere(storage: Storage, tree: Path):
    storage.publish_tree(tree, "t/x")
    storage.publish_tree(storage.fetch_tree("t/x"), "t/y")
    assert contents(storage.fetch_tree("t/y")) == TREE


def test_a_deleted_tree_is_gone(storage: Storage, tree: Path):
    storage.publish_tree(tree, "t/x")
    storage.publish_tree(tree, "t/y")
    storage.delete_tree("t/x")
    storage.delete_tree("t/never-was")
    assert storage.trees("t") == ["t/y"]
    with pytest.raises(UserError, match="t/x: nothing complete"):
        storage.fetch_tree("t/x")


def test_a_tree_with_a_missing_or_a_short_file_is_not_believed(storage: Storage, tree: Path):
    for name in ("t/short", "t/bare", "t/odd", "t/good"):
        storage.publish_tree(tree, name)
    storage.write_bytes("t/short/weights.bin", b"half")
    storage.write_bytes(f"t/bare/{MANIFEST}", b"{}")
    storage.write_bytes(f"t/odd/{MANIFEST}", b"no json")
    storage.write_bytes("t/none/weights.bin", b"there was no manifest yet")
    assert storage.trees("t") == ["t/good"]


def test_a_download_that_differs_from_its_checksum_is_refused(bucket: Storage, tree: Path):
    bucket.publish_tree(tree, "t/x")
    bucket.write_bytes("t/x/weights.bin", b"\xff" * len(TREE["weights.bin"]))
    with pytest.raises(UserError, match=r"t/x/weights\.bin: damaged"):
        bucket.fetch_tree("t/x")


def test_the_addresses_of_storages():
    assert isinstance(Storage.at("runs/x"), LocalStorage)
    assert Storage.at("runs/x").local_path == Path.cwd() / "runs/x"
    assert Storage.at("file:///tmp/x").uri == "/tmp/x"
    memory = Storage.at("fsspec+memory:///bucket/x")
    assert isinstance(memory, ObjectStorage) and not memory.is_local
    with pytest.raises(ValueError, match="not on this machine"):
        _ = memory.local_path
    with pytest.raises(UserError, match="ftpx://host/x: no such storage; give a local folder"):
        Storage.at("ftpx://user:secret@host/x?key=secret")


# A disk


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path, killed_in: Callable[[str], None]):
    storage = Storage.at(tmp_path)
    storage.write_bytes("run.json", b"old")
    killed_in(
        "import os, signal\n"
        "from arcadia.storage import Storage\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"Storage.at({str(tmp_path)!r}).write_bytes('run.json', b'new' * 1000)\n"
    )
    assert storage.read_bytes("run.json") == b"old"
    assert len(list(tmp_path.iterdir())) == 2, "the temporary file was there"
    assert storage.list() == ["run.json"]


def test_a_file_is_whole_whenever_its_writer_is_killed(tmp_path: Path):
    size = 4 << 20
    code = (
        "import itertools\n"
        "from arcadia.storage import Storage\n"
        f"storage = Storage.at({str(tmp_path)!r})\n"
        "for i in itertools.count():\n"
        f"    storage.write_bytes('file', bytes([i % 256]) * {size})\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for delay_s in (0.0, 0.003, 0.011):
        (tmp_path / "file").unlink(missing_ok=True)
        child = subprocess.Popen([sys.executable, "-c", code], env=env)
        deadline = time.monotonic() + 30
        while not (tmp_path / "file").exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(delay_s)
        child.send_signal(signal.SIGKILL)
        child.wait()
        data = (tmp_path / "file").read_bytes()
        assert len(data) == size and len(set(data)) == 1


def test_a_killed_publisher_leaves_the_trees_before_it(
    tmp_path: Path, tree: Path, killed_in: Callable[[str], None]
):
    storage = Storage.at(tmp_path / "run")
    storage.publish_tree(tree, "t/a")
    for name in ("t/a", "t/b"):
        killed_in(
            "import os, signal\n"
            "from arcadia.storage import Storage\n"
            "os.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
            f"Storage.at({str(tmp_path / 'run')!r}).publish_tree({str(tree)!r}, {name!r})\n"
        )
    assert storage.trees("t") == ["t/a"]
    assert contents(storage.fetch_tree("t/a")) == TREE
    killed_in(
        "import os, signal\n"
        "from arcadia.storage import Storage\n"
        f"with Storage.at({str(tmp_path / 'run')!r}).writing('t/file') as path:\n"
        "    path.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert len(list((tmp_path / "run" / "t").iterdir())) == 4
    storage.delete_unfinished("t")
    assert os.listdir(tmp_path / "run" / "t") == ["a"]


@contextlib.contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """Lets the kernel refuse to write more into one file, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_write_that_the_kernel_cuts_short_leaves_the_old_file(tmp_path: Path, tree: Path):
    storage = Storage.at(tmp_path / "run")
    storage.write_bytes("file", b"old")
    with file_size_limit(1000):
        with pytest.raises(UserError, match=r"run/file: cannot write: File too large; "):
            storage.write_bytes("file", b"x" * 5000)
        with pytest.raises(UserError, match=r"t/x: cannot write: File too large; "):
            storage.publish_tree(tree, "t/x")
    assert storage.read_bytes("file") == b"old"
    assert [path.name for path in (tmp_path / "run").rglob("*")] == ["file", "t"]


def test_a_full_disk_is_told_in_one_line(tmp_path: Path, make_disk: Callable[[str], Path]):
    disk = make_disk("16k")
    storage = Storage.at(disk)
    storage.write_bytes("file", b"old")
    with pytest.raises(UserError, match="file: cannot write: No space left on device; free"):
        storage.write_bytes("file", b"x" * 50_000)
    with pytest.raises(UserError, match="t/x: cannot write: No space left on device; free"):
        storage.publish_tree(make_tree(tmp_path / "big", {"a": b"x" * 50_000}), "t/x")
    assert storage.read_bytes("file") == b"old"
    assert storage.list() == ["file"]
    assert list((disk / "t").iterdir()) == []


def test_a_folder_without_permission_is_told_in_one_line():
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else; others meet this error by themselves")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        os.seteuid(65534)
        try:
            with pytest.raises(UserError) as caught:
                Storage.at(folder).write_bytes("run.json", b"{}")
        finally:
            os.seteuid(0)
        assert str(caught.value) == (
            f"{folder}/run.json: cannot write: Permission denied; "
            "ask for access to it or choose another place"
        )
        assert os.listdir(folder) == []


def test_a_file_in_the_way_of_a_folder_is_told_in_one_line(tmp_path: Path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(UserError, match=r"run\.json: cannot write: Not a directory; check"):
        Storage.at(tmp_path / "runs" / "x").write_bytes("run.json", b"{}")


# An object store


@pytest.mark.parametrize("num_uploads", range(4))
def test_a_broken_upload_publishes_nothing(objects, bucket, tree: Path, num_uploads: int):
    bucket.publish_tree(tree, "t/a")
    objects.uploads_left = num_uploads
    for name in ("t/a", "t/b"):
        with pytest.raises(UserError, match=r"memory://bucket/runs/one/t/.*connection was reset"):
            bucket.publish_tree(tree, name)
        objects.uploads_left = num_uploads
    objects.uploads_left = None
    assert bucket.trees("t") == ["t/a"]
    assert contents(bucket.fetch_tree("t/a")) == TREE
    bucket.delete_unfinished("t")
    assert {name.split("/")[1] for name in bucket.list("t")} == {"a"}
    bucket.publish_tree(tree, "t/b")
    assert bucket.trees("t") == ["t/a", "t/b"]


def test_the_manifest_names_every_file_and_comes_last(objects, bucket, tree: Path):
    opened = []
    write = objects._open
    objects._open = lambda path, mode="rb", **kw: (
        opened.append(path) if mode == "wb" else None,
        write(path, mode, **kw),
    )[1]
    bucket.publish_tree(tree, "t/x")
    assert opened[-1].endswith(f"t/x/{MANIFEST}")
    manifest = json.loads(bucket.read_bytes(f"t/x/{MANIFEST}"))
    assert set(manifest["files"]) == set(TREE)
    assert manifest["files"]["weights.bin"]["size_bytes"] == 10_000


def test_a_tree_is_downloaded_once_until_it_is_published_again(bucket, tree: Path):
    bucket.publish_tree(tree, "t/x")
    first = bucket.fetch_tree("t/x")
    assert bucket.fetch_tree("t/x") == first
    (tree / "weights.bin").write_bytes(b"newer")
    bucket.publish_tree(tree, "t/x")
    assert (bucket.fetch_tree("t/x") / "weights.bin").read_bytes() == b"newer"


def test_a_wiped_deletion_leaves_no_believed_part(objects, bucket, tree: Path, monkeypatch):
    bucket.publish_tree(tree, "t/x")

    def broken(*args: object, **kwargs: object) -> None:
        raise OSError("the connection was reset")

    remove = objects.rm
    monkeypatch.setattr(
        objects, "rm", lambda path, **kw: broken() if kw.get("recursive") else remove(path, **kw)
    )
    with pytest.raises(UserError, match="cannot delete"):
        bucket.delete_tree("t/x")
    assert bucket.trees("t") == []


def test_a_folder_is_held_by_one_process_until_it_dies(tmp_path: Path):
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from arcadia.atomic import held_alone\n"
        "with held_alone(Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="another process is at work in it"):
            with held_alone(tmp_path):
                pass
        other.kill()
        other.wait()
    with held_alone(tmp_path):
        pass


@pytest.mark.parametrize("error", [FileNotFoundError(2, "none", "/data/x"), TimeoutError("late")])
def test_what_fails_in_a_held_folder_is_told_as_what_it_is(tmp_path: Path, error: OSError):
    with pytest.raises(type(error)) as caught, held_alone(tmp_path):
        raise error
    assert caught.value is error


def test_a_reader_who_left_is_no_fault_of_a_place(tmp_path: Path):
    with pytest.raises(BrokenPipeError), explained("write", tmp_path):
        raise BrokenPipeError(32, "Broken pipe")


def test_a_tree_is_copied_whole(storage: Storage, tree: Path, tmp_path: Path):
    storage.publish_tree(tree, "t/x")
    storage.copy_tree("t/x", tmp_path / "copy")
    assert contents(tmp_path / "copy") == TREE and (tmp_path / "copy" / "hollow").is_dir()
    with pytest.raises(UserError, match="nothing complete is stored there"):
        storage.copy_tree("t/y", tmp_path / "other")


def test_a_folder_may_be_called_as_a_home_of_nobody(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~nobody-of-this-name").mkdir()
    place = Storage.at("~nobody-of-this-name")
    assert place.local_path == tmp_path / "~nobody-of-this-name" and place.exists()


def test_a_stamp_tells_that_a_file_was_changed(storage: Storage):
    assert storage.stamp("a/b") is None and storage.stamps() == {}
    storage.write_bytes("a/b", b"one")
    first = storage.stamp("a/b")
    assert first is not None and first.size_bytes == 3
    assert storage.stamps() == {"a/b": first} and storage.stamp("a") is None
    storage.write_bytes("a/b", b"four")
    assert storage.stamp("a/b") != first


@pytest.mark.parametrize(
    ("target", "folder", "name"),
    [
        ("/a/b.jpg", "/a", "b.jpg"),
        ("/b.jpg", "/", "b.jpg"),
        ("s3://bucket/a/b.jpg?region=x", "s3://bucket/a?region=x", "b.jpg"),
        ("file:///a/b.jpg", "file:///a", "b.jpg"),
    ],
)
def test_an_address_is_one_of_a_folder_and_a_name(target: str, folder: str, name: str):
    assert folder_and_name(target) == (folder, name)
