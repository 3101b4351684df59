"""Jobs of every kind whose processes are killed; and the parts of that benchmark by themselves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from arcadia.runs import RunFolder
from arcadia.telemetry import Telemetry, read_scalars
from benchmarks.chaos import KINDS, Ordeal, Outcome, call, games, torment, trainings
from benchmarks.chaos.counters import (
    Attempt,
    Kept,
    Point,
    Rewind,
    beyond_checkpoints,
    falling,
    falls_in,
    gaps,
    read_attempts,
    rewinds,
)
from benchmarks.chaos.games import lost_transitions, too_far
from benchmarks.chaos.kind import DRIVER, Blow, Ended, Kind, stamps
from benchmarks.chaos.made import picture, write_film
from benchmarks.chaos.ordeal import TooShort
from benchmarks.chaos.pictures import miscounted, unreadable
from benchmarks.chaos.table import as_json, markdown, problems
from benchmarks.chaos.victims import Worker, choose, marked, worker_name, workers_among

# Who is killed


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("ray::Board", "Board"),
        ("ray::Board.latest", "Board"),
        ("ray::MapWorker(Map(Painter)).submit", "MapWorker(Map(Painter))"),
        ("ray::MapWorker(Map(pipelines.Painter))", "MapWorker(Map(pipelines.Painter))"),
        ("ray::Map(_prepare)", "Map(_prepare)"),
        ("ray::_move()", "_move"),
        ("ray::RayTrainWorker.execute", "RayTrainWorker"),
        ("ray::IDLE", None),
        ("ray::IDLE_SpillWorker", None),
        ("ray::SPILL_SpillWorker", None),
        ("ray::DashboardAgent", None),
        ("ray::RuntimeEnvAgent", None),
        ("/lib/ray/core/src/ray/raylet/raylet", None),
        ("python", None),
        ("", None),
    ],
)
def test_a_title_says_whether_a_process_is_a_worker(title: str, name: str | None):
    assert worker_name(title) == name


def test_who_is_hit_follows_from_the_seed_and_nobody_is_spared():
    workers = [Worker(name, None) for name in "abcd"]  # type: ignore[arg-type]
    rounds = [
        [choose(workers, rng).name for _ in range(60)]
        for rng in map(np.random.default_rng, (1, 1, 2))
    ]
    assert rounds[0] == rounds[1] != rounds[2]
    assert set(rounds[0]) == set("abcd")


SLEEP = "import time; time.sleep(60)"


def test_workers_are_told_by_their_mark_as_orphans_too():
    environment = os.environ | {"CHAOS_TEST": str(os.getpid())}
    orphan = f"import subprocess, sys; subprocess.Popen(['ray::Orphan', '-c', {SLEEP!r}], "
    orphan += "executable=sys.executable)"
    titled = dict(executable=sys.executable, env=environment)
    other = subprocess.Popen(["ray::Other", "-c", SLEEP], executable=sys.executable)
    children = [
        subprocess.Popen([title, "-c", SLEEP], **titled)  # type: ignore[call-overload]
        for title in ("ray::Board.tell", "ray::IDLE", "raylet")
    ]
    try:
        subprocess.run([sys.executable, "-c", orphan], env=environment, check=True)
        found = marked("CHAOS_TEST", str(os.getpid()))
        assert len(found) == 4 and other.pid not in {process.pid for process in found}
        assert [worker.name for worker in workers_among(found)] == ["Board", "Orphan"]
    finally:
        for process in marked("CHAOS_TEST", str(os.getpid())):
            process.kill()
        for child in (other, *children):
            child.kill()
            child.wait()


# What counters say


def attempt(began: float, start: int | None, **points: list[tuple[int, float]]) -> Attempt:
    by_tag = {tag: [Point(*point) for point in points] for tag, points in points.items()}
    return Attempt(began=began, start=start, points=by_tag)


THREE = [
    attempt(10, 1, loss=[(10, 3), (20, 2), (30, 2)]),
    attempt(20, 21, loss=[(30, 2), (40, 1)]),
    attempt(30, 41, loss=[(50, 1)]),
]


def test_steps_that_were_made_again_are_counted():
    assert rewinds(THREE) == [Rewind(reached=30, start=21)]
    assert [rewind.steps for rewind in rewinds(THREE)] == [10]
    # One that was killed before it noted anything hides none of what came before.
    silent = [THREE[0], attempt(15, 21), attempt(20, 11, loss=[(20, 2)])]
    assert [rewind.steps for rewind in rewinds(silent)] == [10, 10]


def test_an_attempt_goes_on_from_the_last_checkpoint_or_is_told():
    assert beyond_checkpoints(THREE, [Kept(15, 20), Kept(25, 40)]) == []
    assert beyond_checkpoints(THREE, [Kept(15, 10), Kept(25, 20)]) == []
    assert beyond_checkpoints(THREE, [Kept(15, 25), Kept(25, 40)]) == [
        "an attempt went on from step 20, and there was a checkpoint at 25"
    ]
    # The first one had none to go on from; one that says nothing began anew.
    assert beyond_checkpoints(THREE[:1], [Kept(15, 20)]) == []
    assert len(beyond_checkpoints([attempt(20, None, loss=[(1, 3)])], [Kept(15, 20)])) == 1


def test_counters_that_fall_are_told():
    def deaths(*values: float) -> list[Attempt]:
        return [attempt(0, 1, **{"faults/deaths": list(enumerate(values))})]

    assert falling(deaths(0, 0, 1, 2), "faults/") == []
    assert falling(deaths(0, 2, 1, 0), "faults/") == ["faults/deaths: 1 at step 2 follows 2"]
    # Each attempt counts its own, and a loss may fall.
    assert falling([*deaths(0, 2), *deaths(0, 1), *THREE], "faults/") == []
    backwards = [attempt(0, 1, loss=[(20, 1), (10, 1)])]
    assert falling(backwards, "faults/") == ["loss: step 10 comes after 20"]
    history = {"goal": (np.arange(3), np.array([0.0, 2, 1])), "epoch": (np.arange(2), np.ones(2))}
    assert falls_in(history, ["goal", "epoch", "other"]) == [
        "goal: falls",
        "other: was never written",
    ]


def test_gaps_in_a_history_are_told():
    assert gaps([10, 20, 30], 30, 10) == []
    assert gaps([20, 30], 30, 10) == ["nothing was noted between steps 0 and 20"]
    assert gaps([10, 40], 50, 20) == [
        "nothing was noted between steps 10 and 40",
        "the last step that was noted is 40, not 50",
    ]
    assert gaps([], 50, 20) == ["nothing was noted"]


def test_attempts_are_read_as_a_run_writes_them(tmp_path: Path):
    run = RunFolder.create(tmp_path / "run", kind="dqn", config={}, seed=1)
    for start, stop in ((1, 30), (21, 40)):
        with Telemetry(run, start_step=start) as telemetry:
            for step in range(start, stop + 1):
                telemetry.scalars({"loss": step / 2, "faults/deaths": step // 10}, step)
        time.sleep(1.1)  # files of one second have the same name
    found = read_attempts(run)
    assert [(one.start, one.last) for one in found] == [(1, 30), (21, 40)]
    assert found[0].points["loss"][1] == Point(2, 1.0)
    assert [rewind.steps for rewind in rewinds(found)] == [10]
    assert falling(found, "faults/") == []
    assert gaps(read_scalars(run)["loss"][0].tolist(), 40, 1) == []


# What a whole result is


def blow(victim: str, ended: str = "") -> Blow:
    return Blow(victim=victim, at=0, done=0, finished={}, waited_s=0, ended=ended)


def test_deaths_that_were_not_told_are():
    said = "Runner 2 of 2 died (killed): up to 8\nA learner died (x): all 1 are replaced, and go "
    said += "on from the snapshot at 1,200 updates; 1,020 updates are made again\n"
    blows = [blow("DQNRunner"), blow("_WrappedExecutable"), blow("Board"), blow(DRIVER)]
    assert games.unlogged(Ended(result={}, said=said, blows=blows)) == []
    blows += [blow("ReplayShard"), blow("DQNRunner")]
    assert games.unlogged(Ended(result={}, said=said, blows=blows)) == [
        "2 runners were killed, and 1 deaths were told",
        "1 shards were killed, and 0 deaths were told",
    ]
    # Whoever ends the whole command has been told of by that.
    ends = [blow("ReplayShard", "arcadia: RayActorError")]
    assert games.unlogged(Ended(result={}, said=said, blows=ends)) == []
    workers = [blow("RayTrainWorker"), blow("TrainController"), blow("Board")]
    once = Ended(result={}, said="Workers died (1 of 100 times that may be)", blows=workers)
    assert trainings.unlogged(once) == ["2 workers were killed, and 1 deaths were told"]


def test_learners_go_on_from_their_last_snapshot_or_are_told():
    said = "go on from the snapshot at 1,200 updates; 1,020 updates are made again"
    assert len(too_far(said)) == 1 and too_far(said.replace("1,020", "210")) == []


@pytest.mark.parametrize(
    ("held", "lost", "is_right"),
    [(50_000, "", True), (30_000, "20,000", True), (30_000, "", False), (60_000, "", False)],
)
def test_a_replay_holds_what_was_played_but_for_what_was_told_to_be_lost(
    held: int, lost: str, is_right: bool
):
    said = lost and f"Replay shard 1 of 1 died: its {lost} transitions are lost; an empty one"
    assert (lost_transitions(held, 50_000, 50_000, said) == []) == is_right


def test_rows_are_counted():
    assert miscounted(["a", "b"], ["b", "a"]) == []
    assert miscounted(["a", "a", "c"], ["a", "b"]) == [
        "1 of 2 rows are not there",
        "1 rows are there more than once",
        "1 rows are of nothing that was there",
    ]


def test_damaged_and_empty_pictures_are_told(tmp_path: Path):
    from arcadia.media import write_image

    write_image(tmp_path / "good.png", picture(40, 1))
    write_image(tmp_path / "flat.png", np.zeros((40, 40, 3), np.uint8))
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:60])
    assert unreadable([tmp_path / "good.png"]) == []
    assert unreadable(sorted(tmp_path.iterdir())) == ["2 pictures are damaged, such as cut.png"]


def test_what_is_made_is_taken(tmp_path: Path):
    from arcadia.media import image_bytes, open_source
    from arcadia.media.shots import scan
    from pipelines.places.config import PrepareOptions
    from pipelines.places.images import Prepared, prepare_image

    for number in range(12):
        data = image_bytes(picture(64, number), ".png")
        assert isinstance(prepare_image(data, PrepareOptions(size=32)), Prepared)
    assert write_film(tmp_path / "film.mp4", 3, 16) == 48
    found = scan(open_source(tmp_path / "film.mp4"))
    assert len(found.shots) == 3


# An ordeal, of a job that needs no Ray: workers write numbered files, and whoever begins it again
# goes on behind them.

COUNTING = """
import json, pathlib, subprocess, sys, time

