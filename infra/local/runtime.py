"""Where a running platform's parts are, for commands that talk to it."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.local.errors import PlatformError

FILE = "platform.json"


@dataclass(frozen=True)
class Runtime:
    """The addresses of a running platform; secrets stay in their files.

    Attributes:
        pid: the platform's process.
        gateway_url: the OpenFaaS gateway's address.
        nats_url: the NATS server's address.
        connector_url: where the connector serves health and metrics.
    """

    pid: int
    gateway_url: str
    nats_url: str
    connector_url: str

    def save(self, state_dir: Path) -> None:
        """Write it where `load` finds it."""
        (state_dir / FILE).write_text(json.dumps(asdict(self), indent=2) + "\n")


def load(state_dir: Path) -> Runtime:
    """Return the addresses of the platform that runs with this state folder.

    Raises:
        PlatformError: none runs.
    """
    try:
        runtime = Runtime(**json.loads((state_dir / FILE).read_text()))
        os.kill(runtime.pid, 0)
    except (OSError, ValueError, TypeError) as error:
        raise PlatformError(
            f"no platform runs with the state folder {state_dir}: start one with 'universe up', "
            "or name another folder with STATE_DIR"
        ) from error
    return runtime


def forget(state_dir: Path) -> None:
    """Remove the addresses of a platform that has stopped."""
    (state_dir / FILE).unlink(missing_ok=True)


def secret(state_dir: Path, name: str) -> str:
    """Return a secret of the platform.

    Raises:
        PlatformError: there is no such secret, or this user may not read it.
    """
    try:
        return (state_dir / "secrets" / name).read_text().strip()
    except OSError as error:
        raise PlatformError(f"the secret {name} cannot be read: {error.strerror}") from error
