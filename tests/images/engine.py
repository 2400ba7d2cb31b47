"""A real container engine: the machine's Docker, or one that the tests start for themselves."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from functions.common.paths import ROOT
from tests.support.net import free_port, plain_http, wait_until
from tests.support.tied_process import TiedProcess

PYTHON = "python:3.11-slim"
STAND_IN = "universe-tests/python:3.11"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
BUILD_SECONDS = 300
STAND_IN_SECONDS = 400
STAND_IN_PACKAGES = (
    "base-files,base-passwd,bash,ca-certificates,coreutils,dash,findutils,grep,libc-bin,"
    "libstdc++6,"
    "python3,python3-distutils,python3-pip,python3-venv,sed,tzdata"
)


class Engine:
    """Docker.

    Args:
        host: the address of its daemon, as in `DOCKER_HOST`; None: the default.
    """

    def __init__(self, host: str | None = None) -> None:
        self.environment = {"DOCKER_BUILDKIT": "0", **({"DOCKER_HOST": host} if host else {})}
        """Variables by which programs find it."""

    def run(self, *arguments: str, seconds: float = 60, check: bool = True) -> str:
        """Run a command of docker and return what it printed.

        Raises:
            AssertionError: it failed; the message has what it said.
        """
        done = subprocess.run(
            ["docker", *arguments],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        said = done.stdout + done.stderr
        assert not check or done.returncode == 0, f"docker {' '.join(arguments)}: {said[-3000:]}"
        return done.stdout.strip()

    def works(self) -> bool:
        """Whether a daemon answers."""
        try:
            return bool(self.run("version", "--format", "{{.Server.Version}}", check=False))
        except subprocess.TimeoutExpired:
            return False

    def has(self, image: str) -> bool:
        """Whether the engine has an image."""
        return bool(self.run("images", "--quiet", image))

    def build(self, context: Path, tag: str, *arguments: str) -> str:
        """Build an image and return its tag."""
        self.run("build", "--tag", tag, *arguments, str(context), seconds=BUILD_SECONDS)
        return tag

    def inspect(self, container: str) -> dict:
        """Return what the engine knows of a container's state."""
        return json.loads(self.run("inspect", "--format", "{{json .State}}", container))

    def size(self, image: str) -> int:
        """Return the bytes of an image, those of what it is built upon included."""
        return int(self.run("image", "inspect", "--format", "{{.Size}}", image))


@dataclass(frozen=True)
class Container:
    """A container that runs, in the network of the machine.

    Attributes:
        engine: runs it.
        name: its id.
        port: where what is in it listens.
    """

    engine: Engine
    name: str
    port: int

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, seconds: float = 30) -> httpx.Response | None:
        """Ask it, over a connection of its own; None where there is no answer."""
        try:
            return plain_http.get(self.url + path, timeout=seconds)
        except httpx.TransportError:
            return None

    def is_ready(self, path: str = "/_/ready") -> bool:
        """Whether it says that it takes requests."""
        answer = self.get(path)
        assert answer or self.state()["Running"], self.log()
        return answer is not None and answer.is_success

    def state(self) -> dict:
        """Return what the engine knows about it."""
        return self.engine.inspect(self.name)

    def log(self) -> str:
        """Return what it wrote."""
        return self.engine.run("logs", "--tail", "30", self.name, check=False)

    def stop(self, seconds: int = 30) -> int:
        """Send SIGTERM and return its exit status, 137 where it had to be killed."""
        self.engine.run("stop", "--time", str(seconds), self.name, seconds=seconds + 30)
        return self.state()["ExitCode"]

    def kill(self) -> None:
        """Kill it, and start it again."""
        self.engine.run("kill", self.name)
        self.engine.run("start", self.name)


