"""One list of options: command line, RLlib config and Tune take theirs from the same class."""

import dataclasses
import inspect
import io
import re
import sys
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
import tyro
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

from algorithms.dqn import DQN, DQNConfig, DQNOptions
from algorithms.dqn.job import TrainOptions
from arcadia.commands import EvaluateOptions
from arcadia.errors import UserError
from arcadia.options import CommonOptions, bare_words, flags, parse, peek

FIELDS = {f.name for f in dataclasses.fields(DQNOptions)}


def names(words: list[str]) -> set[str]:
    return {w.removeprefix("--").replace("-", "_") for w in words if not w.startswith("--no-")}


def test_the_three_lists_are_equal():
    own = {f.name for f in dataclasses.fields(TrainOptions)} - {"options"}
    assert {f.name for f in dataclasses.fields(CommonOptions)} < own
    assert not own & FIELDS
    assert names(flags(TrainOptions)) - own == FIELDS
    arguments = set(inspect.signature(DQNConfig.training).parameters) - {"self", "rllib"}
    assert arguments == FIELDS
    # What a config has beyond any other of RLlib's, and the names that both have.
    attributes, plain = vars(DQNConfig()), vars(AlgorithmConfig())
    shared = FIELDS & set(plain)
    assert {k for k in set(attributes) - set(plain) if k[0] != "_"} | shared == FIELDS
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


# One other value that is allowed, for each option.
OTHER = {
    **{f.name: not f.default for f in dataclasses.fields(DQNOptions) if f.type == "bool"},
    **{f.name: f.default + 1 for f in dataclasses.fields(DQNOptions) if f.type == "int"},
    **{f.name: f.default / 2 for f in dataclasses.fields(DQNOptions) if f.type == "float"},
    **dict(game="pong", env="CartPole-v1", replay_max_bytes=10**9, sticky_actions=0.25),
    **dict(
        emulator="ram",
        preprocess="resize",
        network="nature2015",
        loss="squared",
        optimizer="rmsprop",
    ),
    **dict(autocast="bf16", replay_compression="none", frames_are="emulated"),
    **dict(num_gpus_per_learner=0.5, lr_schedule="cosine", lr_end=1e-5, lr_decay_frames=10**6),
    **dict(max_gradient_norm=10.0, importance_exponent_frames=10**6),
    **dict(save_replay="every", epsilon_schedule="exponential", rollout_fragment_length=4),
    **dict(activation="tanh", noise_variant="nah", noise_alpha=1.2, noise_c=2.0),
    **dict(anneal="30:0.5", anneal_updates=100, anneal_shape="linear"),
}
# What another option has to be for one to be changed.
WITH: dict[str, dict[str, Any]] = {
    "num_learners": {"num_env_runners": 1},
    "anneal": {"activation": "noisy_hard_tanh"},
    "anneal_updates": {"activation": "noisy_hard_tanh", "anneal": "30:0.5"},
}


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(DQNOptions)])
def test_each_option_is_settable_in_all_ways(name: str):
    values = {name: OTHER[name]} | WITH.get(name, {})
    changed = DQNOptions(**values)
    assert changed != DQNOptions()
    by_line: list[str] = []
    for key, value in values.items():
        flag = key.replace("_", "-")
        if isinstance(value, bool):
            by_line += [f"--{flag}" if value else f"--no-{flag}"]
        else:
            by_line += [f"--{flag}", str(value)]
    assert parse(TrainOptions, by_line, "test").options == changed
    assert DQNConfig().training(**values).options == changed
    assert DQNConfig().update_from_dict(values).options == changed


def test_a_misspelt_option_is_refused_in_all_ways():
    for refused in (
        lambda: parse(TrainOptions, ["--n-steps", "3"], "test"),
        lambda: DQNConfig().training(n_steps=3),
        lambda: DQNConfig().update_from_dict({"n_steps": 3}),
        lambda: setattr(DQNConfig(), "n_steps", 3),
        lambda: DQNConfig.preset("fast", n_steps=3),
    ):
        with pytest.raises(UserError, match=r'n.steps: .*did you mean "(--)?n.step"\?'):
            refused()


