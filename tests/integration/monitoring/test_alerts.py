"""The alert rules and the Prometheus configurations, checked by Prometheus' own programs."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from functions.common.paths import ROOT
from tests.support.debian import debian_tool
from tests.support.prometheus import prometheus

FOLDER = ROOT / "infra/monitoring/prometheus"


def promtool(*arguments: str) -> str:
    tool = debian_tool("prometheus", "promtool")
    done = subprocess.run(
        [tool, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_are_sound() -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", str(FOLDER / "alerts.yml"))


def test_each_alert_fires_when_it_should_and_not_else() -> None:
    promtool("test", "rules", str(FOLDER / "alerts.test.yml"))


def test_each_alert_has_tests_of_both_kinds() -> None:
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    cases = yaml.safe_load((FOLDER / "alerts.test.yml").read_text())["tests"]
    checks = [check for case in cases for check in case["alert_rule_test"]]
    assert {check["alertname"] for check in checks if check.get("exp_alerts")} == alerts
    assert {check["alertname"] for check in checks if not check.get("exp_alerts")} == alerts


def test_each_alert_is_described() -> None:
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    described = (FOLDER.parent / "README.md").read_text()
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert f"`{rule['alert']}`" in described
            assert {"summary", "description"} <= rule["annotations"].keys()
            assert rule["labels"]["severity"] in {"critical", "warning"}


def test_the_local_configuration_is_sound() -> None:
    promtool("check", "config", "--syntax-only", str(FOLDER / "prometheus.yml"))


P = "__meta_kubernetes_pod_"
POD = {
    P + "annotation_prometheus_io_scrape": "true",
    P + "annotation_prometheus_io_port": "9090",
    P + "phase": "Running",
    P + "ip": "10.0.0.7",
    "__meta_kubernetes_namespace": "universe",
}
PODS = {
    "a function on OpenFaaS": {P + "label_faas_function": "process-batch", P + "label_app": "x"},
    "a function on Knative": {P + "label_serving_knative_dev_service": "ingest"},
    "the connector, by its name": {
        P + "label_app_kubernetes_io_name": "connector",
        P + "annotation_prometheus_io_path": "/other",
    },
    "the exporter, by its component": {
        P + "label_app_kubernetes_io_name": "universe",
        P + "label_app_kubernetes_io_component": "exporter",
    },
    "OpenFaaS's gateway, on IPv6": {P + "label_app": "gateway", P + "ip": "fd00::7"},
    "one that says no": {P + "annotation_prometheus_io_scrape": "false"},
    "one that is done": {P + "phase": "Succeeded"},
}
SCRAPED = {
    "a function on OpenFaaS": (
        "http://10.0.0.7:9090/metrics",
        {"job": "function", "function": "process-batch", "namespace": "universe"},
    ),
    "a function on Knative": (
        "http://10.0.0.7:9090/metrics",
        {"job": "function", "function": "ingest"},
    ),
    "the connector, by its name": ("http://10.0.0.7:9090/other", {"job": "connector"}),
    "the exporter, by its component": ("http://10.0.0.7:9090/metrics", {"job": "exporter"}),
    "OpenFaaS's gateway, on IPv6": ("http://[fd00::7]:9090/metrics", {"job": "gateway"}),
}


@pytest.mark.slow
def test_the_cluster_configuration_finds_pods(tmp_path: Path) -> None:
    # Debian's Prometheus has no discovery for Kubernetes: its answer comes out of a file here
    config = yaml.safe_load((FOLDER / "prometheus.kubernetes.yml").read_text())
    (scraping,) = config["scrape_configs"]
    assert scraping.pop("kubernetes_sd_configs") == [{"role": "pod"}]
    pods = tmp_path / "pods.json"
    pods.write_text(
        json.dumps(
            [
                {"targets": ["10.0.0.7"], "labels": POD | pod | {P + "name": name}}
                for name, pod in PODS.items()
            ]
        )
    )
    scraping["file_sd_configs"] = [{"files": [str(pods)]}]
    config["rule_files"] = [str(FOLDER / "alerts.yml")]
    with prometheus(tmp_path, config) as server:
        found = server.discovered()
    targets = {target["labels"]["replica"]: target for target in found["activeTargets"]}
    assert targets.keys() == SCRAPED.keys()
    for name, (address, labels) in SCRAPED.items():
        assert targets[name]["scrapeUrl"] == address
        assert labels.items() <= targets[name]["labels"].items()
