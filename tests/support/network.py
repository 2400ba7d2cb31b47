"""Evaluates NetworkPolicies as Kubernetes defines them: who may connect to whom.

A connection is allowed where the source may leave for the target and the target lets the source in.
A pod that policies of a direction select is closed in that direction but for what they allow; the
other pods are open.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from tests.support.manifests import Manifest

NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label that every namespace has."""


@dataclass(frozen=True)
class Pod:
    """An end of a connection: a pod, or an address outside of the cluster (`address`)."""

    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict[str, str])
    ports: dict[str, int] = field(default_factory=dict[str, int])
    address: str | None = None


def allowed(
    policies: Iterable[Manifest], source: Pod, target: Pod, port: int, protocol: str = "TCP"
) -> bool:
    """Return whether `source` may connect to `port` of `target`."""
    listed = list(policies)
    return _passes(listed, "Egress", source, target, target, port, protocol) and _passes(
        listed, "Ingress", target, source, target, port, protocol
    )


def is_denied_by_default(policies: Iterable[Manifest], pod: Pod, direction: str) -> bool:
    """Return whether any policy of that direction selects the pod, which closes it."""
    return bool(_selecting(list(policies), direction, pod))


def matches(selector: Manifest, labels: dict[str, str]) -> bool:
    """Return whether a label selector selects."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for expression in selector.get("matchExpressions", []):
        key, operator = expression["key"], expression["operator"]
        found = {
            "In": labels.get(key) in expression.get("values", []),
            "NotIn": labels.get(key) not in expression.get("values", []),
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }[operator]
        if not found:
            return False
    return True


def _selecting(policies: list[Manifest], direction: str, pod: Pod) -> list[Manifest]:
    return [
        policy["spec"]
        for policy in policies
        if pod.address is None
        and policy["metadata"]["namespace"] == pod.namespace
        and direction in policy["spec"]["policyTypes"]
        and matches(policy["spec"]["podSelector"], pod.labels)
    ]


def _passes(
    policies: list[Manifest],
    direction: str,
    pod: Pod,
    other: Pod,
    target: Pod,
    port: int,
    protocol: str,
) -> bool:
    selecting = _selecting(policies, direction, pod)
    if not selecting:
        return True
    peers = "to" if direction == "Egress" else "from"
    return any(
        _has_port(rule.get("ports"), target, port, protocol)
        and (peers not in rule or any(_is_peer(peer, pod, other) for peer in rule[peers]))
        for spec in selecting
        for rule in spec.get(direction.lower(), [])
    )


def _has_port(ports: list[Manifest] | None, target: Pod, port: int, protocol: str) -> bool:
    return ports is None or any(
        each.get("protocol", "TCP") == protocol
        and port == (target.ports.get(each["port"]) if isinstance(each["port"], str)
                     else each["port"])
        for each in ports
    )  # fmt: skip


def _is_in(block: Manifest, text: str) -> bool:
    address, network = ip_address(text), ip_network(block["cidr"])
    if any(address in ip_network(each) for each in block.get("except", [])):
        return False
    return address.version == network.version and address in network


def _is_peer(peer: Manifest, pod: Pod, other: Pod) -> bool:
    if "ipBlock" in peer:
        # what it says about pods' addresses depends on the network: only others count here
        return other.address is not None and _is_in(peer["ipBlock"], other.address)
    if other.address is not None:
        return False
    if "namespaceSelector" in peer:
        if not matches(peer["namespaceSelector"], {NAMESPACE_NAME: other.namespace}):
            return False
    elif other.namespace != pod.namespace:
        return False
    return matches(peer.get("podSelector", {}), other.labels)
