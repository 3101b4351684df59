"""What the documents say: every command is read by what would carry it out, every block of Python
compiles and imports what is there, every link leads somewhere.

`tests/test_guides.py` carries the guides out.
"""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from arcadia.cli import COMMANDS
from arcadia.errors import UserError
from tests.documents import SHELL, Block, Document, logical_lines
from tests.reading import OUTSIDE, Reader, all_flags, read_arcadia

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PATHS = [README, *sorted((ROOT / "docs").rglob("*.md"))]
DOCUMENTS = {str(path.relative_to(ROOT)): Document(path) for path in PATHS}
LANGUAGES = (*SHELL, "python", "text")
# In prose, what begins like this is a command.
_COMMAND = re.compile(r"(\w+=\S+ )*((\.venv/bin/)?arcadia|(\.venv/bin/)?python|make|ray) ")
# Options of others that prose names.
_FLAGS_OF_OTHERS = {
    *("--working-dir", "--runtime-env", "--entrypoint-num-cpus"),  # ray job submit
    *("--gpus", "--shm-size"),  # docker run
    *("--steps-per-s", "--updates-per-s", "--only", "--rounds"),  # benchmarks
    *("--folder", "--period", "--markdown", "--kills", "--scale"),
}

every_document = pytest.mark.parametrize("name", DOCUMENTS)


def where(name: str, block: Block) -> str:
    return f"{name}, the block at line {block.line}"


@every_document
def test_every_block_says_what_it_is(name: str):
    for block in DOCUMENTS[name].blocks:
        assert block.language in LANGUAGES, where(name, block)


@every_document
def test_every_command_in_a_block_is_read_by_what_would_carry_it_out(name: str):
    document = DOCUMENTS[name]
    reader = Reader(document.files)
    for block in document.blocks:
        if not block.is_shell:
            continue
        # As they are shown, and as tests carry them out.
        for text in dict.fromkeys((block.text, block.tried)):
            for line in logical_lines(text):
                try:
                    assert reader.line(line)
                except UserError as error:
                    pytest.fail(
                        f"{where(name, block)}: {line}: {error} (a block that is no commands: text)"
                    )


@every_document
def test_every_command_in_prose_is_read_too(name: str):
    for span in DOCUMENTS[name].spans:
        if not _COMMAND.match(span):
            continue
        try:
            assert Reader(takes_names=True).line(span)
        except UserError as error:
            pytest.fail(f"{name}: `{span}`: {error}")


@every_document
def test_every_option_in_prose_is_one(name: str):
    known = all_flags() | _FLAGS_OF_OTHERS
    named = {span.split()[0] for span in DOCUMENTS[name].spans if span.startswith("--")}
    named = {part for flag in named for part in flag.partition("=")[0].split("/")}
    assert named - known == set()


@every_document
def test_every_link_and_picture_leads_somewhere(name: str):
    document = DOCUMENTS[name]
    for link in document.links:
        to, _, anchor = link.partition("#")
        path = (document.path.parent / to).resolve() if to else document.path
        assert path.exists(), f"{name}: {link}"
        if anchor:
            found = DOCUMENTS[str(path.relative_to(ROOT))].anchors
            assert anchor in found, f"{name}: {link}; there is {', '.join(sorted(found))}"


def test_every_document_is_found_from_the_readme():
    found, todo = set(), [README]
    while todo:
        path = todo.pop()
        if path in found:
            continue
        found.add(path)
        links = (link.partition("#")[0] for link in Document(path).links)
        todo += [(path.parent / link).resolve() for link in links if link.endswith(".md")]
    assert set(PATHS) - found == set()


@every_document
def test_every_block_of_python_compiles_and_imports_what_is_there(name: str, tmp_path, monkeypatch):
    document = DOCUMENTS[name]
    for file in document.files:
        (tmp_path / file).write_text(document.files[file])
    monkeypatch.syspath_prepend(tmp_path)
    for block in document.blocks:
        if block.language != "python":
            continue
        assert block.tried
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    imported(alias.name, document)
            elif isinstance(node, ast.ImportFrom):
                module = imported(str(node.module), document)
                for alias in node.names:
                    assert module is None or hasattr(module, alias.name), (
                        f"{where(name, block)}: {node.module} has no {alias.name}"
                    )


def imported(name: str, document: Document) -> object | None:
    """A module; None: it is one of the document's own files, or of a package that is not here."""
    if f"{name}.py" in document.files:
        return None
    needed = {block.needs for block in document.blocks}
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name in needed:
            return None
        raise


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readmes_table_has_every_command_with_an_example(name: str):
    rows = [line for line in DOCUMENTS["README.md"].prose.splitlines() if line.startswith("| `")]
    (row,) = (row for row in rows if row.startswith(f"| `{name}`"))
    assert re.search(rf"`(arcadia {name}\b[^`]*|make {name}\b[^`]*)`", row), row


