"""Which secrets a process is given: those that it names, as files in a folder of its own."""

import contextlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from infra.local.errors import DeploymentError

DOORS: dict[str, str] = {
    "ingest-api-key": "INGEST_AUTH",
    "analytics-api-key": "ANALYTICS_AUTH",
    "analytics-write-key": "ANALYTICS_WRITE_AUTH",
}
"""Secrets that need not be there on one machine, and the settings that are `none` without them."""

BEHIND: Mapping[str, str] = {"analytics-write-key": "analytics-api-key"}
"""Doors that stay closed without a secret of their own where this one is there: who closed reading
has not opened writing to every reader."""

COMPANIONS: Mapping[str, tuple[str, ...]] = {
    "nats-url": (
        "nats-user", "nats-password", "nats-token", "nats-creds", "nats-nkey", "nats-ca",
    ),
    "ingest-api-key": ("webhook-*",),
}  # fmt: skip
"""Secrets, or patterns of them, that come along where they are there: on one machine a file in
`STATE_DIR/secrets` is enough, while a cluster mounts what the stack file names."""

REPLACED_VARIABLES: Mapping[str, str] = {"nats-url": "NATS_URL"}
"""Variables that are dropped where the secret is mounted: they name a host of a cluster."""


def check_secrets(store: Path, names: Iterable[str]) -> None:
    """Check that secrets are there.

    Args:
        store: the folder of all secrets.
        names: what a deployment names.

    Raises:
        DeploymentError: one is missing, and is not one of `DOORS`.
    """
    for name in names:
        if name not in DOORS and not (store / name).is_file():
            raise DeploymentError(f"unable to find secret: {name}")


def mounted_secrets(store: Path, names: Collection[str]) -> set[str]:
    """Return the names of the secrets that a process gets which names these."""
    mounted = {name for name in names if name not in DOORS or (store / name).is_file()}
    for name in names:
        for pattern in COMPANIONS.get(name, ()):
            mounted |= {path.name for path in store.glob(pattern) if path.is_file()}
    return mounted


def open_doors(store: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the settings of the doors that are open because their secret is not there."""
    return {
        DOORS[name]: "none"
        for name in names
        if name in DOORS
        and not (store / name).is_file()
        and not (name in BEHIND and (store / BEHIND[name]).is_file())
    }


def link_secrets(store: Path, folder: Path, names: Collection[str]) -> Path:
    """Fill a folder with links to these secrets and to no others; return it.

    They are links, so that a function that reads the file again sees an updated secret. This guards
    against mistakes, not against attackers: all functions run as one user.
    """
    wanted = mounted_secrets(store, names)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for link in folder.iterdir():
        if link.name not in wanted:
            link.unlink()
    for name in wanted:
        with contextlib.suppress(FileExistsError):
            (folder / name).symlink_to(store / name)
    return folder
