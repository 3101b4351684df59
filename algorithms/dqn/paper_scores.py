"""Table 1 of Mnih et al. 2013: the scores of the paper's seven games."""

from __future__ import annotations

MEANS = ("Random", "Sarsa", "Contingency", "DQN", "Human")
"""Rows of the table's upper part: means over episodes; people's is the median of two hours."""
BESTS = ("HNeat best", "HNeat pixel", "DQN best")
"""Rows of its lower part: the best single episode."""

_GAMES = ("beam_rider", "breakout", "enduro", "pong", "qbert", "seaquest", "space_invaders")
_ROWS: dict[str, tuple[float, ...]] = {
    "Random": (354, 1.2, 0, -20.4, 157, 110, 179),
    "Sarsa": (996, 5.2, 129, -19, 614, 665, 271),
    "Contingency": (1743, 6, 159, -17, 960, 723, 268),
    "DQN": (4092, 168, 470, 20, 1952, 1705, 581),
    "Human": (7456, 31, 368, -3, 18900, 28010, 3690),
    "HNeat best": (3616, 52, 106, 19, 1800, 920, 1720),
    "HNeat pixel": (1332, 4, 91, -16, 1325, 800, 1145),
    "DQN best": (5184, 225, 661, 21, 4500, 1740, 1075),
}

TABLE_1: dict[str, dict[str, float]] = {
    game: {player: scores[i] for player, scores in _ROWS.items()} for i, game in enumerate(_GAMES)
}
"""By ROM name, then by row, in the paper's order."""


def human_normalized_percent(game: str | None, score: float) -> float | None:
    """A score on the scale where the table's random player has 0 and its human player 100.

    Source: Mnih et al. 2015, figure 3: 100 * (score - random) / (human - random).

    Args:
        game: ROM name.
        score: in the game's own points.

    Returns:
        Percent, below 0 or above 100 where the score is; None for a game outside the table.
    """
    if game not in TABLE_1:
        return None
    random, human = TABLE_1[game]["Random"], TABLE_1[game]["Human"]
    return 100 * (score - random) / (human - random)
