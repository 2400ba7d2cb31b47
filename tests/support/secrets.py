"""Secret files for processes of tests, and the signatures that process-batch asks for."""

import time
from pathlib import Path

from functions.common import signature

SIGNING_KEY = "a signing key of the tests"
DOORS = {"ingest-api-key": "INGEST_AUTH", "analytics-api-key": "ANALYTICS_AUTH"}
"""The settings that open a function whose secret is not there."""


def secrets_folder(folder: Path, **secrets: str) -> Path:
    """Return a folder with the key that batches are signed with, and with other secrets.

    Args:
        folder: is made if it is not there.
        secrets: the text of each, by its name with underscores.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {"batch_signing_key": SIGNING_KEY, **secrets}.items():
        (folder / name.replace("_", "-")).write_text(text)
    return folder


def analytics_keys(folder: Path) -> str:
    """Return a folder with a key that may read from analytics-query, `read`, and one, `write`."""
    return str(secrets_folder(folder, analytics_api_key="read\n", analytics_write_key="write\n"))


def open_doors(secrets: Path) -> dict[str, str]:
    """Return the settings that open the doors for which there is no key, as locally."""
    return {variable: "none" for name, variable in DOORS.items() if not (secrets / name).exists()}


def signed(body: bytes, key: str = SIGNING_KEY, now: float | None = None) -> dict[str, str]:
    """Return the header that the connector sends with a body."""
    value = signature.sign([key.encode()], body, time.time() if now is None else now)
    return {signature.HEADER: value}
