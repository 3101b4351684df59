"""Evaluation: what is played, what the scores come to, actors, tables, and what is refused."""

import dataclasses
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.registry import register_env

from algorithms.dqn import protocols
from algorithms.dqn.config import DQNConfig
from algorithms.dqn.evaluation import by_game
from algorithms.dqn.options import DQNOptions
from algorithms.dqn.paper_scores import BESTS, MEANS, TABLE_1, human_normalized_percent
from algorithms.dqn.playing import load_runner, play_here, play_in_actors
from algorithms.dqn.policy import write_policy
from algorithms.dqn.presets import preset
from algorithms.dqn.protocols import Share, shares
from algorithms.dqn.runner import DQNRunner
from algorithms.dqn.scores import Game, Scores, scores_of, standard_error
from arcadia.cli import main
from arcadia.errors import UserError
from arcadia.runs import RunFolder


def runner_of(options: DQNOptions) -> DQNRunner:
    config = DQNConfig.of_options(options).debugging(seed=0)
    config.num_envs_per_env_runner = 1
    return DQNRunner(config=config, worker_index=0)


def make_run(folder: Path, *steps: int, best: int | None = None, **options: Any) -> str:
    """A run whose checkpoints hold new networks, as training would leave them."""
    resolved = preset("fast", **options)
    config = {"preset": "fast", "options": dataclasses.asdict(resolved)}
    run = RunFolder.create(folder, kind="dqn", config=config, seed=1)
    runner = runner_of(resolved)
    local = folder.parent / f"{folder.name}-checkpoint"
    local.mkdir()
    module, actions = runner.module, runner.frames.action_space
    write_policy(
        local, module.online, resolved, arguments=module.arguments, action_space=actions, step=0
    )
    runner.stop()
    for step in steps:
        run.publish_checkpoint(local, step)
    if best is not None:
        run.publish_checkpoint(local, best, shelf="best")
    return str(folder)


def played(
    options: DQNOptions, parts: list[Share], num_actors: int = 0
) -> tuple[list[Game], list[int]]:
    runner = runner_of(options)
    weights = runner.get_weights()
    runner.stop()
    games: list[Game] = []
    steps: list[int] = []

    def tell(taken: int, ended: list[Game]) -> None:
        steps.append(taken)
        games.extend(ended)

    config = DQNConfig.of_options(options)
    if num_actors:
        play_in_actors(config, weights, parts, tell, num_actors)
    else:
        play_here(config, weights, parts, tell)
    return sorted(games, key=lambda g: (g.player, g.share, g.index)), steps


def evaluated(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["evaluate", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1], parse_constant=pytest.fail)


# What scores come to


def test_scores_by_hand():
    scores = Scores(returns=[1.0, 2.0, 3.0, 6.0], lengths=[10, 20, 30, 40])
    assert (scores.mean, scores.best, scores.mean_length) == (3.0, 6.0, 25.0)
    # Squared deviations 4 + 1 + 0 + 9 over n - 1 = 3, over n = 4.
    assert scores.standard_error == pytest.approx(math.sqrt(14 / 3 / 4))
    assert standard_error([5.0, 5.0]) == 0
    assert math.isnan(standard_error([5.0]))


def test_a_game_cut_by_the_last_step_counts_only_where_none_ended():
    def game(index: int, score: float, ended: bool = True, share: int = 0) -> Game:
        return Game(player="policy", share=share, index=index, return_=score, length=7, ended=ended)

    other = Game(player="random", share=0, index=0, return_=99.0, length=1)
    whole = scores_of([game(1, 4.0), other, game(0, 2.0), game(2, 50.0, ended=False)], "policy")
    assert (whole.returns, whole.ended) == ([2.0, 4.0], True)
    cut = scores_of([other, game(0, 3.0, ended=False)], "policy")
    assert (cut.returns, cut.lengths, cut.ended) == ([3.0], [7], False)
    dealt = scores_of([game(0, 8.0, share=1), game(1, 6.0), game(0, 5.0)], "policy")
    assert dealt.returns == [5.0, 6.0, 8.0]


def test_the_papers_table_is_whole_and_scales_scores():
    assert len(TABLE_1) == 7
    assert all(tuple(column) == (*MEANS, *BESTS) for column in TABLE_1.values())
    assert TABLE_1["seaquest"]["Human"] == 28_010
    assert TABLE_1["space_invaders"]["HNeat pixel"] == 1_145
    assert human_normalized_percent("pong", -20.4) == 0
    assert human_normalized_percent("pong", -3) == pytest.approx(100)
    assert human_normalized_percent("breakout", 168) == pytest.approx(100 * 166.8 / 29.8)
    assert human_normalized_percent("freeway", 30) is None
    assert human_normalized_percent(None, 30) is None