@contextmanager
def container(
    engine: Engine,
    image: str,
    *arguments: str,
    secrets: Path | None = None,
    **environment: str,
) -> Iterator[Container]:
    """Run an image as a hardened cluster does: read-only, without capabilities, as any user.

    Args:
        engine: runs it.
        image: its tag.
        arguments: further ones of `docker run`.
        secrets: a folder, whose files are its secrets.
        environment: variables.
    """
    port = free_port()
    options = ["--network", "host", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"]
    options += ["--user", "31337:31337", "--security-opt", "no-new-privileges"]
    if secrets:
        for file in (secrets, *secrets.iterdir()):
            file.chmod(0o755 if file.is_dir() else 0o444)
        options += ["--volume", f"{secrets}:/var/openfaas/secrets:ro"]
    variables = {"HOST": "127.0.0.1", "PORT": str(port), **environment}
    for name, value in variables.items():
        options += ["--env", f"{name}={value}"]
    name = engine.run("run", "--detach", *options, *arguments, image)
    try:
        yield Container(engine, name, port)
    finally:
        engine.run("rm", "--force", name)


@contextmanager
def any_engine() -> Iterator[Engine]:
    """Give the machine's Docker, or start one until the block ends; skip where neither can be."""
    if not shutil.which("docker"):
        pytest.skip("there is no docker: apt-get install docker.io")
    if (machines := Engine()).works():
        yield machines
        return
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        pytest.skip("no Docker daemon answers, and only root with dockerd can start one")
    folder = Path(tempfile.mkdtemp(prefix="universe-docker-"))
    socket = f"unix://{folder}/docker.sock"
    command = ["dockerd", "--host", socket, "--data-root", f"{folder}/data"]
    command += ["--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"]
    with (folder / "log").open("wb") as log:
        daemon = TiedProcess(command, stdout=log, stderr=log)
    try:
        ours = Engine(socket)
        deadline = time.monotonic() + 60
        while not ours.works():
            if daemon.poll() is not None or time.monotonic() > deadline:
                lines = (folder / "log").read_text().splitlines()
                pytest.skip(f"dockerd does not start: {lines[-1] if lines else 'no reason given'}")
            time.sleep(0.2)
        yield ours
    finally:
        daemon.terminate()
        daemon.wait(60)
        for mount in reversed(_mounts_below(folder)):
            subprocess.run(["umount", "--lazy", mount], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _mounts_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [path for path in (line.split()[1] for line in lines) if path.startswith(str(folder))]


def python_image(engine: Engine, cache: Path) -> str:
    """Return the image that all others are built upon: the real one, or one of Debian's packages.

    Args:
        engine: has the image afterwards.
        cache: a folder in which the stand-in is kept for the next time.
    """
    if not engine.has(PYTHON):
        with suppress(subprocess.TimeoutExpired):  # of a registry that nothing answers for
            engine.run("pull", "--quiet", PYTHON, seconds=90, check=False)
    if engine.has(PYTHON):
        return PYTHON
    packages = hashlib.sha256(STAND_IN_PACKAGES.encode()).hexdigest()[:8]
    archive = cache / f"python-{packages}.tar"
    if not archive.exists():
        _debian_with_python(archive)
    engine.run("import", str(archive), f"{STAND_IN}-debian", seconds=120)
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        # what this machine trusts: there may be a proxy between it and the packages
        shutil.copy(CERTIFICATES, context / "ca.crt")
        (context / "Dockerfile").write_text(
            f"FROM {STAND_IN}-debian\n"
            f"COPY ca.crt {CERTIFICATES}\n"
            "RUN rm -f /usr/lib/python3*/EXTERNALLY-MANAGED && ln -s python3 /usr/bin/python\n"
            f"ENV PIP_CERT={CERTIFICATES} SSL_CERT_FILE={CERTIFICATES}\n"
        )
        return engine.build(context, STAND_IN)


def package_fault(engine: Engine, image: str) -> str:
    """Return why a container cannot install packages, as each build does; empty where it can."""
    lock = f"{ROOT / 'requirements-uv.lock'}:/requirements.lock:ro"
    install = ["pip", "install", "--quiet", "--require-hashes", "--target", "/tmp/packages"]
    command = ["run", "--rm", "--volume", lock, image, *install, "-r", "/requirements.lock"]
    try:
        engine.run(*command, seconds=120)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        return str(error).strip().splitlines()[-1]
    return ""


def _debian_with_python(archive: Path) -> None:
    if not shutil.which("mmdebstrap"):
        pytest.skip(f"{PYTHON} cannot be pulled, and there is no mmdebstrap to make a stand-in")
    archive.parent.mkdir(parents=True, exist_ok=True)
    made = archive.with_suffix(f".{os.getpid()}.part")  # another worker may make it too
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if line
    )
    command = [
        "mmdebstrap",
        "--variant=extract",  # their scripts are not run: that takes minutes
        "--format=tar",
        f"--include={STAND_IN_PACKAGES}",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        release.get("VERSION_CODENAME", "stable"),
        str(made),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=STAND_IN_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"mmdebstrap makes no image within {STAND_IN_SECONDS} s")
    if done.returncode != 0:
        pytest.skip(f"mmdebstrap: {done.stderr.strip().splitlines()[-1]}")
    made.rename(archive)


def wait_ready(each: Container, path: str = "/_/ready") -> Container:
    """Wait until a container takes requests."""
    wait_until(lambda: each.is_ready(path), 90)
    return each
