"""Commands of a page in a shell that has Docker, with other ports and images than the page's."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from tests.images.engine import Engine

DOCKER = """#!/bin/sh
# what is run is found again, to be removed
if [ "$1" = run ]; then shift; set -- run --label {label} "$@"; fi
exec {docker} "$@"
"""


class Shell:
    """A shell in a folder, whose Docker is the tests' own.

    Attributes:
        folder: where commands are run.
    """

    def __init__(self, engine: Engine, folder: Path, *programs: Path) -> None:
        self._engine = engine
        self._label = f"universe-test-{uuid4().hex[:8]}"
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        binaries = folder / ".bin"
        binaries.mkdir()
        docker = binaries / "docker"
        docker.write_text(DOCKER.format(label=self._label, docker=shutil.which("docker")))
        docker.chmod(0o755)
        for program in programs:
            (binaries / program.name).symlink_to(program)
        self._path = f"{binaries}{os.pathsep}{os.environ['PATH']}"

    def run(self, script: str, seconds: float = 300, **environment: str) -> str:
        """Run commands, of which none may fail, and return what they wrote."""
        done = subprocess.run(
            ["sh", "-c", script],
            cwd=self.folder,
            env={
                **os.environ,
                **self._engine.environment,
                "HOME": str(self.folder),
                "PATH": self._path,
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:]
        return done.stdout

    def containers(self) -> list[str]:
        """Return the ids of those that were run, the newest first."""
        label = f"label={self._label}"
        return self._engine.run("ps", "--all", "--quiet", "--filter", label).split()

    def clean(self) -> None:
        """Remove them."""
        if found := self.containers():
            self._engine.run("rm", "--force", "--volumes", *found)


@contextmanager
def shell(engine: Engine, folder: Path, *programs: Path) -> Iterator[Shell]:
    """Give one; the containers that it ran are gone once the block ends."""
    made = Shell(engine, folder, *programs)
    try:
        yield made
    finally:
        made.clean()


@contextmanager
def tagged(engine: Engine, image: str, *names: str) -> Iterator[None]:
    """Let an image have the names that a page gives it until the block ends."""
    new = [name for name in names if name != image and not engine.has(name)]
    for name in new:
        engine.run("tag", image, name)
    try:
        yield
    finally:
        for name in new:
            engine.run("rmi", "--no-prune", name)
