"""Whole things, small ones, of which malformed ones are made: made once, without Ray."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file

from algorithms.dqn.options import DQNOptions
from algorithms.dqn.policy import write_policy
from algorithms.dqn.presets import preset
from algorithms.dqn.q_network import QNetwork
from algorithms.hdqn.tabular import TabularOptions
from arcadia.media import VideoWriter
from arcadia.runs import RunFolder
from pipelines.colorization.files import save_colorizer
from pipelines.colorization.networks import Colorizer
from pipelines.colorization.options import ColorizerOptions, NetworkOptions
from pipelines.places.prepared import KIND, SCHEMA, VERSION
from pipelines.sequences import SequenceOptions, task_of
from pipelines.stylization.config import preset as style_preset
from tests.malformed.cases import Tree
from tests.pipelines.pictures import colorful, encoded

SIZE = 32


def make_material() -> Tree:
    """By path, the bytes of all files."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        _pictures(root)
        _texts(root)
        _prepared(root / "data")
        save_colorizer(_network(), root / "net.safetensors", {"class_names": ["a", "b"]})
        _runs(root)
        return {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }


def _network() -> Colorizer:
    return Colorizer(2, NetworkOptions(width=0.05, image_size=SIZE)).eval()


def _pictures(root: Path) -> None:
    (root / "photo.png").write_bytes(encoded(colorful(), "PNG"))
    (root / "photo.jpg").write_bytes(encoded(colorful()))
    with VideoWriter(root / "film.mp4", 25, crf=20) as film:
        for number in range(6):
            film.write(colorful(seed=number))
    with tarfile.open(root / "photos.tar", "w") as archive:
        for number in range(3):
            data = encoded(colorful(seed=number))
            member = tarfile.TarInfo(f"kitchen/{number}.jpg")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    for number in range(3):
        file = root / "photos" / "kitchen" / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded(colorful(seed=number)))
    images = [encoded(colorful(8, 8, seed=n), "PNG") for n in range(90)]
    pq.write_table(pa.table({"image": images, "label": [0, 1, 2] * 30}), root / "small.parquet")
    for split, number in (("train", 120), ("t10k", 20)):
        shape = (number, 4, 4)
        for name, size in (("images-idx3", shape), ("labels-idx1", shape[:1])):
            head = bytes([0, 0, 8, len(size)]) + b"".join(n.to_bytes(4) for n in size)
            file = root / "mnist" / f"{split}-{name}-ubyte"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(head + bytes(int(np.prod(size))))


def _texts(root: Path) -> None:
    lines = [f"the cat number {n} sat on the mat and saw {n % 7} dogs" for n in range(400)]
    (root / "text.txt").write_text("\n".join(lines))
    (root / "other.txt").write_text("\n".join(line.upper() for line in lines))
    captions = [f"{number}.jpg#0\ta kitchen of number {number}" for number in range(3)]
    (root / "captions.txt").write_text("\n".join(captions))
    (root / "list.txt").write_text("".join(f"kitchen/{number}.jpg 0\n" for number in range(3)))
    (root / "categories.txt").write_text("kitchen 0\n")
    (root / "sweep.py").write_text("def sweep():\n    raise RuntimeError('no')\n")


def _prepared(root: Path) -> None:
    (root / "shards").mkdir(parents=True)
    rows = [(encoded(colorful(SIZE, SIZE, n)), n % 2, f"{n}.jpg", SIZE, SIZE) for n in range(12)]
    columns = zip(*rows, strict=True)
    arrays = [pa.array(list(c), f.type) for c, f in zip(columns, SCHEMA, strict=True)]
    file = root / "shards" / "00000.parquet"
    pq.write_table(pa.table(arrays, schema=SCHEMA), file, row_group_size=4, compression="none")
    shard = {
        "file": "shards/00000.parquet",
        "bytes": file.stat().st_size,
        "row_groups": [4, 4, 4],
        "rows": 12,
        "sha256": "00" * 32,
    }
    manifest = {
        "version": VERSION,
        "kind": KIND,
        "classes": [{"id": i, "name": name, "count": 6} for i, name in enumerate("ab")],
        "num_images": 12,
        "shards": [shard],
        "rejected": {},
        "filtered": 0,
        "ignored": 0,
        "options": {"size": SIZE},
        "config": {},
        "hash": "abc",
    }
    (root / "manifest.json").write_text(json.dumps(manifest))


