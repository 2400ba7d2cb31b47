"""docs/webhooks.md: its snippets connect a sender to a running ingest."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from functions.common.paths import ROOT
from functions.ingest.webhooks.scheme import Scheme
from functions.ingest.webhooks.schemes import SCHEMES
from infra.cli.load.event_generator import generate
from infra.local.servers.nats import EmbeddedNats
from tests.support.functions import running

PAGE = (ROOT / "docs/webhooks.md").read_text()


def snippets(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


SECRETS, CHALLENGE, *CURL = snippets("sh")
[PYTHON] = snippets("python")
[WEBHOOKS] = snippets("json")


@dataclass(frozen=True)
class Sender:
    """A folder with the secrets and events of the page, and the address of an ingest."""

    folder: Path
    url: str = ""

    def run(self, *command: str) -> str:
        """Run a snippet, and return what it prints."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, "INGEST_URL": self.url, "NO_PROXY": "127.0.0.1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def shell(self, snippet: str) -> str:
        return self.run("bash", "-euo", "pipefail", "-c", snippet)


@pytest.fixture(scope="module")
def sender(
    session_nats: EmbeddedNats, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sender]:
    folder = tmp_path_factory.mktemp("webhooks")
    Sender(folder).shell(SECRETS)
    (folder / "secrets" / "ingest-api-key").write_text("open sesame")
    for source in ("facebook", "tiktok"):
        found = next(e.event for e in generate(50, 1) if e.event.get("source") == source)
        (folder / f"{source}.json").write_text(json.dumps(found, indent=2))
    with running(
        "functions.ingest.handler",
        folder / "log",
        NATS_URL=session_nats.url,
        SECRETS_DIR=str(folder / "secrets"),
        WEBHOOKS=WEBHOOKS,
    ) as function:
        yield Sender(folder, function.url)


def test_secrets_are_those_of_the_snippets(sender: Sender) -> None:
    """Each secret of the page is one that a webhook of the page reads."""
    names = {each.name for each in (sender.folder / "secrets").iterdir()}
    webhooks = {"facebook", "tiktok", *json.loads(WEBHOOKS)}
    assert names == {
        "ingest-api-key",
        "webhook-facebook-verify-token",
        *(f"webhook-{name}" for name in webhooks),
    }


def test_challenge_comes_back(sender: Sender) -> None:
    """How to connect Facebook: the subscription."""
    assert sender.shell(CHALLENGE) == "1158201444"


@pytest.mark.parametrize("path", ["facebook", "tiktok", "shop", "partner"])
def test_signed_request_is_taken(sender: Sender, path: str) -> None:
    """How to connect Facebook, TikTok, a shop and a sender of one's own."""
    [snippet] = [each for each in CURL if f"/webhook/{path}" in each]
    assert json.loads(sender.shell(snippet)) == {"accepted": 1, "rejected": []}
    with pytest.raises(AssertionError, match="401"):
        sender.shell(snippet.replace(f"secrets/webhook-{path}", "secrets/ingest-api-key"))


def test_python_signs_as_standard_webhooks_says(sender: Sender) -> None:
    """How to connect a service of one's own."""
    assert json.loads(sender.run(sys.executable, "-c", PYTHON)) == {"accepted": 1, "rejected": []}


def rows(after: str) -> dict[str, list[str]]:
    """Return the table that follows a heading's text, by the code in its first column."""
    table = PAGE.partition(after)[2].partition("\n|")[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {row[0].strip("`"): row[1:] for row in cells[2:]}


def test_page_has_every_scheme_and_field() -> None:
    """A scheme's header, and a field's default, are those of the code."""
    schemes = rows("with its scheme and its sources.")
    assert set(schemes) == set(SCHEMES)
    for name, (header, *_) in schemes.items():
        assert f"{SCHEMES[name].header}:" in header
    fields = rows("A scheme can be spelled out")
    assert list(fields) == list(Scheme.model_fields)
    for name, (default, _) in fields.items():
        field = Scheme.model_fields[name]
        value = "" if field.is_required() else field.default
        said = default.strip("`")
        assert said == ("none" if value in (None, "", ()) and said else
                        json.dumps(value) if isinstance(value, bool) else
                        f"{value:g}" if isinstance(value, float) else value), name  # fmt: skip
