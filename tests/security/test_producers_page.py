"""Section 3: the snippets of docs/producers.md do what they say, against a running ingest."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from functions.common.paths import ROOT
from functions.ingest.settings import IngestSettings
from infra.local.servers.nats import EmbeddedNats
from tests.support.functions import Function, running
from tests.support.net import plain_http, wait_until
from tests.support.tied_process import TiedProcess

PAGE = (ROOT / "docs/producers.md").read_text()
KEY = "open sesame"


def snippets(language: str, page: str = PAGE) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.M | re.S)


README = (ROOT / "README.md").read_text()
[_, CURL_ONE, CURL_MANY] = snippets("sh")
[PYTHON] = snippets("python")
[JAVASCRIPT] = snippets("js")


@dataclass(frozen=True)
class Ingest:
    """A running ingest with a key, and its broker."""

    function: Function
    nats: EmbeddedNats
    folder: Path

    def start(self, *command: str, key: str = KEY) -> TiedProcess:
        """Start a producer with the variables that the page names."""
        variables = {**os.environ, "INGEST_URL": self.function.url, "INGEST_API_KEY": key}
        return TiedProcess(
            command,
            cwd=self.folder,
            env={**variables, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def figure(self, name: str) -> float:
        """Return the sum of a counter."""
        text = plain_http.get(self.function.url + "/metrics").text
        return sum(float(each) for each in re.findall(rf"^{name}\{{.*\}} (\S+)$", text, re.M))

    def accepted(self) -> float:
        """Return how many events were accepted."""
        return self.figure("universe_ingest_events_accepted_total")

    def unavailable(self) -> float:
        """Return how many requests were answered 503."""
        text = plain_http.get(self.function.url + "/metrics").text
        found = re.findall(r'route="/webhook/event",status="503"\} (\S+)$', text, re.M)
        return sum(map(float, found))


@pytest.fixture(scope="module")
def ingest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingest]:
    folder = tmp_path_factory.mktemp("producers")
    (folder / "secrets").mkdir()
    (folder / "secrets" / "ingest-api-key").write_text(KEY)
    server = EmbeddedNats(folder / "nats")
    server.start()
    try:
        with running(
            "functions.ingest.handler",
            folder / "log",
            NATS_URL=server.url,
            SECRETS_DIR=str(folder / "secrets"),
        ) as function:
            yield Ingest(function, server, folder)
    finally:
        server.stop()


def command(language: str, folder: Path) -> list[str]:
    """Return the command that runs a snippet, from a file as a reader would have it."""
    if language == "python":
        script, program = PYTHON, sys.executable
        file = folder / "producer.py"
    else:
        found = shutil.which("node")
        if found is None:
            pytest.skip("node is not installed: the JavaScript snippet cannot run")
        script, program, file = JAVASCRIPT, found, folder / "producer.mjs"
    file.write_text(script)
    return [program, str(file)]


def finish(producer: TiedProcess) -> str:
    """Wait for a producer, and return what it wrote."""
    try:
        output, _ = producer.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        producer.kill()
        raise
    assert producer.returncode == 0, output
    return output


def test_one_event_with_curl(ingest: Ingest) -> None:
    """The curl snippet sends one event and shows the answer that the page tells of."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    before = ingest.accepted()
    output = finish(ingest.start("sh", "-euc", CURL_ONE))
    assert '{"accepted":1,"rejected":[]}' in output
    assert ingest.accepted() == before + 1


def test_compressed_lines_with_curl(ingest: Ingest) -> None:
    """The curl snippet of a batch sends a file of events, one a line."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    [event] = re.findall(r"-d '(\{.*\})'", CURL_ONE, re.S)
    now = subprocess.run(
        ["date", "-u", "+%Y-%m-%dT%H:%M:%SZ"], capture_output=True, text=True, check=True
    ).stdout.strip()
    line = " ".join(event.replace("'\"$now\"'", now).split())
    lines = [re.sub(r"'\"\$\(cat .*?\)\"'", f"line-{number}", line) for number in range(3)]
    (ingest.folder / "events.ndjson").write_text("\n".join(lines))
    before = ingest.accepted()
    output = finish(ingest.start("sh", "-euc", CURL_MANY))
    assert '{"accepted":3,"rejected":[]}' in output
    assert ingest.accepted() == before + 3


@pytest.mark.parametrize("language", ["python", "js"])
def test_two_events_with_a_program(ingest: Ingest, language: str) -> None:
    """Both programs send both sources' events, and say nothing when all are taken."""
    before = ingest.accepted()
    assert finish(ingest.start(*command(language, ingest.folder))) == ""
    assert ingest.accepted() == before + 2


