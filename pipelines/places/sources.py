"""What there is in a source: a folder, a list file or tar archives, one entry at a time."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from arcadia.atomic import explained
from arcadia.errors import UserError
from pipelines.places.images import TOO_LARGE, Rejected
from pipelines.places.labels import SPLITS, label_of, lines_of, split_number, whole_number

MISSING = "missing"
NO_FILE = "not a file"
UNREADABLE = "unreadable"
DAMAGED_TAR = "damaged archive"

# Others are not opened: a folder of pictures often holds a licence, a table, a film.
PICTURE_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "avif", "gif", "bmp", "dib"),
        *("tif", "tiff", "ppm", "pgm", "pbm", "pnm", "jp2", "j2k"),
    )
) | {"", "."}
_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".zip")
_FILE = -1
_SIDECAR_BYTES = 1 << 20


class Entry(NamedTuple):
    """A picture to be prepared."""

    name: str
    """Path below the source, with "/"; inside an archive after that of the archive."""
    label: str | int | None
    """Of its class; None or "": it has none."""
    tar: int = _FILE
    """Number of the archive that it is in; -1: it is a file."""
    offset: int = 0
    """Of its first byte in the archive."""
    size: int = 0
    """In the archive, in bytes."""


class Source:
    """A source, read once from its beginning to its end.

    Args:
        root: a folder or a tar archive.
        list_file: a file of `path label` or `path` lines, of paths below the folder.

    Attributes:
        tars: paths of the archives below the folder, by number; "" for the root itself.
        ignored: files that were not taken for pictures.
        rejected: archives and folders that could not be read to their end, with the reason.

    Raises:
        UserError: there is nothing of that name, or it is packed.
    """

    def __init__(self, root: str, list_file: str | None = None):
        self.root = os.path.abspath(root)
        self.tars: list[str] = []
        self.ignored = 0
        self.rejected: list[tuple[str, str]] = []
        self._packed: list[str] = []
        self._list_file = list_file
        with explained("read", root):
            mode = os.stat(root).st_mode
        if stat.S_ISREG(mode) and root.lower().endswith(_PACKED):
            raise UserError(_unpack(root))
        if stat.S_ISREG(mode) and not root.lower().endswith(".tar"):
            raise UserError(f"{root}: give a folder of pictures or a .tar archive")
        if list_file is not None and not stat.S_ISDIR(mode):
            raise UserError(f"{root}: with --list give the folder that its paths begin in")
        self._is_tar = stat.S_ISREG(mode)

    def entries(self) -> Iterator[Entry]:
        """What there is to prepare, in no order that holds everywhere.

        Raises:
            UserError: a line of the list cannot be read, or the source is of several splits.
        """
        if self._list_file is not None:
            yield from self._listed(self._list_file)
        elif self._is_tar:
            yield from self._in_tar("", must_open=True)
        else:
            yield from self._below()

    def nothing(self) -> UserError:
        """What to say when there were no entries."""
        if self._list_file is not None:
            return UserError(
                f"{self._list_file}: names no picture; give lines of a path and a label"
            )
        if self._packed:
            return UserError(_unpack(self._packed[0]))
        others = f", {self.ignored:,} other files" if self.ignored else ""
        return UserError(f"{self.root}: holds no pictures{others}; give a folder of them")

    def _below(self) -> Iterator[Entry]:
        with explained("read", self.root):
            tops = {e.name for e in os.scandir(self.root) if _is_folder(e) and e.name[0] != "."}
        splits = sorted(tops & SPLITS)
        if len(splits) > 1 and tops <= SPLITS:
            raise UserError(
                f"{self.root}: holds {' and '.join(splits)}, which would be mixed; prepare each by "
                f"itself: {os.path.join(self.root, splits[0])}"
            )
        yield from self._walk((), bool(tops) and tops <= SPLITS, frozenset())

    def _walk(
        self, folders: tuple[str, ...], is_split: bool, above: frozenset[tuple[int, int]]
    ) -> Iterator[Entry]:
        """Everything below a folder. Links are followed, but not around in a circle."""
        here, label = "/".join(folders), label_of(folders, is_split=is_split)
        inner: list[str] = []
        own = (0, 0)
        try:
            status = os.stat(os.path.join(self.root, here))
            if (own := (status.st_dev, status.st_ino)) in above:
                return
            with os.scandir(os.path.join(self.root, here)) as found:
                for entry in found:
                    if entry.name.startswith(".") or entry.name == "__MACOSX":
                        continue
                    name = f"{here}/{entry.name}" if here else entry.name
                    try:
                        is_folder, is_picture = entry.is_dir(), _may_be_file(entry)
                    except OSError:  # a link through a folder that is closed, or in a circle
                        self.rejected.append((name, UNREADABLE))
                        continue
                    suffix = os.path.splitext(entry.name)[1].lower()
                    if is_folder:
                        inner.append(entry.name)
                    elif suffix == ".tar":
                        yield from self._in_tar(name)
                    elif suffix not in PICTURE_SUFFIXES or not is_picture:
                        self._ignore(name)
                    else:
                        yield Entry(name, label)
        except OSError:
            self.rejected.append((here or ".", UNREADABLE))
        for name in sorted(inner):
            yield from self._walk((*folders, name), is_split, above | {own})

    def _ignore(self, name: str) -> None:
        self.ignored += 1
        if name.lower().endswith(_PACKED) and not self._packed:
            self._packed.append(os.path.join(self.root, name))

    def _listed(self, path: str) -> Iterator[Entry]:
        is_labelled: bool | None = None
        for number, line in enumerate(lines_of(path), 1):
            pair = split_number(line)
            if is_labelled is None:
                is_labelled = pair is not None
            if is_labelled and pair is None:
                raise UserError(
                    f"{path}: entry {number} has no number at its end, as the first has: "
                    f"{line[:80]!r}; give lines of a path and a label"
                )
            words, label = pair if is_labelled and pair else (line, None)
            name = words.lstrip("/")  # Places' lists begin with one
            if ".." in PurePosixPath(name).parts:
                raise UserError(f"{path}: {words!r} leads out of {self.root}; give paths below it")
            yield Entry(name, label)

    def _in_tar(self, tar: str, *, must_open: bool = False) -> Iterator[Entry]:
        """The pictures of an archive. Members of one key, beside each other, are one sample, as in
        WebDataset: `0001.jpg` with `0001.cls`, `0001.json` or `0001.txt`."""
        path = os.path.join(self.root, tar) if tar else self.root
        number = len(self.tars)
        self.tars.append(tar)
        key: str | None = None
        pictures: list[Entry] = []
        label: str | int | None = None
        try:
            with tarfile.open(path, "r:") as archive:
                while (member := archive.next()) is not None:
                    archive.members = []  # pyright: ignore[reportAttributeAccessIssue]  (it keeps all)
                    if not member.isfile():
                        continue
                    name = PurePosixPath(member.name)
                    if name.name.startswith(".") or "__MACOSX" in name.parts:
                        continue
                    stem, _, fields = name.name.partition(".")
                    if str(name.parent / stem) != key:
                        yield from (e._replace(label=label) for e in pictures)
                        key, pictures = str(name.parent / stem), []
                        label = label_of([p for p in name.parent.parts if p not in ("/", "..")])
                    last = fields.rpartition(".")[2].lower()
                    if last in ("cls", "json", "txt") and member.size <= _SIDECAR_BYTES:
                        data = archive.extractfile(member)
                        assert data is not None
                        found = _sidecar_label(last, data.read())
                        label = label if found is None else found
                    elif f".{last}" in PICTURE_SUFFIXES:
                        shown = "/".join(p for p in (tar, str(name).lstrip("/")) if p)
                        whole = Entry(shown, None, number, member.offset_data, member.size)
                        pictures.append(whole)
                    else:
                        self.ignored += 1
        except (tarfile.TarError, EOFError, OSError) as error:
            if must_open and key is None:
                raise UserError(f"{path}: cannot be read as an archive: {error}") from error
            self.rejected.append((tar or os.path.basename(self.root), DAMAGED_TAR))
        yield from (e._replace(label=label) for e in pictures)


def read_entry(
    root: str, tar: str | None, name: str, offset: int, size: int, max_bytes: int
) -> bytes | Rejected:
    """A picture's bytes.

    Args:
        root: the source.
        tar: the archive below it that holds the picture, "" for the root itself; None: a file.
        name: of the file, below the root.
        offset: in the archive.
        size: in the archive.
        max_bytes: more are not read.
    """
    inside = name if tar is None else tar
    path = os.path.join(root, inside) if inside else root
    try:
        # Opening a pipe would wait for its writer without O_NONBLOCK.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                return Rejected(NO_FILE)
            size = status.st_size if tar is None else size
            return Rejected(TOO_LARGE) if size > max_bytes else os.pread(file, size, offset)
        finally:
            os.close(file)
    except (FileNotFoundError, NotADirectoryError):
        return Rejected(MISSING)
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return Rejected(UNREADABLE)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or a link to one that can be followed."""
    with contextlib.suppress(OSError):
        return entry.is_dir()
    return False


def _may_be_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file, or a link to something: one that is broken is to be named."""
    return entry.is_file() or entry.is_symlink()


def _sidecar_label(kind: str, data: bytes) -> str | int | None:
    """The label in a `.cls` (a number or a name), `.json` (under label, cls or class) or `.txt` (a
    number or a word: captions are no classes); None: there is none in it."""
    text = data.decode("utf-8", "replace").strip()
    if kind == "json":
        try:
            content = json.loads(text)
        except ValueError:
            return None
        if isinstance(content, dict):
            content = next((content[k] for k in ("label", "cls", "class") if k in content), None)
        is_label = isinstance(content, str | int) and not isinstance(content, bool)
        return content if is_label else None
    if not text or len(text.split() if kind == "txt" else text.splitlines()) != 1:
        return None
    return whole_number(text) if text.removeprefix("-").isdecimal() else text


def _unpack(path: str) -> str:
    folder = Path(path).name.partition(".")[0]
    how = f"unzip {path} -d {folder}"
    if not path.lower().endswith(".zip"):
        how = f"mkdir {folder} && tar -xf {path} -C {folder}"
    return f"{path}: is compressed, so that no part of it can be read alone; unpack it: {how}"
