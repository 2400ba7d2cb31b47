"""process-batch scaled by KEDA: valid, set as on OpenFaaS, and by a lag that is there."""

import os
import re
import shutil
from pathlib import Path

import jsonschema
import pytest
import yaml
from prometheus_client import generate_latest

from functions.common.paths import ROOT
from infra.connector import metrics
from infra.connector.jetstream.consumer import consumer_name
from infra.connector.settings import ConnectorSettings
from infra.local.functions.stack import read_stack
from tests.support.manifests import Manifest, check, copy, named, render
from tests.support.network import Pod, allowed


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    """What infra/kubernetes/README.md has a user make."""
    tree = copy(tmp_path_factory.mktemp("tree"))
    kubernetes = tree / "infra/kubernetes"
    (kubernetes / "keda/secrets").mkdir()
    for name in ("database-url", "batch-signing-key"):
        made = kubernetes / "overlays/single-node/secrets/functions" / name
        shutil.copy(made, kubernetes / "keda/secrets")
    (tree / "my-cluster").mkdir()
    (tree / "my-cluster/kustomization.yaml").write_text(
        "resources: [../infra/kubernetes/overlays/single-node]\n"
        "components: [../infra/kubernetes/keda]\n"
    )
    return render(tree / "my-cluster")


def container(manifests: list[Manifest], name: str) -> Manifest:
    [found] = named(manifests, "Deployment", name)["spec"]["template"]["spec"]["containers"]
    return found


def test_api_server_takes_every_object(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        check(manifest)
    wrong = yaml.safe_load(yaml.safe_dump(named(manifests, "ScaledObject", "process-batch")))
    wrong["spec"]["minReplicas"] = 0
    with pytest.raises(jsonschema.ValidationError):
        check(wrong)


def test_function_is_the_one_of_openfaas(manifests: list[Manifest]) -> None:
    function = {each.service: each for each in read_stack(ROOT / "stack.yml", {})}["process-batch"]
    ours = container(manifests, "process-batch")
    assert ours["image"] == function.image
    assert {each["name"]: each["value"] for each in ours["env"]} == function.env_vars
    assert function.limits
    assert function.requests
    assert ours["resources"]["requests"] == function.requests.model_dump()
    assert ours["resources"]["limits"]["memory"] == function.limits.memory
    most = named(manifests, "ScaledObject", "process-batch")["spec"]["maxReplicaCount"]
    assert str(most) == function.labels["com.openfaas.scale.max"]


def test_lag_is_that_of_the_connectors_binding(
    manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.startswith("NATS_"):
            monkeypatch.delenv(name)
    for variable in container(manifests, "connector")["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    settings = ConnectorSettings()  # type: ignore[call-arg]
    service = named(manifests, "Service", "process-batch")
    [port] = service["spec"]["ports"]
    assert settings.fixed_url == (
        f"http://{service['metadata']['name']}.universe.svc.cluster.local:{port['port']}"
    )
    [trigger] = named(manifests, "ScaledObject", "process-batch")["spec"]["triggers"]
    metrics.LAG.labels(settings.function_name, "EVENTS").set(7)
    wanted = trigger["metadata"]["valueLocation"]
    [line] = re.findall(rf"^{re.escape(wanted)} (.*)$", generate_latest().decode(), re.M)
    metrics.LAG.remove(settings.function_name, "EVENTS")
    assert float(line) == 7
    [listens] = container(manifests, "connector")["ports"]
    assert f":{listens['containerPort']}/metrics" in trigger["metadata"]["url"]
    # the other trigger, which is commented out, names the consumer
    text = (ROOT / "infra/kubernetes/keda/scaled-object.yaml").read_text()
    assert f"consumer: {consumer_name(settings.function_name)}\n" in text


def test_only_keda_and_the_connector_are_let_in(manifests: list[Manifest]) -> None:
    policies = [m for m in manifests if m["kind"] == "NetworkPolicy"]

    def pod(name: str) -> Pod:
        template = named(manifests, "Deployment", name)["spec"]["template"]
        ports = {
            port["name"]: port["containerPort"]
            for each in template["spec"]["containers"]
            for port in each.get("ports", [])
        }
        return Pod("universe", template["metadata"]["labels"], ports)

    connector, process_batch = pod("connector"), pod("process-batch")
    keda = Pod("keda", {"app.kubernetes.io/name": "keda-operator"})
    assert allowed(policies, connector, process_batch, 8080)
    assert allowed(policies, keda, connector, 8083)
    assert not allowed(policies, keda, process_batch, 8080)
    assert not allowed(policies, Pod("keda", {}), connector, 8083)


def test_secrets_are_those_that_the_readme_copies() -> None:
    text = Path(ROOT / "infra/kubernetes/README.md").read_text()
    [copied] = re.findall(r"cp (.*) infra/kubernetes/keda/secrets", text)
    component = (ROOT / "infra/kubernetes/keda/kustomization.yaml").read_text()
    assert copied.replace("$F/", "").split() == re.findall(r"- secrets/(\S+)", component)
