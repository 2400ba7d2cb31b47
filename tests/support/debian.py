"""Programs out of Debian packages, for the tests that need them.

A package is unpacked into `.tools/debian/` and used from there: nothing is installed, so no service
is started and no root is needed. That suits programs that bring their libraries along.
"""

import fcntl
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from functions.common.paths import ROOT

FOLDER = ROOT / ".tools" / "debian"
_SECONDS = 240


@functools.cache
def debian_tool(package: str, binary: str) -> Path:
    """Return the path of a program, out of its Debian package where this machine lacks it.

    Tests that run at the same time wait for each other. A machine that cannot get the package skips
    the test, with the reason.

    Args:
        package: the package's name, for example `prometheus`.
        binary: the program's name, for example `promtool`.
    """
    installed = shutil.which(binary)
    if installed:
        return Path(installed)
    unpacked = FOLDER / package
    program = unpacked / "usr" / "bin" / binary
    if program.exists():
        return program
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        pytest.skip(f"{binary} is not installed, and this is no Debian to take it from")
    with _alone():
        if not unpacked.exists():
            try:
                _unpack(package, unpacked)
            except (subprocess.SubprocessError, OSError) as error:
                said = (getattr(error, "stderr", None) or str(error))[-300:]
                pytest.skip(f"{binary} is not installed, and {package} cannot be had: {said}")
    assert program.exists(), f"{package} has no /usr/bin/{binary}"
    return program


def _unpack(package: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        try:
            _run("apt-get", "download", "-q", package, cwd=scratch)
        except subprocess.CalledProcessError:
            _run("apt-get", "update", "-q", cwd=scratch)
            _run("apt-get", "download", "-q", package, cwd=scratch)
        (archive,) = Path(scratch).glob("*.deb")
        # complete or not there: whoever looks without the lock must not find half of it
        half = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
        _run("dpkg-deb", "-x", str(archive), str(half), cwd=scratch)
        half.chmod(0o755)
        half.rename(folder)


def _run(*command: str, cwd: str) -> None:
    subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        check=True,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )


@contextmanager
def _alone() -> Iterator[None]:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
