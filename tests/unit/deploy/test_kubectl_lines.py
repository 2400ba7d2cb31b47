"""Each call of kubectl in the pages and scripts: what it names is in the manifests."""

import re

import pytest

from functions.common.paths import ROOT
from infra.connector.dlq.command import dlq
from tests.support.kubectl_lines import Call, calls, faults
from tests.support.manifests import Manifest, copy, render

PAGES = (
    "docs/deploy.md",
    "docs/operations.md",
    "docs/webhooks.md",
    "infra/knative/README.md",
    "infra/kubernetes/README.md",
    "scripts/check-cluster.sh",
)
OF_A_USER = "my-cluster"
"""The folder that the pages let a user make."""
MADE_BY_OTHERS: list[Manifest] = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "openfaas"}},
    {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "basic-auth", "namespace": "openfaas"},
        "data": {"basic-auth-user": "", "basic-auth-password": ""},
    },
    # the overlay production's, which the operator makes
    {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "postgres-ca", "namespace": "universe"},
        "data": {"ca.crt": ""},
    },
]
OVERLAYS = ("infra/knative/single-node", "infra/kubernetes/monitoring")


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    folder = copy(tmp_path_factory.mktemp("tree"))
    return [*MADE_BY_OTHERS, *(each for name in OVERLAYS for each in render(folder / name))]


def shell(page: str) -> str:
    """Return what a page lets a reader run: its blocks, and what stands within a sentence."""
    text = (ROOT / page).read_text()
    if page.endswith(".sh"):
        return re.sub(r"^\s*#.*", "", text, flags=re.M)
    blocks = [block for _, block in re.findall(r"^( *)```sh\n(.*?)^ *```", text, re.M | re.S)]
    text = re.sub(r"^( *)```.*?^ *```", "", text, flags=re.M | re.S)
    inline = re.findall(r"`([^`]*\bkubectl [^`]*)`", text)
    return "\n".join([*blocks, *(" ".join(each.split()) for each in inline)])


def whole(call: Call) -> bool:
    """Whether it is more than a mention, such as `kubectl apply` or `kubectl apply -k`."""
    return len(call.words) > 1 or bool(call.option("-f") or call.option("-k"))


@pytest.mark.parametrize("page", PAGES)
def test_what_the_page_names_is_in_the_manifests(page: str, manifests: list[Manifest]) -> None:
    folders = [ROOT, (ROOT / page).parent, (ROOT / page).parent / "monitoring"]
    found = [call for call in calls(shell(page)) if whole(call)]
    assert found
    for call in found:
        if call.option("-k") != OF_A_USER:
            assert not faults(call, manifests, folders), call


def test_commands_that_are_run_in_the_connector_are_its_own() -> None:
    found = [call.command for page in PAGES for call in calls(shell(page)) if call.command]
    ours = [command for command in found if command[0] == "python"]
    assert ours
    for command in ours:
        assert command[1:4] == ["-m", "infra.connector", "dlq"]
        assert command[4] in dlq.commands


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("kubectl -n univers get ksvc", "there is no namespace univers"),
        ("kubectl get ksvc", "there is no namespace default"),
        ("kubectl -n universe get ksvc ingests", "there is no ksvc ingests"),
        ("kubectl -n universe get ksvc nats", "there is no ksvc nats"),
        ("kubectl -n universe get function ingest", "there is no kind function"),
        ("kubectl -n universe rollout status statefulset/postgre", "no statefulset postgre "),
        ("kubectl -n universe wait --for=condition=done job/migrate", "has the condition done"),
        ("kubectl -n universe wait --for=condition=Ready ksvc --all", ""),
        ("x \"$(kubectl -n universe get ksvc in -o jsonpath='{.status.url}')/a\"", "ksvc in "),
        ("kubectl -n universe logs postgres-0 | head", ""),
        ("kubectl -n universe logs postgre-0", "there is no pod postgre-0"),
        ("kubectl -n universe logs deploy/connector -c main", "has no container main"),
        ("kubectl -n universe delete pod -l serving.knative.dev/service=x", "no pod has the label"),
        ("kubectl -n universe delete pod -l serving.knative.dev/service=ingest", ""),
        ("kubectl -n universe set env cronjob/alerts SMTP_HOST=a", "the next apply undoes set"),
        ("kubectl -n universe get secret postgres-ca -o jsonpath='{.data.ca}'", "has no key ca"),
        ("kubectl -n universe create secret generic webhook-x --from-file=a", "the secret webhook"),
        ("kubectl apply -k infra/kubernetes/overlay", "no kustomization in infra/kubernetes/over"),
        ("kubectl apply -f infra/kubernetes/name.yaml", "no file infra/kubernetes/name.yaml"),
        ("kubectl -n universe list pods", "what does list do"),
    ],
)
def test_wrong_names_are_found(line: str, fault: str, manifests: list[Manifest]) -> None:
    [call] = calls(line)
    found = " ".join(faults(call, manifests, [ROOT]))
    assert fault in found
    assert bool(fault) == bool(found)
