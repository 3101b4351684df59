"""`arcadia report FOLDER`: pages of all runs, an index to compare them, and what can be wrong."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import os
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from arcadia.cli import main
from arcadia.headline import Headline
from arcadia.report_folder import build_index
from arcadia.report_index import Entry, differing, index_page, option_cell
from arcadia.runs import RunFolder
from arcadia.storage import Storage
from arcadia.sweep_trials import read_sweep
from tests.arcadia.sample_runs import dqn_run, sequence_run, sweep


class Tables(html.parser.HTMLParser):
    """The tables of a page by the heading above each: rows of texts, the columns' names first."""

    def __init__(self, page: str):
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.links: list[str] = []
        self.sort: dict[str, list[list[str]]] = {}
        self._title, self._where = "", ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self._where = tag
        named = dict(attrs)
        if tag == "h2":
            self._title = ""
        elif tag == "table":
            self.tables[self._title], self.sort[self._title] = [], []
        elif tag == "tr":
            self.tables[self._title].append([])
            self.sort[self._title].append([])
        elif tag in ("td", "th"):
            self.tables[self._title][-1].append("")
            self.sort[self._title][-1].append(named.get("data-sort") or "")
        elif tag == "a":
            self.links.append(named["href"] or "")

    def handle_endtag(self, tag):
        if tag in ("h2", "table", "td", "th", "small"):
            self._where = ""

    def handle_data(self, data):
        if self._where == "h2":
            self._title += data
        elif self._where in ("td", "th", "a"):
            self.tables[self._title][-1][-1] += data


def column(table: list[list[str]], name: str) -> list[str]:
    at = table[0].index(name)
    return [row[at] for row in table[1:]]


def read(path: str | Path) -> Tables:
    return Tables(Path(path).read_text())


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with three runs of two kinds, one of them one folder further."""
    folder = tmp_path / "some runs"
    sequence_run(folder / "hard", error=0.5, seed=3, activation="hard")
    sequence_run(folder / "seeds" / "nan", error=0.25, seed=4, activation="nan")
    dqn_run(folder / "pong", tmp_path, seed=5)
    return folder


def test_an_index_shows_all_runs_and_leads_to_their_pages(runs: Path, capsys):
    assert main(["report", str(runs), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    result = json.loads(out.splitlines()[-1])
    assert result["index"] == f"{runs}/index.html" and result["unreadable"] == {}
    assert sorted(result["reports"]) == [
        f"{runs}/{name}/report.html" for name in ("hard", "pong", "seeds/nan")
    ]
    page = read(result["index"])
    table = page.tables["All runs"]
    assert table[0] == [
        *("run", "kind", "status", "started", "took", "seed", "steps", "main figure"),
    ]
    found = {row[0]: [row[1], row[2], row[5], row[6], row[7]] for row in table[1:]}
    assert found["hard"] == ["sequence", "completed", "3", "500", "0.5"]
    assert found["seeds/nan"] == ["sequence", "completed", "4", "500", "0.25"]
    assert found["pong"][:4] == ["dqn", "running", "5", "25,000"]
    assert set(page.links) == {
        "./hard/report.html",
        "./seeds/nan/report.html",
        "./pong/report.html",
    }
    assert all((runs / unquote(link)).is_file() for link in page.links)
    text = (runs / "index.html").read_text()
    assert text.count("<svg") == 2 and text.count('<img src="data:image/jpeg') == 2


def test_of_the_options_only_those_that_differ_are_columns(runs: Path):
    page = read(build_index(Storage.at(runs)).index)
    table = page.tables["Runs of the kind sequence"]
    assert table[0] == ["run", "status", "error", "loss", "activation"]
    assert sorted(column(table, "activation")) == ["hard", "nan"]
    assert page.tables["Runs of the kind dqn"][0] == ["run", "status", "training return"]


def test_runs_of_one_kind_are_one_table(tmp_path: Path):
    for seed in range(3):
        sequence_run(tmp_path / f"run-{seed}", seed=seed)
    page = read(build_index(Storage.at(tmp_path)).index)
    assert list(page.tables) == ["Runs"]
    assert page.tables["Runs"][0] == [
        *("run", "status", "started", "took", "seed", "steps", "error", "loss"),
    ]
    assert sorted(column(page.tables["Runs"], "seed")) == ["0", "1", "2"]


def test_a_page_is_written_again_when_its_run_has_changed(runs: Path):
    storage = Storage.at(runs)
    assert len(build_index(storage).written) == 3
    again = build_index(storage)
    assert (again.written, again.num_current) == ([], 3)
    page = runs / "hard" / "report.html"
    before = page.stat().st_mtime_ns
    later = before + 10**9
    os.utime(runs / "hard" / "config.json", ns=(later, later))
    assert build_index(storage).written == [str(page)]
    assert len(build_index(storage, rebuild=True).written) == 3


def test_a_broken_run_is_named_and_the_others_are_shown(runs: Path, capsys):
    (runs / "broken").mkdir()
    (runs / "broken" / "run.json").write_text("{<b>")
    RunFolder.create(runs / "other", kind="dqm", config={}, seed=1)
    (runs / "seeds" / "nan" / "config.json").write_text("[]")
    assert main(["report", str(runs), "--json"]) == 0
    out, err = capsys.readouterr()
    assert sorted(json.loads(out.splitlines()[-1])["unreadable"]) == [
        "broken",
        "other",
        "seeds/nan",
    ]
    assert len(err.splitlines()) == 3
    assert re.search(r"^arcadia: broken: left out: .*is not JSON", err, re.MULTILINE)
    assert 'kind "dqm"; did you mean "dqn"?' in err
    page = read(runs / "index.html")
    assert {row[0] for row in page.tables["All runs"][1:]} == {"hard", "pong"}
    assert [row[0] for row in page.tables["Unreadable"][1:]] == ["broken", "other", "seeds/nan"]


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda path: path.mkdir(), "holds no run and no sweep; give the folder of a run, or one"),
        (lambda path: path.write_text("x"), "is a file; give the folder of a run, or one that"),
        (lambda path: None, "no such folder; give the folder of a run, or one that holds runs"),
        (lambda path: path.with_name("placed").mkdir(), 'no such folder; did you mean "placed"?'),
    ],
)
def test_what_holds_no_runs_is_one_line(make, complaint: str, tmp_path: Path, capsys):
    make(tmp_path / "place")
    assert main(["report", str(tmp_path / "place")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"arcadia: {tmp_path}/place: {complaint}")
    assert len(error.splitlines()) == 1


def test_a_page_of_somebody_elses_is_not_replaced(runs: Path, capsys):
    (runs / "index.html").write_text("<h1>Mine</h1>")
    assert main(["report", str(runs)]) == 2
    assert "index.html: is no page of Arcadia's and would be replaced" in capsys.readouterr().err
    assert (runs / "index.html").read_text() == "<h1>Mine</h1>"
    assert not (runs / "hard" / "report.html").exists()


def test_a_run_that_holds_runs_gets_both(tmp_path: Path, capsys):
    sequence_run(tmp_path / "run")
    sequence_run(tmp_path / "run" / "seed-1")
    assert main(["report", str(tmp_path / "run"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["report"] == f"{tmp_path}/run/report.html"
    assert result["reports"] == [f"{tmp_path}/run/seed-1/report.html"]
    assert read(result["index"]).links == ["./seed-1/report.html"]


def test_names_are_shown_as_they_are_and_never_as_markup(tmp_path: Path):
    name = """<img src=x onerror=alert(1)> "a" & 'b' %41?#"""
    sequence_run(tmp_path / name)
    sequence_run(tmp_path / "javascript:alert(1)")
    text = Path(build_index(Storage.at(tmp_path)).index).read_text()
    page = Tables(text)
    assert name in column(page.tables["Runs"], "run")
    assert "<img src=x" not in text
    assert all(link.startswith("./") for link in page.links)
    assert all((tmp_path / unquote(link)).is_file() for link in page.links)


