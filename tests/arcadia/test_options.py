"""One list of options: command line, RLlib config and Tune take theirs from the same class."""

import dataclasses
import inspect

import pytest

from algorithms.dqn import DQN, DQNConfig, DQNOptions
from algorithms.dqn.job import TrainOptions
from arcadia.errors import UserError
from arcadia.options import CommonOptions, flags, parse, peek

FIELDS = {f.name for f in dataclasses.fields(DQNOptions)}


def names(words: list[str]) -> set[str]:
    return {w.removeprefix("--").replace("-", "_") for w in words if not w.startswith("--no-")}


def test_the_three_lists_are_equal():
    own = {f.name for f in dataclasses.fields(TrainOptions)} - {"options"}
    assert names(flags(TrainOptions)) - own == FIELDS
    arguments = set(inspect.signature(DQNConfig.training).parameters) - {"self", "rllib"}
    assert arguments == FIELDS
    assert set(vars(DQNConfig())) >= FIELDS
    # Tune's keys: what a param space may hold is what update_from_dict takes.
    defaults = {f.name: f.default for f in dataclasses.fields(DQNOptions)}
    config = DQN.get_default_config().update_from_dict(defaults)
    assert {name: getattr(config, name) for name in FIELDS} == defaults


def test_every_option_reaches_options_whichever_way_it_is_set():
    changed = DQNOptions(game="pong", lr=0.5, n_step=7, overlap=False, replay_max_bytes=10**9)
    values = dataclasses.asdict(changed)
    by_line = [
        *("--game", "pong", "--lr", "0.5", "--n-step", "7", "--no-overlap"),
        *("--replay-max-bytes", "1000000000"),
    ]
    assert parse(TrainOptions, by_line, "test").options == changed
    assert DQNConfig().training(**values).options == changed
    assert DQNConfig().update_from_dict(values).options == changed


def test_peek_reads_both_spellings():
    assert peek(["--game", "pong"], "--game") == "pong"
    assert peek(["--game=pong"], "--game") == "pong"
    assert peek(["--game"], "--game") is None
    assert peek([], "--game") is None


def test_common_options_are_parsed_and_mistakes_told():
    assert parse(CommonOptions, ["--seed", "3", "--json"], "test").seed == 3
    with pytest.raises(UserError, match="--sed: no such option"):
        parse(CommonOptions, ["--sed", "3"], "test")
    with pytest.raises(UserError, match=r"--seed.*see test --help"):
        parse(CommonOptions, ["--seed", "three"], "test")
