"""Protects: default-deny NetworkPolicies with exactly what each part needs.

There is no cluster here: the policies that kustomize renders are evaluated as Kubernetes defines
them, for every pair of pods and every port that any of them listens on.
"""

from itertools import product

import pytest

from tests.support.manifests import Manifest, copy, pod_specs, render
from tests.support.network import Pod, allowed, is_denied_by_default

NAMESPACES = ("universe", "openfaas-fn", "monitoring")


def knative(name: str) -> Pod:
    labels = {"serving.knative.dev/service": name, "app": f"{name}-00001"}
    return Pod("universe", labels, {"user-port": 8080, "queue-port": 8012, "http-queueadm": 8022})


def function(name: str) -> Pod:
    return Pod("openfaas-fn", {"faas_function": name}, {"http": 8080})


OTHERS = {
    "openfaas/gateway": Pod("openfaas", {"app": "gateway"}),
    "openfaas/prometheus": Pod("openfaas", {"app": "prometheus"}),
    "openfaas/nats": Pod("openfaas", {"app": "nats"}),
    "kube-system/dns": Pod("kube-system", {"k8s-app": "kube-dns"}),
    "knative-serving/activator": Pod("knative-serving", {"app": "activator"}),
    "knative-serving/autoscaler": Pod("knative-serving", {"app": "autoscaler"}),
    "kourier-system/gateway": Pod("kourier-system", {"app": "3scale-kourier-gateway"}),
    "cnpg-system/operator": Pod("cnpg-system", {"app.kubernetes.io/name": "cloudnative-pg"}),
    "default/stranger": Pod("default", {"app": "stranger"}),
    # labels of our own give nothing in another namespace
    "default/impostor": Pod("default", {"nats": "client", "database": "client",
                                        "faas_function": "ingest"}),
    "universe/stranger": Pod("universe", {"app": "stranger"}),
    "openfaas-fn/stranger": function("stranger"),
    "openfaas-fn/ingest": function("ingest"),
    "openfaas-fn/process-batch": function("process-batch"),
    "openfaas-fn/analytics-query": function("analytics-query"),
    "api": Pod(address="10.96.0.1"),
    "internet": Pod(address="203.0.113.7"),
}  # fmt: skip
"""Pods that no manifest here has, as their own charts label them."""
PORTS = (53, 80, 443, 587, 3000, 4222, 5432, 6222, 6443, 8000, 8012, 8013, 8022, 8080, 8081, 8082,
         8083, 8112, 8222, 9090, 9091, 9187)  # fmt: skip
CONFINED = ("default/stranger", "default/impostor", "universe/stranger", "openfaas-fn/stranger",
            "internet")  # fmt: skip

Connection = tuple[str, str, int]


def expand(table: dict[str, str]) -> set[Connection]:
    """Return connections out of lines such as `a, b: target:port target:port`."""
    return {
        (source.strip(), target, int(port))
        for sources, targets in table.items()
        for source in sources.split(",")
        for target, _, port in (entry.rpartition(":") for entry in targets.split())
    }


BASE = {
    "universe/connector, universe/exporter": "universe/nats:4222",
    "universe/nats": "universe/nats:6222",
    "openfaas-fn/ingest": "universe/nats:4222",
    "universe/exporter, universe/migrate, universe/housekeeping": "universe/postgres:5432",
    "universe/alerts": "universe/postgres:5432 internet:443 internet:587",
    "openfaas-fn/process-batch, openfaas-fn/analytics-query": "universe/postgres:5432",
    "openfaas/prometheus, monitoring/prometheus": "universe/connector:8083 universe/exporter:8082 "
    + " ".join(
        f"openfaas-fn/{name}:8080"
        for name in ("ingest", "process-batch", "analytics-query", "stranger")
    ),
    "openfaas/gateway": "openfaas-fn/ingest:8080 openfaas-fn/process-batch:8080 "
    "openfaas-fn/analytics-query:8080 openfaas-fn/stranger:8080",
    "monitoring/grafana": "monitoring/prometheus:9090",
    "monitoring/prometheus": "openfaas/gateway:8082 api:443 api:6443 internet:443 internet:6443",
}
OPENFAAS = {"universe/connector": "openfaas/gateway:8080"}
INGRESS = ("knative-serving/activator", "knative-serving/autoscaler", "kourier-system/gateway")
KNATIVE = {
    "universe/connector": " ".join(f"{pod}:{port}" for pod in INGRESS
                                   for port in (8012, 8080, 8081)),
    ", ".join(INGRESS): " ".join(
        f"universe/{name}:{port}" for name in ("ingest", "process-batch", "analytics-query")
        for port in (8012, 8013, 8112)
    ),
    "knative-serving/autoscaler": "universe/ingest:9090 universe/process-batch:9090 "
    "universe/analytics-query:9090",
    "monitoring/prometheus": "universe/ingest:8080 universe/process-batch:8080 "
    "universe/analytics-query:8080",
    "universe/ingest": "universe/nats:4222",
    "universe/process-batch, universe/analytics-query": "universe/postgres:5432",
}  # fmt: skip
OPERATOR = {
    "universe/postgres": "universe/postgres:5432 universe/postgres:8000 api:443 api:6443 "
    "internet:443 internet:6443",
    "cnpg-system/operator": "universe/postgres:5432 universe/postgres:8000",
    "openfaas/prometheus, monitoring/prometheus": "universe/postgres:9187",
}
TABLES = {
    "infra/kubernetes/overlays/single-node": (BASE, OPENFAAS),
    "infra/kubernetes/overlays/production": (BASE, OPENFAAS, OPERATOR),
    "infra/knative/single-node": (BASE, KNATIVE),
    "infra/knative/production": (BASE, KNATIVE, OPERATOR),
}
"""What each overlay needs, with the policies for openfaas-fn and monitoring applied."""