def _runs(root: Path) -> None:
    _dqn(root / "dqn")
    _run(root / "chain", "hdqn-chain", {"options": dataclasses.asdict(TabularOptions())})
    colorizer = {
        "data": "data",
        "data_hash": "abc",
        "validation": None,
        "weights": None,
        "options": dataclasses.asdict(ColorizerOptions(network=_network().options)),
    }
    run = _run(root / "colorizer", "colorizer", colorizer)
    done = {"step": 5, "best": 1.0, "seconds": 1.0}
    with tempfile.TemporaryDirectory() as folder:
        save_colorizer(_network(), Path(folder, "colorizer.safetensors"), {"class_names": ["a"]})
        position = {"epoch": 0, "batch": 0}
        whole = done | {"position": position, "num_streams": 1}
        Path(folder, "done.json").write_text(json.dumps(whole))
        run.publish_checkpoint(folder, 5)
    options = SequenceOptions(hidden_size=4, validation_examples=10).resolved()
    sequence = {"data": [], "data_hash": "", "options": dataclasses.asdict(options)}
    run = _run(root / "sequence", "sequence", sequence)
    with tempfile.TemporaryDirectory() as folder:
        network = task_of(options, 1, ()).make_network()
        save_file(network.state_dict(), Path(folder, "network.safetensors"))
        Path(folder, "done.json").write_text(json.dumps(done))
        run.publish_checkpoint(folder, 5)

    _run(root / "seeds", "dqn-seeds", _dqn_config() | {"seeds": 2})
    _run(root / "sweep", "tune", {"file": "sweep.py", "metric": "x", "mode": "min"})
    clip = {"name": "film", "path": "film.mp4", "output": "out.mp4"}
    painted = {
        **dict.fromkeys(("output", "preview", "fps")),
        **dict(videos=["film.mp4"], style="photo.png", preset="draft", crf=18, files={}, id="x"),
        **dict(clips=[clip], options=dataclasses.asdict(style_preset("draft"))),
    }
    _run(root / "painted", "stylize", painted)
    colored = {
        **dict.fromkeys(("run", "style_from", "size")),
        **dict(inputs=["photo.jpg"], output="out", weights="net.safetensors", checkpoint="last"),
        **dict(smoothing=0.0, precision="auto", crf=18, network_sha256="x", items=1, id="x"),
    }
    _run(root / "colored", "colorize", colored)


def _run(folder: Path, kind: str, config: dict[str, Any]) -> RunFolder:
    return RunFolder.create(folder, kind=kind, config=config, seed=1, command=["arcadia"])


def _dqn_config() -> dict[str, Any]:
    options = preset("fast", env="CartPole-v1", hidden_size=8)
    return {"preset": "fast", "options": dataclasses.asdict(options)}


def _dqn(folder: Path) -> None:
    run = _run(folder, "dqn", _dqn_config())
    actions = gym.spaces.Discrete(2)
    arguments = {
        "observation_shape": [1, 4],
        "num_actions": 2,
        "hidden_size": 8,
        "dueling": True,
        "network": "nips2013",
    }
    with tempfile.TemporaryDirectory() as saved:
        write_policy(
            saved,
            QNetwork(**arguments),  # type: ignore[arg-type]
            DQNOptions(**_dqn_config()["options"]),
            arguments=arguments,
            action_space=actions,
            step=7,
        )
        run.publish_checkpoint(saved, 7)
