"""Commands as documents show them, read by what would read them: nothing is carried out.

A command of arcadia's is called up to the point at which its words have become its options; one of
Ray's, TensorBoard's and the benchmarks' goes through their own parsers or spellings.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tyro

from arcadia import jobs, options
from arcadia.cli import COMMANDS
from arcadia.errors import UserError
from tests.documents import arcadia_words, commands

ROOT = Path(__file__).parents[1]
OUTSIDE: Mapping[str, str] = {
    "aws": "asks AWS, with credentials",
    "docker": "needs Docker",
    "git": "fetches from elsewhere",
    "grafana": "is a server, of another project",
    "helm": "needs Kubernetes",
    "kubectl": "needs Kubernetes",
    "pip": "installs packages",
    "prometheus": "is a server, of another project",
    "ssh": "needs another machine",
}
"""Commands that nothing here can read, and why."""
OF_THE_SHELL = {
    *("cat", "cd", "chmod", "cp", "done", "export", "for", "kill"),
    *("ls", "mkdir", "source", "wait"),
}
_RESUMED_BY_RUN = ("train", "colorize", "stylize")  # those open the run before they read the rest


class Read(BaseException):
    """Ends a command when its words are read. No `Exception`: nobody on the way may catch it."""

    def __init__(self, cls: type[Any], value: Any):
        super().__init__()
        self.cls, self.value = cls, value


class Reader:
    """Reads commands.

    Args:
        files: names of files that are there although the repository does not hold them.
        takes_names: whether the name of a command alone is right, as prose has it.
    """

    def __init__(self, files: Mapping[str, str] | None = None, *, takes_names: bool = False):
        self._files, self._takes_names = files or {}, takes_names
        self._variables: dict[str, str] = {}

    def line(self, line: str) -> list[str]:
        """Reads all commands of a logical line; the first word of each."""
        found = commands(line)
        for words in found:
            self.command(words)
        return [words[0] for words in found]

    def command(self, words: list[str]) -> None:
        """Reads one.

        Raises:
            UserError: it cannot be read, or nobody here knows it.
        """
        words = [self._with_variables(word) for word in words]
        first = words[0].rpartition("/")[2]
        own = arcadia_words(words)
        if own is not None:
            self._arcadia(own)
        elif first in ("python", "python3"):
            self._python(words[1:])
        elif first == "make":
            self._make(words[1:])
        elif first == "ray":
            self._ray(words[1:])
        elif first == "tensorboard":
            _tensorboard(words)
        elif first in ("for", "export"):
            self._note_variable(words)
        elif first == "docker" and "arcadia" in words:
            self._arcadia(words[words.index("arcadia") + 1 :])
        elif first not in OUTSIDE and first not in OF_THE_SHELL:
            raise UserError(f"{' '.join(words)}: no command that is known")

    def _with_variables(self, word: str) -> str:
        for name, value in self._variables.items():
            word = word.replace(f"${name}", value)
        return word

    def _note_variable(self, words: list[str]) -> None:
        if words[0] == "for":
            self._variables[words[1]] = words[3]  # for NAME in VALUE ...

    def _arcadia(self, words: list[str]) -> None:
        words = [word for word in words if word != "..."]
        if not words or words[0] in ("--help", "--version"):
            return
        if self._takes_names and " ".join(words) in {*COMMANDS, *(n.split()[0] for n in COMMANDS)}:
            return
        try:
            read = read_arcadia(words)
        except UserError as error:
            # A module that the document itself has the reader write.
            missing = re.search(r"No module named '(\w+)'", str(error))
            if missing is None or f"{missing[1]}.py" not in self._files:
                raise
            return
        if read is None:
            return
        file = getattr(read, "file", None)
        if file is not None and not file.isupper():  # as FILE is
            self._check_file(file)

    def _python(self, words: list[str]) -> None:
        if words[0] == "-m":
            if words[1].startswith("benchmarks."):
                _check_flags(_source_of(words[1]), words[2:])
            elif importlib.util.find_spec(words[1]) is None:
                raise UserError(f"{words[1]}: no such module")
        elif words[0] == "-c":
            compile(words[1], "-c", "exec")
        else:
            self._check_file(words[0])

    def _check_file(self, name: str) -> None:
        if name not in self._files and not (ROOT / name).is_file():
            raise UserError(f"{name}: no such file")

    def _make(self, words: list[str]) -> None:
        rules = (ROOT / "Makefile").read_text()
        given = {n: v for n, _, v in (word.partition("=") for word in words if "=" in word)}
        for target in (word for word in words if "=" not in word):
            rule = re.search(rf"^{re.escape(target)}:.*\n((?:\t.*\n)*)", rules, re.MULTILINE)
            if rule is None:
                raise UserError(f"make {target}: no such target")
            recipe = rule[1]
            arguments = commands(given.get("ARGS", ""))
            if not arguments:
                continue
            if "arcadia demo" in recipe:
                self._arcadia(["demo", *arguments[0]])
            for module in re.findall(r"-m (benchmarks\.\w+)", recipe):
                _check_flags(_source_of(module), arguments[0])

    def _ray(self, words: list[str]) -> None:
        import click
        from ray.scripts.scripts import cli

        if not words:
            return
        command: Any = cli
        context = click.Context(cli, info_name="ray")
        try:
            while isinstance(command, click.Group):
                name, found, words = command.resolve_command(context, words)
                assert found is not None
                context = click.Context(found, info_name=name, parent=context)
                command = found
                if self._takes_names and not words:
                    return
            with command.make_context(context.info_name, words, parent=context.parent) as read:
                entrypoint = list(read.params.get("entrypoint", ()))
        except click.ClickException as error:
            raise UserError(f"ray: {error.format_message()}") from error
        if entrypoint and entrypoint != ["..."]:
            self.command(entrypoint)


def read_arcadia(words: list[str]) -> Any:
    """The options that a command of arcadia's becomes; None where help is asked for.

    Raises:
        UserError: there is no such command, or it does not take the words.
    """
    name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
    if name not in COMMANDS:
        raise UserError(f"arcadia {' '.join(words[:2])}: no such command")
    rest = words[len(name.split()) :]
    if name.split()[0] in _RESUMED_BY_RUN:
        rest = _without_resume(rest)
    if name == "evaluate":
        return _evaluation(rest)
    value = _read(name, rest, _really)
    _check_played(value)
    return value


def all_flags() -> set[str]:
    """Of all commands of arcadia's, as they are spelt."""
    found: set[str] = {"--help", "--version"}
    for name in COMMANDS:
        found |= set(options.flags(_class_of(name, [])))
    found |= set(options.flags(_class_of("train hdqn", ["--env", "chain"])))
    for cls in _evaluations():
        found |= set(options.flags(cls))
    return found


