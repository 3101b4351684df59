"""`arcadia train hdqn --env chain`: tabular h-DQN beside tabular Q-learning, several seeds of each.

Kulkarni et al. 2016, section 4.1 and figures 2 and 3. Every seed that is done is in the run's
folder; a run that goes on begins with the next.
"""

from __future__ import annotations

import dataclasses
import io
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from algorithms.envs.chain import NUM_STATES
from algorithms.hdqn.chain_figure import chain_figure
from algorithms.hdqn.tabular import LEARNERS, Learnt, TabularOptions
from arcadia.errors import UserError, said_of
from arcadia.options import CommonOptions
from arcadia.progress import Progress
from arcadia.runs import RunFolder, default_run_dir
from arcadia.stop import StopSignal
from arcadia.typed import from_json

if TYPE_CHECKING:
    from arcadia.commands import EvaluateOptions, WatchOptions
    from arcadia.headline import Headline
    from arcadia.report import Report

KIND = "hdqn-chain"
FIGURE = "chain.png"
WINDOW = 1_000
"""Episodes that a point of the curves is the mean of, and the result."""
_KEYS = {"h-DQN": "hdqn", "Q-learning": "q_learning"}


@dataclass(frozen=True, kw_only=True)
class ChainOptions(CommonOptions):
    """Solves the six-state decision process of the h-DQN paper (section 4.1) with tables, by h-DQN
    and by Q-learning beside it."""

    env: str = "chain"
    """chain."""
    resume: str | None = None
    """Run to go on with: seeds that are done stay; its options stay, other ones are refused."""
    options: Annotated[TabularOptions, tyro.conf.arg(name="")] = field(
        default_factory=TabularOptions
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.address is not None:
            raise UserError(
                f"address {self.address}: tables are learnt in this process; leave it out"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Curves:
    """What one seed came to, in windows of `WINDOW` episodes; the last may be shorter."""

    reward: np.ndarray
    """(W,) float64, mean reward of an episode."""
    visits: np.ndarray
    """(W, 6) float64, mean visits of each state in an episode."""
    values: np.ndarray
    """As `Learnt.values`."""
    final: float
    """Mean reward over the last `WINDOW` episodes."""

    @classmethod
    def of(cls, learnt: Learnt) -> Curves:
        """From every episode."""
        starts = np.arange(0, len(learnt.reward), WINDOW)
        counts = np.diff(np.append(starts, len(learnt.reward)))
        return cls(
            reward=np.add.reduceat(learnt.reward, starts) / counts,
            visits=np.add.reduceat(learnt.visits.astype(np.float64), starts) / counts[:, None],
            values=learnt.values,
            final=float(learnt.reward[-WINDOW:].mean()),
        )

    def save(self, run: RunFolder, name: str) -> None:
        """Writes it whole or not at all."""
        file = io.BytesIO()
        np.savez_compressed(file, **dataclasses.asdict(self))
        run.write_bytes(name, file.getvalue())

    @classmethod
    def load(cls, run: RunFolder, name: str) -> Curves:
        """Reads what `save` wrote."""
        with np.load(io.BytesIO(run.read_bytes(name))) as arrays:
            values: dict[str, Any] = dict(arrays)
        values["final"] = float(values["final"])
        return cls(**values)


def run_chain(
    command: ChainOptions, words: Sequence[str] | None = None, resumed: RunFolder | None = None
) -> dict[str, Any]:
    """Learns with every seed, and draws the comparison.

    Args:
        command: What is learnt.
        words: The command line, for the run's record.
        resumed: The run to go on with.

    Returns:
        `run`; `hdqn_reward_mean` and `q_learning_reward_mean`, mean extrinsic reward of the last
        thousand episodes, mean over the seeds, each also `_standard_error` and `_seeds` (a list);
        `figure`, its path, and `seconds`. None for what was stopped before a seed was done.
    """
    start, options = time.monotonic(), command.options
    if resumed is None:
        seed = command.seed if command.seed is not None else random.SystemRandom().randrange(2**31)
        run = RunFolder.create(
            command.run_dir or default_run_dir(KIND),
            kind=KIND,
            config={"options": dataclasses.asdict(options)},
            seed=seed,
            command=words,
        )
    else:
        run, seed = resumed, resumed.seed or 0
        run.set_status("running")
    print(f"Run: {run.storage.shown()}", flush=True)
    todo = [(name, seed + i) for i in range(options.num_seeds) for name in LEARNERS]
    with StopSignal() as stop, run.noting_failure():
        total = options.episodes * len(todo)
        with Progress(total, "episodes", "h-DQN and Q-learning on the chain") as progress:
            for i, (name, own) in enumerate(todo):
                if stop.requested:
                    break
                if not run.exists(_file(name, own)):
                    Curves.of(LEARNERS[name](options, own)).save(run, _file(name, own))
                progress.update((i + 1) * options.episodes)
        complete = all(run.exists(_file(name, own)) for name, own in todo)
    run.set_status("completed" if complete else "stopped")
    if not complete:
        print(f"Stopped; go on with --resume {run.storage.shown()}")
    return {"run": run.uri, **summarize(run), "seconds": round(time.monotonic() - start, 1)}


def tabular_options(run: RunFolder) -> TabularOptions:
    """What a run was made with."""
    with said_of(run.storage.shown("config.json")):
        return from_json(TabularOptions, run.config.get("options"))


def curves_of(run: RunFolder) -> dict[str, list[Curves]]:
    """By learner, the seeds that are done."""
    first, number = run.seed or 0, tabular_options(run).num_seeds
    return {
        name: [
            Curves.load(run, _file(name, first + i))
            for i in range(number)
            if run.exists(_file(name, first + i))
        ]
        for name in LEARNERS
    }


def summarize(run: RunFolder) -> dict[str, Any]:
    """Draws the figure into the run; see `run_chain` for what it returns."""
    curves, result = curves_of(run), {}
    for name, own in curves.items():
        finals = [c.final for c in own]
        spread = np.std(finals, ddof=1) / np.sqrt(len(finals)) if len(finals) > 1 else None
        result |= {
            f"{_KEYS[name]}_reward_mean": float(np.mean(finals)) if finals else None,
            f"{_KEYS[name]}_reward_standard_error": None if spread is None else float(spread),
            f"{_KEYS[name]}_reward_seeds": finals,
        }
    drawn = {name: own for name, own in curves.items() if own}
    if drawn:
        run.write_bytes(
            FIGURE,
            chain_figure(
                {name: np.stack([c.reward for c in own]) for name, own in drawn.items()},
                {name: np.mean([c.visits for c in own], axis=0) for name, own in drawn.items()},
                WINDOW,
                optimum_at(tabular_options(run).epsilon_end),
            ),
        )
    result["figure"] = run.storage.shown(FIGURE) if drawn else None
    return result


def optimum_at(epsilon: float) -> float:
    """Mean reward of always going right but for one level's random actions: what a learner with
    that epsilon cannot exceed by more than chance.

    Args:
        epsilon: Chance of a random action; half of those are "left".
    """
    up = 0.5 * (1 - epsilon / 2)
    odds = (1 - up) / up
    # The gambler's ruin: from s2, one above the end, to s6, five above it.
    far = 1 / (NUM_STATES - 1) if odds == 1 else (1 - odds) / (1 - odds ** (NUM_STATES - 1))
    return far + 0.01 * (1 - far)


def _file(name: str, seed: int) -> str:
    return f"{_KEYS[name]}-{seed}.npz"


# What the commands that look at runs do with this kind; see `arcadia.jobs`.


def evaluate(runs: Sequence[RunFolder], command: EvaluateOptions) -> dict[str, Any]:
    """`arcadia evaluate`: there is no policy to play, and the result says how it did."""
    raise UserError(
        f"{runs[0].storage.shown()}: tables of the chain have nothing to evaluate; arcadia report "
        "shows how they did"
    )


def watch(run: RunFolder, command: WatchOptions) -> dict[str, Any]:
    """`arcadia watch`: six states in a row are no film."""
    raise UserError(
        f"{run.storage.shown()}: the chain has no picture to film; arcadia report shows the visits "
        "of its states"
    )


def export(run: RunFolder, command: Any) -> dict[str, Any]:
    """`arcadia export`: a table is no network."""
    raise UserError(f"{run.storage.shown()}: holds tables, and no network to export")


def headline(run: RunFolder) -> Headline:
    """What an index says of the run: means over the seeds that are done."""
    from arcadia.headline import Headline

    curves = curves_of(run)
    own = curves["h-DQN"]
    reward = np.mean([c.reward for c in own], axis=0) if own else None
    return Headline(
        title="h-DQN on the chain",
        figures={
            f"reward, {name}": float(np.mean([c.final for c in some]))
            for name, some in curves.items()
            if some
        },
        curve=None if reward is None else (WINDOW * np.arange(1, len(reward) + 1), reward),
        axes=("episodes", "reward of h-DQN, mean over the seeds"),
        picture=FIGURE if run.exists(FIGURE) else None,
    )


def report(run: RunFolder) -> Report:
    """`arcadia report`: the figure, the seeds, and which goals are worth most where."""
    from arcadia.report import Report

    result, curves = summarize(run), curves_of(run)
    report = Report("h-DQN and Q-learning on the chain", subtitle=f"{run.name} · {run.status}")
    stats = {}
    for name, key in _KEYS.items():
        mean, error = (result[f"{key}_reward_{what}"] for what in ("mean", "standard_error"))
        if mean is not None:
            stats[f"{name}, mean reward"] = f"{mean:.3f}" + (f" ± {error:.3f}" if error else "")
    report.stats(stats)
    if result["figure"] is not None:
        report.image(
            "Reward and visits",
            run.read_bytes(FIGURE),
            f"Means over {WINDOW:,} episodes and the seeds, with one standard deviation of these. "
            "The paper's figures 2 and 3.",
        )
    if curves["h-DQN"]:
        values = np.mean([c.values for c in curves["h-DQN"]], axis=0)
        rows = [[f"s{i + 1}", *map(float, row)] for i, row in enumerate(values) if i]
        report.table(
            "What the meta-controller takes goals to be worth",
            ["in state", *(f"goal s{i + 1}" for i in range(NUM_STATES))],
            rows,
            "Q2(s, g), mean over the seeds.",
        )
    return report
