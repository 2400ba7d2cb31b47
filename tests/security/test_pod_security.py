"""Protects: pod-security labels on every namespace, `restricted` where every pod keeps to it."""

from pathlib import Path

import pytest

from tests.support.manifests import Manifest, copy, pod_specs, render

LABEL = "pod-security.kubernetes.io/"
LEVELS = {"universe": "restricted", "monitoring": "restricted", "openfaas-fn": "baseline"}
FOLDERS = (
    "infra/kubernetes/overlays/single-node",
    "infra/kubernetes/overlays/production",
    "infra/kubernetes/monitoring",
    "infra/kubernetes/openfaas-fn",
    "infra/knative/single-node",
    "infra/knative/production",
)
VOLUMES = {"configMap", "emptyDir", "projected", "secret", "persistentVolumeClaim"}


@pytest.fixture(scope="module", params=FOLDERS)
def manifests(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[Manifest]:
    return render(copy(tmp_path_factory.mktemp("tree")) / request.param)


def test_every_namespace_enforces_a_standard(manifests: list[Manifest]) -> None:
    """Each namespace that is used is declared, and enforces and reports a standard."""
    spaces = {m["metadata"]["name"]: m for m in manifests if m["kind"] == "Namespace"}
    cluster_wide = ("Namespace", "ClusterRole", "ClusterRoleBinding")
    used = {m["metadata"]["namespace"] for m in manifests if m["kind"] not in cluster_wide}
    assert used == set(spaces)
    for name, space in spaces.items():
        labels = space["metadata"]["labels"]
        assert labels[f"{LABEL}enforce"] == LEVELS[name]
        assert labels[f"{LABEL}warn"] == LEVELS[name]
        assert labels[f"{LABEL}audit"] == "restricted"


def test_every_pod_keeps_to_the_restricted_standard(manifests: list[Manifest]) -> None:
    """What an API server would refuse under `restricted` is in no workload."""
    for workload, template in pod_specs(manifests):
        spec = template["spec"]
        pod = spec.get("securityContext", {})
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), workload
        for volume in spec.get("volumes", []):
            assert (volume.keys() - {"name"}) <= VOLUMES, workload
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            context = container["securityContext"]
            assert context.get("runAsNonRoot", pod.get("runAsNonRoot")) is True, workload
            assert context.get("runAsUser", pod.get("runAsUser", 1)) != 0, workload
            profile = context.get("seccompProfile", pod.get("seccompProfile"))
            assert profile == {"type": "RuntimeDefault"}, workload
            assert context["allowPrivilegeEscalation"] is False, workload
            assert context["capabilities"] == {"drop": ["ALL"]}, workload
            assert not context.get("privileged"), workload
            assert all("hostPort" not in port for port in container.get("ports", [])), workload


def test_namespaces_are_those_with_policies(tmp_path: Path) -> None:
    """A namespace that pods are put into denies connections by default as well."""
    tree = copy(tmp_path)
    for folder in FOLDERS:
        found = render(tree / folder)
        closed = {
            m["metadata"]["namespace"]
            for m in found
            if m["kind"] == "NetworkPolicy" and m["metadata"]["name"] == "default-deny"
        }
        assert closed == {m["metadata"]["name"] for m in found if m["kind"] == "Namespace"}, folder
