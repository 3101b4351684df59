"""An evaluation's scores beside the paper's, for the terminal and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from algorithms.dqn.paper_scores import BESTS, MEANS

_NONE = "-"


def title_of(name: str) -> str:
    """A ROM name as people write it, `space_invaders` as "Space Invaders"; others as they are."""
    return name.replace("_", " ").title() if name.islower() else name


def table_of_one(result: dict[str, Any]) -> Table:
    """The table of one run.

    Args:
        result: What `evaluation.json` holds.
    """
    name = result["game"] or result["env"]
    table = Table(
        title=f"{title_of(name)} after {result['checkpoint_step']:,} steps: {result['played']}",
        caption="\n".join(_notes(result)) or None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 2, 0, 0),
    )
    columns = ("player", "mean", "std. error", "best", "mean length", "episodes")
    for column in columns:
        table.add_column(column, justify="left" if column == "player" else "right", no_wrap=True)
    for row, prefix in zip(result["rows"], ("", "random_"), strict=True):
        episodes = result[f"{prefix}episodes"]
        table.add_row(row[0], *map(_measured, row[1:4]), f"{row[4]:,.0f}", str(episodes))
    if result["paper"]:
        table.add_section()
        table.add_row("Table 1 of 2013", style="italic")
        for player in (*MEANS, *BESTS):
            score, is_best = _paper(result["paper"], player), player in BESTS
            cells = (_NONE, _NONE, score) if is_best else (score, _NONE, _NONE)
            table.add_row(f"  {player}", *cells, _NONE, "1" if is_best else _NONE)
    return table


def _notes(result: dict[str, Any]) -> list[str]:
    percent = result["human_normalized_percent"]
    words = f"Human-normalised: {_percent(percent)} (the table's Random is 0, its Human 100)"
    return [*([] if percent is None else [words]), *_cut(result)]


def _cut(result: dict[str, Any]) -> list[str]:
    """Says where a score is that of a game which the last step cut."""
    return [
        f"No episode of {player} ended: the score is what it had reached."
        for player, prefix in ((result["algorithm"], ""), ("the random player", "random_"))
        if not result[f"{prefix}ended"]
    ]


def table_of_several(results: Sequence[dict[str, Any]], games: dict[str, dict[str, Any]]) -> Group:
    """The table of several runs: a row each, by game, and one for each game's runs together.

    Args:
        results: What each `evaluation.json` holds.
        games: What `evaluate.by_game` makes of them.
    """
    table = Table(
        title="; ".join(dict.fromkeys(result["played"] for result in results)),
        box=box.SIMPLE_HEAD,
        padding=0,
    )
    table.add_column("run")
    table.add_column("game", overflow="fold")
    for column in ("step", "mean", "s.e.", "best", "random", "2013\nDQN", "2013\nhuman", "norm."):
        table.add_column(column, justify="right", no_wrap=True)
    for name, game in games.items():
        own = [(i, r) for i, r in enumerate(results, 1) if (r["game"] or r["env"]) == name]
        for i, result in own:
            step = f"{result['checkpoint_step']:,}"
            table.add_row(str(i), title_of(name), step, *_cells(result))
        if len(own) > 1:
            table.add_row("all", title_of(name), _NONE, *_cells(game), style="bold")
        if len(own) < len(results) > len(games):
            table.add_section()
    notes = []
    for i, result in enumerate(results, 1):
        notes.append(" ".join([f"run {i}: {result['run']}", *_cut(result)]))
    if any(game["num_runs"] > 1 for game in games.values()):
        notes.append("all: the mean of a game's runs; s.e. is over the runs' means")
    notes.append("2013: Mnih et al., table 1; norm.: on a scale from its Random to its Human")
    return Group(table, Text("\n".join(notes), overflow="fold"))


def _cells(row: dict[str, Any]) -> list[str]:
    scores = [_measured(row[name]) for name in ("mean", "standard_error", "best", "random_mean")]
    paper = [_paper(row["paper"], player) for player in ("DQN", "Human")]
    return [*scores, *paper, _percent(row["human_normalized_percent"])]


def markdown(summary: dict[str, Any], commit: str | None) -> str:
    """The games side by side as in the paper's table, with its rows below one's own.

    Args:
        summary: `runs` and `games`, as `evaluate.evaluate` returns them.
        commit: Of the code that played.
    """
    games, ours = summary["games"], f"{summary['runs'][0]['algorithm']}, this code"

    def row(label: str, cells: Sequence[str]) -> str:
        return f"| {' | '.join([label, *cells])} |"

    def of_paper(players: Sequence[str]) -> list[str]:
        return [
            row(f"{player} (2013)", [_paper(game["paper"], player) for game in games.values()])
            for player in players
        ]

    means = [
        f"{_measured(game['mean'])} ± {_measured(game['standard_error'])}"
        for game in games.values()
    ]
    lines = [
        "# Scores beside table 1 of Mnih et al. 2013",
        "",
        "Played: " + "; ".join(dict.fromkeys(result["played"] for result in summary["runs"])) + ".",
        "",
        row("", [title_of(name) for name in games]),
        row("---", ["---:"] * len(games)),
        row("**mean over episodes**", [""] * len(games)),
        row(ours, means),
        row("random player, measured", [_measured(g["random_mean"]) for g in games.values()]),
        *of_paper(MEANS),
        row("**best single episode**", [""] * len(games)),
        row(ours, [_measured(game["best"]) for game in games.values()]),
        *of_paper(BESTS),
        row("**human-normalised**", [""] * len(games)),
        row(
            ours,
            [_percent(game["human_normalized_percent"]) for game in games.values()],
        ),
        "",
        "± is the standard error of the mean: over the episodes of a game's only run, or over the "
        "means of its runs. Human-normalised: the table's Random is 0 %, its Human 100 %.",
        "",
        "| run | game | steps trained | episodes | mean | seed |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for r in summary["runs"]:
        name = title_of(r["game"] or r["env"])
        numbers = (f"{r['checkpoint_step']:,}", str(r["episodes"]), _measured(r["mean"]))
        lines.append(row(f"`{r['run']}`", [name, *numbers, str(r["seed"])]))
    if commit:
        lines += ["", f"Commit {commit}."]
    return "\n".join(lines) + "\n"


def _measured(value: float) -> str:
    if math.isnan(value):
        return _NONE
    return f"{value:,.1f}" if abs(value) < 1_000 else f"{value:,.0f}"


def _paper(column: dict[str, float], player: str) -> str:
    return f"{column[player]:,g}" if player in column else _NONE


def _percent(value: float | None) -> str:
    return _NONE if value is None else f"{value:.1f} %"
