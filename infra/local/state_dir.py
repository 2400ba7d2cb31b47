"""The state folder of a platform: locked by one at a time, with secrets and addresses in it."""

import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from functions.common.broker import BrokerSettings
from infra.local.errors import PlatformError
from infra.local.private_file import write_private

ADDRESSES_FILE = "platform.json"


@dataclass(frozen=True)
class PlatformAddresses:
    """Where the parts of a running platform listen; passwords stay in their secret files.

    Attributes:
        pid: the platform's process.
        gateway_url: the OpenFaaS gateway.
        nats_url: the NATS server, without the login to it.
        connector_url: the connector's health and metrics endpoints.
    """

    pid: int
    gateway_url: str
    nats_url: str
    connector_url: str


def lock_state_dir(folder: Path) -> IO[str]:
    """Create the state folder and lock it. The lock is held as long as the returned file is open.

    Raises:
        PlatformError: the folder cannot be used, or another platform holds the lock.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "secrets").mkdir(mode=0o700, exist_ok=True)
        (folder / "logs").mkdir(mode=0o700, exist_ok=True)
        (folder / "logs").chmod(0o700)  # where an earlier version made it
        lock = (folder / "lock").open("a+")
    except OSError as error:
        raise PlatformError(
            f"the state folder {folder} cannot be used: {error.strerror}; "
            "choose another with STATE_DIR"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise PlatformError(
            f"another platform (process {owner}) uses the state folder {folder}: "
            "stop it, or choose another folder with STATE_DIR"
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def write_secret(folder: Path, name: str, value: str) -> None:
    """Write a secret file readable by its owner only."""
    write_private(folder / "secrets" / name, value.encode())


def ensure_secret(folder: Path, name: str) -> str:
    """Return a secret of the platform, which is made at random if it is not there.

    Raises:
        PlatformError: it is empty, or cannot be read.
    """
    if not (folder / "secrets" / name).exists():
        write_secret(folder, name, secrets.token_hex(32))
    return read_secret(folder, name)


def broker_settings(folder: Path) -> BrokerSettings:
    """Return how to reach the NATS server of the platform, with its login.

    Raises:
        PlatformError: a secret cannot be read.
    """
    login = {
        name: read_secret(folder, name.replace("_", "-"))
        for name in ("nats_user", "nats_password", "nats_token")
        if (folder / "secrets" / name.replace("_", "-")).exists()
    }
    return BrokerSettings.model_validate({"nats_url": read_secret(folder, "nats-url"), **login})


def read_secret(folder: Path, name: str) -> str:
    """Return a secret of the platform.

    Raises:
        PlatformError: the secret does not exist, is empty, or this user may not read it.
    """
    path = folder / "secrets" / name
    try:
        value = path.read_text().strip()
    except OSError as error:
        raise PlatformError(f"the secret {name} cannot be read: {error.strerror}") from error
    if not value:
        raise PlatformError(f"the secret file {path} is empty: write the secret, or remove it")
    return value


def save_addresses(folder: Path, addresses: PlatformAddresses) -> None:
    """Write the addresses of a platform that has started."""
    (folder / ADDRESSES_FILE).write_text(json.dumps(asdict(addresses), indent=2) + "\n")


def load_addresses(folder: Path) -> PlatformAddresses:
    """Return the addresses of the platform that runs with this state folder.

    Raises:
        PlatformError: no platform runs with it.
    """
    try:
        addresses = PlatformAddresses(**json.loads((folder / ADDRESSES_FILE).read_text()))
        os.kill(addresses.pid, 0)
    except (OSError, ValueError, TypeError) as error:
        raise PlatformError(
            f"no platform runs with the state folder {folder}: start one with 'universe up', "
            "or name another folder with STATE_DIR"
        ) from error
    return addresses


def remove_addresses(folder: Path) -> None:
    """Delete the addresses of a platform that has stopped."""
    (folder / ADDRESSES_FILE).unlink(missing_ok=True)
