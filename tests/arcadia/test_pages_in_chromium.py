"""The pages as a browser shows them: no error, every picture there, nothing wider than the screen.

Needs Chromium or Chrome with H.264, which ARCADIA_CHROMIUM names or PATH holds.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from arcadia.report_folder import build_index
from arcadia.storage import Storage
from tests.arcadia.sample_runs import dqn_run, sequence_run, sweep
from tests.arcadia.test_headlines import MAKE

NAMES = ("chromium", "chromium-browser", "google-chrome")
SCREENS = {"desk": (1280, 900), "telephone": (390, 844)}
FIRST_COLUMN = "table.sortable >> nth=0 >> tbody tr td:first-child"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    named = os.environ.get("ARCADIA_CHROMIUM")
    path = named or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(
            "no Chromium is found: apt-get install chromium, or name one by ARCADIA_CHROMIUM"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two kinds, one of them with a film, and a sweep, all with their pages."""
    folder = tmp_path_factory.mktemp("runs")
    for number, error in enumerate((0.5, 0.125, 0.25)):
        activation = ("hard", "nan", "nah")[number]
        sequence_run(folder / f"seq-{number}", seed=number, error=error, activation=activation)
    dqn_run(folder / "pong", folder, seed=5)
    sweep(folder / "tune")
    build_index(Storage.at(folder))
    return folder


@pytest.fixture(params=[(s, c) for s in SCREENS for c in ("light", "dark")], ids="-".join)
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A window on a page, which must come to its end without a complaint."""
    screen, scheme = request.param
    width, height = SCREENS[screen]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url[:200]))
    yield page
    context.close()
    assert complaints == []


def check(page: Page, path: Path, shot: Path) -> None:
    """Opens a page, and looks whether all of it is there and fits."""
    page.goto(path.as_uri())
    page.wait_for_function("[...document.images].every(image => image.complete)")
    broken = "[...document.images].filter(i => !i.naturalWidth || !i.clientWidth).length"
    assert page.evaluate(broken) == 0
    width = "[document.documentElement.scrollWidth, innerWidth]"
    scrolled, inner = page.evaluate(width)
    assert scrolled <= inner
    # What is wider scrolls within its card, and text that does not is not cut off.
    cut = """[...document.querySelectorAll("h1, h2, p, dd, dt, pre, summary, .stats div")]
        .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"""
    assert page.evaluate(cut) == []
    page.screenshot(path=shot, full_page=True)


def test_a_page_with_a_film(page: Page, folder: Path, tmp_path: Path):
    check(page, folder / "pong" / "report.html", tmp_path / "run.png")
    page.wait_for_function("document.querySelector('video').readyState >= 2")
    video = "(({error, videoWidth, duration}) => [error, videoWidth, duration])"
    error, width, seconds = page.evaluate(f"{video}(document.querySelector('video'))")
    assert (error, width) == (None, 160) and seconds == pytest.approx(2.5, abs=0.2)
    assert page.locator("img").count() == 1 and page.locator("figure svg").count() >= 3
    page.locator("summary").click()
    assert page.locator("td", has_text="options.batch_size").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_an_index_is_sorted_by_pressing_a_head(page: Page, folder: Path, tmp_path: Path):
    check(page, folder / "index.html", tmp_path / "index.png")

    def names() -> list[str]:
        return [text.split("\n")[0] for text in page.locator(FIRST_COLUMN).all_inner_texts()]

    def press(name: str) -> str | None:
        head = page.locator("table.sortable >> nth=0").locator("th", has_text=name)
        head.locator("button").click()
        return head.get_attribute("aria-sort")

    assert sorted(names()) == ["pong", "seq-0", "seq-1", "seq-2"]
    assert press("main figure") == "ascending"
    assert names() == ["pong", "seq-1", "seq-2", "seq-0"]
    assert press("main figure") == "descending"
    assert names() == ["seq-0", "seq-2", "seq-1", "pong"]
    assert press("run") == "ascending"
    assert names() == ["pong", "seq-0", "seq-1", "seq-2"]
    assert page.locator("th[aria-sort]").count() == 1
    # By keys alone.
    page.keyboard.press("Enter")
    assert names() == ["seq-2", "seq-1", "seq-0", "pong"]
    # One that has no figure stays at the end, whichever way it goes.
    assert press("took") == "ascending" and names()[-1] == "pong"
    assert press("took") == "descending" and names()[-1] == "pong"


def test_links_of_an_index_lead_to_pages(page: Page, folder: Path):
    page.goto((folder / "index.html").as_uri())
    page.locator("a", has_text="seq-1").first.click()
    assert page.locator("h1").inner_text() == "Unique integers, nan"
    page.go_back()
    page.locator("a", has_text="tune").click()
    assert page.locator("h1").inner_text() == "tune"


def test_a_sweep(page: Page, folder: Path, tmp_path: Path):
    check(page, folder / "tune" / "index.html", tmp_path / "sweep.png")
    assert page.locator(FIRST_COLUMN).all_inner_texts() == ["abc_0", "abc_1", "trial_2_lr=9.0"]


def test_pages_of_every_kind_fit_a_telephone(browser: Browser, tmp_path: Path):
    for kind, (make, _, _) in MAKE.items():
        (tmp_path / kind).mkdir()
        make(tmp_path / kind)
    build_index(Storage.at(tmp_path))
    context = browser.new_context(viewport={"width": 390, "height": 844}, offline=True)
    page = context.new_page()
    pages = [tmp_path / kind / "run" / "report.html" for kind in MAKE]
    for number, path in enumerate([*pages, tmp_path / "index.html"]):
        check(page, path, tmp_path / f"{number}.png")
    context.close()


def test_without_scripts_an_index_is_a_plain_table(browser: Browser, folder: Path):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((folder / "index.html").as_uri())
    assert page.locator("th button").count() == 0
    assert page.locator(FIRST_COLUMN).count() == 4
    context.close()


def test_a_script_that_is_not_the_pages_own_does_not_run(browser: Browser, folder: Path, tmp_path):
    text = (folder / "index.html").read_text()
    at = text.index("<h1>")
    foreign = "<script>document.title = 'taken'</script>"
    foreign += """<img src="data:," onerror="document.title = 'taken'">"""
    (tmp_path / "index.html").write_text(text[:at] + foreign + text[at:])
    context = browser.new_context()
    page = context.new_page()
    page.goto((tmp_path / "index.html").as_uri())
    assert page.locator("th button").count() > 0  # ours did
    assert page.title() == folder.name
    context.close()
