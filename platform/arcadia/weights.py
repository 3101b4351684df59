"""Pretrained weights: which files are known, where they are found, and how they are read.

Nothing in a file is ever run: what is published as a pickle is not unpickled, see `torch_files`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from arcadia.atomic import beside, explained, temporary_name
from arcadia.errors import UserError, did_you_mean
from arcadia.progress import Progress
from arcadia.torch_files import read_torch_file

FOLDER_VARIABLE = "ARCADIA_WEIGHTS"
"""The environment variable that names a folder of the user's own weights."""
_ASSETS = Path(__file__).parent / "assets"
_ANSWER_S = 30.0  # how long a server may say nothing
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Published:
    """A file of weights as somebody published it."""

    file_name: str
    """What it is called; a `.pth` is of `torch.save`."""
    num_bytes: int
    """How long it is."""
    sha256: str
    """Its checksum, 64 hexadecimal digits."""
    origin: str
    """Whose it is, and its licence."""
    url: str | None = None
    """Where it is downloaded from; None: it comes with Arcadia."""
    prefix: str = ""
    """Names of the tensors that are kept of a `.pth` begin so."""

    @property
    def kept_name(self) -> str:
        """What the file is called that is read: a safetensors file."""
        return f"{Path(self.file_name).stem}.safetensors"


PUBLISHED = {
    "vgg16": Published(
        file_name="vgg16_oxford_fp16.safetensors",
        num_bytes=29_431_688,
        sha256="0d0ecb58b307c9e46b58f3266550d54ffcadaf71e6713a8a80bd65b0b5c04a9c",
        origin="Visual Geometry Group, University of Oxford; CC BY 4.0",
    ),
    "vgg19": Published(
        file_name="vgg19-dcbb9e9d.pth",
        num_bytes=574_673_361,
        sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        origin="torchvision; BSD 3-Clause",
        url="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        prefix="features.",
    ),
}
"""The files that are known, by the names of their networks."""


