"""The functions as Knative Services: valid, and with the settings they have on OpenFaaS."""

import os
import re

import jsonschema
import pytest
import yaml

from functions.common.paths import ROOT
from infra.connector.settings import ConnectorSettings
from infra.local.api_models import FunctionDeployment
from infra.local.functions.stack import read_stack
from tests.support.manifests import Manifest, check, copy, named, pod_specs, render

OVERLAYS = ("single-node", "production")
FUNCTIONS = ("ingest", "process-batch", "analytics-query")
OF_THE_ENGINE = {"STREAM_REPLICAS"}
WEBHOOK_SECRETS = {"webhook-facebook", "webhook-facebook-verify-token", "webhook-tiktok"}


@pytest.fixture(scope="module", params=OVERLAYS)
def manifests(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[Manifest]:
    return render(copy(tmp_path_factory.mktemp("tree")) / "infra/knative" / request.param)


@pytest.fixture(scope="module")
def stack() -> dict[str, FunctionDeployment]:
    return {function.service: function for function in read_stack(ROOT / "stack.yml", {})}


def service(manifests: list[Manifest], name: str) -> Manifest:
    return named([m for m in manifests if "knative" in m["apiVersion"]], "Service", name)


def test_api_server_takes_every_object(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        check(manifest)


def test_api_server_would_refuse_what_is_wrong(manifests: list[Manifest]) -> None:
    wrong = yaml.safe_load(yaml.safe_dump(service(manifests, "ingest")))
    wrong["spec"]["template"]["spec"]["containerConcurency"] = 1
    with pytest.raises(jsonschema.ValidationError):
        check(wrong)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_is_the_one_of_openfaas(
    manifests: list[Manifest], stack: dict[str, FunctionDeployment], name: str
) -> None:
    template = service(manifests, name)["spec"]["template"]
    [container] = template["spec"]["containers"]
    function = stack[name]
    assert container["image"] == function.image
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    for theirs in (environment, function.env_vars):
        for variable in OF_THE_ENGINE:
            theirs.pop(variable, None)
    assert environment == function.env_vars
    assert function.limits
    assert function.requests
    assert container["resources"] == {
        "limits": function.limits.model_dump() | {"cpu": "1"},
        "requests": function.requests.model_dump(),
    }
    mounted = {volume["secret"]["secretName"] for volume in template["spec"]["volumes"]
               if "secret" in volume}  # fmt: skip
    projected = {source["secret"]["name"]: source["secret"].get("optional", False)
                 for volume in template["spec"]["volumes"]
                 for source in volume.get("projected", {}).get("sources", [])}  # fmt: skip
    # webhooks' secrets and the CA of NATS, which `faas-cli deploy --secret` adds on OpenFaaS
    optional = {secret for secret, missing_is_fine in projected.items() if missing_is_fine}
    assert optional == (WEBHOOK_SECRETS | {"nats-ca"} if name == "ingest" else set())
    mounted |= projected.keys() - optional
    # the certificate of PostgreSQL, which `faas-cli deploy --secret database-ca` adds on OpenFaaS
    mounted.discard("postgres-ca")
    assert mounted == set(function.secrets)
    for secret in mounted:
        held = named(manifests, "Secret", secret)
        assert set({**held.get("data", {}), **held.get("stringData", {})}) == {secret}
    annotations = template["metadata"]["annotations"]
    assert annotations["autoscaling.knative.dev/min-scale"] == "0"
    assert (
        annotations["autoscaling.knative.dev/max-scale"]
        == function.labels["com.openfaas.scale.max"]
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_a_pod_mounts_has_the_name_that_it_asks_for(
    manifests: list[Manifest], name: str
) -> None:
    """Kustomize does not rewrite names in resources that it does not know: no hash may be added."""
    there = {m["metadata"]["name"] for m in manifests if m["kind"] == "Secret"}
    if named(manifests, "StatefulSet", "nats")["spec"]["replicas"] > 1:
        there |= {"postgres-ca"}  # which the operator of the overlay production makes
    sources = [
        source["secret"]
        for volume in service(manifests, name)["spec"]["template"]["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", [])
    ]
    assert sources
    assert {each["name"] for each in sources if not each.get("optional")} <= there


@pytest.mark.parametrize("name", FUNCTIONS)
def test_pod_is_confined_and_probed(manifests: list[Manifest], name: str) -> None:
    [container] = service(manifests, name)["spec"]["template"]["spec"]["containers"]
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["runAsNonRoot"] is True
    assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/_/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/liveness"
    reserved = {"PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"}
    assert not reserved & {variable["name"] for variable in container["env"]}


def test_image_listens_where_knative_sends_requests(manifests: list[Manifest]) -> None:
    dockerfile = (ROOT / "templates/python3-functions-framework/Dockerfile").read_text()
    [exposed] = re.findall(r"^EXPOSE (\d+)$", dockerfile, re.M)
    for name in FUNCTIONS:
        [container] = service(manifests, name)["spec"]["template"]["spec"]["containers"]
        assert container["ports"] == [{"name": "http1", "containerPort": int(exposed)}]


def test_connector_sends_to_process_batch_as_its_annotations_say(
    manifests: list[Manifest],
    stack: dict[str, FunctionDeployment],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [container] = named(manifests, "Deployment", "connector")["spec"]["template"]["spec"][
        "containers"
    ]
    for name in list(os.environ):
        if name.startswith("NATS_"):
            monkeypatch.delenv(name)
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    settings = ConnectorSettings()  # type: ignore[call-arg]
    assert settings.fixed_url == "http://process-batch.universe.svc.cluster.local"
    annotations = stack["process-batch"].annotations
    assert settings.topics == (annotations["topic"],)
    delivery = settings.delivery_defaults()
    assert delivery.batch
    assert delivery.batch_size == int(annotations["jetstream.batch-size"])
    assert delivery.concurrency == int(annotations["jetstream.concurrency"])
    assert f"{delivery.batch_window * 1000:g}ms" == annotations["jetstream.batch-window"]
    concurrency = service(manifests, "process-batch")["spec"]["template"]["spec"][
        "containerConcurrency"
    ]
    assert concurrency >= delivery.concurrency, "a call would wait for another"


def test_nothing_of_the_gateway_is_left(manifests: list[Manifest]) -> None:
    for _, template in pod_specs(manifests):
        text = yaml.safe_dump(template)
        assert "gateway" not in text
        assert "basic-auth" not in text
