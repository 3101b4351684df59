"""Small runs, written by what writes real ones, for the tests of reports."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from algorithms.dqn import DQNOptions
from arcadia.media import VideoWriter, png_bytes
from arcadia.runs import RunFolder
from arcadia.storage import Storage
from arcadia.telemetry import Telemetry
from pipelines.sequences import SequenceOptions

Place = str | os.PathLike[str] | Storage


def sequence_run(
    place: Place,
    *,
    seed: int = 0,
    error: float = 0.5,
    command: Sequence[str] | None = ("arcadia", "train", "sequence"),
    **options: Any,
) -> RunFolder:
    """A run of counting unique integers whose error falls to `error`; it is completed."""
    run = RunFolder.create(
        place,
        kind="sequence",
        config={
            "data": [],
            "data_hash": "",
            "options": dataclasses.asdict(SequenceOptions(**options).resolved()),
        },
        seed=seed,
        command=command,
    )
    with Telemetry(run) as telemetry:
        for step in range(100, 600, 100):
            value = error + (500 - step) / 1000
            telemetry.scalars({"validation/error": value, "validation/loss": 2 * value}, step)
            telemetry.scalars({"train/loss": 2 * value, "train/examples_per_s": 9_000}, step)
    run.set_status("completed")
    return run


def dqn_run(place: Place, folder: Path, *, seed: int = 0, **options: Any) -> RunFolder:
    """A run of Pong that is still under way, with a film and a figure.

    Args:
        place: where it goes.
        folder: for files on the way there.
        seed: the run's.
        options: of DQN.
    """
    run = RunFolder.create(
        place,
        kind="dqn",
        config={
            "preset": "fast",
            "options": dataclasses.asdict(DQNOptions(game="pong", **options)),
        },
        seed=seed,
        command=["arcadia", "train", "dqn", "--game", "pong"],
    )
    rng = np.random.default_rng(seed)
    with Telemetry(run) as telemetry:
        for step in range(1_000, 101_000, 1_000):
            value = step / 5_000 - 21 + rng.normal()
            points = {"episode/return": value, "episode/return_mean": value}
            telemetry.scalars(points | {"replay/transitions": step, "learner/loss": 0.01}, step)
            telemetry.scalars({"runner/env_steps_per_s": 250}, step)
    with VideoWriter(folder / "film.mp4", 10) as writer:
        for shade in range(0, 250, 10):
            writer.write(np.full((210, 160, 3), shade, np.uint8))
    run.write_bytes("watch.mp4", (folder / "film.mp4").read_bytes())
    run.write_bytes("value.png", png_bytes(rng.integers(0, 255, (300, 700, 3), np.uint8)))
    return run


def sweep(folder: Path, *, mode: str = "min", record: bool = True) -> None:
    """A sweep as Tune leaves it: two trials with results, one that failed before its first."""
    folder.mkdir(parents=True)
    (folder / "tuner.pkl").write_bytes(b"never read")
    states = []
    for number, (lr, values) in enumerate([(0.1, (5.0, 4.0)), (0.01, (5.0, 2.0)), (9.0, ())]):
        name = f"trial_{number}_lr={lr}"
        trial = folder / name
        trial.mkdir()
        states.append([_state(name, lr, "TERMINATED" if values else "ERROR"), "{}"])
        if not values:
            (trial / "error.txt").write_text("ValueError: too fast\n")
            continue
        (trial / "params.json").write_text(json.dumps({"lr": lr, "seed": 7, "same": 1}))
        results = [
            {
                "trial_id": f"abc_{number}",
                "training_iteration": i + 1,
                "step": 10 * (i + 1),
                "loss": value,
                "nested": {"loss": -value},
                "timestamp": 1_790_000_000 + i,
                "time_total_s": 30.0 + i,
                "done": False,
            }
            for i, value in enumerate(values)
        ]
        lines = [json.dumps(result) for result in results]
        (trial / "result.json").write_text("\n".join([*lines, '{"cut off']))
    state = {"trial_data": states}
    (folder / "experiment_state-2026-11-26_12-00-00.json").write_text(json.dumps(state))
    if record:
        command = ["arcadia", "tune", "tune_configs/some.py"]
        asked = {"file": "some.py", "metric": "nested/loss", "mode": mode, "time": "step"}
        run = RunFolder.create(folder, kind="tune", config=asked, seed=7, command=command)
        run.set_status("completed")


def _state(name: str, lr: float, status: str) -> str:
    return json.dumps({"relative_logdir": name, "evaluated_params": {"lr": lr}, "status": status})
