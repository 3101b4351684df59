"""What gauges are called; what Prometheus gets of them is in tests/test_scrape.py."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pyarrow.fs import LocalFileSystem

from arcadia.gauges import METRICS, metric_of, run_label
from arcadia.storage import Storage
from arcadia.stores import ObjectStorage


@pytest.mark.parametrize(
    ("tag", "name", "labels"),
    [
        ("step", "arcadia_step", {}),
        ("train/loss-mean", "arcadia_train_loss_mean", {}),
        ("replay/bytes", "arcadia_replay_bytes", {}),
        ("train/images_per_s", "arcadia_train_images_per_second", {}),
        ("pictures/per_s", "arcadia_pictures_per_second", {}),
        ("x/delay_s", "arcadia_x_delay_seconds", {}),
        ("goal/left door/tried", "arcadia_goal_tried", {"goal": "left door"}),
        ("goal/a/b/success_rate", "arcadia_goal_success_rate", {"goal": "a/b"}),
        ("goal/clé/tried", "arcadia_goal_tried", {"goal": "cl\\xe9"}),
        ("länge", "arcadia_l_nge", {}),
    ],
)
def test_a_tag_has_one_name_and_goals_are_labels(tag: str, name: str, labels: dict[str, str]):
    assert metric_of(tag) == (name, labels)


def test_names_are_prometheus_names_and_none_comes_twice():
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name), name
        # Those ends are kept for other kinds of metrics, which have several series.
        assert not name.endswith(("_total", "_count", "_sum", "_bucket", "_info")), name


def test_a_unit_that_the_name_tells_is_the_one_that_is_told():
    for metric in METRICS:
        assert metric.name.endswith("_per_second") == metric.unit.endswith("/s"), metric
        assert metric.name.endswith("_bytes") == (metric.unit == "bytes"), metric


def test_a_run_is_called_by_its_folder_and_the_one_above(tmp_path: Path):
    assert run_label(Storage.at(tmp_path / "runs" / "dqn-1")) == "runs/dqn-1"
    assert run_label(Storage.at(Path("/one"))) == "one"
    assert run_label(Storage.at(tmp_path / "läufe" / "eins")) == "l\\xe4ufe/eins"


def test_ray_takes_all_names_texts_and_labels(tmp_path: Path):
    from ray.util.metrics import Gauge

    run = run_label(Storage.at(tmp_path / "läufe" / "日本"))
    for metric in METRICS:
        name, labels = metric_of(metric.tag.replace("NAME", "clé"))
        labels["run"] = run
        gauge = Gauge(name, description=metric.help, tag_keys=tuple(labels))
        assert gauge.info["name"] == name
        gauge.set(1.0, tags=labels)


@pytest.mark.parametrize(
    ("address", "label"),
    [
        ("s3://key:secret@bucket/a/runs/one/?region=x&token=secret", "runs/one"),
        ("s3://key:secret@bucket/one?token=secret", "bucket/one"),
        ("gs://bucket", "bucket"),
    ],
)
def test_no_secret_of_an_address_is_in_the_label(address: str, label: str):
    assert run_label(ObjectStorage(LocalFileSystem(), "bucket/one", address)) == label
