"""Follows a Dockerfile without a container engine.

Each stage happens in a folder that stands for its root. Python and pip are those of a fresh virtual
environment, which stands for the base image; a stage that does nothing stands for an image that
others made, and what is copied from it is left out. Nothing keeps a `RUN` from seeing the rest of
this machine: that is for trusted Dockerfiles, whose commands stay in the folders in `IN_THE_IMAGE`.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.tied_process import TiedProcess

INSTALL_SECONDS = 150
IN_THE_IMAGE = re.compile(r"(?<![\w./])/(?=(?:app|home|tmp|venv)\b)")
"""Absolute paths in commands that mean the image's."""
_NO_NETWORK = re.compile("NewConnectionError|NameResolutionError|Max retries|ConnectTimeout")


@dataclass(frozen=True)
class Instruction:
    """One instruction, its lines joined."""

    name: str
    text: str


@dataclass
class Image:
    """What the last stage makes.

    Attributes:
        folder: stands for the image's root.
        environment: what `ENV` sets, besides the PATH with the base image's Python.
        workdir: the working directory, in the image.
        user: what `USER` says.
        health: the command of `HEALTHCHECK`.
        command: `ENTRYPOINT` and `CMD`, with paths of this machine.
    """

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = ""
    health: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def path(self, path: str) -> Path:
        """Return where a path of the image is on this machine."""
        return (
            self.folder
            / os.path.normpath(f"{self.workdir}/{path}" if path[:1] != "/" else path)[1:]
        )

    @property
    def bin(self) -> Path:
        """The folder of the base image's Python and pip."""
        return self.folder / "base" / "bin"

    def localized(self, text: str) -> str:
        """Return a command with the image's paths as they are on this machine."""
        return IN_THE_IMAGE.sub(f"{self.folder}/", text)

    def files(self) -> dict[str, int]:
        """Return when each file was changed last, those in /tmp and of Python left out."""
        skipped = (self.path("/tmp"), self.folder / "venv", self.folder / "base")
        return {
            str(file.relative_to(self.folder)): file.stat().st_mtime_ns
            for file in self.folder.rglob("*")
            if file.is_file() and not any(file.is_relative_to(folder) for folder in skipped)
        }

    def variables(self, **others: str) -> dict[str, str]:
        """Return the environment a process of the image has, with `others` set by its engine."""
        path = f"{self.bin}{os.pathsep}/usr/bin{os.pathsep}/bin"
        return {"PATH": path, **self.environment, **others}


