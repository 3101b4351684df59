from __future__ import annotations

import base64
import html.parser
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from arcadia import jobs
from arcadia.curves import curve_svg, running_mean
from arcadia.errors import UserError
from arcadia.media import VideoWriter, png_bytes, write_image
from arcadia.report import Report
from arcadia.run_report import build_report, write_report
from arcadia.runs import RunFolder
from arcadia.storage import Storage

EVIL = "<script>alert('x')</script> & $\\alpha$"
VOID = {"meta", "link", "img", "br"}


class Page(html.parser.HTMLParser):
    """The tags of a page, which must close, and the addresses that it loads."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [
            v or "" for name, v in attrs if name in ("src", "href", "poster", "data")
        ]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def video(tmp_path: Path) -> Path:
    with VideoWriter(tmp_path / "video.mp4", 10) as writer:
        for value in range(0, 250, 50):
            writer.write(np.full((32, 32, 3), value, np.uint8))
    return tmp_path / "video.mp4"


def full_report(video: Path) -> Report:
    steps = np.arange(2000)
    noise = np.random.default_rng(0).normal(size=2000)
    report = Report(f"Title {EVIL}", f"Subtitle {EVIL}", f"Note {EVIL}")
    report.stats({f"Label {EVIL}": f"value {EVIL}", "frames": 1234567, "rate": 0.123456})
    report.curve(
        f"Curve {EVIL}",
        {f"series {EVIL}": (steps, noise), "smooth": (steps, steps / 2000)},
        f"xlabel {EVIL}",
        f"ylabel {EVIL}",
        f"caption {EVIL}",
    )
    report.curve("Second curve", {"x": (steps, noise)}, "steps", "points")
    report.curve("Empty curve", {"x": ([], [])}, "steps", "points")
    report.image(f"Array {EVIL}", np.zeros((21, 16, 3), np.uint8), "a caption")
    report.image("Bytes", png_bytes(np.zeros((400, 400, 3), np.uint8)))
    report.video(f"Video {EVIL}", video, "moving")
    report.table(f"Table {EVIL}", [EVIL, "number"], [[EVIL, 1.5], ["b", None]], "rows")
    report.text(f"Text {EVIL}", [f"First {EVIL}", "second paragraph"])
    report.config({"game": EVIL, "optimizer": {"lr": 2.5e-4, "betas": (0.9, 0.99)}})
    return report


def test_everything_is_on_the_page_once_and_escaped(video: Path):
    text = full_report(video).html()
    page = Page(text)
    assert "script" not in page.tags
    assert {"svg", "video", "img", "table", "details"} <= set(page.tags)
    for part in ("Title", "Subtitle", "Note", "Label", "value", "Curve", "series", "caption"):
        assert f"{part} {EVIL}" in page.text, part
    for part in ("xlabel", "ylabel", "Array", "Video", "Table", "Text", "First"):
        assert f"{part} {EVIL}" in page.text, part
    for part in ("1,234,567", "0.1235", "Nothing was recorded", "second paragraph", "n/a"):
        assert part in page.text, part
    assert "optimizer.betas" in page.text and "[0.9, 0.99]" in page.text
    assert page.tags.count("svg") == 2
    assert base64.b64encode(video.read_bytes()).decode() in text


def test_the_page_loads_nothing(video: Path):
    text = full_report(video).html()
    plain = re.sub(r"base64,[\w+/=]+", "", text)
    assert not re.search(r"https?:|//[a-z]|@import|<iframe|<object|<script", plain)
    page = Page(text)
    assert all(re.match(r"data:|#", address) for address in page.addresses)
    assert all(link.startswith(("#", "data:")) for link in re.findall(r"url\(([^)]*)", text))
    assert "default-src 'none'" in text


def test_identifiers_do_not_clash_among_curves(video: Path):
    ids = Page(full_report(video).html()).ids
    assert ids and len(ids) == len(set(ids))


def test_curves_take_the_colours_of_the_page():
    series = {f"s{i}": (range(5), range(5)) for i in range(7)}
    svg = curve_svg(series, "x", "y", wide=True, salt="a")
    assert {f"var(--s{i})" for i in range(6)} <= set(re.findall(r"var\(--s\d\)", svg))
    assert "var(--muted)" in svg and "var(--grid)" in svg
    assert "#00fe" not in svg and svg.startswith("<svg") and svg.endswith("</svg>")


def test_only_long_noisy_series_are_smoothed():
    rng = np.random.default_rng(0)

    def num_lines(values: np.ndarray) -> int:
        svg = curve_svg({"x": (range(len(values)), values)}, "", "", wide=False, salt="a")
        return svg.count("stroke: var(--s0)")

    assert num_lines(rng.normal(size=51)) == 2
    assert num_lines(rng.normal(size=50)) == 1
    assert num_lines(np.linspace(0, 1, 1000)) == 1
    assert num_lines(np.ones(1000)) == 1


def test_a_spike_in_a_long_series_is_not_lost():
    values = np.zeros(100_000)
    values[54_321] = 1e6
    svg = curve_svg({"x": (np.arange(100_000), values)}, "", "", wide=False, salt="a")
    assert ">1M<" in svg
    assert len(svg) < 60_000


def test_points_that_are_not_finite_are_left_out():
    values = [1.0, np.nan, np.inf, 2.0]
    assert "stroke: var(--s0)" in curve_svg({"x": (range(4), values)}, "", "", wide=False, salt="a")
    assert curve_svg({"x": ([1], [np.nan])}, "", "", wide=False, salt="a") == ""


def test_the_running_mean_is_centred_and_shrinks_at_the_ends():
    np.testing.assert_allclose(running_mean(np.array([3.0, 0, 6, 3]), 3), [1.5, 3, 3, 4.5])
    np.testing.assert_allclose(running_mean(np.arange(9.0), 1), np.arange(9.0))
    assert running_mean(np.ones(7), 100).tolist() == [1.0] * 7


def test_the_same_report_gives_the_same_page(video: Path):
    assert full_report(video).html() == full_report(video).html()


def test_pictures_keep_their_format_and_small_ones_their_pixels(tmp_path: Path):
    write_image(tmp_path / "photo.jpg", np.zeros((400, 400, 3), np.uint8))
    report = Report("x")
    report.image("photo", tmp_path / "photo.jpg")
    assert "data:image/jpeg;base64" in report.html() and 'class="pixels"' not in report.html()
    report.image("screen", np.zeros((210, 160, 3), np.uint8))
    assert 'class="pixels" style="width: 480px"' in report.html()


def test_wrong_shapes_are_refused(video: Path):
    report = Report("x")
    with pytest.raises(ValueError, match="want 2 cells a row"):
        report.table("t", ["a", "b"], [[1]])
    with pytest.raises(ValueError, match="want an MP4 or WebM"):
        report.video("v", b"GIF89a  ")
    report.curve("c", {"x": ([1, 2], [1])}, "", "")
    with pytest.raises(ValueError, match="of one length"):
        report.html()


def test_the_page_is_put_into_the_run(storage: Storage):
    run = RunFolder.create(storage, kind="dqn", config={}, seed=None)
    where = write_report(run, Report("A run"))
    assert str(where).endswith("one/report.html")
    assert "<h1>A run</h1>" in run.read_bytes("report.html").decode()


def test_the_report_is_made_by_the_module_of_the_kind(tmp_path: Path, monkeypatch):
    job = types.ModuleType("a_job_for_tests")
    job.report = lambda run: Report(f"Seed {run.seed}")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_job_for_tests", job)
    monkeypatch.setitem(jobs.JOBS, "sums", "a_job_for_tests")
    RunFolder.create(tmp_path / "run", kind="sums", config={}, seed=3)
    path = build_report(tmp_path / "run")
    assert path == tmp_path / "run" / "report.html"
    assert "Seed 3" in Path(path).read_text()


def test_a_kind_that_nothing_reports_on_is_named(tmp_path: Path):
    RunFolder.create(tmp_path / "run", kind="dqm", config={}, seed=None)
    with pytest.raises(UserError, match=r'kind "dqm"; did you mean "dqn"\?'):
        build_report(tmp_path / "run")
    with pytest.raises(UserError, match="nothing: no such folder"):
        build_report(tmp_path / "nothing")
