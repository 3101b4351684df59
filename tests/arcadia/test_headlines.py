"""Every kind of run has a page, and words for an index."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from algorithms.dqn import DQNOptions
from algorithms.hdqn.chain import ChainOptions, run_chain
from algorithms.hdqn.options import HDQNOptions
from algorithms.hdqn.tabular import TabularOptions
from arcadia.errors import UserError
from arcadia.headline import Headline, thumbnail
from arcadia.jobs import JOBS, job_of
from arcadia.media import png_bytes, write_image
from arcadia.report_folder import build_index
from arcadia.runs import RunFolder
from arcadia.storage import Stamp, Storage
from arcadia.telemetry import Telemetry
from pipelines.colorization.coloring.plan import Item, Plan, parts_of
from pipelines.colorization.coloring.results import Manifest, Record
from pipelines.colorization.coloring.run import save_items
from pipelines.stylization.config import StyleOptions
from pipelines.stylization.plan import save_style
from tests.arcadia.sample_runs import dqn_run, sequence_run


def seeds_run(folder: Path, kind: str = "dqn") -> RunFolder:
    options = DQNOptions(game="pong") if kind == "dqn" else HDQNOptions(env="KeyDoor-v0")
    config = {"preset": "fast", "seeds": 2, "options": dataclasses.asdict(options)}
    run = RunFolder.create(folder / "run", kind=f"{kind}-seeds", config=config, seed=5)
    for seed in (5, 6):
        dqn_run(folder / "run" / f"seed-{seed}", folder, seed=seed)
    run.write_bytes("seeds.png", png_bytes(np.zeros((40, 80, 3), np.uint8)))
    return run


def hdqn_run(folder: Path) -> RunFolder:
    config = {"preset": "gridworld", "options": dataclasses.asdict(HDQNOptions(env="KeyDoor-v0"))}
    run = RunFolder.create(folder / "run", kind="hdqn", config=config, seed=1)
    with Telemetry(run) as telemetry:
        for step in (100, 200):
            points = {"episode/return": 0.5, "episode/return_mean": 0.25, "meta/epsilon": 0.1}
            telemetry.scalars(points | {"replay/transitions": step}, step)
    return run


def chain_run(folder: Path) -> RunFolder:
    options = TabularOptions(num_seeds=2, episodes=3_000)
    run_chain(ChainOptions(run_dir=str(folder / "run"), seed=1, options=options))
    return RunFolder.open(folder / "run")


def colorizer_run(folder: Path) -> RunFolder:
    run = RunFolder.create(folder / "run", kind="colorizer", config={"options": {}}, seed=1)
    with Telemetry(run) as telemetry:
        for step in (10, 20):
            figures = {"ab_mse": 400.0 / step, "psnr": 20.0, "ssim": 0.9, "colorfulness": 5.0}
            telemetry.scalars({f"validation/{k}": v for k, v in figures.items()}, step)
            telemetry.scalars({"train/color_loss": 0.1, "train/epoch": 1}, step)
    run.write_bytes("pictures/000000020.png", png_bytes(np.zeros((64, 96, 3), np.uint8)))
    judged = {"ab_mse": 30.5, "psnr": 21.0, "step": 20, "images": 8, "data": "s3://k:secret@b/p"}
    run.write_json("evaluation.json", judged | {"run": "x", "mean_color": {"ab_mse": 77.25}})
    run.write_bytes("evaluation.png", png_bytes(np.ones((64, 96, 3), np.uint8)))
    return run


def colorize_run(folder: Path) -> RunFolder:
    run = RunFolder.create(folder / "run", kind="colorize", config={"id": "x"}, seed=None)
    items = tuple(
        Item(number=n, source=f"/old/{n}.jpg", output=f"{n}-color.jpg", is_film=False)
        for n in range(3)
    )
    save_items(run, Plan(folder=str(folder), items=items, stamps={}))
    for part in parts_of(items):
        manifest = Manifest(run.storage, part)
        for item in part.items[:2]:
            manifest.add(Record(item=item.number, stamp=Stamp(1, 1)))
        manifest.write()
    run.write_bytes("report/pictures/00000001.jpg", png_bytes(np.zeros((40, 80, 3), np.uint8)))
    return run


def stylize_run(folder: Path) -> RunFolder:
    config = {"clips": [], "options": dataclasses.asdict(StyleOptions())}
    run = RunFolder.create(folder / "run", kind="stylize", config=config, seed=1)
    write_image(folder / "style.png", np.zeros((40, 50, 3), np.uint8))
    save_style(run, str(folder / "style.png"), None)
    return run


MAKE: dict[str, tuple[Callable[[Path], RunFolder], list[str], str]] = {
    "dqn": (lambda f: dqn_run(f / "run", f), ["training return"], "DQN on Pong"),
    "dqn-seeds": (seeds_run, ["training return"], "DQN on pong, 2 seeds"),
    "hdqn": (hdqn_run, ["training return"], "h-DQN on KeyDoor-v0"),
    "hdqn-seeds": (
        lambda f: seeds_run(f, "hdqn"),
        ["training return"],
        "h-DQN on KeyDoor-v0, 2 seeds",
    ),
    "hdqn-chain": (chain_run, ["reward, h-DQN", "reward, Q-learning"], "h-DQN on the chain"),
    "stylize": (stylize_run, ["frames"], "Painting"),
    "colorizer": (colorizer_run, ["ab_mse", "colorfulness", "psnr", "ssim"], "Colorizer"),
    "colorize": (colorize_run, ["pictures", "films", "frames"], "Coloured pictures"),
    "sequence": (lambda f: sequence_run(f / "run"), ["error", "loss"], "Unique integers"),
}


@pytest.mark.parametrize("kind", JOBS)
def test_a_run_of_every_kind_has_a_page_and_a_row(kind: str, tmp_path: Path):
    make, figures, title = MAKE[kind]
    run = make(tmp_path)
    assert run.kind == kind
    headline = job_of(run).headline(run)
    assert isinstance(headline, Headline)
    assert (headline.title, list(headline.figures)) == (title, figures)
    if headline.picture is not None:
        assert thumbnail(run, headline.picture)[:3] == b"\xff\xd8\xff"
    built = build_index(Storage.at(tmp_path))
    assert built.unreadable == {}
    page = (run.path / "report.html").read_text()
    assert "How to repeat it" in page and "Versions" in page and "Configuration" in page
    assert page.count("Configuration") == 1
    index = (tmp_path / "index.html").read_text()
    assert title in index and all(name in index for name in figures)


def test_a_colorizer_shows_how_it_was_judged_by_other_pictures(tmp_path: Path):
    run = colorizer_run(tmp_path)
    build_index(Storage.at(tmp_path))
    page = (run.path / "report.html").read_text()
    assert "Judged by other pictures" in page and "77.25" in page and "30.5" in page
    assert "secret" not in page and page.count("data:image/png") == 3  # an icon, two pictures


def test_several_seeds_are_one_row_and_so_is_each(tmp_path: Path):
    seeds_run(tmp_path)
    built = build_index(Storage.at(tmp_path))
    assert [Path(page).parent.name for page in built.written] == ["seed-5", "seed-6", "run"]
    assert build_index(Storage.at(tmp_path)).written == []


def test_a_picture_that_is_a_program_is_not_opened(tmp_path: Path):
    run = dqn_run(tmp_path / "run", tmp_path)
    run.write_bytes("value.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    with pytest.raises(UserError, match=r"value\.png: is not a picture that can be read"):
        thumbnail(run, "value.png")


def test_thumbnails_are_small_and_of_the_middle_of_a_film(tmp_path: Path):
    import io

    from PIL import Image

    run = dqn_run(tmp_path / "run", tmp_path)
    with Image.open(io.BytesIO(thumbnail(run, "watch.mp4"))) as picture:
        assert max(picture.size) == 240
        assert picture.getpixel((20, 20))[0] == pytest.approx(120, abs=8)  # of 0, 10, ... 240
    with Image.open(io.BytesIO(thumbnail(run, "value.png"))) as picture:
        assert picture.size == (240, 103)
