"""`arcadia evaluate`: the policies of runs and a random player, beside the paper's table."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from algorithms.dqn import protocols
from algorithms.dqn.config import DQNConfig
from algorithms.dqn.options import DQNOptions, options_of
from algorithms.dqn.paper_scores import TABLE_1, human_normalized_percent
from algorithms.dqn.playing import load_runner, play_here, play_in_actors
from algorithms.dqn.protocols import PLAYERS, Player, Protocol
from algorithms.dqn.score_tables import markdown, table_of_one, table_of_several
from algorithms.dqn.scores import Game, scores_of, standard_error
from arcadia import cluster, provenance
from arcadia.errors import UserError
from arcadia.jsonable import jsonable
from arcadia.progress import Progress
from arcadia.runs import RunFolder
from arcadia.storage import Storage

if TYPE_CHECKING:
    from arcadia.commands import EvaluateOptions


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is particular to the evaluation of an algorithm; the defaults are DQN's."""

    config_class: type[DQNConfig] = DQNConfig
    players: tuple[Player, ...] = PLAYERS
    """Who plays, the policy and the random player among them: their scores are compared."""
    measure: Callable[[DQNConfig, list[Game]], dict[str, Any]] = lambda config, games: {}
    """What more the games of one run come to, for its `evaluation.json`."""
    table: Callable[[dict[str, Any]], Table] | None = None
    """Shows that to people, given all that the file holds."""

    @property
    def name(self) -> str:
        """What people call the algorithm."""
        return self.config_class.options_class.algorithm_name


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """A run that can be evaluated: everything that a user may have got wrong was looked at."""

    run: RunFolder
    subject: Subject
    options: DQNOptions
    checkpoint_step: int
    weights: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.options.game or self.options.env)

    @property
    def config(self) -> DQNConfig:
        return self.subject.config_class.of_options(self.options)


def evaluate(
    runs: Sequence[RunFolder], command: EvaluateOptions, subject: Subject | None = None
) -> dict[str, Any]:
    """Evaluates runs one after another; each gets its `evaluation.json` as soon as it is done.

    Args:
        runs: Runs of one algorithm.
        command: How.
        subject: The algorithm; None: DQN.

    Returns:
        Of one run, what its `evaluation.json` holds; of several, `runs` (a list of these), `games`
        (see `by_game`) and `table` (the path of the file, or None).

    Raises:
        UserError: a run cannot be evaluated as asked; nothing was played then.
        RuntimeError: a run failed while it was played; the others were evaluated.
    """
    protocol, subject = _protocol(command), subject or Subject()
    candidates = [_candidate(run, command.checkpoint, protocol, subject) for run in runs]
    if command.num_env_runners:
        cluster.connect(command.address)
    results: list[dict[str, Any]] = []
    failed: list[tuple[RunFolder, Exception]] = []
    for i, candidate in enumerate(candidates):
        place = f" ({i + 1} of {len(runs)})" if len(runs) > 1 else ""
        try:
            results.append(_evaluate_one(candidate, protocol, command, place))
        except Exception as error:
            if len(runs) == 1:
                raise
            failed.append((candidate.run, error))
    if len(runs) == 1:
        Console().print(table_of_one(results[0]))
        if subject.table is not None:
            Console().print(subject.table(results[0]))
        return results[0]
    summary: dict[str, Any] = {"runs": results, "games": by_game(results), "table": None}
    if results:
        Console().print(table_of_several(results, summary["games"]))
        summary["table"] = _write_table(summary, command.run_dir)
    if failed:
        reasons = "; ".join(f"{run.storage.shown()}: {error}" for run, error in failed)
        kind = UserError if all(isinstance(e, UserError) for _, e in failed) else RuntimeError
        raise kind(f"{len(failed)} of {len(runs)} runs could not be evaluated: {reasons}")
    return summary