def test_runs_of_one_game_are_averaged_over_runs():
    def result(game: str | None, mean: float, best: float, error: float) -> dict[str, Any]:
        return {
            **{"game": game, "env": None if game else "CartPole-v1", "random_mean": -20.0},
            **{"mean": mean, "best": best, "standard_error": error, "ended": True},
        }

    games = by_game(
        [
            result(None, 200.0, 500.0, 3.0),
            result("pong", 10.0, 15.0, 9.0),
            result("breakout", 100.0, 150.0, 7.0),
            result("pong", 14.0, 21.0, 9.0),
        ]
    )
    assert list(games) == ["breakout", "pong", "CartPole-v1"]
    pong = games["pong"]
    assert (pong["num_runs"], pong["mean"], pong["best"], pong["random_mean"]) == (2, 12, 21, -20)
    assert pong["standard_error"] == pytest.approx(2.0)  # of the means 10 and 14
    assert pong["human_normalized_percent"] == pytest.approx(100 * 32.4 / 17.4)
    assert games["breakout"]["standard_error"] == 7.0  # of the only run's episodes
    assert games["CartPole-v1"]["human_normalized_percent"] is None
    assert games["CartPole-v1"]["paper"] == {}


# What is played


@given(
    number=st.integers(1, 60),
    runners=st.integers(1, 12),
    envs=st.integers(1, 9),
    seed=st.integers(0, 2**31),
)
def test_episodes_are_dealt_out_evenly_with_seeds_of_their_own(number, runners, envs, seed):
    dealt = shares(protocols.episodes(number), seed=seed, num_runners=runners, num_envs=envs)
    for player in protocols.PLAYERS:
        own = [share for share in dealt if share.player == player]
        counts = [share.episodes or 0 for share in own]
        assert sum(counts) == number
        assert max(counts) - min(counts) <= 1
        assert len(own) == min(runners, number) == len({share.seed for share in own})
        assert all(1 <= share.num_envs <= min(envs, share.episodes or 0) for share in own)
        assert all(0 <= share.seed < 2**31 for share in own)
    following = shares(protocols.episodes(number), seed=seed + 1, num_runners=runners, num_envs=1)
    assert not {share.seed for share in dealt} & {share.seed for share in following}


def test_a_stretch_of_steps_is_never_split():
    first, second = shares(protocols.nips2013(500), seed=3, num_runners=4, num_envs=8)
    assert (first.player, second.player) == ("policy", "random")
    assert (first.steps, first.num_envs, first.seed) == (500, 1, second.seed)


def test_the_papers_protocols():
    pong = preset("fast", game="pong", epsilon_eval=0.01, noop_max=0)
    assert protocols.episodes().applied(pong) == pong
    assert protocols.episodes().described(pong) == "10 episodes, epsilon 0.01"
    assert protocols.episodes(1, 0.0).applied(pong).epsilon_eval == 0
    old, new = protocols.nips2013(), protocols.nature2015()
    assert old.applied(pong) == dataclasses.replace(pong, epsilon_eval=0.05)
    assert old.described(old.applied(pong)) == "nips2013, 10,000 steps, epsilon 0.05"
    after = new.applied(pong)
    assert (after.noop_max, after.max_episode_frames, after.epsilon_eval) == (30, 18_000, 0.05)
    assert "30 episodes, epsilon 0.05, up to 30 no-op starts, 5 minutes" in new.described(after)
    with pytest.raises(UserError, match="nature2015: is for Atari"):
        new.applied(preset("fast", env="CartPole-v1"))


def test_steps_are_counted_and_what_they_cut_is_kept_apart():
    catch = preset("fast", env="Catch-v0", epsilon_eval=0.05)
    parts = shares(protocols.nips2013(100), seed=0, num_runners=1, num_envs=8)
    games, steps = played(catch, parts)
    assert sum(steps) == 200
    for player in protocols.PLAYERS:
        own = [game for game in games if game.player == player]
        assert [game.length for game in own] == [11] * 9 + [1]  # an episode of Catch is 11 steps
        assert [game.ended for game in own] == [True] * 9 + [False]
        scores = scores_of(games, player)
        assert len(scores.returns) == 9
        assert set(scores.returns) <= {-1.0, 1.0}
    # The last step of 22 ends the second game: nothing is cut.
    games, _ = played(catch, shares(protocols.nips2013(22), seed=0, num_runners=1, num_envs=1))
    assert [game.ended for game in games] == [True] * 4
    games, _ = played(catch, shares(protocols.nips2013(5), seed=0, num_runners=1, num_envs=1))
    assert [(game.length, game.return_, game.ended) for game in games] == [(5, 0.0, False)] * 2