def test_every_guide_is_named_in_the_readme():
    text = README.read_text()
    for path in (ROOT / "docs" / "guides").glob("*.md"):
        assert f"(docs/guides/{path.name})" in text


# What these tests would miss if they read wrongly.


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("arcadia train dqn --gmae pong", '--gmae: no such option; did you mean "--game"'),
        ("arcadia train dqn --game pnog", 'no such ROM; did you mean "pong"'),
        ("arcadia train dqn --env CartPoel-v1", 'did you mean "CartPole-v1"'),
        ("arcadia train dqm --game pong", "arcadia train dqm: no such command"),
        ("arcadia train hdqn --env chain --seeds 2", "--seeds: no such option"),
        ("arcadia train colorizer --resume RUN --stpes 3", "--stpes: no such option"),
        ("arcadia evaluate RUN --episoeds 3", "--episoeds: no such option"),
        ("arcadia watch", "run"),
        ("arcadia tune tune_configs/nowhere.py", "tune_configs/nowhere.py: no such file"),
        ("arcadia report RUN | tee --what", "tee --what: no command that is known"),
        ("export A=1 && arcadia report RUN --rnu", "--rnu: no such option"),
        ("python -m arcadia train sequence --task counting", "counting"),
        ("for game in pnog; do arcadia train dqn --game $game; done", "no such ROM"),
        ("python -m benchmarks.replay --transition 3", "--transition: no option of replay.py"),
        ("python -m benchmarks.nowhere", "benchmarks.nowhere: no such module"),
        ("python docs/pictures/nowhere.py", "docs/pictures/nowhere.py: no such file"),
        ("make tset", "make tset: no such target"),
        ('make bench-replay ARGS="--jsno"', "--jsno: no option of replay.py"),
        ("ray job submit --wroking-dir . -- python x.py", "No such option"),
        ("ray job submit --working-dir . -- python -m arcadia watch R --x", "--x: no such option"),
        ("ray upp cluster.yaml", "upp"),
        ("tensorboard --lgdir runs", "invalid choice"),
        ("docker run x:1 arcadia train dqn --gmae pong", "--gmae: no such option"),
    ],
)
def test_what_cannot_be_read_is_refused(line: str, complaint: str):
    with pytest.raises(UserError) as refused:
        Reader().line(line)
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    "line",
    [
        "arcadia train dqn --game pong   # the game's own sound: 'none'",
        "A=1 .venv/bin/arcadia train dqn --resume runs/x --num-env-runners 8",
        "arcadia train hdqn --env MyEnv-v0 --goals my_module:MyGoals",
        "arcadia evaluate runs/colorizer-* --data places-val/",
        "arcadia colorize --resume RUN",
        "arcadia tune --resume RUN",
        "arcadia train dqn --preset nips2013 --help",
        "kubectl get secret arcadia > /dev/null",
    ],
)
def test_what_is_right_is_read(line: str):
    (bare,) = logical_lines(line)
    assert Reader().line(bare)


def test_a_commands_options_are_what_the_command_itself_would_have():
    read = read_arcadia(["train", "dqn", "--preset", "nips2013", "--game", "space_invaders"])
    assert (read.options.frame_skip, read.options.lr) == (3, 2.5e-4)
    read = read_arcadia(["train", "hdqn", "--env", "montezuma_revenge"])
    assert read.options.game == "montezuma_revenge"


def test_notes_change_what_is_carried_out_and_nothing_that_is_shown(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(
        "A\n\n<!-- test: add --seed 1 -->\n<!-- test: replace pong => breakout -->\n"
        "```sh\nexport A=1\narcadia train dqn --game pong \\\n    --minutes 3   # three\n```\n"
        "<!-- test: file a.py -->\n```python\nx = 1\n```\nB [c](d.md#e) `f(x) [g](h)`\n"
    )
    document = Document(page)
    shell, file = document.blocks
    assert "--seed" not in shell.text and "pong" in shell.text
    assert shell.tried.splitlines() == [
        "export A=1",
        "arcadia train dqn --game breakout --minutes 3 --seed 1",
    ]
    assert (file.file, file.text, document.files) == ("a.py", "x = 1", {"a.py": "x = 1"})
    assert document.links == ["d.md#e"]
    page.write_text("<!-- test: replace pnog => breakout -->\n```sh\narcadia report RUN\n```\n")
    with pytest.raises(AssertionError, match="has no 'pnog' to replace"):
        _ = Document(page).blocks[0].tried
    block = "```sh\nls\n```\n"
    for text in (f"<!-- test: ad x -->\n{block}", f"<!-- test: add x -->\n\n{block}"):
        page.write_text(text)
        with pytest.raises(AssertionError, match=r"no note|stands on no block"):
            Document(page)


def test_what_is_outside_says_why():
    assert all(reason and reason[0].islower() for reason in OUTSIDE.values())
