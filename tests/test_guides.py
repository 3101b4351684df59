"""The guides and the README, carried out: their commands and their Python in their order, each in
a folder of its own, shrunken by the notes that stand above their blocks.

Each is one script of the shell, as a reader types it, so that what a block exports or starts is
there in the next; see `tests/documents.py` for the notes.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from arcadia.media import VideoWriter, write_image
from tests.documents import Block, Document
from tests.pipelines.pictures import colorful

ROOT = Path(__file__).parents[1]
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guides").glob("*.md"))]
_TIMEOUT_S = 1_500
_SHOWN = 6_000  # characters of what a guide that fails has said last
_MARK = "== the block at line"


def script_of(document: Document, folder: Path) -> str:
    """Writes what a guide's blocks are, and a script that carries them out."""
    lines = ["set -euo pipefail"]
    for block in document.blocks:
        if block.file is not None:
            (folder / block.file).write_text(block.tried + "\n")
        elif _is_carried_out(block):
            lines.append(f"echo '{_MARK} {block.line}'")
            lines.append(block.tried if block.is_shell else _as_file(block, folder))
    return "\n".join(lines) + "\n"


def _is_carried_out(block: Block) -> bool:
    is_there = block.needs is None or importlib.util.find_spec(block.needs) is not None
    return (block.is_shell or block.language == "python") and block.skip is None and is_there


def _as_file(block: Block, folder: Path) -> str:
    name = f"block-{block.line}.py"
    (folder / name).write_text(block.tried + "\n")
    return f"python {name}"


def make_material(folder: Path) -> None:
    """Puts in place what the guides take for given: photographs, a film, the picture of a style,
    the archive of Places, all of them tiny; and the repository's own files that they name."""
    classes = ("abbey", "bar")
    for place, number in (("places365_standard/train", 24), ("places365_standard/val", 8)):
        for n in range(number):
            path = folder / place / classes[n % 2] / f"{n:08d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, colorful(64, 64, seed=n))
    for n in range(24):
        path = folder / "photos" / classes[n % 2] / f"{n}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, colorful(64, 64, seed=100 + n))
    write_image(folder / "photo.jpg", colorful(64, 80, seed=7))
    write_image(folder / "starry_night.jpg", colorful(64, 64, seed=8))
    with VideoWriter(folder / "clip.mp4", 25) as film:
        for shift in range(8):
            film.write(colorful(48, 80, seed=9)[:, shift : shift + 64])
    for name in ("tune_configs", "docs"):
        (folder / name).symlink_to(ROOT / name)


def environment(folder: Path) -> dict[str, str]:
    """A reader's, whose home is the folder, but for what is cached."""
    home = Path.home()
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}",
        "HOME": str(folder),
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(home / ".cache")),
    }


@pytest.mark.slow
@pytest.mark.timeout(_TIMEOUT_S + 60)
@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_a_guide_does_what_it_says(path: Path, tmp_path: Path):
    make_material(tmp_path)
    script = script_of(Document(path), tmp_path)
    assert _MARK in script  # there is something to carry out
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT_S,
    )
    assert done.returncode == 0, f"{path.name}: ...{done.stdout[-_SHOWN:]}"


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_a_guides_script_is_one_that_the_shell_reads(path: Path, tmp_path: Path):
    script = script_of(Document(path), tmp_path)
    subprocess.run(["bash", "-n", "-c", script], check=True)
    for file in tmp_path.glob("*.py"):
        compile(file.read_text(), file, "exec")


def test_a_block_that_fails_ends_the_script_and_one_that_is_skipped_does_not(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- test: skip it fails -->\n```sh\nfalse\n```\n<!-- test: needs no_such_module -->\n"
        "```python\n1 / 0\n```\n```sh\nexport A=3\n```\n```python\nimport os, b\nassert b.c == 4\n"
        "assert os.environ['A'] == '3'\n```\n<!-- test: file b.py -->\n```python\nc = 4\n```\n"
        "```text\nnothing\n```\n```sh\nfalse\n```\n```sh\ntouch reached\n```\n"
    )
    script = script_of(Document(page), tmp_path)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment(tmp_path), capture_output=True
    )
    told = done.stdout.decode().splitlines()
    assert (done.returncode, len(told)) == (1, 3), done.stderr.decode()
    assert not (tmp_path / "reached").exists()
