"""Calls of kubectl in pages and scripts, held against manifests: names that are wrong are found."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.manifests import Manifest, pod_specs

KINDS = {
    "cluster": "Cluster",
    "configmap": "ConfigMap",
    "cronjob": "CronJob",
    "deploy": "Deployment",
    "deployment": "Deployment",
    "job": "Job",
    "ksvc": "Service",
    "namespace": "Namespace",
    "pod": "Pod",
    "pods": "Pod",
    "pvc": "PersistentVolumeClaim",
    "secret": "Secret",
    "service": "Service",
    "statefulset": "StatefulSet",
}
KNATIVE = "serving.knative.dev"
WITH_VALUE = {"-n", "-l", "-c", "-o", "-f", "-k", "-p", "--type"}
"""Options that are followed by their value; others have it after `=`, or none."""
CONDITIONS = {
    "Job": {"complete"},
    "Service": {"Ready"},
    "Deployment": {"Available"},
    "Pod": {"Ready"},
    "Cluster": {"Ready"},
}
VERBS_OF_OBJECTS = {"get", "wait", "logs", "exec", "delete", "port-forward", "rollout"}
UNDONE = {"annotate", "edit", "label", "patch", "scale", "set"}
"""What they change in an object of a manifest, the next `kubectl apply` changes back."""


@dataclass
class Call:
    """One call.

    Attributes:
        words: what is no option: the verb, then names.
        options: by name; several values of one are several.
        command: what `exec` runs, after `--`.
    """

    words: list[str] = field(default_factory=list)
    options: dict[str, list[str]] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        """The namespace that it names; `default` without."""
        return self.option("-n") or "default"

    def option(self, name: str) -> str:
        """Return the last value of an option; empty without."""
        return self.options.get(name, [""])[-1]

    def objects(self) -> list[tuple[str, str]]:
        """Return the kinds, as they are written, and names of what it is about; `` of all."""
        verb, *rest = self.words
        if verb == "rollout":
            rest = rest[1:]
        elif verb == "port-forward":
            rest = rest[:1]
        if not rest:
            return []
        if "/" in rest[0]:
            return [(kind, name) for kind, _, name in (each.partition("/") for each in rest)]
        if verb in {"exec", "logs"}:
            return [("pod", rest[0])]
        return [(rest[0], name) for name in rest[1:] or [""]]


def calls(text: str) -> Iterator[Call]:
    """Yield the calls in lines of a shell, those within pipes and `$(...)` too."""
    for found in re.finditer(r"\bkubectl ", re.sub(r"\\\n\s*", "", text)):
        [rest] = found.string[found.end() :].splitlines()[:1]
        yield _call(_words(rest))


def _words(rest: str) -> Iterator[str]:
    """Yield words until the command ends: at a pipe, a bracket or a comment."""
    lexer = shlex.shlex(rest, posix=True, punctuation_chars="|;)&<>`")
    lexer.whitespace_split = True
    for word in lexer:
        if word[0] in "|;)&<>`":
            return
        yield word


def _call(words: Iterator[str]) -> Call:
    call = Call()
    for word in words:
        if word == "--":
            call.command = list(words)
        elif word in WITH_VALUE:
            call.options.setdefault(word, []).append(next(words, ""))
        elif word.startswith("-"):
            name, _, value = word.partition("=")
            call.options.setdefault(name, []).append(value)
        else:
            call.words.append(word)
    return call


def faults(call: Call, manifests: list[Manifest], folders: list[Path]) -> list[str]:
    """Return what is wrong with a call: names that no manifest has, files that are not there.

    Args:
        call: of kubectl.
        manifests: all that its cluster may have.
        folders: where its paths may begin.
    """
    verb = call.words[0]
    if verb in {"apply", "kustomize"}:
        return list(_of_files(call, folders))
    if verb == "create":
        return list(_of_created(call, manifests))
    return list(_of_objects(call, manifests))


def _of_files(call: Call, folders: list[Path]) -> Iterator[str]:
    for path in call.options.get("-f", []):
        if path != "-" and not any((folder / path).is_file() for folder in folders):
            yield f"there is no file {path}"
    for path in call.options.get("-k", []) + call.words[1:]:
        if not any((folder / path / "kustomization.yaml").is_file() for folder in folders):
            yield f"there is no kustomization in {path}"


def _of_created(call: Call, manifests: list[Manifest]) -> Iterator[str]:
    """What a page lets a user make is what a pod asks for."""
    _, kind, _, name = call.words
    asked = {
        source["secret"]["name"]
        for template in _templates(manifests, call.namespace)
        for volume in template["spec"].get("volumes", [])
        for source in volume.get("projected", {}).get("sources", [])
        if "secret" in source
    }
    if kind != "secret" or name not in asked:
        yield f"no pod of {call.namespace} asks for the {kind} {name}"


def _of_objects(call: Call, manifests: list[Manifest]) -> Iterator[str]:
    if call.words[0] in UNDONE:
        yield f"the next apply undoes {call.words[0]}"
        return
    if call.words[0] not in VERBS_OF_OBJECTS:
        yield f"what does {call.words[0]} do?"
        return
    there = [each for each in manifests if _namespace(each) == call.namespace]
    if not there:
        yield f"there is no namespace {call.namespace}"
        return
    for kind, name in call.objects():
        if kind not in KINDS:
            yield f"there is no kind {kind}"
        elif name and not _named(there, kind, name):
            yield f"there is no {kind} {name} in {call.namespace}"
        elif name:
            yield from _of_one(call, _named(there, kind, name)[0], name)
        wanted = re.match(r"condition=(\w+)", call.option("--for"))
        if wanted and wanted[1] not in CONDITIONS.get(KINDS.get(kind, ""), set()):
            yield f"no {kind} has the condition {wanted[1]}"
    for label in filter(None, re.split(r",", call.option("-l"))):
        key, _, value = label.partition("=")
        if not any(labels.get(key) == value for labels in _labels(there, call.namespace)):
            yield f"no pod has the label {label}"


def _of_one(call: Call, manifest: Manifest, name: str) -> Iterator[str]:
    templates = [template for _, template in pod_specs([manifest])]
    containers = [each for template in templates for each in template["spec"]["containers"]]
    wanted = call.option("-c")
    if wanted and wanted not in {each.get("name") for each in containers}:
        yield f"{name} has no container {wanted}"
    key = re.fullmatch(r"jsonpath=\{\.data\.(.+)\}", call.option("-o"))
    if (
        key
        and manifest["kind"] == "Secret"
        and key[1].replace("\\", "") not in manifest.get("data", {})
    ):
        yield f"{name} has no key {key[1]}"


def _named(manifests: list[Manifest], kind: str, name: str) -> list[Manifest]:
    """Return the objects of a kind and name; of a pod the StatefulSet that makes it."""
    wanted = KINDS[kind]
    if kind in {"pod", "pods"}:
        wanted, name = "StatefulSet", re.sub(r"-\d+$", "", name)
    return [
        each
        for each in manifests
        if each["kind"] == wanted
        and (kind != "ksvc" or each["apiVersion"].startswith(KNATIVE))
        and (each["metadata"]["name"] == name
             # a generated name has a hash at its end
             or each["metadata"]["name"].rpartition("-")[0] == name)
    ]  # fmt: skip


def _namespace(manifest: Manifest) -> str:
    if manifest["kind"] == "Namespace":
        return manifest["metadata"]["name"]
    return manifest["metadata"].get("namespace", "")


def _templates(manifests: list[Manifest], namespace: str) -> Iterator[Manifest]:
    for manifest in manifests:
        if _namespace(manifest) == namespace:
            yield from (template for _, template in pod_specs([manifest]))


def _labels(manifests: list[Manifest], namespace: str) -> Iterator[dict[str, str]]:
    for template in _templates(manifests, namespace):
        yield template["metadata"].get("labels", {})
    for manifest in manifests:
        if manifest["apiVersion"].startswith(KNATIVE):
            yield {f"{KNATIVE}/service": manifest["metadata"]["name"]}
