"""Rows that describe work, and the board that says how far they are."""

import time
from typing import Any

import pytest

from arcadia.board import Board
from arcadia.row_job import RowJob


def test_the_board_keeps_what_was_told_last():
    board = Board()
    board.tell("a", {"done": 1, "seconds": 0.5})
    board.tell("a", {"done": 2})
    board.tell(("b", 3), {"done": 7})
    assert board.latest() == {"a": {"done": 2, "seconds": 0.5}, ("b", 3): {"done": 7}}
    assert not board.is_stopped()
    board.stop()
    assert board.is_stopped()


def _work(row: dict[str, Any], *, board: Any) -> dict[str, Any]:
    import ray

    if row["id"] == 13:
        raise RuntimeError("this row is unlucky")
    board.tell.remote(row["id"], {"done": 1})
    while row["id"] == 7 and not ray.get(board.is_stopped.remote()):
        time.sleep(0.02)
    return {"id": row["id"], "word": "done"}


def _start(ids: list[int]) -> RowJob:
    import ray

    rows = [{"id": i} for i in ids]
    job = RowJob()
    work: Any = _work
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
    job.start(dataset.map(work, fn_kwargs={"board": job.board}, num_cpus=1))
    return job


@pytest.mark.usefixtures("ray_session")
def test_a_job_runs_beside_the_driver_until_it_is_asked_to_stop():
    job = _start([1, 7])
    while len(job.latest()) < 2:
        assert not job.is_over
        time.sleep(0.02)
    job.wait(0.2)
    assert not job.is_over
    job.stop()
    job.wait(60)
    assert job.is_over
    assert sorted(row["id"] for row in job.rows) == [1, 7]
    assert job.latest() == {1: {"done": 1}, 7: {"done": 1}}


@pytest.mark.usefixtures("ray_session")
def test_what_ends_a_job_early_is_raised():
    job = _start([13])
    with pytest.raises(Exception, match="this row is unlucky"):
        job.wait(60)