def instructions(text: str) -> list[Instruction]:
    """Return the instructions of a Dockerfile, comments left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = [re.split(r"\s+", line.strip(), maxsplit=1) for line in joined.splitlines()]
    return [Instruction(part[0].upper(), part[-1].strip()) for part in found if part[0]]


def build(context: Path, folder: Path, dockerfile: str = "Dockerfile") -> Image:
    """Follow the Dockerfile in `context` and return the image, made in `folder`.

    Raises:
        AssertionError: a command failed; the message has its output.
    """
    stages: dict[str, Image] = {}
    building = _Build(context, Image(folder / "none"), stages, {})
    for step in instructions((context / dockerfile).read_text()):
        if step.name == "FROM":
            name = step.text.split()[-1] if " as " in step.text.lower() else str(len(stages))
            stages[name] = Image(folder / f"stage{len(stages)}")
            building = _Build(context, stages[name], stages, {})
            continue
        follow = _FOLLOWED.get(step.name)
        assert follow, f"{step.name} is not followed here: teach tests/images/dockerfile.py"
        follow(building, step.text)
    return building.image


def start(image: Image, command: list[str], log: Path, **environment: str) -> TiedProcess:
    """Run a command in the image.

    Args:
        image: what `build` returned.
        command: its program is found on the image's PATH, or has a path of this machine.
        log: a file for its output.
        environment: variables that the engine sets.
    """
    variables = image.variables(**environment)
    program = shutil.which(command[0], path=variables["PATH"]) or command[0]
    with log.open("ab") as output:
        return TiedProcess(
            [program, *command[1:]],
            cwd=image.path("."),
            env=variables,
            stdout=output,
            stderr=output,
        )


@dataclass(frozen=True)
class _Build:
    context: Path
    image: Image
    stages: dict[str, Image]
    arguments: dict[str, str]


def _words(text: str) -> list[str]:
    return json.loads(text) if text.startswith("[") else text.split()


def _arg(build: _Build, text: str) -> None:
    name, _, default = text.partition("=")
    build.arguments[name] = default.strip('"')


def _env(build: _Build, text: str) -> None:
    for pair in shlex.split(text):
        name, _, value = pair.partition("=")
        if name == "PATH":
            before = build.image.variables()["PATH"]
            value = build.image.localized(value).replace("$PATH", before)
        build.image.environment[name] = value


def _workdir(build: _Build, text: str) -> None:
    build.image.workdir = text
    build.image.path(".").mkdir(parents=True, exist_ok=True)


def _user(build: _Build, text: str) -> None:
    build.image.user = text


def _healthcheck(build: _Build, text: str) -> None:
    build.image.health = _words(text.partition("CMD")[2].strip())


def _command(build: _Build, text: str) -> None:
    build.image.command += [build.image.localized(word) for word in _words(text)]


def _copy(build: _Build, text: str) -> None:
    words = shlex.split(text)
    *sources, target = [word for word in words if not word.startswith("--")]
    origin = build.context
    for stage in (word.removeprefix("--from=") for word in words if word.startswith("--from=")):
        origin = build.stages[stage].folder
        if not origin.exists():
            return
    destination = build.image.path(target)
    for pattern in sources:
        found = sorted(origin.glob(pattern.strip("/")))
        assert found or "*" in pattern, f"COPY {text}: there is no {pattern}"
        for source in found:
            if source.is_dir():
                shutil.copytree(
                    source, destination, symlinks=True, dirs_exist_ok=True, ignore=_ignore
                )
            else:
                into = destination / source.name if target.endswith("/") else destination
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, into)


def _ignore(_: str, names: list[str]) -> list[str]:
    """Do as the .dockerignore files of the project say."""
    return [name for name in names if name == "__pycache__" or name.endswith(".pyc")]


def _run(build: _Build, command: str) -> None:
    image = build.image
    image.path("/tmp").mkdir(parents=True, exist_ok=True)
    if not image.bin.exists() and re.search(r"(?<![\w/])(python|pip) ", command):
        base = str(image.bin.parent)
        subprocess.run([sys.executable, "-m", "venv", base], check=True, stdout=subprocess.DEVNULL)
    # a download that this machine has made before need not be made again
    command = command.replace("--no-cache-dir ", "")
    home = os.environ.get("HOME", "/tmp")
    variables = image.variables(**build.arguments, HOME=home, PIP_NO_CACHE_DIR="0")
    done = subprocess.run(
        ["sh", "-c", image.localized(command)],
        cwd=image.path("."),
        env={**_network(), **variables},
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode != 0 and _NO_NETWORK.search(done.stderr):
        pytest.skip(f"packages cannot be had: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, f"RUN {command}: {done.stdout[-1000:]}{done.stderr[-3000:]}"


def _network() -> dict[str, str]:
    """Return how this machine reaches its package registry."""
    named = ("PIP_", "SSL_", "REQUESTS_", "HTTP", "NO_PROXY", "http", "no_proxy")
    return {name: value for name, value in os.environ.items() if name.startswith(named)}


def _nothing(build: _Build, text: str) -> None:
    pass


_FOLLOWED: dict[str, Callable[[_Build, str], None]] = {
    "ARG": _arg,
    "ENV": _env,
    "WORKDIR": _workdir,
    "COPY": _copy,
    "RUN": _run,
    "USER": _user,
    "HEALTHCHECK": _healthcheck,
    "ENTRYPOINT": _command,
    "CMD": _command,
    "EXPOSE": _nothing,
    "LABEL": _nothing,
}
