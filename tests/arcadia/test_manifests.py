"""The list of a folder's files: what it tells, and what it is not believed for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from arcadia.errors import UserError
from arcadia.manifests import MANIFEST, check_manifest, parsed_manifest, write_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files, one in a folder, a folder of files that are left out, and the list."""
    root = tmp_path / "saved"
    for name in ("state", "part/state", "replay/frames"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"what is in {name}")
    write_manifest(root, without=("replay",))
    return root


def check(folder: Path, below: str = "") -> dict:
    return check_manifest(folder, "here", below=below, without=("replay",))


def test_a_folder_as_it_was_written_passes_whatever_is_left_out(folder: Path):
    assert set(check(folder)["files"]) == {"state", "part/state"}
    (folder / "replay" / "more").write_text("x")
    check(folder)
    write_manifest(folder, without=("replay",))  # the list does not list itself
    check(folder)


def add(folder: Path) -> None:
    (folder / "part" / "other.pkl").write_bytes(b"cos\nsystem\n.")


def link(folder: Path) -> None:
    (folder / "state").rename(folder.parent / "elsewhere")
    (folder / "state").symlink_to(folder.parent / "elsewhere")


def link_a_folder(folder: Path) -> None:
    (folder.parent / "others").mkdir()
    (folder / "second").symlink_to(folder.parent / "others")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder: (folder / "state").write_text("what is in stale"), "state is not what"),
        (lambda folder: (folder / "state").write_text("short"), "state is not what"),
        (lambda folder: os.remove(folder / "part/state"), "part/state is missing"),
        (add, r"part/other\.pkl is not in MANIFEST\.json"),
        (link, "state is a link"),
        (link_a_folder, "second is a link"),
        (lambda folder: os.remove(folder / MANIFEST), r"no list of its files \(MANIFEST\.json\)"),
        (lambda folder: (folder / MANIFEST).write_text("[]"), "no list of its files"),
    ],
)
def test_whatever_was_changed_is_told_in_one_line(
    harm: Callable[[Path], object], said: str, folder: Path
):
    harm(folder)
    with pytest.raises(UserError, match=f"^here: .*{said}.*; use another checkpoint$"):
        check(folder)


def test_a_part_is_looked_at_alone(folder: Path):
    (folder / "state").write_text("changed")
    check(folder, below="part")
    add(folder)
    with pytest.raises(UserError, match=r"other\.pkl"):
        check(folder, below="part")


@pytest.mark.parametrize(
    "change",
    [
        {"folders": ["../out"]},
        {"folders": ["/out"]},
        {"folders": None},
        {"files": {"../out": {"size_bytes": 1, "sha256": "00" * 32}}},
        {"files": {"a": {"size_bytes": "1", "sha256": "00" * 32}}},
        {"files": {"a": {"size_bytes": 1, "sha256": "no"}}},
        {"files": {"a": {"size_bytes": 1}}},
        {"files": ["a"]},
    ],
)
def test_a_list_that_leads_outside_or_makes_no_sense_is_none(change: dict):
    whole = {"files": {"a": {"size_bytes": 1, "sha256": "00" * 32}}, "folders": ["b"]}
    assert parsed_manifest(json.dumps(whole).encode()) == whole
    assert parsed_manifest(json.dumps(whole | change).encode()) is None


def test_what_is_no_json_is_no_list():
    assert parsed_manifest(b"no json") is None
    assert parsed_manifest(b"[" * 100_000) is None
