from pathlib import Path

import pytest

from arcadia.errors import UserError
from pipelines.places.labels import Classes, label_of, read_categories, split_number


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("", ""),
        ("abbey", "abbey"),
        ("train/abbey", "abbey"),
        ("val/abbey", "abbey"),
        ("a/abbey", "abbey"),
        ("train/a/apartment_building/outdoor", "apartment_building/outdoor"),
        ("a/apartment_building/outdoor", "apartment_building/outdoor"),
        ("train", "train"),  # beside a class `car`
        ("a", "a"),
        ("7/abbey", "7/abbey"),
        ("animals/train", "animals/train"),
    ],
)
def test_folders_name_a_class(path: str, label: str):
    assert label_of(path.split("/") if path else []) == label


def test_a_split_alone_names_none():
    assert label_of(["train"], is_split=True) == ""
    assert label_of(["train", "abbey"], is_split=True) == "abbey"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/a/airfield/00000001.jpg 0\n", ("/a/airfield/00000001.jpg", 0)),
        ("a/abbey/gsun_0a1.jpg,204", ("a/abbey/gsun_0a1.jpg", 204)),
        ("a name with blanks.jpg -1", ("a name with blanks.jpg", -1)),
        ("a/abbey/1.jpg", None),
        ("12", None),
    ],
)
def test_a_line_ends_with_a_number(line: str, expected: tuple[str, int] | None):
    assert split_number(line) == expected


def test_names_get_numbers_in_their_order():
    classes = Classes()
    given = [classes.index(name) for name in ("zoo", "abbey", None, "zoo", "", "lake")]
    names, final = classes.finish()
    assert names == ["abbey", "lake", "zoo"]
    assert [names[final[i]] if i >= 0 else None for i in given] == [
        *("zoo", "abbey", None, "zoo", None, "lake")
    ]


def test_numbers_stay_what_they_are():
    classes = Classes()
    assert [classes.index(n) for n in (3, 0, -1)] == [3, 0, -1]
    names, final = classes.finish()
    assert names == ["0", "1", "2", "3"] and final.tolist() == [0, 1, 2, 3]


def test_categories_say_which_number_a_name_has():
    classes = Classes(("zoo", "abbey"), "list.txt")
    assert [classes.index(label) for label in ("abbey", 0, "zoo", None)] == [1, 0, 0, -1]
    assert classes.finish()[0] == ["zoo", "abbey"]
    with pytest.raises(UserError, match=r'"abey": no class of list.txt .*did you mean "abbey"'):
        classes.index("abey")
    with pytest.raises(UserError, match=r"label 2: must be from 0 to 1 of list.txt"):
        classes.index(2)


def test_names_and_numbers_are_not_mixed():
    classes = Classes()
    classes.index("abbey")
    with pytest.raises(UserError, match="some are names, some are numbers; give --categories"):
        classes.index(0)
    classes = Classes()
    classes.index(0)
    with pytest.raises(UserError, match="some are names"):
        classes.index("abbey")
    with pytest.raises(UserError, match="label -2"):
        classes.index(-2)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("/a/airfield 0\n/a/airplane_cabin 1\n\n", ("airfield", "airplane_cabin")),
        (
            "\ufeff/b/beach 1\n/a/apartment_building/outdoor 0",
            ("apartment_building/outdoor", "beach"),
        ),
        ("zoo\nabbey\n", ("zoo", "abbey")),
        ("room 3\nroom 4\n", ("room 3", "room 4")),
    ],
)
def test_categories_are_read(tmp_path: Path, text: str, names: tuple[str, ...]):
    path = tmp_path / "categories.txt"
    path.write_text(text, encoding="utf-8")
    assert read_categories(str(path)) == names


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "names no class"),
        (b"abbey\nabbey\n", 'names the class "abbey" twice'),
        (b"\x00\x01", "is no text file"),
    ],
)
def test_bad_categories_are_refused(tmp_path: Path, data: bytes, complaint: str):
    path = tmp_path / "categories.txt"
    path.write_bytes(data)
    with pytest.raises(UserError, match=complaint):
        read_categories(str(path))


def test_missing_categories_are_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"none\.txt: cannot read"):
        read_categories(str(tmp_path / "none.txt"))
