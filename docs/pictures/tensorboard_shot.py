"""Photographs TensorBoard over a folder of runs: it is started on this machine's loopback, and
Chromium waits until its curves are drawn.

Run it from the repository:
`.venv/bin/python docs/pictures/tensorboard_shot.py FOLDER OUT.png [TAGS]`, where TAGS is a regular
expression for the names of the curves. Chromium is found on PATH, or named by ARCADIA_CHROMIUM.
"""

import os
import shutil
import sys
from urllib.parse import quote

from playwright.sync_api import sync_playwright
from tensorboard.program import TensorBoard

# A card shows a wheel while its points are on their way, and has numbers at its axes once drawn.
DRAWN = """() => {
    const cards = [...document.querySelectorAll("scalar-card")];
    const shown = cards.filter(card => card.getBoundingClientRect().top < innerHeight);
    return shown.length > 0 && shown.every(card =>
        !card.querySelector("mat-spinner") && card.querySelector("line-chart-axis text"));
}"""


def main() -> None:
    folder, path, tags = (*sys.argv[1:], "")[:3]
    board = TensorBoard()
    board.configure(
        argv=["tensorboard", "--logdir", folder, "--host", "127.0.0.1", "--port", "0"],
    )
    address = board.launch()
    chromium = os.environ.get("ARCADIA_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        page = browser.new_page(viewport={"width": 1280, "height": 840})
        page.goto(f"{address}?tagFilter={quote(tags)}#timeseries")
        page.wait_for_function(DRAWN)
        page.get_by_text("Enable step selection and data table").click()
        page.get_by_role("button", name="Settings").last.click()
        page.wait_for_function(DRAWN)
        page.mouse.move(0, 0)
        page.wait_for_timeout(1_000)  # charts glide to their size
        page.screenshot(path=path)
        browser.close()


if __name__ == "__main__":
    main()
