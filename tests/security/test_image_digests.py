"""Protects: images by digest where one can be known, in one place, by a documented step.

The command runs against a server that speaks the API of the OCI distribution specification, since
tests reach no registry.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from functions.common.paths import ROOT
from tests.support.manifests import copy, pod_specs, render

PROGRAM = ROOT / "scripts/lock_images.py"
OURS = "ghcr.io/universe-events/"
OVERLAYS = (
    "infra/kubernetes/overlays/single-node",
    "infra/kubernetes/overlays/production",
    "infra/kubernetes/monitoring",
    "infra/knative/single-node",
    "infra/knative/production",
)


def locked() -> list[str]:
    lines = (ROOT / "infra/images.lock").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def without_digest(image: str) -> str:
    return image.partition("@")[0]


class Registry(BaseHTTPRequestHandler):
    """Gives a token to anybody, and with it the manifest of any image."""

    token = "for-anybody"
    missing = ""
    lying = False

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        host = f"http://{self.headers['Host']}"
        if self.path.startswith("/token?"):
            self.reply(200, json.dumps({"token": self.token}).encode())
            return
        found = re.fullmatch(r"/v2/(.+)/manifests/(.+)", self.path)
        if not found or (self.missing and self.missing in self.path):
            self.reply(404, b"{}")
        elif self.headers.get("Authorization") != f"Bearer {self.token}":
            challenge = f'Bearer realm="{host}/token",service="registry",scope="pull"'
            self.reply(401, b"{}", {"WWW-Authenticate": challenge})
        else:
            assert "application/vnd.oci.image.index.v1+json" in self.headers["Accept"]
            body = manifest(found[1], found[2])
            digest = digest_of(b"another" if self.lying else body)
            self.reply(200, body, {"Docker-Content-Digest": digest})

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def manifest(name: str, tag: str) -> bytes:
    return json.dumps({"schemaVersion": 2, "annotations": {"name": name, "tag": tag}}).encode()


def digest_of(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(Registry, "missing", "")
    monkeypatch.setattr(Registry, "lying", False)
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the command reads and writes."""
    copy(tmp_path)
    for name in ("infra/images.lock", "infra/compose.yaml", "infra/connector/Dockerfile",
                 "infra/monitoring/exporter/Dockerfile",
                 "templates/python3-functions-framework/Dockerfile"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def run(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM), "--root", str(tree), *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def resolve(tree: Path, registry: str) -> subprocess.CompletedProcess[str]:
    names = {image.partition("/")[0] for image in locked()}
    return run(tree, *(f"--registry={name}={registry}" for name in names))


def expected(image: str) -> str:
    """Return the image with the digest that the registry here has for it."""
    _, _, rest = without_digest(image).partition("/")
    name, _, tag = rest.rpartition(":")
    return f"{without_digest(image)}@{digest_of(manifest(name, tag))}"


def test_every_image_of_others_is_in_the_lock_file(tree: Path) -> None:
    """One place: what manifests, Compose and Dockerfiles name is there, with the same digest."""
    known = set(locked()) | {line.removeprefix("docker.io/library/") for line in locked()}
    known |= {line.removeprefix("docker.io/") for line in locked()}
    used = set[str]()
    for overlay in OVERLAYS:
        manifests = render(tree / overlay)
        used |= {c["image"] for _, template in pod_specs(manifests)
                 for c in template["spec"]["containers"]}  # fmt: skip
        used |= {m["spec"]["imageName"] for m in manifests if m["kind"] == "Cluster"}
    compose = yaml.safe_load((tree / "infra/compose.yaml").read_text())
    used |= {service["image"] for service in compose["services"].values()}
    for file in tree.rglob("Dockerfile"):
        used |= set(re.findall(r"^ARG \w+_IMAGE=(\S+)", file.read_text(), re.M))
        assert all("$" in name or "build" in name or name == "base"
                   for name in re.findall(r"^FROM (\S+)", file.read_text(), re.M))  # fmt: skip
    others = {image for image in used if not image.startswith(OURS)}
    assert others <= known, others - known
    assert len(others) >= len(locked())


def test_files_agree_with_the_lock_file() -> None:
    """A digest or a version that is changed in one file only is found."""
    done = run(ROOT, "--check")
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_step_writes_digests_into_every_file(tree: Path, registry: str) -> None:
    """The registry's digests are in the lock file, and everything runs those images."""
    done = resolve(tree, registry)
    assert done.returncode == 0, done.stderr
    wanted = [expected(image) for image in locked()]
    text = (tree / "infra/images.lock").read_text()
    assert [line for line in text.splitlines() if not line.startswith("#")] == wanted
    assert text.startswith("#")
    ends = {image.rpartition("/")[2] for image in wanted}
    for overlay in OVERLAYS:
        for _, template in pod_specs(render(tree / overlay)):
            for container in template["spec"]["containers"]:
                if not container["image"].startswith(OURS):
                    assert container["image"].rpartition("/")[2] in ends
    compose = yaml.safe_load((tree / "infra/compose.yaml").read_text())
    for service in compose["services"].values():
        assert service["image"].rpartition("/")[2] in ends
    for file in tree.rglob("Dockerfile"):
        images = re.findall(r"^ARG \w+_IMAGE=(\S+)", file.read_text(), re.M)
        assert images
        assert all(image.rpartition("/")[2] in ends for image in images)
    assert run(tree, "--check").returncode == 0
    before = {path: path.read_text() for path in tree.rglob("*.yaml")}
    assert resolve(tree, registry).returncode == 0
    assert {path: path.read_text() for path in tree.rglob("*.yaml")} == before


def test_digest_that_somebody_changed_is_found(tree: Path, registry: str) -> None:
    """`--check` names the file."""
    resolve(tree, registry)
    file = tree / "infra/connector/Dockerfile"
    file.write_text(re.sub(r"sha256:\w{64}", "sha256:" + "0" * 64, file.read_text()))
    done = run(tree, "--check")
    assert done.returncode == 1
    assert "infra/connector/Dockerfile differs" in done.stdout


def test_answer_that_is_not_its_digest_is_refused(
    tree: Path, registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry or a proxy that answers something else than it states changes nothing."""
    before = (tree / "infra/images.lock").read_text()
    monkeypatch.setattr(Registry, "lying", True)
    done = resolve(tree, registry)
    assert done.returncode == 1
    assert "the registry states sha256:" in done.stderr
    assert (tree / "infra/images.lock").read_text() == before


def test_image_that_cannot_be_resolved_stays_as_it_is(
    tree: Path, registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No digest is invented: the others get theirs, and the command fails."""
    resolve(tree, registry)
    (tree / "infra/images.lock").write_text("\n".join(map(without_digest, locked())) + "\n")
    monkeypatch.setattr(Registry, "missing", "grafana")
    done = resolve(tree, registry)
    assert done.returncode == 1
    [kept] = done.stderr.splitlines()
    assert "grafana" in kept
    lines = (tree / "infra/images.lock").read_text().splitlines()
    assert [line for line in lines if "@" not in line] == ["docker.io/grafana/grafana:12.2.0"]