def test_five_minutes_shrunken_end_the_games_of_2015():
    protocol = dataclasses.replace(
        protocols.nature2015(), episodes=3, options={"noop_max": 30, "max_episode_frames": 400}
    )
    options = protocol.applied(preset("fast", game="pong"))
    games, _ = played(options, shares(protocol, seed=0, num_runners=1, num_envs=2))
    assert len(games) == 6
    assert all(90 <= game.length <= 100 for game in games)


def test_the_episodes_that_start_first_count_in_the_order_of_their_starts():
    options = preset("fast", env="CartPole-v1", epsilon_eval=0.5)
    parts = shares(protocols.episodes(7), seed=1, num_runners=1, num_envs=3)
    games, _ = played(options, parts)
    for player in protocols.PLAYERS:
        own = [game for game in games if game.player == player]
        assert [game.index for game in own] == list(range(7))
        assert all(game.ended and game.return_ == game.length for game in own)
    again, _ = played(options, parts)
    assert games == again
    other, _ = played(options, shares(protocols.episodes(7), seed=2, num_runners=1, num_envs=3))
    assert games != other


# Actors


def free_cpus_come_back() -> bool:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"]:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.usefixtures("ray_session")
@pytest.mark.slow
def test_actors_play_what_one_process_would():
    options = preset("fast", env="CartPole-v1", epsilon_eval=0.3)
    parts = shares(protocols.episodes(9), seed=5, num_runners=2, num_envs=3)
    games, _ = played(options, parts)
    assert len(games) == 18
    apart, steps = played(options, parts, num_actors=2)
    assert apart == games
    assert sum(steps) >= sum(game.length for game in games)
    assert free_cpus_come_back()
    stretch = shares(protocols.nips2013(60), seed=5, num_runners=3, num_envs=1)
    games, _ = played(options, stretch)
    apart, steps = played(options, stretch, num_actors=3)
    assert (apart, sum(steps)) == (games, 120)


def register_deadly() -> None:
    class Deadly(gym.Env):  # defined here, so that it travels to the actors by value
        observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
        action_space = gym.spaces.Discrete(2)

        def __init__(self, config: Any = None) -> None:
            self.steps, self.fails = 0, bool(config and config.get("fails"))

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            return np.zeros(2, np.float32), {}

        def step(self, action: Any) -> Any:
            self.steps += 1
            if self.steps == 20:
                if self.fails:
                    raise KeyError("no such state")
                os._exit(1)
            return np.zeros(2, np.float32), 1.0, False, False, {}

    register_env("Deadly", Deadly)


@pytest.mark.usefixtures("ray_session")
@pytest.mark.slow
def test_an_actor_that_dies_or_fails_is_one_clear_error_and_leaves_none_behind():
    register_deadly()
    options = preset("fast", env="Deadly")
    parts = shares(protocols.episodes(4), seed=0, num_runners=2, num_envs=1)
    with pytest.raises(RuntimeError, match=r"env runner [12] of 2 died while it played") as death:
        played(options, parts, num_actors=2)
    assert len(str(death.value).splitlines()) == 1
    assert free_cpus_come_back()
    runner = runner_of(options)
    config = DQNConfig.of_options(options).environment(env_config={"fails": True})
    with pytest.raises(KeyError, match="no such state"):
        play_in_actors(config, runner.get_weights(), parts, lambda *_: None, 2)
    assert free_cpus_come_back()


@pytest.mark.usefixtures("ray_session")
def test_more_actors_than_cpus_are_refused():
    options = preset("fast", env="CartPole-v1")
    parts = shares(protocols.episodes(40), seed=0, num_runners=40, num_envs=1)
    with pytest.raises(UserError, match=r"num_env_runners 40: each takes a CPU .* has 4; ask for"):
        played(options, parts, num_actors=40)


# The command


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("runs") / "cartpole"
    return make_run(folder, 100, 200, best=150, env="CartPole-v1")


