"""Keys in addresses are taken out of a command line, and reach no record, error or page."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from arcadia.cli import main
from arcadia.credentials import without_credentials
from arcadia.errors import UserError
from arcadia.runs import RunFolder

SECRET = "sEcReT+w%2Fslash"
ADDRESS = f"s3://AKIAKEY:{SECRET}@bucket/runs/one?region=x"


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch):
    """The variables of AWS's, whatever a test makes of them."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "of before")


def variables() -> list[str | None]:
    return [os.environ.get(f"AWS_{n}") for n in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")]


def test_a_key_goes_from_the_address_into_the_environment():
    words = without_credentials(["x", "--run-dir", ADDRESS, f"--data={ADDRESS}"])
    plain = "s3://bucket/runs/one?region=x"
    assert words == ["x", "--run-dir", plain, f"--data={plain}"]
    assert variables() == ["AKIAKEY", "sEcReT+w/slash"]
    assert "AWS_SESSION_TOKEN" not in os.environ


@pytest.mark.parametrize(
    "word",
    [
        "s3://bucket/a@b:c/d",
        "gs://anonymous@bucket/x",
        "ray://10.0.0.1:10001",
        "ray://[::1]:10001",
        "http://127.0.0.1:8265",
        "photos/a@b:c.jpg",
        "module:Class",
        "--anneal=30:0.5",
    ],
)
def test_words_without_a_key_stay_and_change_nothing(word: str):
    assert without_credentials([word]) == [word]
    assert variables() == ["of before", "of before"]


@pytest.mark.parametrize(
    "words",
    [
        ["s3://AKIAKEY:sEcReT/slash@bucket/x"],
        ["ftp://me:sEcReT@host/x"],
        ["abfs://account:sEcReT@container/x"],
        ["s3://:sEcReT@bucket"],
        ["s3://A:sEcReT@bucket/x", "s3://A:another-sEcReT@bucket/y"],
    ],
)
def test_what_cannot_be_taken_out_is_refused_without_being_shown(words: list[str]):
    with pytest.raises(UserError) as told:
        without_credentials(words)
    assert "sEcReT" not in str(told.value)
    assert variables() == ["of before", "of before"]


@pytest.mark.parametrize("debug", [(), ("--debug",)])
@pytest.mark.parametrize(
    "words",
    [
        ["report", f"nos3://A:{SECRET}@bucket/x"],
        ["report", "s3://A:sEcReT/x@bucket/x"],
        ["colorize", ADDRESS, "--weights", "none"],
        ["places", "prepare", ADDRESS, "out"],
        ["train", "dqn", "--lr", ADDRESS],
    ],
)
def test_no_error_shows_a_key(words: list[str], debug: tuple[str, ...], capsys):
    assert main([*words, *debug]) in (1, 2)
    assert "sEcReT" not in "".join(capsys.readouterr())


def test_a_run_records_the_command_without_the_key(tmp_path: Path, capsys):
    folder = tmp_path / "run"
    words = ["train", "hdqn", "--env", "chain", "--episodes", "10", "--num-seeds", "1"]
    noted = f"--run-dir={folder}", "--json"
    # A word that is no option's, and is recorded as it was given.
    assert main([*words, f"--env={ADDRESS}", "--env=chain", *noted]) == 0
    command = RunFolder.open(folder).info["command"]
    assert any(word.startswith("--env=s3://") and "bucket/runs/one" in word for word in command)
    written = "".join(
        path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()
    )
    assert "sEcReT" not in written + "".join(capsys.readouterr())