def _read(name: str, words: list[str], read: Callable[..., Any]) -> Any:
    """Calls a command until it reads its words by `read`."""
    real = tyro.cli

    def reading(cls: type[Any], *, args: list[str], prog: str, default: Any = None) -> Any:
        raise Read(cls, read(real, cls, args=args, prog=prog, default=default))

    tyro.cli = reading  # type: ignore[assignment]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            COMMANDS[name].load()(words, f"arcadia {name}")
    except Read as done:
        return done.cls if read is _nothing else done.value
    except SystemExit as end:  # help was asked for
        if end.code in (0, None):
            return None
        raise
    finally:
        tyro.cli = real  # type: ignore[assignment]
    raise AssertionError(f"arcadia {name}: did its work before it read its options")


def _really(real: Callable[..., Any], cls: type[Any], **arguments: Any) -> Any:
    return real(cls, **arguments)


def _nothing(real: Callable[..., Any], cls: type[Any], **arguments: Any) -> None:
    return None


def _class_of(name: str, words: list[str]) -> type[Any]:
    return _read(name, words, _nothing)


def _evaluations() -> list[type[Any]]:
    """What runs of all kinds are evaluated with."""
    from arcadia.commands import EvaluateOptions

    modules = [importlib.import_module(module) for module in jobs.JOBS.values()]
    own = [getattr(module, "EvaluateOptions", EvaluateOptions) for module in modules]
    return list(dict.fromkeys(own))


def _evaluation(words: list[str]) -> Any:
    """The command looks into the run for its kind; here one must fit."""
    refused: list[UserError] = []
    for cls in _evaluations():
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                return options.parse(cls, words, "arcadia evaluate")
        except UserError as error:
            refused.append(error)
        except SystemExit:
            return None
    raise refused[0]


def _check_played(value: Any) -> None:
    """Refuses a game or an environment that is not there."""
    own: Any = getattr(value, "options", None)
    if not hasattr(own, "game"):
        return
    from algorithms.envs import check_env, check_game

    if own.game is not None:
        check_game(own.game)
    elif own.env is not None and getattr(own, "goals", None) is None:
        check_env(own.env)


def _without_resume(words: list[str]) -> list[str]:
    if "--resume" not in words:
        return words
    at = words.index("--resume")
    assert len(words) > at + 1, "--resume: names no run"
    return [*words[:at], *words[at + 2 :]]


def _source_of(module: str) -> list[Path]:
    path = ROOT / module.replace(".", "/")
    found = sorted(path.glob("*.py")) if (path / "__main__.py").is_file() else []
    if path.with_suffix(".py").is_file():
        found = [path.with_suffix(".py")]
    if not found:
        raise UserError(f"{module}: no such module")
    return found


def _check_flags(sources: list[Path], words: list[str]) -> None:
    """Refuses options that a benchmark's source does not spell."""
    text = "".join(source.read_text() for source in sources)
    spelt = set(re.findall(r'"(?:--)?([\w-]+)"', text))
    for word in words:
        flag = word.partition("=")[0]
        is_flag = flag.startswith("--") and " " not in flag  # else words for another command
        if is_flag and flag.removeprefix("--") not in spelt:
            raise UserError(f"{flag}: no option of {sources[-1].name}")


def _tensorboard(words: list[str]) -> None:
    from tensorboard import program

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            program.TensorBoard().configure(words)
    except SystemExit:
        raise UserError(said.getvalue().splitlines()[-1]) from None
