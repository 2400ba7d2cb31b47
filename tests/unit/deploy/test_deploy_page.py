"""docs/deploy.md and the pages it leads to: commands that do what they say, links that lead on."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from functions.common.paths import ROOT
from infra.local.functions.stack import read_stack
from scripts.page_commands import commands, section
from tests.support.kubectl_lines import calls
from tests.support.manifests import Manifest, copy, named, pod_specs, render

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "functions/analytics_query/README.md",
    "functions/process_batch/README.md",
    "docs/producers.md",
    "infra/connector/README.md",
    "docs/deploy.md",
    "docs/webhooks.md",
    "infra/kubernetes/README.md",
    "infra/knative/README.md",
    "templates/python3-functions-framework/README.md",
)


ELSEWHERE = ("kubectl", "faas-cli", "curl", "SCALE_TO_ZERO", "for file in")
"""How commands begin that need a cluster."""


def follow(tree: Path, title: str) -> list[Manifest]:
    """Do what a section says, and return what its overlay renders to."""
    page = (ROOT / "docs/deploy.md").read_text()
    done = subprocess.run(
        ["sh", "-c", commands(section(page, title), [f"^{each}" for each in ELSEWHERE])],
        cwd=tree,
        env={**os.environ, "REGISTRY": "registry.example/team", "TAG": "0.1.0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return render(tree / "my-cluster")


def images(manifests: list[Manifest]) -> set[str]:
    return {c["image"] for _, template in pod_specs(manifests)
            for c in template["spec"]["containers"]}  # fmt: skip


def test_openfaas_section_makes_an_overlay_with_ones_own_images(tmp_path: Path) -> None:
    manifests = follow(copy(tmp_path, secrets=False), "OpenFaaS on Kubernetes")
    ours = {image for image in images(manifests) if "registry.example/team" in image}
    names = ("connector", "exporter", "analytics-query")  # the last one judges alerts
    assert ours == {f"registry.example/team/{name}:0.1.0" for name in names}
    assert not any("universe-events" in image for image in images(manifests))


def test_knative_section_makes_an_overlay_with_ones_own_images(tmp_path: Path) -> None:
    tree = copy(tmp_path, secrets=False)
    manifests = follow(tree, "Knative")
    ours = {image for image in images(manifests) if "registry.example/team" in image}
    assert len(ours) == 5
    assert not any("universe-events" in image for image in images(manifests))
    secrets = tree / "infra/knative/single-node/secrets"
    password = (tree / "infra/kubernetes/overlays/single-node/secrets/writer-password").read_text()
    assert re.fullmatch(r"[0-9a-f]{48}", password)
    assert (secrets / "database-url").read_text() == (
        f"postgresql://universe_writer:{password}@postgres.universe:5432/universe"
        "?sslmode=verify-full&sslrootcert=/var/openfaas/secrets/database-ca"
    )
    assert named(manifests, "Secret", "database-url")


def test_an_update_brings_the_database_before_what_uses_it(tmp_path: Path) -> None:
    """What is applied first is the job and the migrations that it mounts, by a label of both."""
    page = (ROOT / "docs/deploy.md").read_text()
    update = commands(section(page, "After that"))
    deleted, first, waited, then = list(calls(update))[:4]
    assert deleted.objects() == [("job", "migrate")]
    assert (first.option("-k"), then.option("-k"), then.option("-l")) == ("my-cluster",) * 2 + ("",)
    assert (waited.words, waited.option("--for")) == (["wait", "job/migrate"], "condition=complete")
    key, _, value = first.option("-l").partition("=")
    manifests = render(copy(tmp_path) / "infra/knative/single-node")
    chosen = [m for m in manifests if m["metadata"].get("labels", {}).get(key) == value]
    assert {each["kind"] for each in chosen} == {"Job", "ConfigMap"}
    [mounted] = [
        volume["configMap"]["name"]
        for _, template in pod_specs(chosen)
        for volume in template["spec"]["volumes"]
        if "configMap" in volume
    ]
    assert mounted in {each["metadata"]["name"] for each in chosen}


def test_the_mail_server_of_alerts_lasts_over_the_next_apply(tmp_path: Path) -> None:
    page = (ROOT / "docs/operations.md").read_text()
    tree = copy(tmp_path)
    mine = tree / "my-cluster"
    mine.mkdir()
    (mine / "kustomization.yaml").write_text("resources: [../infra/knative/single-node]\n")
    text = commands(section(page, "Alerts"), ["^kubectl"])
    assert "SMTP_HOST" in text
    subprocess.run(["sh", "-c", text], cwd=tree, check=True)
    [(_, template)] = pod_specs([named(render(mine), "CronJob", "alerts")])
    [container] = template["spec"]["containers"]
    values = {each["name"]: each.get("value") for each in container["env"]}
    assert values["SMTP_HOST"] == "smtp.example.com"
    assert values["SMTP_PORT"] == "587", "the rest is as it was"


def test_production_is_not_applied_over_single_node(tmp_path: Path) -> None:
    """The page says so as long as Kubernetes refuses it."""
    tree = copy(tmp_path)
    claims = [
        named(render(tree / "infra/kubernetes/overlays" / overlay), "StatefulSet", "nats")["spec"][
            "volumeClaimTemplates"
        ]
        for overlay in ("single-node", "production")
    ]
    assert claims[0] != claims[1]
    assert "**From `single-node` to `production`**" in section(
        (ROOT / "docs/deploy.md").read_text(), "After that"
    )


@pytest.mark.parametrize("title", ["OpenFaaS on Kubernetes", "Knative"])
def test_the_job_is_waited_for_before_it_is_removed(title: str) -> None:
    """It is, two minutes after its end: what may take longer than that is waited for later."""
    page = (ROOT / "docs/deploy.md").read_text()
    waits = [
        call.objects()[0]
        for call in calls(commands(section(page, title)))
        if call.words[0] in {"wait", "rollout"}
    ]
    assert waits[:2] == [("statefulset", "postgres"), ("job", "migrate")]


def test_overlay_of_the_kubernetes_page_renders(tmp_path: Path) -> None:
    page = (ROOT / "infra/kubernetes/README.md").read_text()
    [example] = re.findall(r"```yaml\n(.*?)```", page, re.S)
    copy(tmp_path / "universe")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "kustomization.yaml").write_text(example)
    manifests = render(mine)
    assert "registry.example/connector:1.0" in images(manifests)
    assert named(manifests, "Cluster", "postgres")["spec"]["storage"] == {"size": "1Ti"}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_that_are_there(page: str) -> None:
    text = (ROOT / page).read_text()
    for link in re.findall(r"\]\(([^)#\s]+)", text):
        if not link.startswith("http"):
            assert (ROOT / page).parent.joinpath(link).resolve().exists(), link


def test_variables_of_the_deploy_commands_are_those_of_the_stack() -> None:
    page = (ROOT / "docs/deploy.md").read_text()
    stack = (ROOT / "stack.yml").read_text()
    used = set(re.findall(r"\b([A-Z_]+)=\S+ faas-cli deploy", page)) | {"REGISTRY", "TAG"}
    for name in used | {"STREAM_REPLICAS"}:
        assert f"${{{name}:-" in stack, name
    assert yaml.safe_load(stack)["functions"]


def test_a_second_ingest_is_the_first_under_another_name(tmp_path: Path) -> None:
    page = (ROOT / "docs/deploy.md").read_text()
    text = commands(section(page, "Two functions behind one route"), ["^faas-cli"])
    (tmp_path / "stack.yml").write_text((ROOT / "stack.yml").read_text())
    subprocess.run(["sh", "-c", text], cwd=tmp_path, check=True)
    first = {each.service: each for each in read_stack(ROOT / "stack.yml", {})}["ingest"]
    second = {each.service: each for each in read_stack(tmp_path / "ingest-b.yml", {})}["ingest-b"]
    apart = {"service", "annotations"}  # the local platform's annotation names the folder
    assert second.model_dump(exclude=apart) == first.model_dump(exclude=apart)