folder, until, is_frail = pathlib.Path("files"), int(sys.argv[2]), sys.argv[3] == "frail"
folder.mkdir(exist_ok=True)
if sys.argv[1] == "work":
    while (count := len(list(folder.iterdir()))) < until:
        (folder / str(count)).write_text("done")
        time.sleep(0.02)
    sys.exit()
while len(list(folder.iterdir())) < until:
    words = ["ray::Counter.count", "-m", "counting", "work", *sys.argv[2:]]
    worker = subprocess.Popen(words, executable=sys.executable)
    if worker.wait() and is_frail:
        sys.exit("arcadia: the worker died")
    print("Counter died", flush=True)
print(json.dumps({"count": len(list(folder.iterdir()))}))
"""


class Counting(Kind):
    name, unit, module = "counting", "files", "counting"
    until, how = 1_000_000, "hardy"

    def prepare(self) -> None:
        (self.folder / "counting.py").write_text(COUNTING)

    def words(self) -> list[str]:
        return ["begin", str(self.until), self.how]

    def again(self, *, to_the_end: bool) -> list[str]:
        return ["begin", str(self.done() + 20 if to_the_end else self.until), self.how]

    def done(self) -> int:
        return len(self.finished())

    def finished(self) -> dict[str, int]:
        return stamps(list(self.folder.glob("files/*")))

    def missing(self, ended: Ended) -> list[str]:
        counted = ended.result["count"]
        return [] if counted == self.done() else [f"{counted} files were counted"]


@pytest.fixture
def _brief(monkeypatch) -> None:
    monkeypatch.setattr(call, "_LEAVE_S", 0.5)


@pytest.mark.usefixtures("_brief")
def test_a_job_that_lives_through_it_is_begun_again_once(tmp_path: Path):
    outcome = Ordeal(Counting(tmp_path, 1), period_s=0.3, kills=3, seed=1).carry_out()
    assert outcome.killed == ["Counter"] * 3 + [DRIVER]
    assert outcome.is_complete and outcome.begun_again == 1 and outcome.ended_by == []
    assert outcome.rewound == "0 finished files" and outcome.done > 20
    assert all(0 < seconds < 20 for seconds in outcome.waited_s)
    (left,) = outcome.left_behind  # its worker, which would have counted on
    assert left.startswith("ray::Counter.count")


@pytest.mark.usefixtures("_brief")
def test_a_job_that_ends_by_a_death_is_begun_again_each_time_and_that_is_told(tmp_path: Path):
    kind = Counting(tmp_path, 1)
    kind.how = "frail"
    outcome = Ordeal(kind, period_s=0.3, kills=3, seed=1).carry_out()
    assert outcome.is_complete and outcome.begun_again == 4
    assert outcome.ended_by == ["Counter: arcadia: the worker died"] * 3
    assert "counting: ended by the death of Counter: arcadia" in problems(outcome)[0]


@pytest.mark.usefixtures("_brief")
def test_a_job_that_is_done_too_soon_is_told(tmp_path: Path):
    kind = Counting(tmp_path, 1)
    kind.until = 25
    with pytest.raises(TooShort, match="counting: was done after 0 of 3 kills; give a larger"):
        Ordeal(kind, period_s=5, kills=3, seed=1).carry_out()


@pytest.mark.usefixtures("_brief")
def test_a_job_that_does_not_even_begin_is_told(tmp_path: Path):
    kind = Counting(tmp_path, 1)
    kind.prepare = lambda: None  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match=r"counting: .*No module named counting"):
        Ordeal(kind, period_s=5, kills=3, seed=1).carry_out()


def test_an_outcome_is_a_row():
    outcome = Outcome(
        kind="dqn",
        unit="steps",
        killed=["DQNRunner", "Map(a|b)", DRIVER],
        waited_s=[1.2, 0.4, 20.0],
        rewound="120 steps, 43 updates",
        begun_again=1,
        ended_by=[],
        left_behind=[],
        seconds=300.0,
        done=51_000,
        missing=[],
    )
    rows = markdown([outcome]).splitlines()
    assert len(rows) == 3 and rows[1].count("---") == rows[0].count("|") - 1
    assert rows[2] == (
        r"| dqn | DQNRunner, Map(a\|b), the command | 1, 0, 20 | 22 of 300 | 120 steps, 43 updates "
        "| 1 | yes: 51,000 steps |"
    )
    assert as_json(outcome)["complete"] is True and as_json(outcome)["lost_s"] == 21.6


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", list(KINDS))
def test_what_comes_of_a_job_whose_processes_are_killed_is_whole(name: str, tmp_path: Path):
    outcome = torment(name, tmp_path / name, period_s=8, kills=3, scale=2)
    assert outcome.missing == []
    assert outcome.ended_by == [] and outcome.begun_again == 1
    assert len(outcome.killed) == 4 and outcome.killed[-1] == DRIVER