def test_the_only_script_is_the_one_that_the_page_allows(runs: Path):
    text = Path(build_index(Storage.at(runs)).index).read_text()
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert "default-src 'none'" in text and "unsafe-inline'; script" not in text
    assert not re.search(r"\son\w+=", re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL))
    assert "<script" not in (runs / "hard" / "report.html").read_text()


def test_cells_are_sorted_by_what_they_mean(runs: Path):
    page = read(build_index(Storage.at(runs)).index)
    heads, *rows = page.tables["All runs"]
    keys = page.sort["All runs"][1:]
    at = {name: heads.index(name) for name in ("run", "started", "took", "seed", "steps")}
    for row, key in zip(rows, keys, strict=True):
        assert key[at["run"]] == row[at["run"]]
        assert key[at["started"]].startswith(row[at["started"]].replace(" ", "T"))
        assert float(key[at["seed"]]) == float(row[at["seed"]])
        assert float(key[at["steps"]]) == float(row[at["steps"]].replace(",", ""))
        assert (key[at["took"]] == "") == (row[at["took"]] == "")


def test_values_of_options_are_numbers_where_they_can_be():
    assert option_cell("0.5").sort == 0.5 and option_cell("1e-5").sort == 1e-5
    assert option_cell("true").sort is None and option_cell("nan 30:0.5").sort is None
    assert option_cell(None).value == option_cell("null").value == ""


def test_options_differ_by_what_they_are_not_by_being_there():
    assert differing([{"a": "1", "b": "x"}, {"a": "2", "b": "x", "new": "y"}]) == ["a"]
    assert differing([{"path": "x" * 41}, {"path": "y" * 41}]) == []
    assert differing([{"id": "1"}, {"id": "2"}]) == []
    many = [{f"o{i}": str(run) for i in range(50)} for run in range(2)]
    assert len(differing(many)) == 16


