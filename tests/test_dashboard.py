"""The Grafana dashboard asks for gauges that there are, and the guide lists them all."""

import json
import re
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from arcadia.gauges import METRICS

ROOT = Path(__file__).parents[1]
ROWS = ["Play", "Learn", "Video", "Pictures", "Cluster"]
GAUGES = {f"ray_{metric.name}": metric for metric in METRICS}


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    text = (ROOT / "platform" / "grafana" / "arcadia.json").read_text()
    return json.loads(text, parse_constant=pytest.fail)


@pytest.fixture(scope="module")
def panels(board: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Those that show something, by the row that they are in."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for panel in board["panels"]:
        if panel["type"] == "row":
            rows[panel["title"]] = []
        else:
            rows[list(rows)[-1]].append(panel)
    return rows


def expressions(panels: list[dict[str, Any]]) -> list[str]:
    return [target["expr"] for panel in panels for target in panel["targets"]]


def names_in(expression: str) -> set[str]:
    """Metrics that an expression asks for."""
    return set(re.findall(r"\b(?:ray|arcadia)_\w+", expression))


def test_it_has_its_rows_and_every_panel_an_id_and_a_place_of_its_own(board, panels):
    assert list(panels) == ROWS and all(panels.values())
    ids = [panel["id"] for panel in board["panels"]]
    assert sorted(ids) == list(range(1, len(ids) + 1))
    taken = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert x < 24 and (x, y) not in taken, panel["title"]
                taken.add((x, y))


def test_every_panel_has_a_unit_a_description_and_series_with_names(panels):
    for panel in chain.from_iterable(panels.values()):
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["targets"], panel["title"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references), panel["title"]
        for target in panel["targets"]:
            assert "{{" in target["legendFormat"], panel["title"]


def test_rates_and_bytes_are_shown_in_their_units(panels):
    for panel in chain.from_iterable(panels.values()):
        unit = panel["fieldConfig"]["defaults"]["unit"]
        for name in set().union(*map(names_in, expressions([panel]))):
            if name in GAUGES and name.endswith("_per_second"):
                assert unit.startswith("suffix:") and unit.endswith("/s"), panel["title"]
            if name in GAUGES and name.endswith("_bytes"):
                assert unit == "bytes", panel["title"]


def test_it_asks_for_gauges_that_jobs_set(panels):
    for row in ROWS[:-1]:
        for expression in expressions(panels[row]):
            (name,) = names_in(expression)
            assert name in GAUGES, expression
            assert 'kind=~"$kind"' in expression and 'run=~"$run"' in expression, expression
            # What several kinds set is shown of those that the row is about.
            for kinds in re.findall(r'kind(?:=|=~)"([a-z|]+)"', expression):
                assert set(kinds.split("|")) <= set(GAUGES[name].kinds), expression


def test_every_kind_of_job_is_on_it(panels):
    asked = set().union(*(names_in(e) for row in ROWS[:-1] for e in expressions(panels[row])))
    for kind in {kind for metric in METRICS for kind in metric.kinds}:
        assert [name for name in asked if kind in GAUGES[name].kinds], kind
    wanted = ["episode_return_mean", "runner_frames_per_second", "learner_updates_per_second"]
    wanted += ["replay_bytes", "train_images_per_second", "video_frames_stylized", "queue_depth"]
    wanted += ["pictures_rejected"]
    assert {f"ray_arcadia_{name}" for name in wanted} <= asked


def test_of_the_cluster_it_asks_what_rays_own_dashboard_asks(panels):
    from ray.dashboard.modules.metrics.dashboards import default_dashboard_panels

    own = names_in(Path(default_dashboard_panels.__file__).read_text())
    for expression in expressions(panels["Cluster"]):
        assert names_in(expression) and names_in(expression) <= own, expression


def test_every_variable_is_defined_and_every_query_goes_to_the_chosen_prometheus(board):
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert list(variables) == ["datasource", "kind", "run"]
    source = variables["datasource"]
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    for name in ("kind", "run"):
        assert variables[name]["multi"] and variables[name]["includeAll"]
        query = variables[name]["query"]["query"]
        assert re.fullmatch(rf"label_values\(\{{.+\}}, {name}\)", query)
        assert variables[name]["definition"] == query
    used = re.findall(r"\$\{?(\w+)\}?", json.dumps(board))
    assert set(used) - {"__all"} == set(variables)
    sources: list[Any] = []

    def find(value: Any) -> None:
        if isinstance(value, dict):
            sources.extend([value["datasource"]] if "datasource" in value else [])
            for inner in value.values():
                find(inner)
        elif isinstance(value, list):
            for inner in value:
                find(inner)

    find(board)
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)
    assert len(sources) > len(board["panels"])


def test_the_guide_lists_every_gauge_with_its_unit_and_kinds():
    guide = (ROOT / "docs" / "watching.md").read_text()
    rows = [line for line in guide.splitlines() if line.startswith("| `arcadia_")]
    assert rows == [
        f"| `{m.name}` | {m.unit} | {', '.join(m.kinds)} | {m.meaning} |" for m in METRICS
    ]


def test_guides_link_to_files_that_are_there():
    for guide in ("README.md", "docs/watching.md"):
        text = (ROOT / guide).read_text()
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert ((ROOT / guide).parent / link).exists(), f"{guide}: {link}"
    assert "docs/watching.md" in (ROOT / "README.md").read_text()
