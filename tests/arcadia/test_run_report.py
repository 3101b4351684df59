"""What every run's page has: how to repeat it, when and where it was made, versions, config."""

from __future__ import annotations

import html
import os
import platform
import re
from pathlib import Path

import pytest

from arcadia.report import Report
from arcadia.report_folder import build_index
from arcadia.run_report import NOTE, build_report, duration, times, words_again, write_report
from arcadia.runs import RunFolder
from arcadia.storage import Storage
from tests.arcadia.sample_runs import dqn_run, sequence_run

SECRETS = ("AKIDEXAMPLE", "wJalrXU/nFEMI", "top-secret", "0123456789abcdef")


def text_of(path: object) -> str:
    """What a page says, without its markup."""
    page = Path(str(path)).read_text()
    return html.unescape(re.sub(r"<(style|svg)\b.*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL))


def test_a_page_says_how_to_repeat_the_run_and_what_made_it(tmp_path: Path):
    words = ["arcadia", "train", "sequence", "--steps", "500", "--run-dir", f"{tmp_path}/run"]
    run = sequence_run(tmp_path / "run", seed=17, command=words)
    text = text_of(build_report(run.path))
    assert " ".join(words) in text
    assert "arcadia train sequence --steps 500 --seed 17" in text
    for name, version in run.info["versions"].items():
        assert re.search(rf"{name}\s+{re.escape(version)}\s", text), name
    assert f"python {platform.python_version()}" in " ".join(text.split())
    assert platform.platform() in text and run.info["started"][:10] in text
    assert "options.activation" in text and "How to repeat it" in text
    assert "--resume" not in text
    if run.info["commit"] is not None:  # of a checkout
        assert f"git checkout {run.info['commit'].removesuffix('-dirty')}" in text
        assert run.info["commit"].endswith("-dirty") == ("not committed" in text)


def test_a_run_that_is_not_finished_says_how_to_go_on(tmp_path: Path):
    run = dqn_run(tmp_path / "a run", tmp_path)
    assert f"arcadia train dqn --resume '{tmp_path}/a run'" in text_of(build_report(run.path))
    run.set_status("failed", error="OSError: <the disk> is full")
    text = text_of(build_report(run.path))
    assert "--resume" in text and "OSError: <the disk> is full" in text


def test_a_note_of_ones_own_is_on_the_page_and_in_the_index(tmp_path: Path):
    run = sequence_run(tmp_path / "runs" / "one")
    run.write_text(NOTE, "The first <try>,\n\n with " + "long words " * 300)
    text = text_of(build_report(run.path))
    assert "The first <try>, with long words" in text and "…" in text
    assert text.count("long words") < 200
    index = text_of(build_index(Storage.at(str(tmp_path / "runs"))).index)
    assert "The first <try>, with long words" in index and index.count("long words") < 9
    (run.path / NOTE).write_bytes(b"caf\xe9")
    assert "caf\ufffd" in text_of(build_report(run.path))


def test_the_gpus_are_those_that_the_driver_names(tmp_path: Path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf 'NVIDIA H100\\nNVIDIA H100\\nNVIDIA L4\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    run = sequence_run(tmp_path / "run")
    assert run.info["machine"]["gpus"] == ["NVIDIA H100", "NVIDIA H100", "NVIDIA L4"]
    assert "2 x NVIDIA H100, NVIDIA L4" in text_of(build_report(run.path))


def test_a_run_that_a_program_made_says_so(tmp_path: Path):
    run = sequence_run(tmp_path / "run", command=None)
    assert "A program made it" in text_of(build_report(run.path))


def test_credentials_are_neither_on_the_page_nor_in_the_record(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", SECRETS[3])
    address = f"s3://{SECRETS[0]}:{SECRETS[1]}@bucket/path"
    words = ["arcadia", "train", "dqn", "--run-dir", address, f"s3://b/p?secret_key={SECRETS[2]}"]
    run = RunFolder.create(
        tmp_path / "run",
        kind="dqn",
        config={"data": address, "nested": {"auth_token": SECRETS[2], "num_tokens": 7}},
        seed=1,
        command=words,
    )
    recorded = (tmp_path / "run" / "run.json").read_text()
    assert "s3://bucket/path" not in recorded and "@bucket/path" in recorded
    # An older Arcadia recorded the words as they were.
    run.write_json("run.json", run.info | {"command": words})
    run.set_status("failed", error=f"RuntimeError: the token {SECRETS[3]} is refused at {address}")
    report = Report(f"of {address}", SECRETS[3], address)
    report.table("t", [address], [[address]], address)
    report.curve(address, {address: ([1, 2], [3, 4])}, "x", "y")
    report.text("t", f"RAY_AUTH_TOKEN={SECRETS[3]}")
    page = Path(str(write_report(run, report))).read_text()
    for secret in SECRETS:
        assert secret not in page, secret
        assert secret not in recorded, secret
    assert "nested.num_tokens" in page and "s3://…@bucket/path" in page


def test_an_address_of_a_run_is_never_printed_with_its_credentials(bucket: Storage):
    bucket.uri = f"s3://{SECRETS[0]}:{SECRETS[1]}@bucket/runs/one"
    run = sequence_run(bucket)
    assert write_report(run, Report("x")) == "s3://bucket/runs/one/report.html"
    assert not any(secret in run.read_bytes("report.html").decode() for secret in SECRETS)


def test_what_was_left_out_of_a_command_is_told(tmp_path: Path):
    words = ["arcadia", "train", "dqn", "RAY_AUTH_TOKEN=abcdefgh"]
    run = RunFolder.create(tmp_path / "run", kind="dqn", config={}, seed=1, command=words)
    text = text_of(write_report(run, Report("x")))
    assert "RAY_AUTH_TOKEN=…" in text and "Credentials in the command are left out" in text


@pytest.mark.parametrize(
    ("words", "seed", "kind", "again"),
    [
        ("arcadia train dqn", 3, "dqn", "arcadia train dqn --seed 3"),
        ("arcadia train dqn --seed 1 --lr 2", 1, "dqn", "arcadia train dqn --lr 2 --seed 1"),
        ("arcadia train dqn --run-dir=x --seed=1", 1, "dqn", "arcadia train dqn --seed 1"),
        ("arcadia train dqn --seeds 5 --seed 1", 4, "dqn", "arcadia train dqn --seed 4"),
        ("arcadia train dqn --seeds 5", 4, "dqn-seeds", "arcadia train dqn --seeds 5 --seed 4"),
        ("arcadia colorize a --run-dir b c", None, "colorize", "arcadia colorize a c"),
    ],
)
def test_words_that_make_a_run_again(words: str, seed: int | None, kind: str, again: str):
    assert words_again(words.split(), seed, kind) == again.split()


def test_the_time_of_a_run_is_that_of_its_attempts():
    def history(*entries: tuple[str, str]) -> dict[str, object]:
        return {"history": [{"at": f"2026-01-01T{at}+00:00", "status": s} for at, s in entries]}

    one = history(("10:00:00", "running"), ("10:00:02", "running"), ("10:01:00", "completed"))
    assert times(one)[1:] == (60, 1, False)
    more = history(
        *(("10:00:00", "running"), ("10:10:00", "stopped")),
        *(("12:00:00", "running"), ("12:00:30", "completed")),
    )
    assert times(more)[1:] == (630, 2, False)
    killed = history(("10:00:00", "running"), ("12:00:00", "running"), ("12:01:00", "stopped"))
    assert times(killed)[1:] == (60, 2, True)
    assert times(history(("10:00:00", "running")))[1:] == (None, 1, False)
    assert times({}).started is None


def test_durations_are_said_as_people_say_them():
    assert [duration(s) for s in (3.14159, 59.999, 168, 3_720, 360_000)] == [
        *("3.14 s", "60 s", "2 min 48 s", "1 h 02 min", "100 h 00 min"),
    ]


def test_tables_of_validations_tell_where_each_figure_was_best(tmp_path: Path):
    run = sequence_run(tmp_path / "run", error=0.25)
    text = " ".join(text_of(build_report(run.path)).split())
    assert "error 0.65 0.25 500 0.65 100 0.25" in text