def test_one_run_is_shown_beside_the_paper(tmp_path, capsys):
    run = make_run(tmp_path / "pong", 3_000, game="pong", max_episode_frames=400)
    assert main(["evaluate", run, "--episodes", "2"]) == 0
    out = capsys.readouterr().out
    assert "Pong after 3,000 steps: 2 episodes, epsilon 0.05" in out
    for player in (*MEANS, *BESTS):
        assert f" {player} " in out
    assert "Human-normalised: " in out
    assert all(len(line) <= 80 for line in out.splitlines())
    result = RunFolder.open(run).read_json("evaluation.json")
    assert len(result["returns"]) == len(result["random_returns"]) == result["episodes"] == 2
    assert result["mean"] == np.mean(result["returns"])
    assert result["human_normalized_percent"] == pytest.approx(100 * (result["mean"] + 20.4) / 17.4)
    assert result["paper"]["DQN best"] == 21
    assert (result["protocol"], result["checkpoint_step"]) == ("episodes", 3_000)


def test_a_gymnasium_run_needs_no_paper(cartpole, capsys):
    result = evaluated(capsys, cartpole, "--episodes", "3", "--epsilon", "0", "--seed", "4")
    assert (result["env"], result["paper"], result["epsilon"]) == ("CartPole-v1", {}, 0)
    assert result["human_normalized_percent"] is None
    assert [row[0] for row in result["rows"]] == ["DQN, epsilon 0", "random"]
    again = evaluated(capsys, cartpole, "--episodes", "3", "--epsilon", "0", "--seed", "4")
    assert again == result
    alone = evaluated(capsys, cartpole, "--episodes", "1")
    assert alone["standard_error"] is None
    short = evaluated(capsys, cartpole, "--protocol", "nips2013", "--steps", "3")
    assert (short["steps"], short["ended"], short["returns"]) == (3, False, [3.0])


def test_the_checkpoint_asked_for_is_played(cartpole, capsys):
    for asked, step in (("last", 200), ("best", 150), ("100", 100)):
        result = evaluated(capsys, cartpole, "--episodes", "1", "--checkpoint", asked)
        assert (result["checkpoint"], result["checkpoint_step"]) == (asked, step)
    for asked, complaint in (("123", "checkpoint '123'"), ("bset", "checkpoint 'bset'")):
        assert main(["evaluate", cartpole, "--checkpoint", asked]) == 2
        assert complaint in capsys.readouterr().err


@pytest.mark.usefixtures("ray_session")
@pytest.mark.slow
def test_actors_by_command(cartpole, capsys):
    words = ["--episodes", "5", "--num-env-runners", "2", "--num-envs", "2"]
    result = evaluated(capsys, cartpole, *words)
    assert len(result["returns"]) == len(result["random_returns"]) == 5
    assert (result["num_env_runners"], result["num_envs"]) == (2, 2)


def test_several_runs_make_one_table(cartpole, tmp_path, capsys):
    other = make_run(tmp_path / "other", 300, env="CartPole-v1")
    catch = make_run(tmp_path / "catch", 400, env="Catch-v0")
    summary = evaluated(capsys, cartpole, other, catch, "--episodes", "4")
    assert [result["run"] for result in summary["runs"]] == [cartpole, other, catch]
    assert summary["games"]["CartPole-v1"]["num_runs"] == 2
    means = [result["mean"] for result in summary["runs"][:2]]
    assert summary["games"]["CartPole-v1"]["mean"] == pytest.approx(np.mean(means))
    assert summary["table"] is None
    for result in summary["runs"]:
        kept = RunFolder.open(result["run"]).read_json("evaluation.json")
        assert kept["returns"] == result["returns"]
    folder = tmp_path / "tables"
    words = ["--episodes", "1", "--run-dir", str(folder)]
    assert main(["evaluate", cartpole, catch, *words]) == 0
    out = capsys.readouterr().out
    assert f"Table: {folder}/games.md" in out
    assert "CartPole-v1" in (folder / "games.md").read_text()
    assert main(["evaluate", cartpole, catch, "--episodes", "1"]) == 0
    out = capsys.readouterr().out
    assert "Not written: --run-dir" in out
    assert all(len(line) <= 80 for line in out.splitlines() if not line.startswith("run "))


@pytest.mark.slow
def test_seven_games_make_the_papers_table(tmp_path, capsys):
    runs = [make_run(tmp_path / game, 10, game=game) for game in TABLE_1]
    folder = tmp_path / "table"
    words = ["--protocol", "nips2013", "--steps", "8", "--run-dir", str(folder)]
    summary = evaluated(capsys, *runs, *words)
    assert summary["table"] == f"{folder}/seven_games.md"
    kept = json.loads((folder / "seven_games.json").read_text())
    assert list(kept["games"]) == sorted(TABLE_1)
    assert kept["games"]["enduro"]["paper"] == TABLE_1["enduro"]
    assert {"commit", "versions"} <= set(kept)
    lines = (folder / "seven_games.md").read_text().splitlines()
    cells = {line.split(" | ")[0]: line.strip("| ").split(" | ") for line in lines if "|" in line}
    assert cells["| DQN (2013)"][1:] == ["4,092", "168", "470", "20", "1,952", "1,705", "581"]
    assert cells["| HNeat best (2013)"][1:4] == ["3,616", "52", "106"]
    assert len(cells["| random player, measured"]) == 8
    assert "nips2013, 8 steps, epsilon 0.05" in "\n".join(lines)
    # No game ends in 8 steps: what was reached is shown, but is no score to compare.
    assert not any(result["ended"] for result in summary["runs"])
    assert all(game["human_normalized_percent"] is None for game in summary["games"].values())


