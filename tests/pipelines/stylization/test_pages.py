import dataclasses
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from arcadia.errors import UserError
from arcadia.media import write_image
from arcadia.run_report import build_report
from arcadia.runs import RunFolder
from arcadia.storage import Storage
from pipelines.stylization import job
from pipelines.stylization.finish import SEAMS, write_pictures
from pipelines.stylization.pages import mean_error, mean_seconds, records_of
from pipelines.stylization.plan import Clip, VideoPlan, plan_video, save_style
from pipelines.stylization.results import FrameFiles, Manifest


@pytest.fixture
def make_run(tmp_path: Path, make_film, style: Path, small):
    """A run whose manifests say something known: frame n has a warping error of n / 1000."""

    def make(**options) -> tuple[RunFolder, VideoPlan]:
        chosen = small(**options)
        film = make_film(tmp_path / "film.mp4", 18, 16)
        clip = Clip(name="film", path=str(film), output=str(tmp_path / "out.mp4"))
        plan = plan_video(clip, chosen, fps=Fraction(25), preview=None)
        config = {
            "clips": [dataclasses.asdict(clip)],
            "options": dataclasses.asdict(chosen),
            "style": str(style),
        }
        run = RunFolder.create(tmp_path / "run", kind="stylize", config=config, seed=0)
        save_style(run, str(style), None)
        plan.save(run.storage)
        frames, files = (
            plan.frames(plan.start, plan.stop),
            FrameFiles(run.storage, "videos/film/frames"),
        )
        for number in range(plan.start, plan.stop):
            files.write(number, frames[number])
        for part in plan.parts(chosen):
            manifest = Manifest(run.storage, part)
            for frame in range(part.first, part.stop):
                manifest.add(record(frame, frame > part.first))
            manifest.end_pass({"pass": 1, "seconds": 2.0 * part.num_frames}, is_last=True)
        return run, plan

    return make


def record(frame: int, has_neighbour: bool) -> dict:
    values = {"frame": frame, "pass": 1, "seconds": 2.0, "iterations": 7, "losses": {"total": 3.0}}
    if has_neighbour:
        values |= {
            "neighbour": frame - 1,
            "covered": 0.75,
            "warping_error_lai": frame / 1000,
            "warping_error_ruder": frame / 2000,
        }
    return values


def test_the_page_shows_the_video_its_flow_and_its_errors(make_run, small):
    run, plan = make_run()
    write_pictures(run, plan, small())
    run.set_status("completed")
    path = build_report(run.path)
    html = Path(path).read_text()
    for text in (
        "film, painted",
        "completed",
        "film: source, style, result",
        "<video",
        "film: flow and masks",
        "film: warping error",
        "Ruder&#39;s, over all pixels",
        "film: shots",
        "The style",
    ):
        assert text in html, text
    assert "Approximate" not in html and "seams" not in html
    loads = re.findall(r"""(?:\b(?:src|href|poster)\s*=|url\()\s*["']?([^"'\s>)]+)""", html)
    assert loads and all(re.match("data:|#", load) for load in loads)


def test_means_are_over_frames(make_run):
    run, plan = make_run()
    assert [r["frame"] for r in records_of(run, plan)] == list(range(34))
    numbers = [n for n in range(34) if n not in (0, 18)]
    assert mean_error(run, plan) == pytest.approx(sum(numbers) / len(numbers) / 1000)
    assert mean_seconds(run, [plan]) == 2.0


def test_segments_are_called_approximate_and_their_seams_are_told(make_run):
    run, plan = make_run(segment_frames=9, run_in=2)
    assert [r["frame"] for r in records_of(run, plan)] == list(range(34))  # no run-in
    run.write_json(f"videos/film/{SEAMS}", [0.05, 0.07])
    html = Path(build_report(run.path)).read_text()
    assert "Approximate: long shots were cut" in html
    assert "shots are cut at 2 places." in html and "0.06000" in html
    assert "a ratio of" in html


def test_a_run_that_is_not_finished_has_a_page_too(make_run, tmp_path: Path):
    run, plan = make_run()
    Storage.at(run.path).delete_tree("videos/film/parts")
    assert mean_error(run, plan) is None and mean_seconds(run, [plan]) is None
    html = Path(build_report(run.path)).read_text()
    assert "film, painted" in html and "n/a" in html
    run.storage.delete_tree("videos/film")
    assert "Painting" in Path(build_report(run.path)).read_text()


def test_a_large_style_does_not_make_a_large_page(make_run, tmp_path: Path):
    run, _ = make_run()
    noise = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), np.uint8)
    write_image(tmp_path / "large.jpg", noise)
    save_style(run, str(tmp_path / "large.jpg"), None)
    assert Path(build_report(run.path)).stat().st_size < 3e6


def test_other_commands_say_what_to_do_instead(make_run):
    run, _ = make_run()
    for call in (
        lambda: job.evaluate([run], None),
        lambda: job.watch(run, None),
        lambda: job.export(run, None),
    ):
        with pytest.raises(UserError, match=r"painted videos|its videos are files already"):
            call()