def test_a_chart_holds_a_dozen_runs(tmp_path: Path):
    curve = np.arange(3), np.arange(3)
    entries = [
        Entry(name=f"r{i}", kind="k", status="completed", headline=Headline(title="t", curve=curve))
        for i in range(15)
    ]
    text = index_page("many", entries, {}).html()
    assert text.count("<li ") == 12 and "The first 12 of 15." in text
    assert len(Tables(text).tables["Runs"]) == 16


def test_an_index_is_made_in_object_storage(bucket: Storage):
    sequence_run(bucket.below("a"), error=0.5)
    sequence_run(bucket.below("b/c"), error=0.25)
    (built, again) = (build_index(bucket), build_index(bucket))
    assert len(built.written) == 2 and again.num_current == 2
    page = Tables(bucket.read_bytes("index.html").decode())
    assert sorted(page.links) == ["./a/report.html", "./b/c/report.html"]
    assert all(bucket.exists(link.removeprefix("./")) for link in page.links)


def test_a_sweep_shows_its_trials_the_best_first(tmp_path: Path, capsys):
    sweep(tmp_path / "sweep", mode="max")
    assert main(["report", str(tmp_path / "sweep"), "--json"]) == 0
    page = read(json.loads(capsys.readouterr().out.splitlines()[-1])["index"])
    table = page.tables["Trials"]
    assert table[0] == [
        *("trial", "status", "started", "took", "seed", "iterations", "loss", "lr"),
    ]
    assert column(table, "trial") == ["abc_1", "abc_0", "trial_2_lr=9.0"]
    assert column(table, "loss") == ["-2", "-4", ""]
    assert column(table, "lr") == ["0.01", "0.1", "9.0"]
    assert column(table, "status") == ["completed", "completed", "failed"]
    text = (tmp_path / "sweep" / "index.html").read_text()
    assert "arcadia tune tune_configs/some.py --seed 7" in text and text.count("<svg") == 1
    assert "--resume" not in text


def test_a_trial_that_failed_and_came_back_is_told_as_it_ended(tmp_path: Path):
    sweep(tmp_path / "sweep")
    (tmp_path / "sweep" / "trial_0_lr=0.1" / "error.txt").write_text("ValueError: once\n")
    page = read(build_index(Storage.at(tmp_path / "sweep")).index)
    statuses = column(page.tables["Trials"], "status")
    assert sorted(statuses) == ["completed", "completed", "failed"]
    (state,) = (tmp_path / "sweep").glob("experiment_state-*")
    state.unlink()  # then the file is all that is known
    page = read(build_index(Storage.at(tmp_path / "sweep")).index)
    assert column(page.tables["Trials"], "status").count("failed") == 2


def test_all_that_was_drawn_is_shown_and_else_what_differs(tmp_path: Path):
    sweep(tmp_path / "sweep")
    (state,) = (tmp_path / "sweep").glob("experiment_state-*")
    state.write_text(state.read_text().replace('\\"lr\\": ', '\\"same\\": 1, \\"lr\\": '))
    table = read(build_index(Storage.at(tmp_path / "sweep")).index).tables["Trials"]
    assert table[0][-2:] == ["lr", "same"] and column(table, "same") == ["1", "1", "1"]
    state.unlink()
    table = read(build_index(Storage.at(tmp_path / "sweep")).index).tables["Trials"]
    assert table[0][-2:] == ["loss", "lr"]  # of params.json, and "seed" has its own column


def test_a_trial_that_is_a_run_leads_to_its_page(tmp_path: Path):
    sweep(tmp_path / "sweep")
    sequence_run(tmp_path / "sweep" / "trial_0_lr=0.1" / "sequence")
    page = read(build_index(Storage.at(tmp_path / "sweep")).index)
    assert page.links == ["./trial_0_lr%3D0.1/sequence/report.html"]
    assert list(page.tables) == ["Trials"]
    assert column(page.tables["Trials"], "trial") == ["abc_0", "abc_1", "trial_2_lr=9.0"]


def test_a_sweep_that_something_else_made_shows_what_its_trials_report(tmp_path: Path):
    sweep(tmp_path / "sweep", record=False)
    found = read_sweep(Storage.at(tmp_path / "sweep"))
    assert (found.metric, found.best) == (None, 4.0)
    assert [trial.headline.figures for trial in found.trials] == [{"loss": 4}, {"loss": 2}, {}]
    state = next((tmp_path / "sweep").glob("experiment_state-*"))
    state.write_text('{"trial_data": [["{", "{}"]]}')
    found = read_sweep(Storage.at(tmp_path / "sweep"))
    assert [trial.status for trial in found.trials] == ["running", "running", "failed"]


def test_sweeps_stand_beside_runs(runs: Path):
    sweep(runs / "tune")
    built = build_index(Storage.at(runs))
    page = read(built.index)
    assert page.tables["Sweeps"][1][0] == "tune"
    assert page.tables["Sweeps"][1][2:] == ["3", "nested/loss", "-4"]
    assert (runs / "tune" / "index.html").is_file() and "./tune/index.html" in page.links