def by_game(results: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the runs of each game come to together.

    Args:
        results: As `evaluation.json` holds them.

    Returns:
        By game or environment, the paper's seven first and in its order: `num_runs`; `mean` and
        `standard_error`, over the runs' means where there are several and over the episodes where
        there is one; `best` (episode of any run); `random_mean`; `human_normalized_percent`;
        `paper`, the game's column of table 1.
    """
    groups: dict[str, list[dict[str, Any]]] = {game: [] for game in TABLE_1}
    for result in results:
        groups.setdefault(result["game"] or result["env"], []).append(result)
    games = {}
    for name, group in groups.items():
        if not group:
            continue
        means = [result["mean"] for result in group]
        mean = float(np.mean(means))
        alone = len(group) == 1
        games[name] = {
            "num_runs": len(group),
            "mean": mean,
            "standard_error": group[0]["standard_error"] if alone else standard_error(means),
            "best": max(result["best"] for result in group),
            "random_mean": float(np.mean([result["random_mean"] for result in group])),
            "human_normalized_percent": _normalized(name, mean, all(r["ended"] for r in group)),
            "paper": TABLE_1.get(name, {}),
        }
    return games


def _normalized(game: str | None, mean: float, ended: bool) -> float | None:
    """None too for a score reached in mid-game, which nobody's whole games compare with."""
    return human_normalized_percent(game, mean) if ended else None


def _protocol(command: EvaluateOptions) -> Protocol:
    given: dict[str, Any] = {
        name: value
        for name, value in (("steps", command.steps), ("epsilon", command.epsilon))
        if value is not None
    }
    if command.protocol == "episodes" and command.episodes is not None:
        given["number"] = command.episodes
    return getattr(protocols, command.protocol)(**given)


def _candidate(run: RunFolder, checkpoint: str, protocol: Protocol, subject: Subject) -> _Candidate:
    config_class = subject.config_class
    options = protocol.applied(options_of(run, config_class.options_class))
    _, step = run.find_checkpoint(checkpoint)
    runner = load_runner(run, num_envs=1, seed=0, checkpoint=checkpoint, config_class=config_class)
    weights = runner.get_weights()
    runner.stop()
    return _Candidate(
        run=run, subject=subject, options=options, checkpoint_step=step, weights=weights
    )


def _evaluate_one(
    candidate: _Candidate, protocol: Protocol, command: EvaluateOptions, place: str
) -> dict[str, Any]:
    seed = command.seed if command.seed is not None else 0
    num_envs = command.num_envs or 8
    subject = candidate.subject
    shares = protocols.shares(
        protocol,
        seed=seed,
        num_runners=command.num_env_runners or 1,
        num_envs=num_envs,
        players=subject.players,
    )
    games = _play(candidate, protocol, shares, command.num_env_runners, place)
    options = candidate.options
    result: dict[str, Any] = {
        "run": candidate.run.storage.shown(),
        "algorithm": subject.name,
        "game": options.game,
        "env": options.env,
        "checkpoint": command.checkpoint,
        "checkpoint_step": candidate.checkpoint_step,
        "protocol": protocol.name,
        "played": protocol.described(options),
        "steps": protocol.steps,
        "epsilon": options.epsilon_eval,
        "seed": seed,
        "num_env_runners": command.num_env_runners,
        "num_envs": shares[0].num_envs,
        "paper": TABLE_1.get(options.game or "", {}),
        "rows": [],
    }
    labels = (f"{subject.name}, epsilon {options.epsilon_eval:g}", "random")
    for player, prefix, label in zip(PLAYERS, ("", "random_"), labels, strict=True):
        scores = scores_of(games, player)
        values = {
            "episodes": len(scores.returns),
            "mean": scores.mean,
            "standard_error": scores.standard_error,
            "best": scores.best,
            "mean_length": scores.mean_length,
            "returns": scores.returns,
            "lengths": scores.lengths,
            "ended": scores.ended,
        }
        result |= {f"{prefix}{name}": value for name, value in values.items()}
        result["rows"].append(
            [label, scores.mean, scores.standard_error, scores.best, scores.mean_length]
        )
    result["human_normalized_percent"] = _normalized(options.game, result["mean"], result["ended"])
    result |= subject.measure(candidate.config, games)
    candidate.run.write_json("evaluation.json", result)
    return result


def _play(
    candidate: _Candidate,
    protocol: Protocol,
    shares: list[protocols.Share],
    num_actors: int,
    place: str,
) -> list[Game]:
    """Plays everything, with a progress line."""
    games: list[Game] = []
    steps = 0
    amount = protocol.episodes if protocol.episodes is not None else protocol.steps
    assert amount is not None
    unit = "episodes" if protocol.episodes is not None else "steps"
    config, subject = candidate.config, candidate.subject
    title = f"Evaluating {subject.name} on {candidate.name}{place}"
    with Progress(len(subject.players) * amount, unit, title) as progress:

        def tell(taken: int, ended: list[Game]) -> None:
            nonlocal steps
            steps += taken
            games.extend(ended)
            own = [game.return_ for game in games if game.player == "policy"]
            fields = {"mean": f"{np.mean(own):.1f}" if own else "-"}
            if unit == "episodes":
                fields["steps"] = f"{steps:,}"
            progress.update(len(games) if unit == "episodes" else steps, **fields)

        if num_actors:
            play_in_actors(config, candidate.weights, shares, tell, num_actors)
        else:
            play_here(config, candidate.weights, shares, tell)
    return games


def _write_table(summary: dict[str, Any], run_dir: str | None) -> str | None:
    """Puts the games' table beside the paper's into `run_dir`, as JSON and Markdown."""
    whole = set(TABLE_1) <= set(summary["games"])
    name = "seven_games" if whole else "games"
    if run_dir is None:
        print(f"Not written: --run-dir FOLDER would put {name}.json and {name}.md there.")
        return None
    storage = Storage.at(run_dir)
    made = {"commit": provenance.commit(), "versions": provenance.versions()}
    text = json.dumps(jsonable(summary | made), indent=2, sort_keys=True) + "\n"
    storage.write_bytes(f"{name}.json", text.encode())
    storage.write_bytes(f"{name}.md", markdown(summary, provenance.commit()).encode())
    print(f"Table: {storage.shown(f'{name}.md')}")
    return storage.shown(f"{name}.md")
