"""Files with any damage; texts, archives, data sets and sweeps that are not what they should be."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.malformed.cases import (
    Case,
    Entry,
    Folder,
    Tree,
    cut,
    damaged,
    dangling,
    folder,
    harmed_head,
    made,
    text,
    zeros,
)
from tests.malformed.pictures import COLORIZE, STYLIZE

_COLORIZER = "train colorizer --data data --width 0.05 --image-size 32"
_SEQUENCE = "train sequence --batch-size 4 --unroll 5 --hidden-size 4"


def file_cases() -> Iterator[Case]:
    """All of them."""
    yield from _any_damage()
    yield from _texts()
    yield from _numbers()
    yield from _data_sets()
    yield from _sweeps()


def _any_damage() -> Iterator[Case]:
    picture, film = ("photo.png",), ("film.mp4",)
    yield from damaged("film of stylize", STYLIZE, "film.mp4", needs=picture, without=(folder,))
    yield from damaged("style", STYLIZE, "photo.png", needs=film)
    with_map = f"{STYLIZE} --style-weight-map photo.jpg"
    yield from damaged("map of stylize", with_map, "photo.jpg", needs=picture + film)
    with_weights = f"{STYLIZE} --weights net.safetensors"
    yield from damaged("weights of stylize", with_weights, "net.safetensors", needs=picture + film)
    network = ("net.safetensors",)
    yield from damaged("photo", COLORIZE, "photo.jpg", needs=network)
    yield from damaged("network", COLORIZE, "net.safetensors", needs=("photo.jpg",))
    film_words = "colorize film.mp4 --weights net.safetensors"
    yield from damaged("film of colorize", film_words, "film.mp4", needs=network)
    borrowed = f"{COLORIZE} --style-from photo.png"
    yield from damaged("style-from", borrowed, "photo.png", needs=(*network, "photo.jpg"))
    first = f"{_COLORIZER} --weights net.safetensors"
    yield from damaged("first network", first, "net.safetensors", needs=("data",))
    yield from damaged("manifest", _COLORIZER, "data/manifest.json", without=(dangling,))
    yield from damaged("shard", _COLORIZER, "data/shards/00000.parquet")
    language = f"{_SEQUENCE} --task language --data text.txt"
    yield from damaged("text", language, "text.txt", without=(text, cut, harmed_head, zeros))
    translation = f"{_SEQUENCE} --task translation --data text.txt other.txt"
    yield from damaged(
        "translation", translation, "other.txt", needs=("text.txt",), without=(harmed_head,)
    )
    captions = f"{_SEQUENCE} --task captions --data photos/kitchen captions.txt"
    yield from damaged(
        "captions", captions, "captions.txt", needs=("photos",), without=(cut, harmed_head)
    )
    images = f"{_SEQUENCE} --task images --data mnist"
    for name in ("train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        yield from damaged(name, images, f"mnist/{name}")
    small = f"{_SEQUENCE} --task images --data small.parquet"
    yield from damaged("parquet", small, "small.parquet")
    yield from damaged("sweep", "tune sweep.py", "sweep.py", without=(zeros,))
    archive = "places prepare photos.tar out"
    yield from damaged("archive", archive, "photos.tar")
    listed = "places prepare photos out --list list.txt"
    yield from damaged(
        "list", listed, "list.txt", needs=("photos",), without=(text, cut, harmed_head)
    )
    named = "places prepare photos out --categories categories.txt"
    yield from damaged("categories", named, "categories.txt", needs=("photos",), without=(cut,))


def _texts() -> Iterator[Case]:
    language = f"{_SEQUENCE} --task language --data text.txt"
    for name, data, said in (
        ("latin-1", "caf\xe9 \xfc\n".encode("latin-1") * 99, "is not UTF-8"),
        ("utf-16", ("word word\n" * 99).encode("utf-16"), "is not UTF-8"),
        ("two lines", b"one line\nanother line\n", "has 2 lines"),
        ("blanks", b" \n\t\n" * 99, "holds no text"),
        ("too few words", b"a b\n" * 9, "unroll"),
    ):
        yield made(f"a text of {name}", language, said, "", {"text.txt": data})
    yield made(
        "a folder of one text",
        language.replace("text.txt", "texts"),
        "texts",
        "",
        {"texts/train.txt": b"a b c\n" * 99},
    )
    translation = f"{_SEQUENCE} --task translation --data text.txt other.txt"
    yield made(
        "translation of another length",
        translation,
        "lines",
        "text.txt other.txt",
        {"other.txt": b"one\ntwo\nthree\n"},
    )
    yield made(
        "translation of one file",
        f"{_SEQUENCE} --task translation --data text.txt",
        "two text files",
        "text.txt",
        {},
    )
    captions = f"{_SEQUENCE} --task captions --data photos/kitchen captions.txt"
    for name, data in (
        ("no caption", b"0.jpg#0\t \n1.jpg#0\ta\n2.jpg\tb\n"),
        ("an open quote", b'0.jpg,"a\n' * 9),
        ("a long field", b"0.jpg," + b"x" * 200_000 + b"\n"),
        ("other pictures", b"a.jpg#0\tone\nb.jpg#0\ttwo\nc.jpg#0\tthree\n"),
    ):
        yield made(
            f"captions of {name}", captions, "captions.txt", "photos", {"captions.txt": data}
        )
    for words, said in (
        ("train sequence --data text.txt", "makes its own"),
        ("train sequence --task language", "needs a text file"),
        ("train sequence --task images --data nowhere", "nowhere"),
        ("train sequence --task captions --data captions.txt photos", "is no folder"),
        ("train sequence --anneal 1:2 --activation nan", "rises"),
        ("train sequence --anneal thirty", "thirty"),
        ("train sequence --anneal nan:nan", "anneal"),
    ):
        yield made(words, words, said, "text.txt captions.txt photos", {})


def _numbers() -> Iterator[Case]:
    """MNIST's files and Parquet whose counts or columns are others."""
    images = f"{_SEQUENCE} --task images --data mnist"
    file = "mnist/train-images-idx3-ubyte"
    for name, head in (
        ("of 4 billion pictures", (4_294_967_295, 4, 4)),
        ("of huge pictures", (120, 65_536, 65_536)),
        ("of no pictures", (0, 4, 4)),
        ("of more pictures than labels", (60, 8, 4)),
        ("of more pictures than there are", (121, 4, 4)),
    ):
        data = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4) for n in head) + bytes(120 * 16)
        yield made(f"MNIST {name}", images, "train-images", "mnist", {file: data})
        yield made(
            f"packed MNIST {name}", images, "train-images", "mnist", {file: gzip.compress(data)}
        )
    yield made(
        "MNIST cut when packed",
        images,
        "train-images",
        "mnist",
        lambda whole: {file: gzip.compress(_bytes(whole[file]))[:-40]},
    )
    small = f"{_SEQUENCE} --task images --data small.parquet"
    for name, columns in (
        ("other columns", {"picture": [b"x"], "kind": [1]}),
        ("no picture", {"image": [b"x"] * 40, "label": [1] * 40}),
        ("huge pictures", {"image": [_huge_png()] * 40, "label": [1] * 40}),
        ("numbers for pictures", {"image": [1.5] * 40, "label": [1] * 40}),
        ("nothing for pictures", {"image": pa.array([None] * 40, pa.binary()), "label": [1] * 40}),
        ("no rows", {"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())}),
    ):
        yield made(
            f"parquet of {name}", small, "small.parquet", "", {"small.parquet": _parquet(columns)}
        )


def _data_sets() -> Iterator[Case]:
    changes: dict[str, dict[str, Any]] = {
        "another version": {"version": 99},
        "another kind": {"kind": "words"},
        "no shards": {"shards": None},
        "an unknown shard": {
            "shards": [{"file": "shards/9.parquet", "bytes": 1, "row_groups": [1]}]
        },
        "a shard outside": {"shards": [{"file": "../x.parquet", "bytes": 1, "row_groups": [1]}]},
        "shards that are words": {"shards": ["shards/00000.parquet"]},
        "no classes": {"classes": 5},
        "classes of another form": {"classes": [{"name": "a"}]},
        "no options": {"options": None},
        "a size of words": {"options": {"size": "large"}},
        "a number of words": {"num_images": "many"},
        "no hash": {"hash": None},
    }
    for name, change in changes.items():
        yield made(
            f"data of {name}",
            _COLORIZER,
            "data",
            "data",
            lambda whole, change=change: {"data/manifest.json": _edited(whole, change)},
        )
    for name, data in (("a deep manifest", b"[" * 100_000), ("a manifest of NaN", b"NaN")):
        yield made(
            f"data of {name}", _COLORIZER, "manifest.json", "data", {"data/manifest.json": data}
        )
    other = _parquet({"image": [b"x"] * 12, "label": [0] * 12})
    yield made(
        "a shard of another form",
        _COLORIZER,
        "00000.parquet",
        "data",
        {"data/shards/00000.parquet": other},
    )
    yield made(
        "an unfinished data set", _COLORIZER, "is not finished", "", {"data/work/begun": b""}
    )
    for words, said in (
        ("train colorizer", "--data"),
        ("train colorizer --data nowhere", "nowhere"),
        ("train colorizer --data data --validation photos", "photos"),
        ("train colorizer --data data --image-size 64", "image_size"),
        ("train colorizer --data data --run-dir chain", "already holds a run"),
        ("places prepare nowhere out", "nowhere"),
        ("places prepare photo.png out", "photo.png"),
        ("places prepare photos out --list nowhere", "nowhere"),
        ("places prepare photos texts", "holds other things"),
        ("places prepare data/manifest.json out", "manifest.json"),
        ("places prepare s3://bucket/photos out", "s3://bucket/photos"),
        ("places prepare photos.tar out --list list.txt", "give the folder"),
    ):
        needs = "data photos chain photo.png photos.tar list.txt"
        yield made(words, words, said, needs, {"texts/a.txt": b"a"})
    yield made(
        "an empty source",
        "places prepare nothing out",
        "holds no pictures",
        "",
        {"nothing": Folder()},
    )
    yield made(
        "a source of texts",
        "places prepare texts out",
        "holds no pictures",
        "",
        {"texts/a.txt": b"a"},
    )
    yield made(
        "a packed source",
        "places prepare packed out",
        "is compressed",
        "",
        {"packed/photos.tar.gz": b"a"},
    )
    yield made(
        "splits that would be mixed",
        "places prepare both out",
        "would be mixed",
        "",
        {"both/train/a/1.jpg": b"x", "both/val/a/1.jpg": b"x"},
    )
    listed = "places prepare photos out --list list.txt"
    for name, data, said in (
        ("lines that lead out", b"../a.jpg 0\n", "leads out"),
        ("a line without a label", b"kitchen/0.jpg 0\nkitchen/1.jpg\n", "has no number"),
        ("a huge label", b"kitchen/0.jpg 99999999999\n", "label"),
        ("a negative label", b"kitchen/0.jpg -7\n", "label"),
        ("a label of many digits", b"kitchen/0.jpg " + b"9" * 5000 + b"\n", "label"),
    ):
        yield made(f"a list of {name}", listed, said, "photos", {"list.txt": data})
    named = "places prepare photos out --categories categories.txt"
    for name, data, said in (
        ("one name twice", b"kitchen\nkitchen\n", "twice"),
        ("other names", b"abbey 0\nzoo 1\n", "kitchen"),
    ):
        yield made(f"categories of {name}", named, said, "photos", {"categories.txt": data})
    yield made(
        "an archive of folders",
        "places prepare photos.tar out",
        "holds no pictures",
        "",
        {"photos.tar": _tar_of_folders()},
    )
    for name, data in (("cut", b'{"config": {'), ("of a list", b"[]"), ("of words", b'{"a": 1}')):
        yield made(
            f"a plan {name}",
            "places prepare photos out",
            "plan.json",
            "photos",
            {"out/work/plan.json": data},
        )


def _sweeps() -> Iterator[Case]:
    for name, code in (
        ("does not parse", "def sweep(:\n"),
        ("has no sweep", "x = 1\n"),
        ("fails when it is read", "raise KeyError('no')\n"),
        ("ends the process", "import sys\nsys.exit(7)\n"),
        ("ends the process in sweep", "def sweep():\n    raise SystemExit('bye')\n"),
        ("recurses", "def sweep():\n    return sweep()\n"),
        ("imports what is not there", "import nowhere_at_all\n"),
        ("returns nothing", "def sweep():\n    pass\n"),
        ("returns words", "def sweep():\n    return 'space', 'config'\n"),
        ("has a sweep that is no function", "sweep = 5\n"),
        ("says a line and another", "def sweep():\n    raise ValueError('one\\ntwo')\n"),
        ("is not UTF-8", "# \xe9\n".encode("latin-1")),
    ):
        data = code if isinstance(code, bytes) else code.encode()
        yield made(f"a sweep that {name}", "tune sweep.py", "sweep.py", "", {"sweep.py": data})


def _bytes(entry: Entry) -> bytes:
    assert isinstance(entry, bytes)
    return entry


def _huge_png() -> bytes:
    head = b"IHDR" + (60_000).to_bytes(4) * 2 + bytes([8, 2, 0, 0, 0])
    chunk = (13).to_bytes(4) + head + zlib.crc32(head).to_bytes(4)
    return b"\x89PNG\r\n\x1a\n" + chunk + bytes(64)


def _edited(whole: Tree, change: dict[str, Any]) -> bytes:
    manifest = json.loads(_bytes(whole["data/manifest.json"])) | change
    return json.dumps({k: v for k, v in manifest.items() if v is not None}).encode()


def _parquet(columns: dict[str, Any]) -> bytes:
    data = io.BytesIO()
    pq.write_table(pa.table(columns), data)
    return data.getvalue()


def _tar_of_folders() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        member = tarfile.TarInfo("kitchen")
        member.type = tarfile.DIRTYPE
        archive.addfile(member)
    return data.getvalue()
