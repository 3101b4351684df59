from __future__ import annotations

from pathlib import Path

import pytest

from arcadia.redaction import is_secret, redacted
from arcadia.storage import without_secrets


@pytest.mark.parametrize(
    ("address", "bare", "shown"),
    [
        ("s3://key:secret@bucket/path", "s3://bucket/path", "s3://…@bucket/path"),
        ("s3://key:se/cr/et@bucket/path", "s3://bucket/path", "s3://…@bucket/path"),
        ("s3://b/path?region=x&secret_key=abc", "s3://b/path", "s3://b/path?…"),
        ("s3://k:s@b/path?x", "s3://b/path", "s3://…@b/path?…"),
        ("gs://anonymous@bucket/path/", "gs://bucket/path", "gs://…@bucket/path"),
        ("https://u:p@host:8265/a@b#c", "https://host:8265/a@b", "https://…@host:8265/a@b"),
        ("s3://bucket/a@2x/b", "s3://bucket/a@2x/b", "s3://bucket/a@2x/b"),
        ("http://host:9000/a@b", "http://host:9000/a@b", "http://host:9000/a@b"),
    ],
)
def test_an_address_loses_what_is_secret_and_nothing_else(address: str, bare: str, shown: str):
    assert without_secrets(address) == bare
    assert redacted(f"read '{address}', then") == f"read '{shown}', then"
    assert redacted(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("RAY_AUTH_TOKEN=0123abcd arcadia", "RAY_AUTH_TOKEN=… arcadia"),
        ("x?secret_key=abc&y=1", "x?secret_key=…&y=1"),
        ("--api-token abc --seed 1", "--api-token … --seed 1"),
        ("Authorization: Bearer abcdefgh123", "Authorization: Bearer …"),
        ("num_tokens=5 of a token", "num_tokens=5 of a token"),
        ("https://www.ray.io/ and a/b", "https://www.ray.io/ and a/b"),
    ],
)
def test_what_is_named_a_secret_is_hidden(text: str, shown: str):
    assert redacted(text) == shown
    assert redacted(shown) == shown


def test_the_credentials_of_this_process_are_hidden_wherever_they_stand(
    monkeypatch, tmp_path: Path
):
    (tmp_path / "token").write_text("from-a-file-123\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "in-the-environment")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_SESSION_TOKEN", "short")
    text = "got in-the-environment, from-a-file-123 and short"
    assert redacted(text) == "got …, … and short"


def test_the_token_that_ray_made_itself_is_hidden(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))
    text = "got made-by-ray-456"
    assert redacted(text) == text
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("made-by-ray-456")
    assert redacted(text) == "got …"


def test_names_of_secrets():
    secret = ("token", "auth_token", "storage.secret_key", "AWS_SECRET_ACCESS_KEY", "api-key")
    assert all(map(is_secret, secret))
    assert not any(map(is_secret, ("num_tokens", "tokenizer", "key", "monkey", "eos_token_id")))
