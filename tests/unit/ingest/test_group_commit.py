"""Group commit: who shares a message, and who hears of its fate."""

import asyncio
import gc
import json
import weakref
from collections.abc import Sequence

import pytest

from functions.ingest.group_commit import GroupCommit
from tests.support.net import eventually


class LostError(ConnectionError):
    """No acknowledgement."""


class Broker:
    """Keeps what is published; fails for the payloads that hold `poison`."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes, int, Sequence[str]]] = []
        self.arrived = asyncio.Semaphore(0)
        self.gate = asyncio.Event()
        self.gate.set()

    async def publish(
        self, subject: str, payload: bytes, count: int, call_ids: Sequence[str]
    ) -> None:
        self.messages.append((subject, payload, count, call_ids))
        self.arrived.release()
        await self.gate.wait()
        if b"poison" in payload:
            raise LostError("not acknowledged")


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

    async def published() -> bool:
        return bool(broker.messages)

    await eventually(published, every=0)
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
        LostError,
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


async def test_events_are_gathered_while_a_message_of_their_subject_is_on_its_way() -> None:
    broker = Broker()
    broker.gate.clear()
    groups = commit_to(broker, linger=0)
    groups._max_gather = 60
    waiting = [asyncio.create_task(groups.commit({"s": [b"0"]}, "a"))]
    await broker.arrived.acquire()
    for number in range(1, 6):
        waiting.append(asyncio.create_task(groups.commit({"s": [b"%d" % number]}, "b")))
        await asyncio.sleep(0.001)
    other = asyncio.create_task(groups.commit({"other": [b"x"]}, "c"))
    await broker.arrived.acquire()
    assert broker.messages[1][:2] == ("other", b"x")
    broker.gate.set()
    await asyncio.gather(other, *waiting)
    assert [json.loads(payload) for _, payload, *_ in broker.messages[2:]] == [[1, 2, 3, 4, 5]]
    assert (groups.pending_bytes, groups._on_its_way) == (0, {})


async def test_a_message_that_is_long_on_its_way_does_not_hold_up_the_next() -> None:
    broker = Broker()
    broker.gate.clear()
    groups = commit_to(broker, linger=0)
    waiting = asyncio.gather(*(groups.commit({"s": [b"%d" % each]}, "a") for each in range(2)))
    await broker.arrived.acquire()
    late = asyncio.create_task(groups.commit({"s": [b"2"]}, "b"))
    await broker.arrived.acquire()
    broker.gate.set()
    await waiting
    await late


async def test_a_failure_leaves_no_cycle_behind() -> None:
    """Its frames hold the bodies of requests, which would stay until the next collection."""
    groups = commit_to(Broker())
    left: list[weakref.ref[LostError]] = []
    gc.disable()
    try:
        try:
            await groups.commit({"s": [b"poison"], "t": [b"1"]}, "a")
        except LostError as error:
            left.append(weakref.ref(error))
        await asyncio.sleep(0)
        assert [each() for each in left] == [None]
    finally:
        gc.enable()


async def test_requests_without_a_coroutine_hear_of_it_too() -> None:
    broker = Broker()
    groups = commit_to(broker)
    heard: list[tuple[str, Exception | None]] = []

    def fails(_: Exception | None) -> None:
        raise RuntimeError("its client is gone")

    groups.add("s", b"1", "a", fails)
    groups.add("s", b"2", "b", lambda error: heard.append(("b", error)))
    await groups.commit({"s": [b"3"]}, "c")
    assert (broker.messages, heard) == ([("s", b"[1,2,3]", 3, ("a", "b", "c"))], [("b", None)])
    told: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
    groups.add("s", b'"poison"', "d", told.set_result)
    assert isinstance(await told, LostError)
