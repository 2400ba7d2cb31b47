"""The dashboards' files are such that Grafana shows them as they are meant."""

import json
from itertools import combinations
from typing import Any

import pytest
import yaml

from functions.common.paths import ROOT
from infra.monitoring.dashboards.__main__ import FOLDER, files

DASHBOARDS = {file.stem: json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))}
GRAFANA = ROOT / "infra/monitoring/grafana"


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def test_the_files_are_what_the_definitions_say() -> None:
    written = {file.name: file.read_text() for file in FOLDER.glob("*.json")}
    assert written == files(), "run: python -m infra.monitoring.dashboards"


def test_there_is_one_of_each_component() -> None:
    assert set(DASHBOARDS) == {
        f"universe-{name}"
        for name in (
            "overview", "ingest", "connector", "process-batch", "analytics-query", "functions",
            "database", "dead-letters",
        )
    }  # fmt: skip
    assert all(dashboard["uid"] == name for name, dashboard in DASHBOARDS.items())
    assert len({dashboard["title"] for dashboard in DASHBOARDS.values()}) == len(DASHBOARDS)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_each_panel_says_what_it_is(name: str) -> None:
    for panel in panels(DASHBOARDS[name]):
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["targets"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            # several queries without a legend could not be told apart
            assert len(panel["targets"]) == 1 or target["legendFormat"] != "__auto"
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_lie_side_by_side(name: str) -> None:
    found = DASHBOARDS[name]["panels"]
    assert len({panel["id"] for panel in found}) == len(found)
    places = [panel["gridPos"] for panel in found]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_variables_are_used_where_they_are_offered(name: str) -> None:
    dashboard = DASHBOARDS[name]
    offered = {variable["name"] for variable in dashboard["templating"]["list"]}
    expressions = " ".join(
        target["expr"] for panel in panels(dashboard) for target in panel["targets"]
    )
    assert ("function" in offered) == ("$function" in expressions)
    assert "datasource" in offered
    # a fixed range hides short faults when one looks at a day, and is empty when one looks closely
    assert "rate(" not in expressions or "[$__rate_interval]" in expressions
    assert "[1m]" not in expressions
    assert "[5m]" not in expressions


def test_grafana_is_told_where_they_are() -> None:
    provisioning = GRAFANA / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["type"] == "prometheus"
    (provider,) = yaml.safe_load((provisioning / "dashboards/universe.yml").read_text())[
        "providers"
    ]
    assert provider["type"] == "file"
