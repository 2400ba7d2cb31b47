"""Programs and schemas of other projects that tests use: installed ones, or Go modules, pinned.

What Go makes is kept in `.tools/` of the repository. A test that cannot have its tool is skipped
and says what to install.
"""

import fcntl
import functools
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools"
BINARIES = TOOLS / "bin"
INSTALL_SECONDS = 600
_NO_DEBUGGING = ("-gcflags=all=-dwarf=false", "-ldflags=-s")
"""What only a debugger reads is a sixth of a compiler's work."""

NATS_CLI = ("github.com/nats-io/natscli/nats", "v0.5.1")
HOW_TO_INSTALL = {
    "faas-cli": "https://docs.openfaas.com/cli/install/",
    "helm": "https://helm.sh/docs/intro/install/",
    "kubectl": "https://kubernetes.io/docs/tasks/tools/",
}


def installed(name: str) -> Path | None:
    """Return a program out of `.tools/bin` or the PATH, or None."""
    found = shutil.which(name, path=f"{BINARIES}{os.pathsep}{os.environ['PATH']}")
    return Path(found) if found else None


def tool(name: str) -> Path:
    """Return a program out of `.tools/bin` or the PATH; skip the test where there is none."""
    found = installed(name)
    if found is None:
        pytest.skip(f"{name} is neither on the PATH nor in .tools/bin: see {HOW_TO_INSTALL[name]}")
    return found


@functools.cache
def go_tool(package: str, version: str) -> Path:
    """Install a program with `go install` and return it; skip the test where that fails."""
    name = _program(package)
    folder = TOOLS / "go" / f"{name}@{version}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two workers would compile the same side by side
        if not (folder / name).exists():
            _go("install", *_NO_DEBUGGING, f"{package}@{version}", GOBIN=str(folder))
    return folder / name


@functools.cache
def go_module(module: str, version: str) -> Path:
    """Return the folder of a Go module, downloaded where need be; skip the test if it is not."""
    return Path(json.loads(_go("mod", "download", "-json", f"{module}@{version}"))["Dir"])


def nats_cli() -> Path:
    """Return NATS' command line, installed or made; skip the test where there is none."""
    return installed("nats") or go_tool(*NATS_CLI)


def _program(package: str) -> str:
    """Return what `go install` names the program of a package: a major version names nothing."""
    last, before = [*reversed(package.split("/"))][:2]
    return before if last.startswith("v") and last[1:].isdigit() else last


def _go(*arguments: str, **environment: str) -> str:
    """Run `go`, outside of any module, and return what it printed."""
    if not shutil.which("go"):
        pytest.skip("there is no Go: see https://go.dev/dl/")
    TOOLS.mkdir(exist_ok=True)
    try:
        done = subprocess.run(
            ["go", *arguments],
            cwd=TOOLS,
            env={**os.environ, "GOFLAGS": "-mod=mod", **environment},
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"go {' '.join(arguments)}: no answer in {INSTALL_SECONDS} s")
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        pytest.skip(f"go {' '.join(arguments)} failed: {(said or ['no reason given'])[-1]}")
    return done.stdout
