import base64
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arcadia.cli import main
from arcadia.media import image_bytes, read_layers, write_image
from pipelines.colorization.coloring.study import study_html
from pipelines.colorization.files import save_colorizer

from .conftest import make_network

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def study_of(html: str) -> dict[str, Any]:
    found = re.search(r"^const study = (.*);$", html, re.MULTILINE)
    assert found is not None
    return json.loads(found[1])


def pictures(folder: Path, number: int) -> Path:
    """Colourful pictures, and among them one that is grey, one that is none, and a film."""
    rng = np.random.default_rng(0)
    for index in range(number):
        blocks = rng.integers(0, 256, (4, 6, 3), np.uint8)
        write_image(folder / f"{index}.png", blocks.repeat(16, 0).repeat(16, 1))
    write_image(folder / "grey.png", np.full((64, 64, 3), 100, np.uint8))
    (folder / "text.jpg").write_text("no picture")
    (folder / "film.mp4").write_text("no film")
    return folder


@pytest.fixture
def stand(tmp_path: Path, weights: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(weights, "w.safetensors")
    pictures(tmp_path / "in", 9)
    return tmp_path


def test_each_picture_is_shown_once_and_kinds_equally_often(stand: Path, capsys):
    words = ["colorize", "--user-study", "in", "--weights", "w.safetensors", "--json"]
    assert main([*words, "--study-images", "8", "--study-seconds", "0.5"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["study"] == str(stand / "study.html")
    assert result["images"] == {"true": 4, "coloured": 4}
    study = study_of((stand / "study.html").read_text())
    assert study["shown_s"] == 0.5
    names = [trial["name"] for trial in study["trials"]]
    assert len(set(names)) == 8 and "grey.png" not in names
    for trial in study["trials"]:
        image, _ = read_layers(base64.b64decode(trial["image"]), trial["name"])
        truth, _ = read_layers((stand / "in" / trial["name"]).read_bytes(), trial["name"])
        difference = np.abs(image.astype(int) - truth).mean()
        assert image.shape == truth.shape
        assert difference < 6 if trial["kind"] == "true" else difference > 20


def test_a_seed_gives_a_page_and_another_seed_another(stand: Path):
    words = ["colorize", "--user-study", "in", "--weights", "w.safetensors", "--overwrite"]
    pages = []
    for seed in ("3", "3", "4"):
        assert main([*words, "--seed", seed]) == 0
        pages.append((stand / "study.html").read_text())
    assert pages[0] == pages[1] != pages[2]
    assert len(study_of(pages[0])["trials"]) == 8  # of nine, as two kinds share them


def test_a_second_network_is_asked_about_too(stand: Path, make_trained, capsys):
    words = ["colorize", "--user-study", "in", "--run", "one", "--study-baseline", "two"]
    make_trained("one"), make_trained("two", global_features=False)
    assert main([*words, "--study-images", "9", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["images"] == {"true": 3, "coloured": 3, "baseline": 3}
    assert study_of(Path(result["study"]).read_text())["about"]["networks"] == {
        "coloured": f"{stand}/one, step 7",
        "baseline": f"{stand}/two, step 7",
    }


@pytest.fixture
def make_trained(stand: Path):
    from arcadia.runs import RunFolder

    def make(name: str, **options) -> None:
        run = RunFolder.create(name, kind="colorizer", config={}, seed=1)
        Path("checkpoint").mkdir(exist_ok=True)
        save_colorizer(make_network(**options), "checkpoint/colorizer.safetensors")
        run.publish_checkpoint("checkpoint", 7)

    return make


def test_prepared_data_give_their_pictures(stand: Path, ray_session, capsys):
    assert main(["places", "prepare", "in", "data", "--size", "32"]) == 0
    words = ["colorize", "--user-study", "data", "--weights", "w.safetensors", "--json"]
    capsys.readouterr()
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["images"] == {"true": 4, "coloured": 4}


def test_too_few_pictures_are_told(stand: Path, capsys):
    pictures(stand / "few", 1)
    assert main(["colorize", "--user-study", "few", "--weights", "w.safetensors"]) == 2
    assert (
        "few: pictures there that have colours: 1, and a study needs 2"
        in capsys.readouterr().err.splitlines()[-1]
    )
    assert not (stand / "study.html").exists()


DRIVER = """
<script>
(async () => {
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const press = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key }));
  const log = { early: 0, seen: [], hidden: [] };
  URL.createObjectURL = (blob) => {
    blob.text().then((text) => {
      const place = document.createElement("pre");
      place.id = "saved";
      place.textContent = JSON.stringify({ log, saved: JSON.parse(text) });
      document.body.append(place);
    });
    return "#";
  };
  press("j");  // before the start: nothing happens
  byId("start").click();
  for (let i = 0; i < study.trials.length; i += 1) {
    press("j");  // before the picture is there: nothing happens
    log.early += answers.length - i;
    while (byId("yes").disabled) await wait(10);
    log.seen.push(document.querySelectorAll("#stage img").length);
    await wait(i === 0 ? 700 : 50);
    log.hidden.push(document.querySelectorAll("#stage img").length === 0);
    const real = study.trials[i].kind === "true" || i === 1;
    [() => press(real ? "ArrowRight" : "ArrowLeft"), () => press(real ? "j" : "F"),
      () => byId(real ? "yes" : "no").click()][i % 3]();
  }
  byId("save").click();
})();
</script>
</body>"""


def test_a_browser_shows_the_study_and_saves_its_answers(tmp_path: Path):
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"no browser is installed: {', '.join(BROWSERS)}")
    image = base64.b64encode(image_bytes(np.zeros((20, 30, 3), np.uint8), ".jpg")).decode()
    kinds = ["true", "coloured", "coloured", "true", "coloured", "true", "coloured"]
    trials = [
        {"name": f"</script>{n}.jpg", "kind": kind, "image": image} for n, kind in enumerate(kinds)
    ]
    page = study_html(trials, shown_s=0.5, about={"seed": 3})
    (tmp_path / "driven.html").write_text(page.replace("</body>", DRIVER))
    words = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    done = subprocess.run(
        [browser, *words, "--virtual-time-budget=60000", "--dump-dom", tmp_path / "driven.html"],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"HOME": str(tmp_path)},
    )
    found = re.search(r'<pre id="saved">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr[-2000:]
    text = found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    log, saved = (json.loads(text)[name] for name in ("log", "saved"))
    assert log["early"] == 0 and log["seen"] == [1] * 7
    assert log["hidden"] == [True] + [False] * 6  # 0.7 s are more than it is shown
    assert [(a["name"], a["kind"]) for a in saved["answers"]] == [
        (t["name"], t["kind"]) for t in trials
    ]
    assert [a["real"] for a in saved["answers"]] == [True, True, False, True, False, True, False]
    assert saved["about"] == {"seed": 3} and saved["shown_s"] == 0.5
    summary = saved["summary"]
    assert (summary["true"]["real"], summary["coloured"]["real"]) == (3, 1)
    # Wilson 1927 by hand: 3 of 3, and 1 of 4.
    assert summary["true"]["interval"] == pytest.approx([0.4385, 1.0], abs=1e-4)
    assert summary["coloured"]["interval"] == pytest.approx([0.0456, 0.6994], abs=1e-4)
    cells = re.findall(r"<td>(.*?)</td>", done.stdout)
    assert cells == [
        *("true", "3", "3", "100.0 %", "43.9 % to 100.0 %"),
        *("of the network", "4", "1", "25.0 %", "4.6 % to 69.9 %"),
    ]
