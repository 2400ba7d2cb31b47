"""The platform that the tests of this folder share."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mail import Mailbox, smtp_server
from tests.support.platform import RunningPlatform, platform


@pytest.fixture(scope="session")
def e2e_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="universe-e2e-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    """What the platform mails."""
    with smtp_server() as mailbox:
        yield mailbox


@pytest.fixture(scope="module")
def up(
    e2e_folder: Path, request: pytest.FixtureRequest, mailbox: Mailbox
) -> Iterator[RunningPlatform]:
    """A platform whose functions go to zero after a few seconds without traffic."""
    folder = e2e_folder / request.module.__name__.rpartition(".")[2]
    folder.mkdir()
    mail = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(mailbox.port), "SMTP_SECURITY": "none"}
    with platform(folder, ZERO_DURATION="4s", **mail) as running:
        yield running
