"""An earlier commit, ready to run beside this one."""

import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

from functions.common.paths import ROOT


@dataclass(frozen=True)
class Revision:
    """Code that can be run.

    Attributes:
        name: what the figures call it.
        root: the folder of the repository's files.
        python: the interpreter of an environment with what it depends on.
    """

    name: str
    root: Path
    python: str

    def command(self, *arguments: str) -> list[str]:
        """Return the command `universe`, to be run in its root."""
        return [self.python, "-c", "from infra.cli.main import main; main()", *arguments]


HERE = Revision("here", ROOT, sys.executable)
"""The files of this working tree."""


def check_out(ref: str, folder: Path, progress: Callable[[str], None]) -> Revision:
    """Write the files of a commit into a folder, and return it with an environment for it.

    It shares this environment where that has what the commit depends on; else it gets its own.
    The files come from `git archive`: no worktree has to be removed from the repository afterwards.

    Raises:
        subprocess.CalledProcessError: there is no such commit, or its set-up failed.
    """
    progress(f"checking out {ref}")
    folder.mkdir()
    commit = _git("rev-parse", "--short", f"{ref}^{{commit}}").decode().strip()
    with (
        subprocess.Popen(["git", "archive", commit], cwd=ROOT, stdout=subprocess.PIPE) as archive,
        tarfile.open(fileobj=archive.stdout, mode="r|") as files,
    ):
        files.extractall(folder, filter="tar")
    missing = list(_missing(folder / "pyproject.toml"))
    if not missing:
        return Revision(commit, folder, sys.executable)
    progress(f"installing what {commit} depends on: {', '.join(missing)} is not here")
    subprocess.run(["scripts/setup.sh", "requirements.lock"], cwd=folder, check=True)
    return Revision(commit, folder, str(folder / ".venv/bin/python"))


def describe() -> str:
    """Return the commit of this working tree, with a star where files have changed since."""
    return _git("describe", "--always", "--dirty=*").decode().strip()


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout


def _missing(project: Path) -> Iterator[str]:
    """Yield what a project depends on and this environment does not have."""
    for line in tomllib.loads(project.read_text())["project"]["dependencies"]:
        requirement = Requirement(line)
        try:
            suits = version(requirement.name) in requirement.specifier
        except PackageNotFoundError:
            suits = False
        if not suits:
            yield line
