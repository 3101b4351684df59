"""`arcadia evaluate` of h-DQN: scores as of DQN, and how well each goal is reached.

Three players: the policy; its controller with every goal picked at random, so that each goal is
tried often; and a random player, whose goals and actions are random. The last two are asked for the
same goals by the same chance, so that their rates compare the controller with random actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from algorithms.dqn import evaluation
from algorithms.dqn.config import DQNConfig
from algorithms.dqn.protocols import Player
from algorithms.dqn.scores import Game
from algorithms.hdqn.config import HDQNConfig
from algorithms.hdqn.statistics import GoalStatistics, Outcome, wilson_lower_bound
from arcadia.runs import RunFolder

if TYPE_CHECKING:
    from arcadia.commands import EvaluateOptions

PLAYERS: tuple[Player, ...] = ("policy", "controller", "random")
_SHOWN = {"policy": "policy's goals", "controller": "random goals", "random": "random actions"}


def evaluate(runs: Sequence[RunFolder], command: EvaluateOptions) -> dict[str, Any]:
    """As `algorithms.dqn.evaluation.evaluate`; each run's result also holds `goals`, see
    `goals_of`."""
    subject = evaluation.Subject(
        config_class=HDQNConfig, players=PLAYERS, measure=_measure, table=goal_table
    )
    return evaluation.evaluate(runs, command, subject)


def goals_of(names: Sequence[str], games: Sequence[Game]) -> dict[str, dict[str, dict[str, Any]]]:
    """How well each goal is reached.

    Args:
        names: Of the goals.
        games: Of all players.

    Returns:
        By goal and player: `tried`, `reached`, `success_rate` (None where it was never tried) and
        `lower_bound`, see `wilson_lower_bound`.
    """
    result: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in names}
    for player in PLAYERS:
        statistics = GoalStatistics(names)
        own = (game.goals for game in games if game.player == player)
        statistics.add(Outcome(*goal) for goals in own for goal in goals)
        counts = zip(names, statistics.tried.tolist(), statistics.reached.tolist(), strict=True)
        for name, tried, reached in counts:
            result[name][player] = {
                "tried": tried,
                "reached": reached,
                "success_rate": reached / tried if tried else None,
                "lower_bound": wilson_lower_bound(reached, tried),
            }
    return result


def goal_table(result: dict[str, Any]) -> Table:
    """The goals of one run.

    Args:
        result: What `evaluation.json` holds.
    """
    table = Table(
        title="Goals reached",
        caption="of tries; in brackets the low end of the 95 % confidence interval (Wilson)",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 2, 0, 0),
    )
    table.add_column("goal", overflow="fold")
    for player in PLAYERS:
        table.add_column(_SHOWN[player], justify="right", no_wrap=True)
    for name, players in result["goals"].items():
        table.add_row(name, *(_cell(players[player]) for player in PLAYERS))
    return table


def _cell(counts: dict[str, Any]) -> str:
    if counts["success_rate"] is None:
        return "-"
    rate = f"{100 * counts['success_rate']:.0f} %"
    return f"{rate} of {counts['tried']} ({100 * counts['lower_bound']:.0f} %)"


def _measure(config: DQNConfig, games: list[Game]) -> dict[str, Any]:
    assert isinstance(config, HDQNConfig)
    return {"goals": goals_of(config.make_goals().names, games)}
