"""Weights: where they are found, how they are downloaded from a real server, what is refused."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from arcadia import weights
from arcadia.errors import UserError
from arcadia.weights import (
    PUBLISHED,
    Published,
    cache_folder,
    find_weights,
    read_metadata,
    read_weights,
)

SHAPES = {"features.0.weight": (2, 3), "features.0.bias": (2,)}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, no folder of the user's, and no proxy."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("ARCADIA_WEIGHTS", raising=False)
    return tmp_path


class Server(ThreadingHTTPServer):
    """Serves `data` at any path below /good, and is wrong elsewhere."""

    data = b""
    requests = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        kind, data = self.path.split("/")[1], self.server.data
        if kind == "missing":
            self.send_error(404)
            return
        self.send_response(200)
        if kind != "endless":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if kind == "damaged":
            data = data[:-1] + bytes([data[-1] ^ 1])
        elif kind == "short":
            data = data[:-5]
        elif kind == "endless":
            data *= 3
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=rng) for name, shape in SHAPES.items()}


@pytest.fixture
def published(
    tensors: dict[str, Tensor], server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Published:
    """A small file in the format of torchvision's first networks, published by the server."""
    path = home / "net.pth"
    content = tensors | {"classifier.0.weight": torch.ones(1000)}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    server.data = path.read_bytes()
    published = Published(
        file_name="net-1.pth",
        num_bytes=len(server.data),
        sha256=hashlib.sha256(server.data).hexdigest(),
        origin="the tests",
        url=f"{server.url}/good/net-1.pth",
        prefix="features.",
    )
    monkeypatch.setitem(PUBLISHED, "net", published)
    return published


def assert_holds(path: Path, tensors: dict[str, Tensor]) -> None:
    read = read_weights(path, SHAPES)
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)


def test_shipped_weights_are_the_published_ones_and_need_no_folder_of_data():
    path, published = find_weights("vgg16"), PUBLISHED["vgg16"]
    assert path.name == published.file_name and path.stat().st_size == published.num_bytes
    assert hashlib.sha256(path.read_bytes()).hexdigest() == published.sha256


def test_the_published_checksum_of_vgg19_begins_as_its_name_says():
    published = PUBLISHED["vgg19"]
    assert len(published.sha256) == 64
    assert f"vgg19-{published.sha256[:8]}.pth" == published.file_name
    assert published.url == f"https://download.pytorch.org/models/{published.file_name}"
    # What the classifier and the convolutions hold, in float32, and less than 40 kB of names.
    classifier = 25088 * 4096 + 4096 * 4096 + 4096 * 1000 + 2 * 4096 + 1000
    assert 0 < published.num_bytes - 4 * (classifier + 20_024_384) < 40_000


def test_a_download_is_checked_kept_as_safetensors_and_not_repeated(
    published: Published, server: Server, tensors: dict[str, Tensor], capsys
):
    path = find_weights("net")
    assert path == cache_folder() / "net-1.safetensors"
    assert_holds(path, tensors)
    with safe_open(path, framework="pt") as file:
        assert set(file.keys()) == set(SHAPES)
        assert file.metadata() == {"source": "net-1.pth, the tests"}
    assert "downloading net-1.pth: 0/1 MB" in capsys.readouterr().err
    assert find_weights("net") == path
    assert server.requests == 1
    assert sorted(os.listdir(path.parent)) == ["net-1.lock", "net-1.safetensors"]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "cannot be downloaded .*404.*ARCADIA_WEIGHTS"),
        ("damaged", "its sha256 begins .* so it is not read"),
        ("short", r"ended after [\d,]+ of [\d,]+ bytes; try again"),
        ("endless", "sends more than the .* bytes published"),
    ],
)
def test_a_bad_download_is_one_error_and_leaves_nothing(
    published: Published, server: Server, monkeypatch: pytest.MonkeyPatch, kind: str, said: str
):
    url = f"{server.url}/{kind}/net-1.pth"
    bad = Published(**vars(published) | {"url": url})
    monkeypatch.setitem(PUBLISHED, "net", bad)
    with pytest.raises(UserError, match=f"^{url}: .*{said}") as told:
        find_weights("net")
    assert "\n" not in str(told.value)
    assert os.listdir(cache_folder()) == ["net-1.lock"]


def test_without_a_network_the_way_out_is_told(
    published: Published, monkeypatch: pytest.MonkeyPatch
):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/net-1.pth"
    monkeypatch.setitem(PUBLISHED, "net", Published(**vars(published) | {"url": url}))
    with pytest.raises(UserError, match=r"cannot be downloaded .*refused.*get the file on"):
        find_weights("net")


def test_those_who_want_the_same_file_at_once_download_it_once(
    published: Published, server: Server, home: Path
):
    left = cache_folder() / ".net-1.pth.tmp-1-0123abcd"  # by one who was killed
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    # Threads here: the lock is one between open files, whoever opened them.
    ready = threading.Barrier(8)

    def find(_: int) -> Path:
        ready.wait()
        return find_weights("net")

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(find, range(8))) == {cache_folder() / "net-1.safetensors"}
    assert server.requests == 1
    assert not left.exists()


