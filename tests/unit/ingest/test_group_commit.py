"""Group commit: who shares a message, and who hears of its fate."""

import asyncio
import json
from collections.abc import Sequence

import pytest

from functions.ingest.group_commit import GroupCommit


class Broker:
    """Keeps what is published; fails for the payloads that hold `poison`."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes, int, Sequence[str]]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def publish(
        self, subject: str, payload: bytes, count: int, call_ids: Sequence[str]
    ) -> None:
        self.messages.append((subject, payload, count, call_ids))
        await self.gate.wait()
        if b"poison" in payload:
            raise ConnectionError("not acknowledged")


def commit_to(broker: Broker, max_bytes: int = 1000, linger: float = 0.02) -> GroupCommit:
    return GroupCommit(broker.publish, max_bytes=max_bytes, linger=linger)


async def test_concurrent_requests_share_a_message() -> None:
    broker = Broker()
    groups = commit_to(broker)
    await asyncio.gather(*(groups.commit({"events.a": [b"%d" % n]}, f"c{n}") for n in range(5)))
    [(subject, payload, count, call_ids)] = broker.messages
    assert (subject, json.loads(payload), count) == ("events.a", [0, 1, 2, 3, 4], 5)
    assert list(call_ids) == ["c0", "c1", "c2", "c3", "c4"]


async def test_one_event_is_published_as_it_is() -> None:
    broker = Broker()
    await commit_to(broker).commit({"events.a": [b'{"a":1}']}, "c")
    assert broker.messages == [("events.a", b'{"a":1}', 1, ("c",))]


async def test_subjects_do_not_mix() -> None:
    broker = Broker()
    await commit_to(broker).commit({"events.a": [b"1"], "events.b": [b"2"]}, "c")
    assert sorted(message[0] for message in broker.messages) == ["events.a", "events.b"]


async def test_a_message_is_not_larger_than_allowed_unless_it_is_one_event() -> None:
    broker = Broker()
    events = [b"x" * 40] * 10 + [b"y" * 500] + [b"z" * 40]
    await commit_to(broker, max_bytes=100).commit({"s": events}, "c")
    sizes = [(len(payload), count) for _, payload, count, _ in broker.messages]
    assert all(size <= 100 for size, count in sizes if count > 1)
    assert sum(count for _, count in sizes) == 12
    assert (500, 1) in sizes


async def test_a_request_is_answered_only_when_its_own_events_are_acknowledged() -> None:
    broker = Broker()
    broker.gate.clear()
    groups = commit_to(broker)
    first = asyncio.create_task(groups.commit({"s": [b"1"]}, "a"))
    await asyncio.sleep(0.1)
    assert broker.messages
    assert not first.done()
    assert groups.pending_bytes == 2
    broker.gate.set()
    await first
    assert groups.pending_bytes == 0


async def test_a_failed_message_fails_exactly_the_requests_in_it() -> None:
    broker = Broker()
    groups = commit_to(broker, max_bytes=60)
    big = b"poison" + b"-" * 50
    results = await asyncio.gather(
        groups.commit({"s": [b"a" * 30]}, "good"),
        groups.commit({"s": [big]}, "bad"),
        groups.commit({"s": [b"b" * 30]}, "fine"),
        groups.commit({"other": [b"c"]}, "elsewhere"),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [
        type(None),
        ConnectionError,
        type(None),
        type(None),
    ]


async def test_a_request_that_goes_away_does_not_take_others_along() -> None:
    broker = Broker()
    groups = commit_to(broker)
    leaving = asyncio.create_task(groups.commit({"s": [b"1"]}, "a"))
    staying = asyncio.create_task(groups.commit({"s": [b"2"]}, "b"))
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert json.loads(broker.messages[0][1]) == [1, 2]
