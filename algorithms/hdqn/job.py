"""What the commands of h-DQN do."""

from __future__ import annotations

import dataclasses
from typing import Any

from algorithms.hdqn.chain import KIND, ChainOptions, run_chain
from algorithms.hdqn.tabular import TabularOptions
from arcadia.errors import UserError, did_you_mean
from arcadia.options import command_words, parse, peek
from arcadia.runs import RunFolder

_ENVS = ("chain",)


def train(argv: list[str], prog: str) -> dict[str, Any]:
    """`arcadia train hdqn`."""
    resume, env = peek(argv, "--resume"), peek(argv, "--env")
    run = None if resume is None else RunFolder.open(resume)
    if run is not None and run.kind != KIND:
        raise UserError(f'{resume}: a run of kind "{run.kind}"; hdqn cannot go on with it')
    if env is not None and env not in _ENVS:
        near = did_you_mean(env, _ENVS) or f"; there is {', '.join(_ENVS)}"
        raise UserError(f'env "{env}": nothing that h-DQN plays{near}')
    options = TabularOptions() if run is None else TabularOptions(**run.config["options"])
    default = ChainOptions(options=options)
    command = parse(ChainOptions, argv, prog, default)
    if run is not None:
        _refuse_contradictions(command, default, run)
    return run_chain(command, command_words(prog, argv), run)


def _refuse_contradictions(command: ChainOptions, default: ChainOptions, run: RunFolder) -> None:
    for f in dataclasses.fields(TabularOptions):
        was, now = getattr(default.options, f.name), getattr(command.options, f.name)
        if was != now:
            raise UserError(
                f"{f.name} {now!r}: the run {run.storage.shown()} was made with {was!r}; "
                "leave the option out, or start a new run"
            )
    if command.run_dir is not None:
        raise UserError("run_dir: a run goes on in its own folder; leave it out with --resume")
    if command.seed is not None and command.seed != run.seed:
        raise UserError(f"seed {command.seed}: the run was made with seed {run.seed}")
