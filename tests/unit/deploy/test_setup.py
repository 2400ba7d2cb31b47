"""Set-up on a machine that has no Python this project runs on: one line says what to do."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from functions.common.paths import ROOT

TOOLS = ("sh", "sed", "grep", "date", "dirname", "mktemp", "sleep", "cat", "rm", "kill")
FILES = ("pyproject.toml", "requirements.lock", "requirements-uv.lock")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what set-up reads, and a folder `bin` with nothing but a Python of 2030."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name in TOOLS:
        if path := shutil.which(name):  # kill and others may be of the shell only
            (bin_folder / name).symlink_to(path)
    python = bin_folder / "python3"
    python.write_text('#!/bin/sh\n[ "$1" = -V ] && echo "Python 3.19.0"\n')
    python.chmod(0o755)
    return tmp_path


def set_up(project: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "scripts/setup.sh", "requirements.lock"],
        cwd=project,
        env={"PATH": str(project / "bin"), "HOME": str(project), "TMPDIR": os.fspath(project)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_uv_it_says_what_to_install(project: Path) -> None:
    done = set_up(project)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "Python 3.11 or newer, but older than 3.14, is needed" in line
    assert "python3 is Python 3.19.0" in line
    assert "Install one, or uv" in line
    assert not (project / ".venv").exists()


def test_where_uv_cannot_get_a_python_it_does_not_name_uv_as_the_way(project: Path) -> None:
    uv = project / "bin" / "uv"
    uv.write_text("#!/bin/sh\necho 'error: no such host' >&2\nexit 2\n")
    uv.chmod(0o755)
    done = set_up(project)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "error: no such host"
    assert done.stderr.splitlines()[-1].endswith("Install one: uv could not download it")