def test_one_failing_run_takes_nothing_from_the_others(cartpole, tmp_path, capsys):
    register_fails()
    bad = make_run(tmp_path / "bad", 5, env="Fails")
    catch = make_run(tmp_path / "catch", 5, env="Catch-v0")
    assert main(["evaluate", bad, catch, "--episodes", "2"]) == 1
    out, error = capsys.readouterr()
    assert "Catch-v0" in out
    complaint = error.splitlines()[-1]
    assert "1 of 2 runs could not be evaluated" in complaint
    assert bad in complaint
    assert RunFolder.open(catch).exists("evaluation.json")
    assert not RunFolder.open(bad).exists("evaluation.json")


def register_fails() -> None:
    class Fails(gym.Env):
        observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
        action_space = gym.spaces.Discrete(2)

        def __init__(self, config: Any = None) -> None:
            pass

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            return np.zeros(2, np.float32), {}

        def step(self, action: Any) -> Any:
            raise OSError("the emulator is gone")

    register_env("Fails", Fails)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--steps", "9"], "steps 9: the protocol episodes does not take it"),
        (["--protocol", "nips2013", "--episodes", "9"], "choose the protocol episodes"),
        (["--protocol", "nips2013", "--num-envs", "2"], "num_envs 2: the protocol nips2013"),
        (["--protocol", "nature2015", "--epsilon", "0"], "epsilon 0.0: the protocol nature2015"),
        (["--protocol", "nature2015", "--episodes", "3"], "episodes 3: the protocol nature2015"),
        (["--protocol", "nature2015"], "nature2015: is for Atari"),
        (["--protocol", "nature2051"], "nature2015"),
        (["--protocol", "nips2013", "--steps", "0"], "steps 0: must be at least 1"),
        (["--num-env-runners", "-1"], "num_env_runners -1: must be at least 0"),
        (["--address", "127.0.0.1:1"], "give num_env_runners too"),
        (["nowhere"], "nowhere: no such folder"),
        (["SAME"], "is given twice"),
        (["EMPTY"], "has no checkpoint yet"),
        (["OTHER"], 'a run of the kind "noisy"'),
        (["FOREIGN"], "holds no policy of DQN"),
        (["SWAPPED"], 'holds the network of another game: it learnt "CartPole-v1"'),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_played(words, complaint, cartpole, tmp_path, capsys):
    config = {"preset": "fast", "options": {"env": "CartPole-v1"}}
    places = {name: str(tmp_path / name) for name in ("EMPTY", "OTHER", "FOREIGN", "SWAPPED")}
    RunFolder.create(places["EMPTY"], kind="dqn", config=config, seed=1)
    RunFolder.create(places["OTHER"], kind="noisy", config=config, seed=1)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "model.pt").write_bytes(b"not ours")
    foreign = RunFolder.create(places["FOREIGN"], kind="dqn", config=config, seed=1)
    foreign.publish_checkpoint(tmp_path / "foreign", 7)
    swapped = RunFolder.create(
        places["SWAPPED"], kind="dqn", config=config | {"options": {"env": "Acrobot-v1"}}, seed=1
    )
    swapped.publish_checkpoint(RunFolder.open(cartpole).checkpoint(200), 7)
    mine = tmp_path / "mine"
    RunFolder.create(mine, kind="dqn", config=config, seed=1).publish_checkpoint(
        RunFolder.open(cartpole).checkpoint(200), 200
    )
    places["SAME"] = str(mine)
    given_words = [places.get(word, str(word)) for word in words]
    assert main(["evaluate", str(mine), *given_words]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert len(error.splitlines()) == 1
    assert not (mine / "evaluation.json").exists()


def test_a_runner_is_loaded_and_plays_whole_episodes(cartpole):
    runner = load_runner(RunFolder.open(cartpole), num_envs=2, seed=3)
    episodes = runner.play_episodes(4)
    runner.stop()
    assert [e.return_ for e in episodes] == [float(e.length) for e in episodes]
    assert len(episodes) == 4
