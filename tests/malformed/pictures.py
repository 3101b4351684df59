"""Pictures, films and networks that promise what nobody can hold, or are something else."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from tests.malformed.cases import Case, Entry, Folder, Tree, described, made, packed

STYLIZE = "stylize film.mp4 --style photo.png"
COLORIZE = "colorize photo.jpg --weights net.safetensors"


def picture_cases() -> Iterator[Case]:
    """All of them."""
    yield from _pictures()
    yield from _networks()


def _pictures() -> Iterator[Case]:
    """Heads that promise what nobody can hold, and files that are something else."""
    heads: dict[str, Callable[[Tree], bytes]] = {
        "30000 x 30000": lambda whole: _png_of(whole["photo.png"], 30_000),
        "12000 x 12000": lambda whole: _png_of(whole["photo.png"], 12_000),
        "no side": lambda whole: _png_of(whole["photo.png"], 0),
        "jpeg of 65500 x 65500": lambda whole: _jpeg_of(whole["photo.jpg"], 65_500),
        "postscript": lambda whole: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
        "film": lambda whole: _bytes(whole["film.mp4"]),
    }
    for name, make in heads.items():
        for path, words in (("photo.png", STYLIZE), ("photo.jpg", COLORIZE)):
            yield made(
                f"{path} with a head of {name}",
                words,
                path,
                "photo.png photo.jpg film.mp4 net.safetensors",
                lambda whole, make=make, path=path: {path: make(whole)},
            )
    films: dict[str, Entry] = {
        "a huge head": b"YUV4MPEG2 W100000 H100000 F25:1 Ip A0:0 C420jpeg\nFRAME\n" + bytes(99),
        "a list of films": b"ffconcat version 1.0\nfile film.mkv\n",
        "a playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfilm.ts\n#EXT-X-ENDLIST\n",
    }
    for name, entry in films.items():
        yield made(f"film of {name}", STYLIZE, "film", "photo.png", {"film.mp4": entry})
        words = "colorize film.mp4 --weights net.safetensors"
        yield made(
            f"film to colour of {name}", words, "film", "net.safetensors", {"film.mp4": entry}
        )
    for words, said in (
        ("stylize photo.png --style photo.png", "is a picture"),
        ("stylize nothing.mp4 --style photo.png", "no such file"),
        ("stylize film.mp4 --style phto.png", 'did you mean "photo.png"'),
        ("stylize film.mp4", "--style"),
        (f"{STYLIZE} --preview 9:3", "preview"),
        (f"{STYLIZE} --preview 90:", "preview"),
        (f"{STYLIZE} --output photo.png", "photo.png"),
        (f"{STYLIZE} --output out.doc", "out.doc"),
        (f"{STYLIZE} --flow files --flow-dir nowhere", "nowhere"),
        (f"{STYLIZE} --size 16", "--size"),
        (f"{COLORIZE} --output photo.jpg", "photo.jpg"),
        (f"{COLORIZE} --output out.doc", "out.doc"),
        (f"{COLORIZE} --run nowhere", "not both"),
        ("colorize sweep.py --weights net.safetensors", "neither a picture nor a film"),
        ("colorize *.webp --weights net.safetensors", "has such a name"),
        ("colorize --user-study data --run nowhere", "nowhere"),
    ):
        yield made(words, words, said, "photo.png photo.jpg film.mp4 net.safetensors sweep.py", {})
    yield made(
        "an empty folder of films",
        "stylize films --style photo.png",
        "films",
        "photo.png",
        {"films": Folder()},
    )


def _networks() -> Iterator[Case]:
    """Files of safetensors whose heads lie."""
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    heads: dict[str, Any] = {
        "that lies on itself": {"a": entry, "b": entry},
        "that leads out": {"a": entry | {"data_offsets": [0, 1 << 40], "shape": [1 << 38]}},
        "that goes back": {"a": entry | {"data_offsets": [8, 0]}},
        "of an unknown type": {"a": entry | {"dtype": "F33"}},
        "of a negative shape": {"a": entry | {"shape": [-2]}},
        "without a place": {"a": {"dtype": "F32", "shape": [2]}},
        "of no tensors": {},
        "that is a list": [entry],
        "of words": {"a": entry, "__metadata__": {"format": "arcadia-colorizer-1", "options": "1"}},
    }
    files = {name: _safetensors(head, bytes(8)) for name, head in heads.items()}
    files["that is longer than the file"] = struct.pack("<Q", 1 << 20) + b"{}"
    files["that is longer than anything"] = struct.pack("<Q", 1 << 63) + b"{}"
    files["that is deep"] = packed(b"[" * 100_000, b"")
    files["that is no text"] = packed(b"\xff" * 64, bytes(8))
    for name, data in files.items():
        change: Tree = {"net.safetensors": data}
        yield made(f"network with a head {name}", COLORIZE, "net.safetensors", "photo.jpg", change)
        words = f"{STYLIZE} --weights net.safetensors"
        needs = "photo.png film.mp4"
        yield made(f"weights with a head {name}", words, "net.safetensors", needs, change)
    for name, words in {
        "a billion classes": {"num_classes": "1000000000"},
        "no number of classes": {"num_classes": '"many"'},
        "minus one class": {"num_classes": "-1"},
        "a huge picture": {"options": '{"image_size": 4096, "width": 8.0}'},
        "unknown options": {"options": '{"depth": 4}'},
        "options of another type": {"options": '{"width": "wide"}'},
        "options that are a list": {"options": "[1, 2]"},
        "options that are no JSON": {"options": "{"},
        "deep options": {"options": "[" * 50_000},
        "another format": {"format": "arcadia-colorizer-99"},
    }.items():
        yield made(
            f"network of {name}",
            COLORIZE,
            "net.safetensors",
            "photo.jpg net.safetensors",
            lambda whole, words=words: {
                "net.safetensors": described(whole["net.safetensors"], words)
            },
        )


def _bytes(entry: Entry) -> bytes:
    assert isinstance(entry, bytes)
    return entry


def _png_of(entry: Entry, side: int) -> bytes:
    data = bytearray(_bytes(entry))
    data[16:24] = side.to_bytes(4) * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
    return bytes(data)


def _jpeg_of(entry: Entry, side: int) -> bytes:
    data = bytearray(_bytes(entry))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = side.to_bytes(2) * 2
    return bytes(data)


def _safetensors(head: Any, data: bytes) -> bytes:
    return packed(json.dumps(head).encode(), data)