def cache_folder() -> Path:
    """Where downloads are kept: `arcadia/weights` in $XDG_CACHE_HOME or in `~/.cache`."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (named if named.is_absolute() else Path.home() / ".cache") / "arcadia" / "weights"


def find_weights(name: str, path: str | os.PathLike[str] | None = None) -> Path:
    """The file of a network's weights, downloaded when it is nowhere on this machine.

    Looked for in this order: `path`; the folder that ARCADIA_WEIGHTS names; what comes with
    Arcadia; the cache; the address it is published at. A download shows its progress, and nothing
    reads it before its checksum is right.

    Args:
        name: one of `PUBLISHED`.
        path: a file of the user's own: safetensors, or the published `.pth`.

    Returns:
        A safetensors file; of a `.pth`, the one made of it in the cache.

    Raises:
        UserError: the name is unknown, there is no such file, it is not the published one, or it
            cannot be downloaded.
    """
    if name not in PUBLISHED:
        raise UserError(f'weights "{name}": not known{did_you_mean(name, PUBLISHED)}')
    published = PUBLISHED[name]
    if path is not None:
        return _usable(published, _file(Path(path)))
    folders = [_ASSETS, cache_folder()]
    if own := os.environ.get(FOLDER_VARIABLE):
        if not Path(own).is_dir():
            raise UserError(f'{FOLDER_VARIABLE} "{own}": no such folder; name one, or unset it')
        folders.insert(0, Path(own))
    for folder in folders:
        for file in (folder / published.kept_name, folder / published.file_name):
            if file.is_file():
                return _usable(published, file)
    if published.url is None:
        raise UserError(
            f"{_ASSETS / published.file_name}: should have come with Arcadia, and is missing; "
            "install it again"
        )
    return _download(published, published.url)


def read_weights(
    path: str | os.PathLike[str], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """Tensors of a safetensors file.

    Args:
        path: the file.
        shapes: the tensors to read, by name; others may be in it as well.

    Returns:
        float32 tensors on the CPU, all numbers finite.

    Raises:
        UserError: no such file, damaged, or without one of the tensors in its shape.
    """
    with _opened(path) as file:
        missing = sorted(shapes.keys() - set(file.keys()))
        if missing:
            raise UserError(
                f'{path}: holds no tensor "{missing[0]}": these are weights of something else; '
                "give another file"
            )
        weights = {name: file.get_tensor(name) for name in shapes}
    for name, tensor in weights.items():
        if tuple(tensor.shape) != shapes[name] or not tensor.is_floating_point():
            raise UserError(
                f'{path}: "{name}" is {tensor.dtype} {tuple(tensor.shape)}, where floats of '
                f"{shapes[name]} are wanted; give another file"
            )
        if not torch.isfinite(tensor).all():
            raise UserError(f'{path}: "{name}" is damaged (not all finite); give another file')
    return {name: tensor.float() for name, tensor in weights.items()}


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """What a safetensors file says of itself; empty where it says nothing.

    Raises:
        UserError: no such file, or damaged.
    """
    with _opened(path) as file:
        return dict(file.metadata() or {})


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    path = _file(Path(path))
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        said = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path}: cannot be read as safetensors ({said}); give another file"
        ) from error


def _file(path: Path) -> Path:
    if path.is_dir():
        raise UserError(f"{path}: is a folder; give a file of weights in it")
    if not path.is_file():
        names = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(f"{path}: no such file{did_you_mean(path.name, names)}")
    return path


def _usable(published: Published, path: Path) -> Path:
    """`path`, or what is made of it when it is of `torch.save`."""
    if path.suffix not in (".pth", ".pt"):
        return path
    _check(published, path, str(path))
    return _keep(published, path)


def _check(published: Published, path: Path, shown: str) -> None:
    """Refuses a file that is not the published one; `shown` names it."""
    with explained("read", path), open(path, "rb") as file:
        num_bytes = os.fstat(file.fileno()).st_size
        said = f"{num_bytes:,} bytes instead of {published.num_bytes:,}"
        if num_bytes == published.num_bytes:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest == published.sha256:
                return
            said = f"its sha256 begins {digest[:8]} instead of {published.sha256[:8]}"
    raise UserError(
        f"{shown}: is not {published.file_name} as published ({said}), so it is not read; get that "
        "file, or one in safetensors"
    )


def _keep(published: Published, path: Path) -> Path:
    """Writes what is needed of the published file at `path` into the cache."""
    kept = cache_folder() / published.kept_name
    if not kept.is_file():
        weights = read_torch_file(path, published.prefix)
        metadata = {"source": f"{published.file_name}, {published.origin}"}
        with beside(kept) as temporary:
            save_file(weights, temporary, metadata=metadata)
    return kept


def _download(published: Published, url: str) -> Path:
    """Downloads into the cache, one process at a time, the others waiting for it."""
    kept = cache_folder() / published.kept_name
    raw = kept.with_name(published.file_name)
    with explained("write", kept):
        kept.parent.mkdir(parents=True, exist_ok=True)
        with open(kept.with_suffix(".lock"), "w") as lock:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_EX)
                for left in raw.parent.glob(f".{raw.name}.tmp-*"):  # by one who was killed
                    left.unlink()
            if kept.is_file():
                return kept
            received = temporary_name(raw)
            try:
                with open(received, "wb") as file:
                    for piece in _receive(published, url):
                        file.write(piece)
                _check(published, received, url)
                return _keep(published, received)
            finally:
                received.unlink(missing_ok=True)


def _receive(published: Published, url: str) -> Iterator[bytes]:
    """The published number of bytes, a piece at a time.

    Raises:
        UserError: the server cannot be reached, or sends fewer or more.
    """
    megabytes, num_bytes = max(1, published.num_bytes // 10**6), 0
    request = Request(url, headers={"User-Agent": "arcadia"})
    try:
        with urlopen(request, timeout=_ANSWER_S) as answer:
            with Progress(megabytes, "MB", f"downloading {published.file_name}") as progress:
                while piece := answer.read(_PIECE_BYTES):
                    num_bytes += len(piece)
                    if num_bytes > published.num_bytes:
                        raise UserError(
                            f"{url}: sends more than the {published.num_bytes:,} bytes published; "
                            "nothing was kept"
                        )
                    progress.update(min(megabytes, num_bytes // 10**6))
                    yield piece
    except (OSError, HTTPException) as error:
        said = str(error.reason if type(error) is URLError else error)
        raise UserError(
            f"{url}: cannot be downloaded ({' '.join(said.split())[:200]}); get the file on a "
            f"machine that can, and put it into a folder that {FOLDER_VARIABLE} names"
        ) from error
    if num_bytes < published.num_bytes:
        raise UserError(
            f"{url}: the download ended after {num_bytes:,} of {published.num_bytes:,} bytes; "
            "try again"
        )