def test_what_the_user_has_is_taken_first(
    published: Published,
    server: Server,
    tensors: dict[str, Tensor],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    own = home / "own"
    own.mkdir()
    monkeypatch.setenv("ARCADIA_WEIGHTS", str(own))
    (own / "net-1.pth").write_bytes(server.data)
    assert_holds(find_weights("net"), tensors)
    assert server.requests == 0
    save_file(tensors, own / "net-1.safetensors")
    assert find_weights("net") == own / "net-1.safetensors"
    save_file(tensors, home / "mine.safetensors")
    assert find_weights("net", home / "mine.safetensors") == home / "mine.safetensors"
    assert find_weights("vgg16").parent == Path(weights.__file__).parent / "assets"
    monkeypatch.setenv("ARCADIA_WEIGHTS", str(home / "none"))
    with pytest.raises(UserError, match=r'ARCADIA_WEIGHTS ".*none": no such folder'):
        find_weights("net")


def test_a_pth_of_the_users_own_must_be_the_published_one(
    published: Published, server: Server, tensors: dict[str, Tensor], home: Path
):
    assert_holds(find_weights("net", home / "net.pth"), tensors)
    (home / "net.pth").write_bytes(server.data[:-1] + bytes([server.data[-1] ^ 1]))
    with pytest.raises(UserError, match=r"net\.pth: is not net-1\.pth as published \(its sha256"):
        find_weights("net", home / "net.pth")
    (home / "net.pth").write_bytes(server.data[:-1])
    with pytest.raises(UserError, match=r"bytes instead of [\d,]+\), so it is not read"):
        find_weights("net", home / "net.pth")


def test_wrong_names_and_paths_are_told(home: Path):
    with pytest.raises(UserError, match=r'weights "vgg61": not known; did you mean "vgg1[69]"\?'):
        find_weights("vgg61")
    (home / "a.safetensors").touch()
    with pytest.raises(UserError, match=r'b\.safetensors: no such file; did you mean "a\.safete'):
        find_weights("vgg16", home / "b.safetensors")
    with pytest.raises(UserError, match=r"is a folder; give a file of weights in it"):
        find_weights("vgg16", home)


def test_a_cache_that_cannot_be_written_is_told(
    published: Published, home: Path, monkeypatch: pytest.MonkeyPatch
):
    (home / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "file"))
    with pytest.raises(UserError, match="cannot write: Not a directory"):
        find_weights("net")


def test_a_full_disk_is_told_and_nothing_is_left(
    published: Published,
    tensors: dict[str, Tensor],
    server: Server,
    make_disk,
    monkeypatch: pytest.MonkeyPatch,
):
    disk = make_disk("16k")
    monkeypatch.setenv("XDG_CACHE_HOME", str(disk))
    larger = server.data + bytes(40_000)
    server.data = larger
    checksum = hashlib.sha256(larger).hexdigest()
    large = Published(**vars(published) | {"num_bytes": len(larger), "sha256": checksum})
    monkeypatch.setitem(PUBLISHED, "net", large)
    with pytest.raises(UserError, match="cannot write: No space left on device; free some space"):
        find_weights("net")
    assert os.listdir(cache_folder()) == ["net-1.lock"]


def test_weights_are_read_as_float32_and_only_those_asked_for(home: Path):
    save_file({"a": torch.tensor([1.5, -2.0]).half(), "b": torch.zeros(3)}, home / "a.safetensors")
    read = read_weights(home / "a.safetensors", {"a": (2,)})
    assert read.keys() == {"a"} and read["a"].dtype == torch.float32
    assert read["a"].tolist() == [1.5, -2.0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"features.0.weight": torch.zeros(2, 3)}, r'holds no tensor "features\.0\.bias"'),
        (
            {"features.0.weight": torch.zeros(3, 2), "features.0.bias": torch.zeros(2)},
            r'"features\.0\.weight" is torch\.float32 \(3, 2\), where floats of \(2, 3\)',
        ),
        (
            {"features.0.weight": torch.zeros(2, 3), "features.0.bias": torch.tensor([1, 2])},
            r'"features\.0\.bias" is torch\.int64 \(2,\)',
        ),
        (
            {
                "features.0.weight": torch.zeros(2, 3),
                "features.0.bias": torch.tensor([0, torch.nan]),
            },
            "damaged",
        ),
    ],
)
def test_weights_of_something_else_are_refused(home: Path, content: dict[str, Tensor], said: str):
    save_file(content, home / "a.safetensors")
    with pytest.raises(UserError, match=rf"a\.safetensors: .*{said}.*give another file"):
        read_weights(home / "a.safetensors", SHAPES)


def test_a_damaged_file_is_refused(home: Path, tensors: dict[str, Tensor]):
    save_file(tensors, path := home / "a.safetensors")
    whole = path.read_bytes()
    wrong = [whole[:n] for n in (0, 4, 9, 60, len(whole) - 1)]
    for data in [*wrong, whole + b"?", b"some text", b"\xff" * 200]:
        path.write_bytes(data)
        with pytest.raises(
            UserError, match=r"a\.safetensors: cannot be read as safetensors"
        ) as told:
            read_weights(path, SHAPES)
        assert "\n" not in str(told.value)
    for other in (home, home / "none.safetensors"):
        with pytest.raises(UserError, match=r"is a folder|no such file"):
            read_weights(other, SHAPES)


def test_what_a_file_says_of_itself_is_read_without_its_tensors(tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(2)}, path, metadata={"format": "mine"})
    assert read_metadata(path) == {"format": "mine"}
    save_file({"a": torch.zeros(2)}, path)
    assert read_metadata(path) == {}
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        read_metadata(path)
    with pytest.raises(UserError, match=r"no such file; did you mean \"weights.safetensors\""):
        read_metadata(tmp_path / "weight.safetensors")
