"""A person's dead letters and what is on its way: `universe erase` and `universe export`.

Protects "deletes a person from dead letters" and "universe export --user ID gives a person's
events".
"""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from functions.common.broker import (
    EVENT_COUNT,
    EVENTS,
    EVENTS_DLQ,
    BrokerSettings,
    ensure_streams,
)
from functions.common.dead_letter import DLQ_REASON, dead_letter_headers
from infra.privacy.person import Person
from tests.conftest import Database
from tests.support.net import wait_until
from tests.support.platform import UNIVERSE
from tests.support.storage import Event, ask
from tests.support.stored_events import generated, store

SAMPLE = generated(40, seed=31)
PERSON = "Jane \u00dfmith"


def event_of(user: str, number: int, **changes: Any) -> Event:
    event = json.loads(json.dumps(SAMPLE[number]))
    event["data"]["user"]["userId"] = user
    return {**event, "eventId": f"{user}-{number}", **changes}


def payload(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


MINE = [
    payload(event_of(PERSON, 0, eventType="no such type")),
    payload({"user": {"userId": PERSON}}),
    b'{"userId":"' + PERSON.encode() + b'", broken',
    b'{"userId": "' + json.dumps(PERSON)[1:-1].encode() + b'" broken too',
]
OTHERS = [
    payload(event_of("someone else", 1, eventType="no such type")),
    payload(event_of("x", 2, campaign=PERSON)),  # the name, not as a user's id
    b"not even JSON",
]
MIXED = b'[{"userId": 1,  "a":1e400}, ' + MINE[0] + b"," + OTHERS[0] + b"]"
MIXED_AFTER = b'[{"userId": 1,  "a":1e400},' + OTHERS[0] + b"]"


@dataclass(frozen=True)
class Result:
    """What a command did."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """All that it printed."""
        return self.stdout + self.stderr


async def js_of(url: str) -> tuple[Client, JetStreamContext]:
    nc = await nats.connect(url)
    js = nc.jetstream()
    await ensure_streams(js, BrokerSettings(nats_url=url))
    return nc, js


async def publish_dead(js: JetStreamContext, data: bytes, source: str = "facebook") -> None:
    headers = dead_letter_headers(reason="a reason", subject=f"events.{source}")
    headers[EVENT_COUNT] = "3"
    await js.publish(f"dlq.EVENTS.events.{source}", data, headers=headers)


async def stored(js: JetStreamContext) -> list[Any]:
    state = (await js.stream_info(EVENTS_DLQ)).state
    found: list[Any] = []
    for sequence in range(state.first_seq, state.last_seq + 1):
        try:
            found.append(await js.get_msg(EVENTS_DLQ, sequence))
        except NotFoundError:
            continue
    return found


async def invoke(*arguments: str) -> Result:
    """Run `universe` as users do."""
    process = await asyncio.create_subprocess_exec(
        UNIVERSE, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    stdout, stderr = await process.communicate()
    assert process.returncode is not None
    return Result(process.returncode, stdout.decode(), stderr.decode())


@pytest.mark.slow
async def test_dead_letters_of_the_person_go_and_those_of_others_stay(
    nats_url: str, database: Database
) -> None:
    nc, js = await js_of(nats_url)
    for data in [*MINE, *OTHERS, MIXED]:
        await publish_dead(js, data)
    options = ("--user", PERSON, "--url", database.url, "--nats-url", nats_url)
    counted = await invoke("erase", *options, "--dry-run", "--json")
    assert json.loads(counted.stdout)["deadLetters"] == len(MINE) + 1
    done = await invoke("erase", *options, "--yes")
    assert done.exit_code == 0, done.output
    left = await stored(js)
    assert [msg.data for msg in left] == [*OTHERS, MIXED_AFTER]
    assert left[-1].subject == "dlq.EVENTS.events.facebook"
    assert left[-1].headers[EVENT_COUNT] == "2"
    assert left[-1].headers[DLQ_REASON] == "a reason"
    assert ask(database, "SELECT dead_letters FROM erasures") == [(len(MINE) + 1,)]
    again = await invoke("erase", *options, "--yes")
    assert "and 0 dead letters" in again.output
    assert [msg.data for msg in await stored(js)] == [*OTHERS, MIXED_AFTER]
    await nc.close()


async def test_dead_letters_of_one_source(nats_url: str, database: Database) -> None:
    nc, js = await js_of(nats_url)
    first = payload(event_of(PERSON, 0, source="facebook", data={"userId": PERSON}))
    other = payload(event_of(PERSON, 0, source="tiktok", data={"userId": PERSON}))
    for data in (first, other):
        await publish_dead(js, data)
    done = await invoke(
        *("erase", "--user", PERSON, "--source", "tiktok", "--yes"),
        *("--url", database.url, "--nats-url", nats_url),
    )
    assert done.exit_code == 0, done.output
    assert [msg.data for msg in await stored(js)] == [first]
    await nc.close()


@pytest.mark.slow
async def test_what_was_accepted_before_is_stored_and_then_erased(
    nats_url: str, database: Database
) -> None:
    """Events that wait in EVENTS when the command starts are not stored after it."""
    nc, js = await js_of(nats_url)
    waiting = [event_of(PERSON, 3), event_of("someone else", 4)]
    await js.publish("events.facebook", payload(waiting))
    consumer = await js.pull_subscribe("events.>", "process-batch", stream=EVENTS)
    started = asyncio.Event()

    async def deliver() -> None:
        await started.wait()
        [msg] = await consumer.fetch(1)
        await asyncio.to_thread(store, database.url, json.loads(msg.data))
        await msg.ack()

    delivering = asyncio.create_task(deliver())
    options = ("--user", PERSON, "--url", database.url, "--nats-url", nats_url, "--yes")
    late = await invoke("erase", *options, "--wait", "0")
    assert late.exit_code == 1
    assert "run it again" in late.output
    assert ask(database, "SELECT count(finished_at) FROM erasures") == [(0,)]
    erasing = asyncio.create_task(invoke("erase", *options, "--wait", "30"))
    await wait_for_record(database, 2)
    started.set()
    done = await erasing
    assert done.exit_code == 0, done.output
    await delivering
    assert ask(database, "SELECT user_id FROM events") == [("someone else",)]
    await nc.close()


async def wait_for_record(database: Database, number: int) -> None:
    """Wait until an erasure has begun: then it waits for what is on its way."""
    count = "SELECT count(*) FROM erasures"
    await asyncio.to_thread(wait_until, lambda: ask(database, count) == [(number,)], 30)


@pytest.mark.slow
async def test_export_has_every_event_of_the_person_and_no_other(
    nats_url: str, database: Database, tmp_path: Path
) -> None:
    """An access request is answered with what was sent, dead letters included."""
    nc, js = await js_of(nats_url)
    own = [event_of(PERSON, number) for number in range(20)]
    own[5]["campaign"] = {"note": 'naïve, "quoted"'}
    store(database.url, [*own, *(event_of("someone else", number) for number in range(20, 40))])
    for data in [*MINE, *OTHERS, MIXED]:
        await publish_dead(js, data)
    options = ("--user", PERSON, "--url", database.url, "--nats-url", nats_url)
    done = await invoke("export", *options)
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    events = [line for line in lines if "deadLetter" not in line]
    by_id = {event["eventId"]: event for event in own}
    assert [event.pop("receivedAt") for event in events]
    assert {event["eventId"] for event in events} == set(by_id)
    for event in events:
        sent = by_id[event["eventId"]]
        names = sent.keys() - {"timestamp"}
        assert {name: event[name] for name in names} == {name: sent[name] for name in names}
    dead = [line for line in lines if "deadLetter" in line]
    assert len(dead) == len(MINE) + 1
    assert all(line["deadLetter"]["reason"] == "a reason" for line in dead)
    assert "someone else" not in done.stdout

    file = tmp_path / "person.json"
    done = await invoke("export", *options, "--format", "json", "--output", str(file))
    assert done.exit_code == 0, done.output
    assert len(json.loads(file.read_text())) == len(lines)
    assert file.stat().st_mode & 0o777 == 0o600
    nothing = await invoke("export", *options[2:], "--user", "nobody", "--format", "json")
    assert json.loads(nothing.stdout) == []
    await nc.close()


@pytest.mark.parametrize(
    ("event", "own"),
    [
        (b'{"data":{"user":{"userId":"u-1"}}}', True),
        (b'{"data":{"user":{"userId":"u-11"}}}', False),
        (b'{"data":{"user":{"userId":"\\u0075-1"}}}', True),
        (b'{"data":{"user":{"name":"u-1"}}}', False),
        (b'{"data":[{"userId":"u-1"}], "source": 7}', True),
        (b'{"data":{"user":{"userId":"u-1"}}', True),  # cut off
        (b'{"data":{"user":{"userId":"u-11"}', False),
        (b'"u-1"', False),
        (b"", False),
    ],
)
def test_whose_event_it_is(event: bytes, own: bool) -> None:
    assert Person("u-1").owns(event) is own


def test_an_id_that_was_sent_as_a_number() -> None:
    assert Person("17").owns(b'{"data":{"user":{"userId":17}}}')
    assert not Person("17").owns(b'{"data":{"user":{"userId":177}}}')
    assert Person("17").owns(b'{"data":{"user":{"userId":17}')
