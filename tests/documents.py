"""The project's Markdown as tests see it: blocks, the notes on them, commands, links.

A note is a comment on the line above a block, which nobody sees who reads the page:

    <!-- test: add WORDS -->           words for each arcadia command of the block
    <!-- test: replace OLD => NEW -->  in its text
    <!-- test: file NAME -->           the block is a file of this name
    <!-- test: needs MODULE -->        it is left out where the module is not installed
    <!-- test: skip REASON -->         it is read, and not carried out

Notes change what `tests/test_guides.py` carries out; `tests/test_docs.py` reads both.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

SHELL = ("", "sh", "bash")
_FENCE = re.compile(r"(?P<indent> *)```(?P<language>[\w-]*)\s*")
_NOTE = re.compile(r"\s*<!-- test: (?P<verb>add|replace|file|needs|skip) (?P<rest>.+) -->\s*")
_COMMENT = re.compile(r"(^|\s+)#(\s.*)?$")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*")
_KEYWORDS = ("do", "then", "else")
_SEPARATORS = frozenset(";&|()")
_LINK = re.compile(r"""\]\((?P<to>[^)\s]+)\)|\bsrc="(?P<picture>[^"]+)\"""")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block."""

    language: str
    text: str
    line: int
    """Of its first fence, from 1."""
    notes: tuple[tuple[str, str], ...]
    """Verb and the rest of each."""

    @property
    def is_shell(self) -> bool:
        return self.language in SHELL and self.file is None

    @property
    def file(self) -> str | None:
        """The name of the file that it is."""
        return self._only("file")

    @property
    def skip(self) -> str | None:
        """Why it is not carried out."""
        return self._only("skip")

    @property
    def needs(self) -> str | None:
        """The module without which it is not carried out."""
        return self._only("needs")

    @property
    def added(self) -> str:
        """Words for each arcadia command."""
        return " ".join(rest for verb, rest in self.notes if verb == "add")

    @property
    def tried(self) -> str:
        """The text as tests carry it out."""
        text = self.text
        for verb, rest in self.notes:
            if verb == "replace":
                old, arrow, new = rest.partition(" => ")
                assert arrow and old in text, f"line {self.line}: has no {old!r} to replace"
                text = text.replace(old, new)
        lines = logical_lines(text) if self.is_shell else [text]
        if not self.added:
            return "\n".join(lines)
        return "\n".join(f"{line} {self.added}" if is_arcadia(line) else line for line in lines)

    def _only(self, wanted: str) -> str | None:
        return next((rest for verb, rest in self.notes if verb == wanted), None)


class Document:
    """One Markdown file.

    Attributes:
        path: its own.
        blocks: those between fences, in their order.
        prose: the rest, a blank line in the place of each line of a block.
    """

    def __init__(self, path: Path):
        self.path = path
        self.blocks: list[Block] = []
        prose: list[str] = []
        notes: list[tuple[str, str]] = []
        lines = iter(enumerate(path.read_text().splitlines(), 1))
        for number, line in lines:
            fence, note = _FENCE.fullmatch(line), _NOTE.fullmatch(line)
            if fence is not None:
                text = list(_until_fence(lines, len(fence["indent"])))
                self.blocks.append(
                    Block(
                        language=fence["language"],
                        text="\n".join(text),
                        line=number,
                        notes=tuple(notes),
                    )
                )
                prose += [""] * (len(text) + 2)
            else:
                assert note or "<!-- test:" not in line, f"{path}:{number}: no note that tests know"
                assert note or not notes, f"{path}:{number}: a note stands on no block"
                prose.append(line)
            notes = [*notes, (note["verb"], note["rest"])] if note else []
        self.prose = "\n".join(prose)

    @property
    def files(self) -> dict[str, str]:
        """The files that its blocks are, by name."""
        return {b.file: b.text for b in self.blocks if b.file is not None}

    @property
    def links(self) -> list[str]:
        """Where its links and pictures lead, those into the web left out."""
        bare = re.sub(r"`[^`]*`", "", self.prose)
        found = [match["to"] or match["picture"] for match in _LINK.finditer(bare)]
        return [to for to in found if not re.match(r"[a-z]+:", to)]

    @property
    def spans(self) -> list[str]:
        """What stands between backticks in the prose, on one line."""
        found = re.findall(r"(?<!`)`([^`]+)`(?!`)", self.prose)
        return [" ".join(span.split()).replace("\\|", "|") for span in found]

    @cached_property
    def anchors(self) -> set[str]:
        """What `#...` may name in it."""
        found: set[str] = set()
        for heading in re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE):
            shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
            slug = re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")
            while slug in found:
                slug += "-1"
            found.add(slug)
        return found


def logical_lines(text: str) -> list[str]:
    """Lines without comments, those joined that end with a backslash; blank ones left out."""
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    bare = (_COMMENT.sub("", line).rstrip() for line in joined.splitlines())
    return [line for line in bare if line]


def commands(line: str) -> list[list[str]]:
    """The words of each command of a logical line: of pipes, `&&`, and the heads of loops; without
    redirections and without what is set in front of a command."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    found: list[list[str]] = [[]]
    words = iter(lexer)
    for word in words:
        if set(word) <= {"<", ">"}:
            next(words)
        elif set(word) <= _SEPARATORS:
            found.append([])
        else:
            found[-1].append(word)
    return [stripped for words in found if (stripped := _stripped(words))]


def is_arcadia(line: str) -> bool:
    """Whether a line is one arcadia command, to which words can be added."""
    found = commands(line)
    return len(found) == 1 and arcadia_words(found[0]) is not None


def arcadia_words(words: list[str]) -> list[str] | None:
    """What follows `arcadia` in any of its spellings; None: it is another command."""
    first = words[0].rpartition("/")[2]
    if first == "arcadia":
        return words[1:]
    if first == "python" and words[1:3] == ["-m", "arcadia"]:
        return words[3:]
    return None


def _stripped(words: list[str]) -> list[str]:
    while words and (words[0] in _KEYWORDS or _ASSIGNMENT.fullmatch(words[0])):
        words = words[1:]
    return words


def _until_fence(lines: Iterator[tuple[int, str]], indent: int) -> Iterator[str]:
    for _, line in lines:
        if line.strip() == "```":
            return
        yield line[indent:] if not line[:indent].strip() else line
    raise AssertionError("a block has no end")