class Cluster:
    """The pods and policies that a cluster has with one overlay."""

    def __init__(self, manifests: list[Manifest], overlay: str) -> None:
        self.policies = [m for m in manifests if m["kind"] == "NetworkPolicy"]
        self.pods = dict(OTHERS)
        for workload, template in pod_specs(manifests):
            kind, _, name = workload.partition(" ")
            if kind == "Service":
                self.pods[f"universe/{name}"] = knative(name)
                continue
            space = next(m["metadata"]["namespace"] for m in manifests
                         if m["kind"] == kind and m["metadata"]["name"] == name)  # fmt: skip
            ports = {port["name"]: port["containerPort"]
                     for container in template["spec"]["containers"]
                     for port in container.get("ports", [])}  # fmt: skip
            self.pods[f"{space}/{name}"] = Pod(space, template["metadata"]["labels"], ports)
        if "production" in overlay:
            labels = {"cnpg.io/cluster": "postgres", "app.kubernetes.io/name": "postgresql"}
            self.pods["universe/postgres"] = Pod("universe", labels)

    def connections(self) -> set[Connection]:
        """Return every connection that is allowed and that a policy has a say in."""
        return {
            (source, target, port)
            for (source, of), (target, to), port in product(
                self.pods.items(), self.pods.items(), PORTS
            )
            if (of.namespace in NAMESPACES or to.namespace in NAMESPACES)
            and port != 53
            and allowed(self.policies, of, to, port)
        }


@pytest.fixture(scope="module", params=TABLES)
def overlay(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def cluster(overlay: str, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    tree = copy(tmp_path_factory.mktemp("tree"))
    folders = (overlay, "infra/kubernetes/openfaas-fn", "infra/kubernetes/monitoring")
    return Cluster([m for folder in folders for m in render(tree / folder)], overlay)


def test_pods_reach_what_they_need_and_nothing_else(cluster: Cluster, overlay: str) -> None:
    """A pod connects to what the table says, on that port, and to nothing else."""
    wanted = set[Connection]().union(*(expand(table) for table in TABLES[overlay]))
    # what has no policies of ours connects among itself and to the world as it likes
    found = cluster.connections()
    assert found == wanted, f"open: {sorted(found - wanted)}, closed: {sorted(wanted - found)}"


def test_each_table_names_pods_that_are_there(cluster: Cluster, overlay: str) -> None:
    """A name that is misspelt in the table cannot make the test above say yes."""
    for table in TABLES[overlay]:
        for source, target, port in expand(table):
            assert source in cluster.pods
            assert target in cluster.pods
            assert port in PORTS


def test_every_pod_of_ours_is_closed_both_ways(cluster: Cluster) -> None:
    """Default deny: what no policy allows is refused, in and out, for pods yet to come as well."""
    for name, pod in cluster.pods.items():
        for direction in ("Ingress", "Egress"):
            closed = is_denied_by_default(cluster.policies, pod, direction)
            assert closed == (pod.namespace in NAMESPACES), f"{name}, {direction}"


def test_strangers_reach_nothing(cluster: Cluster) -> None:
    """Neither a pod of another namespace with our labels nor one beside ours gets in or out."""
    for stranger, (name, pod), port in product(CONFINED, cluster.pods.items(), PORTS):
        if pod.namespace in NAMESPACES:
            assert not allowed(cluster.policies, cluster.pods[stranger], pod, port), (
                f"{stranger} reaches {name}:{port}"
            )
    internet = cluster.pods["internet"]
    for name in ("universe/connector", "universe/nats", "universe/exporter", "openfaas-fn/ingest",
                 "openfaas-fn/process-batch", "openfaas-fn/analytics-query"):  # fmt: skip
        for port in PORTS:
            assert not allowed(cluster.policies, cluster.pods[name], internet, port), name


def test_every_pod_of_ours_looks_up_names(cluster: Cluster) -> None:
    """DNS by UDP and TCP, of the cluster's own server alone."""
    dns = cluster.pods["kube-system/dns"]
    for pod in cluster.pods.values():
        if pod.namespace in NAMESPACES:
            for protocol in ("UDP", "TCP"):
                assert allowed(cluster.policies, pod, dns, 53, protocol)
                assert not allowed(cluster.policies, pod, OTHERS["internet"], 53, protocol)


def test_pods_are_those_of_the_manifests(cluster: Cluster, overlay: str) -> None:
    """Every workload of the overlay takes part in the table above."""
    named_in = {name for table in TABLES[overlay] for s, t, _ in expand(table) for name in (s, t)}
    assert {name for name in cluster.pods if name.startswith("universe/")} - named_in == {
        "universe/stranger"
    }