@dataclass(frozen=True, kw_only=True)
class Inner:
    """What is in another."""

    some_number: int = 1
    """A number."""

    def __post_init__(self) -> None:
        if self.some_number < 0:
            raise UserError(f"some_number {self.some_number}: must be at least 0")


@dataclass(frozen=True, kw_only=True)
class Outer(CommonOptions):
    """A command's options."""

    run: Annotated[str, tyro.conf.Positional]
    """Where."""
    is_fast: bool = True
    """How."""
    inner: Annotated[Inner, tyro.conf.arg(name="")] = field(default_factory=Inner)


def test_flags_are_spelled_as_the_command_line_takes_them():
    common = flags(CommonOptions)
    assert {"--run-dir", "--seed", "--address", "--json", "--no-json", "--debug"} <= set(common)
    own = [flag for flag in flags(Outer) if flag not in common]
    assert own == ["--run", "--is-fast", "--no-is-fast", "--some-number"]


def test_parse_reads_every_spelling():
    for words in (
        ["here", "--some-number", "5", "--no-is-fast"],
        ["--some-number=5", "--no-is-fast", "here"],
        ["--some_number", "5", "here", "--no-is-fast"],
    ):
        parsed = parse(Outer, words, "test")
        assert (parsed.run, parsed.is_fast, parsed.inner.some_number) == ("here", False, 5)


def test_parse_takes_defaults_from_an_instance():
    default = Outer(run="there", seed=4, inner=Inner(some_number=9))
    parsed = parse(Outer, ["--is-fast"], "test", default)
    assert (parsed.run, parsed.seed, parsed.inner.some_number) == ("there", 4, 9)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "required"),
        (["here", "there"], "there"),
        (["here", "--some-numbre", "3"], '--some-numbre: no such option; did you mean "--some-n'),
        (["here", "--no-run-dir"], "--no-run-dir: no such option"),
        (["here", "--some-number", "three"], "--some-number"),
        (["here", "--some-number"], "--some-number"),
        (["here", "--seed", "-3"], "seed -3: must be at least 0"),
        (["here", "--some-number", "-3"], "some_number -3: must be at least 0"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_parse_says_what_is_wrong_in_one_line(
    encoding: str, words: list[str], complaint: str, monkeypatch
):
    # tyro draws its frames of other characters where stdout takes only ASCII.
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    with pytest.raises(UserError) as told:
        parse(Outer, words, "test")
    line = str(told.value)
    assert complaint in line
    assert not re.search("[\n│╭╮╰╯─]|---", line)
    assert "Outer" not in line
    assert "helptext" not in line


def test_bare_words_are_no_values():
    words = ["--address", "ray://head:1", "a", "--episodes=3", "b", "--json", "c"]
    words += ["--seed", "4", "--no-debug", "d"]
    assert bare_words(EvaluateOptions, words) == ["a", "b", "c", "d"]


def test_peek_reads_both_spellings():
    assert peek(["--game", "pong"], "--game") == "pong"
    assert peek(["--game=pong"], "--game") == "pong"
    assert peek(["--game"], "--game") is None
    assert peek([], "--game") is None
    assert peek(["--games", "pong"], "--game") is None
    # The last of several, as the parser has it.
    twice = ["--game", "pong", "--game=breakout"]
    assert peek(twice, "--game") == parse(TrainOptions, twice, "test").options.game == "breakout"


def test_common_options_are_parsed_and_mistakes_told():
    assert parse(CommonOptions, ["--seed", "3", "--json"], "test").seed == 3
    with pytest.raises(UserError, match="--sed: no such option"):
        parse(CommonOptions, ["--sed", "3"], "test")
    with pytest.raises(UserError, match=r"--seed.*see test --help"):
        parse(CommonOptions, ["--seed", "three"], "test")
