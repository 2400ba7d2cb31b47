"""Protects: locks with hashes that images install by, an SBOM made by CI, SECURITY.md."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from functions.common.paths import ROOT

LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-uv.lock",
         "templates/python3-functions-framework/requirements-uv.lock")  # fmt: skip
DOCKERFILES = ("infra/connector/Dockerfile", "infra/monitoring/exporter/Dockerfile",
               "templates/python3-functions-framework/Dockerfile")  # fmt: skip
REQUIREMENTS = (
    "functions/ingest/requirements.txt",
    "functions/process_batch/requirements.txt",
    "functions/analytics_query/requirements.txt",
    "templates/python3-functions-framework/requirements.txt",
    "infra/connector/requirements.txt",
    "infra/monitoring/exporter/requirements.txt",
)


def pins(path: Path) -> dict[str, str]:
    """Return the packages that a lock file pins, each with the text of its pin."""
    text = path.read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {re.split(r"==", line)[0].partition("[")[0]: line for line in lines}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_with_hashes(lock: str) -> None:
    """No package is installed that is not the one that was locked."""
    found = pins(ROOT / lock)
    assert found
    for name, line in found.items():
        assert re.match(rf"{re.escape(name)}(\[\w+\])?==\S+", line), line
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", line), name


@pytest.mark.parametrize("file", REQUIREMENTS)
def test_lock_pins_what_images_require(file: str) -> None:
    """The constraint that images install by covers every package that they name."""
    locked = pins(ROOT / "requirements.lock").keys()
    named = re.findall(r"^([A-Za-z][\w.-]*)", (ROOT / file).read_text(), re.M)
    assert named
    assert {name.lower().replace("_", "-") for name in named} <= locked


@pytest.mark.parametrize("file", DOCKERFILES)
def test_images_install_by_the_locks(file: str) -> None:
    """uv itself comes with its hashes checked, and every install is constrained by the lock."""
    text = (ROOT / file).read_text().replace("\\\n", " ")
    assert "--require-hashes -r requirements-uv.lock" in text
    installs = re.findall(r"(?:uv )?pip install[^&\n]*", text)
    assert len(installs) >= 2
    for install in installs:
        assert "-c requirements.lock" in install or "--require-hashes" in install, install


def test_installing_a_package_with_another_hash_is_refused(tmp_path: Path) -> None:
    """The command of the Dockerfiles checks the hashes in its constraints."""
    uv = shutil.which("uv") or next(iter(map(str, ROOT.glob(".tools/uv/bin/uv"))), None)
    if uv is None:
        pytest.skip("uv is neither on the PATH nor in .tools/uv")
    line = pins(ROOT / "requirements.lock")["typing-extensions"]
    (tmp_path / "requirements.txt").write_text("typing-extensions>=4\n")
    (tmp_path / "requirements.lock").write_text(line + "\n")
    arguments = [uv, "pip", "install", "-q", "--python", sys.executable, "--target", "out",
                 "-r", "requirements.txt", "-c", "requirements.lock"]  # fmt: skip

    def install() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            arguments, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )

    right = install()
    if right.returncode:
        pytest.skip(f"no packages can be had here: {right.stderr.strip().splitlines()[-1:]}")
    shutil.rmtree(tmp_path / "out")
    another = re.sub(r"[0-9a-f]{64}", "0" * 64, line)
    (tmp_path / "requirements.lock").write_text(another + "\n")
    wrong = install()
    assert wrong.returncode != 0
    assert "hash" in wrong.stderr.lower()


def bill(path: Path) -> dict[str, str]:
    """Return the packages of an SBOM with their versions."""
    text = json.loads(path.read_text())
    assert text["bomFormat"] == "CycloneDX"
    assert all(part["purl"].startswith("pkg:pypi/") for part in text["components"])
    assert all(part["externalReferences"][0]["hashes"] for part in text["components"])
    return {part["name"]: part["version"] for part in text["components"]}


@pytest.mark.slow
def test_bill_of_materials_names_what_a_lock_pins(tmp_path: Path) -> None:
    """The SBOM has each package with version and hashes."""
    some = list(pins(ROOT / "requirements.lock").values())[:3]
    (tmp_path / "some.lock").write_text("\n".join(some) + "\n")
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "requirements", "--of", "JSON",
         "--pyproject", str(ROOT / "pyproject.toml"), "-o", "bill.json", "some.lock"],
        cwd=tmp_path, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    wanted = {re.split("==", line)[0]: re.split(r"==|\s", line)[1] for line in some}
    assert bill(tmp_path / "bill.json") == wanted


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_there_is_a_bill_for_the_runtime_and_each_image(tmp_path: Path) -> None:
    """`make sbom`: what an image has is in the lock, with the same version."""
    done = subprocess.run(
        [str(ROOT / "scripts/sbom.sh"), str(tmp_path)],
        env=None, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    if done.returncode and "error sending request" in done.stderr:
        pytest.skip("no package index is reached from here")
    assert done.returncode == 0, done.stderr
    runtime = bill(tmp_path / "runtime.json")
    assert runtime.keys() == pins(ROOT / "requirements.lock").keys()
    for image, package in {"ingest": "starlette", "process-batch": "psycopg", "connector": "click",
                           "analytics-query": "flask", "exporter": "aiosql"}.items():  # fmt: skip
        packages = bill(tmp_path / f"{image}.json")
        assert package in packages
        for name, version in packages.items():
            assert runtime[name] == version, f"{image}: {name}"


def test_continuous_integration_makes_the_bills() -> None:
    """The workflow keeps them as an artifact."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = workflow["jobs"]["test"]["steps"]
    commands = [step.get("run") for step in steps]
    assert "make sbom" in commands
    [upload] = [step for step in steps if "upload-artifact" in step.get("uses", "")]
    assert upload["with"]["path"] == "build/sbom/*.json"
    assert steps.index(upload) > commands.index("make sbom")
    assert workflow["permissions"] == {"contents": "read"}


def test_security_page_names_every_secret() -> None:
    """SECURITY.md says how to report, what is protected and what is not, and each secret."""
    page = (ROOT / "SECURITY.md").read_text()
    for title in ("Reporting", "What is protected", "What is not", "Secrets", "Supply chain"):
        assert re.search(rf"^## {title}", page, re.M), title
    stack = yaml.safe_load((ROOT / "stack.yml").read_text())
    secrets = {name for each in stack["functions"].values() for name in each.get("secrets", [])}
    assert secrets
    for name in secrets | {"basic-auth", "database-ca", "nats-password-", "owner-password"}:
        assert f"`{name}" in page, name
