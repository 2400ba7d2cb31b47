"""Manifests for Kubernetes: rendered as kubectl does, checked as an API server does."""

import functools
import importlib.resources
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from functions.common.paths import ROOT
from tests.support.tools import go_module, go_tool, installed

Manifest = dict[str, Any]

SCHEMAS = importlib.resources.files("kubernetes_validate") / (
    "kubernetes-json-schema/v1.37.0-local-strict"
)
"""Of the newest release that kubernetes-validate has; it reads and searches them anew each time."""
KUSTOMIZE = ("sigs.k8s.io/kustomize/kustomize/v5", "v5.8.2")
DEFINITIONS = {
    "serving.knative.dev": (
        "knative.dev/serving",
        "v0.51.0",
        "config/core/300-resources/service.yaml",
    ),
    "sources.knative.dev": (
        "knative.dev/eventing",
        "v0.47.0",
        "config/core/resources/sinkbindings.yaml",
    ),
    "postgresql.cnpg.io": (
        "github.com/cloudnative-pg/cloudnative-pg",
        "v1.29.1",
        "config/crd/bases/postgresql.cnpg.io_clusters.yaml",
    ),
    "keda.sh": (
        "github.com/kedacore/keda/v2",
        "v2.17.2",
        "config/crd/bases/keda.sh_scaledobjects.yaml",
    ),
}
"""By API group: the Go module with the definition of its resources, pinned."""
FILES = ("infra/kubernetes", "infra/knative", "infra/monitoring", "sql")
OVERLAYS = ("single-node", "production")
YAML: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The loader in C, ten times as fast, where PyYAML has it."""


def copy(folder: Path, *, secrets: bool = True) -> Path:
    """Copy what kustomize reads, with or without the secrets that a user makes."""
    for name in FILES:
        ignored = shutil.ignore_patterns("secrets", "*.md", "*.py", "__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    if secrets:
        for overlay in OVERLAYS:
            made = folder / "infra/kubernetes/overlays" / overlay / "secrets"
            make_secrets(made)
            shutil.copytree(made / "functions", folder / "infra/knative" / overlay / "secrets")
        monitoring = folder / "infra/kubernetes/monitoring/secrets"
        monitoring.mkdir()
        (monitoring / "grafana-password").write_text("a-grafana-password")
    return folder


def make_secrets(folder: Path, **environment: str) -> None:
    """Make the secrets of an overlay as docs/deploy.md does."""
    subprocess.run(
        ["sh", str(ROOT / "infra/kubernetes/make-secrets.sh"), str(folder)],
        env={**os.environ, **environment},
        check=True,
        timeout=60,
    )


def kustomize(folder: Path) -> subprocess.CompletedProcess[str]:
    """Render an overlay, with kubectl where it is installed."""
    kubectl = installed("kubectl")
    command = [str(kubectl), "kustomize"] if kubectl else [str(go_tool(*KUSTOMIZE)), "build"]
    return subprocess.run(
        [*command, str(folder)], capture_output=True, text=True, timeout=60, check=False
    )


def render(folder: Path) -> list[Manifest]:
    """Return the objects of an overlay."""
    done = kustomize(folder)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "kustomize has something to say"
    return [document for document in yaml.load_all(done.stdout, YAML) if document]


def check(manifest: Manifest) -> None:
    """Raise jsonschema's ValidationError where an API server would refuse the object."""
    group = manifest["apiVersion"].partition("/")[0]
    if group in DEFINITIONS:
        _custom_validator(group).validate(manifest)
    else:
        _validator(manifest["kind"].lower(), manifest["apiVersion"]).validate(manifest)


@functools.cache
def _validator(kind: str, api_version: str) -> Draft202012Validator:
    group, _, version = api_version.rpartition("/")
    name = "-".join(filter(None, [kind, group.partition(".")[0], version]))
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    return Draft202012Validator(schema, registry=Resource.from_contents(schema) @ _definitions())


@functools.cache
def _definitions() -> Registry[Any]:
    """Return what all schemas refer to: two megabytes, read and searched once."""
    contents = json.loads((SCHEMAS / "_definitions.json").read_text())
    return (Resource.from_contents(contents) @ Registry()).crawl()


@functools.cache
def _custom_validator(group: str) -> Draft202012Validator:
    module, version, path = DEFINITIONS[group]
    definition = yaml.load((go_module(module, version) / path).read_text(), YAML)
    [served] = [entry for entry in definition["spec"]["versions"] if entry["served"]]
    schema = served["schema"]["openAPIV3Schema"]
    # every object has these, whether its definition says so or not
    schema["properties"] = {"apiVersion": {}, "kind": {}, "metadata": {}} | schema["properties"]
    schema = _strict(schema)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def _strict(schema: Any) -> Any:
    """Refuse unknown fields, which an API server drops with a warning."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        strict.pop("type", None)
    properties = schema.get("properties")
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(properties, dict) and "additionalProperties" not in schema and not open_ended:
        strict["additionalProperties"] = False
    return strict


def pod_specs(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Yield the template of each workload's pods, with the workload's kind and name."""
    for manifest in manifests:
        spec = manifest.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec and "containers" in spec["template"].get("spec", {}):
            yield f"{manifest['kind']} {manifest['metadata']['name']}", spec["template"]


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """Return one object; a generated name may have a hash at its end."""
    found = [
        manifest
        for manifest in manifests
        if manifest["kind"] == kind
        and (manifest["metadata"]["name"] == name
             or manifest["metadata"]["name"].rpartition("-")[0] == name)
    ]  # fmt: skip
    assert len(found) == 1, f"{kind} {name}: {len(found)}"
    return found[0]
