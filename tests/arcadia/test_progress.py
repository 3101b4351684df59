from __future__ import annotations

import contextlib
import io
import os
import pty
import time
from collections.abc import Iterator

import pytest
from rich.table import Table

from arcadia.progress import Progress


def read_to_end(descriptor: int) -> Iterator[str]:
    with contextlib.suppress(OSError):  # Linux's way to say that the terminal is closed
        while data := os.read(descriptor, 4096):
            yield data.decode(errors="replace")


def test_without_a_terminal_lines_come_seldom_and_once_at_the_end():
    out = io.StringIO()
    with Progress(1000, "steps", "dqn [pong]", period_s=60, stream=out) as progress:
        for done in range(0, 1000, 10):
            progress.update(done, loss=0.123456)
        progress.update(1000, loss=0.5, best="a[b]{c}")
    assert out.getvalue().startswith("dqn [pong]: 1,000/1,000 steps (100%) ")
    assert out.getvalue().endswith(" loss=0.5 best=a[b]{c}\n")
    assert out.getvalue().count("\n") == 1


def test_lines_come_when_their_period_is_over():
    out = io.StringIO()
    with Progress(100, "steps", "x", period_s=0.0, stream=out) as progress:
        time.sleep(0.02)
        progress.update(50, episode_return=-20.4, episodes=1234)
        progress.update(60)
    lines = out.getvalue().splitlines()
    assert len(lines) == 2, "the last one is not said twice"
    assert lines[0].startswith("x: 50/100 steps (50%) ") and " ETA 0:00 " in lines[0]
    assert lines[0].endswith("episode_return=-20.4 episodes=1,234")


def test_the_rate_leaves_out_what_was_done_before():
    out = io.StringIO()
    with Progress(2_000_000, "steps", "x", start=1_000_000, stream=out) as progress:
        time.sleep(0.1)
        progress.update(1_000_010)
    rate = float(out.getvalue().split("/s")[0].rpartition(" ")[2].replace(",", ""))
    assert 1 < rate <= 100


def test_the_last_line_comes_even_when_the_job_fails():
    out = io.StringIO()
    with pytest.raises(RuntimeError), Progress(10, "steps", "x", stream=out) as progress:
        progress.update(3)
        raise RuntimeError
    assert out.getvalue().startswith("x: 3/10 steps (30%)")


def test_stderr_is_where_it_goes(capfd: pytest.CaptureFixture[str]):
    with Progress(10, "steps", "x") as progress:
        progress.update(10)
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err.startswith("x: 10/10 steps")


def test_a_terminal_has_one_live_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        with Progress(100, "steps", "dqn [pong]", stream=terminal) as progress:
            for done in (10, 60):
                progress.update(done, best="a[b]{c}")
                time.sleep(0.3)
    shown = "".join(read_to_end(ours))
    os.close(ours)
    last = shown[shown.rindex("dqn [pong]") :]
    assert "60/100 steps (60%)" in last and "best=a[b]{c}" in last
    assert "━" in last
    assert shown.count("\n") == 1, "every other redraw is in the same line"


def goals(tried: int) -> Table:
    table = Table("goal", "tried")
    table.add_row("key", f"{tried:,}")
    return table


def test_without_a_terminal_a_table_comes_once_below_the_last_line():
    out, tried = io.StringIO(), [0]
    with Progress(10, "steps", "x", table=lambda: goals(tried[0]), stream=out) as progress:
        tried[0] = 1234
        progress.update(10)
    first, *rows = out.getvalue().splitlines()
    assert first.startswith("x: 10/10 steps")
    assert sum("key" in row for row in rows) == 1
    assert any("key" in row and "1,234" in row for row in rows)


def test_a_table_comes_again_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("arcadia.progress._TABLE_PERIOD_S", 0.0)
    out = io.StringIO()
    with Progress(10, "steps", "x", period_s=0.0, table=lambda: goals(7), stream=out) as progress:
        progress.update(5)
        progress.update(10)
    assert out.getvalue().count("key") == 3  # twice on the way, and at the end


def test_a_terminal_has_the_table_below_the_live_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    ours, theirs = pty.openpty()
    tried = [0]
    with os.fdopen(theirs, "w") as terminal:
        with Progress(10, "steps", "x", table=lambda: goals(tried[0]), stream=terminal) as progress:
            tried[0] = 1234
            progress.update(10)
    shown = "".join(read_to_end(ours))
    os.close(ours)
    last = shown[shown.rindex("10/10 steps") :]
    assert "key" in last and "1,234" in last


def test_slow_work_has_a_time_left_between_its_steps(monkeypatch: pytest.MonkeyPatch):
    out, now = io.StringIO(), [0.0]
    monkeypatch.setattr("arcadia.progress.time.monotonic", lambda: now[0])
    with Progress(100, "frames", "x", period_s=0.0, stream=out) as progress:
        for second in range(1, 281):  # a frame a minute, told every second
            now[0] = float(second)
            progress.update(second // 60)
    told = [line for line in out.getvalue().splitlines() if " 4/100" in f" {line}"]
    assert len(told) > 30
    assert all("ETA 1:36:00" in line for line in told)
    waiting = [line for line in out.getvalue().splitlines() if "x: 0/100" in line]
    assert not any("ETA" in line for line in waiting)


def test_work_that_stands_still_gets_slower(monkeypatch: pytest.MonkeyPatch):
    out, now = io.StringIO(), [0.0]
    monkeypatch.setattr("arcadia.progress.time.monotonic", lambda: now[0])
    with Progress(100, "steps", "x", period_s=0.0, stream=out) as progress:
        assert progress.rate is None
        for second in (1, 2, 3, 60):
            now[0] = float(second)
            progress.update(min(second, 3) * 10)
            assert progress.rate == (10 if second <= 3 else pytest.approx(20 / 59))
    lines = out.getvalue().splitlines()
    assert "30/100 steps (30%) 10/s ETA 0:07" in lines[2]
    assert "0.339/s ETA 3:26" in lines[3]