@pytest.mark.parametrize("language", ["python", "js"])
def test_a_wrong_key_ends_a_program_at_once(ingest: Ingest, language: str) -> None:
    """What cannot succeed is not sent again."""
    producer = ingest.start(*command(language, ingest.folder), key="wrong")
    output, _ = producer.communicate(timeout=60)
    assert producer.returncode != 0
    assert "X-Api-Key" in output


def test_programs_wait_as_long_as_retry_after_says(ingest: Ingest) -> None:
    """While the broker is away the programs get 503 with Retry-After, and succeed afterwards."""
    languages = ["python", *(["js"] if shutil.which("node") else [])]
    before, refused = ingest.accepted(), ingest.unavailable()
    ingest.nats.stop()
    try:
        producers = [ingest.start(*command(each, ingest.folder)) for each in languages]
        wait_until(lambda: ingest.unavailable() >= refused + len(languages), 60)
        assert all(each.poll() is None for each in producers)
    finally:
        ingest.nats.start()
    for each in producers:
        assert finish(each) == ""
    assert ingest.accepted() == before + 2 * len(languages)


def readme_program(language: str, url: str, events: list[Any]) -> str:
    """Return a program that sends events with the README's snippet of a language."""
    [snippet] = snippets(language, README)
    if language == "python":
        return f"{snippet}\nprint(json.dumps(send({events!r}, {url!r}, {KEY!r})))"
    arguments = f"{json.dumps(events)}, {json.dumps(url)}, {json.dumps(KEY)}"
    return f"{snippet}\nconsole.log(JSON.stringify(await send({arguments})));"


@pytest.mark.parametrize("language", ["python", "js"])
def test_the_snippets_of_the_readme(ingest: Ingest, language: str) -> None:
    """The README's functions send its events, both sources', also while the broker is away."""
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    events = [json.loads(text) for text in snippets("json", README)]
    for event in events:
        event["timestamp"] = yesterday + event["timestamp"][10:]
    assert {event["source"] for event in events} == {"facebook", "tiktok"}
    [program, file] = command(language, ingest.folder)
    url = ingest.function.url + "/webhook/event"
    Path(file).write_text(readme_program(language, url, events))
    refused = ingest.unavailable()
    ingest.nats.stop()
    try:
        producer = ingest.start(program, file)
        wait_until(lambda: ingest.unavailable() > refused, 60)
    finally:
        ingest.nats.start()
    assert json.loads(finish(producer)) == {"accepted": len(events), "rejected": []}


def test_the_limits_are_those_of_the_settings() -> None:
    """The page's limits are the defaults."""
    defaults = IngestSettings()
    rows = dict(re.findall(r"^\| `(MAX_\w+)` \| ([\d,]+) \|", PAGE, re.M))
    assert rows
    for name, value in rows.items():
        assert int(value.replace(",", "")) == getattr(defaults, name.lower()), name


def test_every_status_of_the_document_is_explained() -> None:
    """The page says what to do with each status that the OpenAPI document has."""
    from functions.ingest.api.openapi import document

    operation = document(IngestSettings())["paths"]["/webhook/event"]["post"]
    explained = set(re.findall(r"^\| (\d{3}) \|", PAGE, re.M))
    assert set(operation["responses"]) <= explained


def test_every_event_type_is_on_the_page() -> None:
    """Both sources' events: every stage, type and field."""
    from functions.common.events import SOURCES
    from functions.ingest.api.schemas import source_schema

    for source in SOURCES:
        schema = source_schema(source)
        for branch in schema["oneOf"]:
            fields = schema["$defs"][branch["$ref"].rpartition("/")[2]]["properties"]
            stage = fields["funnelStage"]["const"]
            row = re.search(rf"^\| `{source}` \| `{stage}` \| (.*?) \|.*\| (.*?) \|$", PAGE, re.M)
            assert row
            assert re.findall(r"`([\w.]+)`", row[1]) == fields["eventType"]["enum"]
            data = schema["$defs"][fields["data"]["$ref"].rpartition("/")[2]]["properties"]
            engagement = schema["$defs"][data["engagement"]["$ref"].rpartition("/")[2]]
            names = {
                name if name in engagement.get("required", []) else name + "?"
                for name in engagement["properties"]
            }
            assert set(re.findall(r"`(\w+)`(\??)", row[2])) == {
                (name.rstrip("?"), "?" if name.endswith("?") else "") for name in names
            }


def test_the_page_says_what_an_event_id_means_for_who_may_send() -> None:
    """Section 1: whoever may send can suppress a later event with the same eventId."""
    [section] = re.findall(
        r"^### Who may send, and what an id is worth\n(.*?)^## ", PAGE, re.M | re.S
    )
    for words in ("suppress a later event", "first event with an id wins", "cannot guess"):
        assert words in " ".join(section.split())
