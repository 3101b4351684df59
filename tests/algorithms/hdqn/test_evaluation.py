"""Evaluation of both levels: scores, and how well each goal is reached and by whom."""

import json
from typing import Any

import pytest

from algorithms.dqn.protocols import Player
from algorithms.dqn.scores import Game
from algorithms.hdqn.evaluation import PLAYERS, goals_of
from algorithms.hdqn.statistics import wilson_lower_bound
from arcadia.cli import main
from arcadia.runs import RunFolder


def evaluated(capsys, run: RunFolder, *words: str) -> dict[str, Any]:
    assert main(["evaluate", run.uri, "--json", *words]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_bound_is_wilsons():
    # By the formula, z = 1.96: (p + z²/2n - z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n).
    assert wilson_lower_bound(30, 100) == pytest.approx(0.2189, abs=1e-4)
    assert wilson_lower_bound(10, 10) == pytest.approx(0.7225, abs=1e-4)
    assert wilson_lower_bound(0, 50) == pytest.approx(0.0, abs=1e-12)
    assert wilson_lower_bound(0, 0) == 0.0


def test_goals_are_counted_by_player():
    def game(player: Player, *goals: tuple[int, bool]) -> Game:
        return Game(player=player, share=0, index=0, return_=0.0, length=1, goals=goals)

    counts = goals_of(
        ["key", "door"],
        [
            game("policy", (0, True), (0, True), (1, False)),
            game("random", (0, False)),
            game("policy", (0, False), (0, False)),
        ],
    )
    assert list(counts) == ["key", "door"]
    assert list(counts["key"]) == list(PLAYERS)
    assert counts["key"]["policy"] == {
        "tried": 4,
        "reached": 2,
        "success_rate": 0.5,
        "lower_bound": pytest.approx(0.15, abs=0.001),
    }
    assert counts["door"]["policy"]["success_rate"] == 0.0
    assert counts["door"]["random"] == {
        "tried": 0,
        "reached": 0,
        "success_rate": None,
        "lower_bound": 0.0,
    }


def test_the_policy_follows_its_own_goals_and_the_controller_is_asked_for_all(key_door_run, capsys):
    words = ["--episodes", "6", "--epsilon", "0", "--seed", "3"]
    result = evaluated(capsys, key_door_run, *words)
    assert result["algorithm"] == "h-DQN"
    assert [row[0] for row in result["rows"]] == ["h-DQN, epsilon 0", "random"]
    assert len(result["returns"]) == len(result["random_returns"]) == 6
    goals = result["goals"]
    assert list(goals) == ["key", "door", "left gap", "right gap"]
    tried = {p: [goals[name][p]["tried"] for name in goals] for p in PLAYERS}
    # 100 steps an episode, and a goal is given up after 25: this meta-controller wants the key.
    assert tried["policy"] == [24, 0, 0, 0]
    assert min(tried["controller"]) > 0 and sum(tried["controller"]) == 24
    assert min(tried["random"]) > 0 and sum(tried["random"]) >= 24
    # The controller goes left: it comes to nothing at all, where a random player comes to some.
    assert not any(goals[name]["controller"]["reached"] for name in goals)
    for name in goals:
        for player in PLAYERS:
            counts = goals[name][player]
            assert 0 <= counts["lower_bound"] <= (counts["success_rate"] or 0) <= 1
    assert key_door_run.read_json("evaluation.json")["goals"] == goals
    assert evaluated(capsys, key_door_run, *words) == result


def test_its_tables_fit_a_terminal(key_door_run, capsys):
    assert main(["evaluate", key_door_run.uri, "--episodes", "2"]) == 0
    out = capsys.readouterr().out
    for words in ("h-DQN, epsilon 0.05", "Goals reached", "random actions", "left gap"):
        assert words in out
    assert all(len(line) <= 80 for line in out.splitlines())


def test_steps_may_be_counted_instead(montezuma_run, capsys):
    result = evaluated(capsys, montezuma_run, "--protocol", "nips2013", "--steps", "60")
    assert (result["ended"], result["lengths"]) == (False, [60])
    # A goal is given up after 25 steps.
    assert sum(g["controller"]["tried"] for g in result["goals"].values()) >= 2


@pytest.mark.slow
def test_actors_share_the_episodes(key_door_run, capsys):
    words = ["--episodes", "5", "--num-env-runners", "2", "--num-envs", "2", "--epsilon", "0"]
    result = evaluated(capsys, key_door_run, *words)
    assert len(result["returns"]) == len(result["random_returns"]) == 5
    assert result["goals"]["key"]["policy"]["tried"] == 20
