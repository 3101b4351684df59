from collections.abc import Iterable
from pathlib import Path

import pytest

from arcadia.errors import UserError
from pipelines.colorization.coloring.plan import Item, Part, find, parts_of


@pytest.fixture
def tree(tmp_path: Path, monkeypatch) -> Path:
    """Folders of files that are looked at by their names only."""
    for name in (
        *("a/x.jpg", "a/deep/x.JPEG", "a/deep/y10.png", "a/deep/y9.png", "a/.hidden/z.png"),
        *("b/x.jpg", "b/X.jpeg", "b/film.mp4", "b/film.avi", "b/notes.txt", "c/notes.txt"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def outputs(*words: str, output: str | None = "out") -> list[str]:
    return [item.output for item in find(words, output).items]


def test_a_folders_tree_is_kept_and_sorted_as_a_person_would(tree: Path):
    plan = find(["a"], "out")
    assert plan.folder == str(tree / "out")
    assert [item.source for item in plan.items] == [
        str(tree / "a" / name) for name in ("deep/x.JPEG", "deep/y9.png", "deep/y10.png", "x.jpg")
    ]
    assert [item.output for item in plan.items] == [
        *("deep/x-color.jpg", "deep/y9-color.png", "deep/y10-color.png", "x-color.jpg"),
    ]
    assert [item.number for item in plan.items] == [0, 1, 2, 3]
    assert plan.stamps[str(tree / "a/x.jpg")].size_bytes == len("a/x.jpg")


def test_results_never_collide_whatever_their_case(tree: Path):
    assert outputs("a/x.jpg", "b/x.jpg", "b/X.jpeg", "a/deep/x.JPEG") == [
        *("x-color.jpg", "x-color-2.jpg", "X-color-3.jpg", "x-color-4.jpg"),
    ]
    assert outputs("b/film.mp4", "b/film.avi") == ["film-color.mp4", "film-color-2.mp4"]


def test_a_file_that_is_named_twice_is_coloured_once(tree: Path):
    assert outputs("b/x.jpg", "b", "b/*.jpg") == [
        *("x-color.jpg", "X-color-2.jpg", "film-color.mp4", "film-color-2.mp4"),
    ]


@pytest.mark.parametrize("root", ["", "file://{}/"])
def test_patterns_find_files_and_no_others(tree: Path, root: str):
    root = root.format(tree)
    assert outputs(f"{root}?/x.jpg" if not root else f"{root}[ab]/x.jpg") == [
        *("x-color.jpg", "x-color-2.jpg"),
    ]
    assert outputs(f"{root}b/*") == [
        *("X-color.jpg", "film-color.mp4", "film-color-2.mp4", "x-color-2.jpg"),
    ]
    assert outputs(f"{root}a/**/y9.png") == ["y9-color.png"]
    with pytest.raises(UserError, match="no picture and no film has such a name"):
        find([f"{root}c/*"], "out")


def test_addresses_are_files_and_folders_too(tree: Path):
    plan = find([f"file://{tree}/b/x.jpg", f"file://{tree}/a"], f"file://{tree}/results")
    assert [item.source for item in plan.items][:2] == [
        *(f"file://{tree}/b/x.jpg", f"file://{tree}/a/deep/x.JPEG"),
    ]
    assert [item.output for item in plan.items][:2] == ["x-color.jpg", "deep/x-color.jpg"]
    with pytest.raises(UserError, match="nothing is there; check the address"):
        find([f"file://{tree}/nowhere"], "out")


def test_the_output_may_be_a_file_for_a_single_input(tree: Path):
    plan = find(["a/x.jpg"], "new/result.png")
    assert (plan.folder, plan.items[0].output) == (str(tree / "new"), "result.png")
    with pytest.raises(UserError, match=r"output result\.png: of 4 inputs it must be a folder"):
        find(["a"], "result.png")
    with pytest.raises(UserError, match="no video is written as"):
        find(["b/film.mp4"], "result.png")
    with pytest.raises(UserError, match="no picture format is called"):
        find(["b/x.jpg"], "result.mp4")


def test_results_may_not_lie_where_inputs_are_looked_for(tree: Path):
    for word, output in (("a", "a"), ("a", "a/deep"), (".", None), ("a/*.jpg", "a")):
        with pytest.raises(UserError, match="among the inputs of"):
            find([word], output)
    assert outputs("a/x.jpg", output="a") == ["x-color.jpg"]  # which next time is not looked for
    assert outputs("a/*.jpg", output="b") == ["x-color.jpg"]


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("b/notes.txt", "b/notes.txt: neither a picture nor a film"),
        ("c", "c: holds no picture and no film"),
        ("b/y.jpg", 'no such file or folder; did you mean "x.jpg"?'),
    ],
)
def test_what_is_none_is_refused(tree: Path, word: str, complaint: str):
    with pytest.raises(UserError) as caught:
        find([word], "out")
    assert complaint in str(caught.value)


def items(kinds: Iterable[bool]) -> list[Item]:
    return [
        Item(number=n, source=f"/{n}", output=f"{n}", is_film=film) for n, film in enumerate(kinds)
    ]


@pytest.mark.parametrize(
    ("number", "size"), [(1, 1), (32, 1), (33, 2), (1024, 32), (5000, 64), (1_000_000, 245)]
)
def test_parts_hold_all_pictures_once_and_films_come_first(number: int, size: int):
    all_items = items([False] * (number - 1) + [True] + [False])
    parts = parts_of(all_items)
    assert [part.number for part in parts] == list(range(len(parts)))
    assert [item.number for item in parts[0].items] == [number - 1]
    held = [item.number for part in parts for item in part.items]
    assert sorted(held) == list(range(number + 1))
    assert max(len(part.items) for part in parts) == size and len(parts) <= 4097


def test_a_part_passes_through_a_row():
    part = Part(number=3, items=tuple(items([False, True])))
    assert Part.from_row(part.to_row()) == part
