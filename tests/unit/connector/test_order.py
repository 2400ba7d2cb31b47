"""Order by key: keys, and which messages may start."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.common.broker import EVENT_COUNT
from infra.connector.delivery.batcher import BatchLimits
from infra.connector.delivery.message import (
    Delivery,
    Message,
    MessageKey,
    halve,
    inspect_payload,
)
from infra.connector.delivery.order_key import MAX_KEY_LENGTH, parse_order_by
from infra.connector.delivery.ordered_queue import OrderedQueue, halve_by_lane

LIMITS = BatchLimits(max_events=6, max_bytes=1000, window=0.0, linger=0.0)
BY_SUBJECT = parse_order_by("subject")


def message(
    sequence: int,
    subject: str = "a.b",
    data: bytes = b"{}",
    headers: dict[str, str] | None = None,
) -> Message:
    is_json, events = inspect_payload(data)
    return Message(
        key=MessageKey(sequence, sequence),
        id=f"S:{sequence}",
        subject=subject,
        reply="",
        data=data,
        headers=headers or {},
        events=events,
        is_json=is_json,
        delivered=1,
    )


# Keys


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("subject", "orders.de.7"),
        ("subject-token-2", "de"),
        ("subject-token-4", None),
        ("header:tenant", "acme"),
        ("header:Other", None),
        ("json:/user/id", "u1"),
        ("json:/list/1", "17"),
        ("json:/list/9", None),
        ("json:/list/x", None),
        ("json:/a~1b/~0", "true"),
        ("json:/user", None),
        ("json:/none/deeper", None),
    ],
)
def test_the_key_of_a_message(text: str, key: str | None) -> None:
    data = b'{"user": {"id": "u1"}, "list": [1, 17], "a/b": {"~": true}, "none": null}'
    assert parse_order_by(text).key_of(message(1, "orders.de.7", data, {"Tenant": "acme"})) == key


def test_what_is_no_json_has_no_key_and_long_keys_are_short() -> None:
    assert parse_order_by("json:/id").key_of(message(1, data=b"\xff")) is None
    long = [f"{'x' * 5000}{n}" for n in (1, 2)]
    keys = [BY_SUBJECT.key_of(message(1, subject)) for subject in long]
    assert all(key and len(key) <= MAX_KEY_LENGTH for key in keys)
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    "text",
    ["", "key", "subject-token-0", "subject-token-x", "header:", "header:a b", "json:", "json:id"],
)
def test_what_is_no_order(text: str) -> None:
    with pytest.raises(ValueError, match="not subject, subject-token-N"):
        parse_order_by(text)


def test_topics_need_the_token() -> None:
    parse_order_by("subject-token-3").check(["a.*.b", "a.>"])
    with pytest.raises(ValueError, match=r"the subjects of a\.\* have 2 tokens"):
        parse_order_by("subject-token-3").check(["a.b.c", "a.*"])


# The queue


def queue_of(*messages: Message, limits: BatchLimits = LIMITS) -> OrderedQueue:
    queue = OrderedQueue(limits, 4, BY_SUBJECT)
    for each in messages:
        queue.add(each, 0.0, more_to_come=False)
    return queue


def taken(queue: OrderedQueue, now: float = 1.0) -> list[int]:
    delivery = queue.take(now, busy=False)
    return [] if delivery is None else [each.key.sequence for each in delivery.messages]


def test_a_key_is_in_one_invocation_at_a_time() -> None:
    queue = queue_of(message(1, "a"), message(2, "a"), message(3, "b"))
    first = queue.take(1.0, busy=False)
    assert first
    assert [each.key.sequence for each in first.messages] == [1, 2, 3]
    queue.add(message(4, "a"), 1.0, more_to_come=False)
    queue.add(message(5, "c"), 1.0, more_to_come=False)
    assert taken(queue) == [5]
    queue.invoked(first, 0.1, 1.1)
    assert taken(queue, 2.0) == [4]


def test_a_failing_key_holds_up_only_itself() -> None:
    single = replace(LIMITS, max_events=1)
    queue = queue_of(message(1, "a"), message(2, "b"), message(3, "a"), limits=single)
    first = queue.take(1.0, busy=False)
    assert first
    queue.retry_at(first, 9.0)
    queue.invoked(first, 0.1, 1.1)
    assert taken(queue) == [2]
    assert taken(queue) == []
    assert queue.some_held_keys() == ["a"]
    assert queue.held_keys() == 1
    assert taken(queue, 9.0) == [1]


def test_a_long_backlog_goes_back_to_the_stream_and_returns_in_order() -> None:
    queue = queue_of(*(message(n, "a") for n in range(1, 20)))
    first = queue.take(1.0, busy=False)
    assert first
    queue.retry_at(first, 9.0)
    queue.invoked(first, 0.1, 1.1)
    (((again, first_delay)), (rest, delay)) = queue.release_delayed(1.5, 2.0)
    assert len(again.messages) + len(rest.messages) == queue.away == 19
    assert first_delay == delay == 7.5
    assert queue.events_held_back == 0
    for each in (*rest.messages, *again.messages[1:]):
        queue.add(each, 5.0, more_to_come=False)
    assert taken(queue, 5.0) == []
    queue.add(again.messages[0], 5.0, more_to_come=False)
    assert taken(queue, 8.9) == [], "it came back before it was due"
    assert taken(queue, 9.0) == [1]


def test_what_does_not_come_back_is_settled() -> None:
    queue = queue_of(message(1, "a"), message(2, "a"))
    ((delivery, delay),) = queue.release_all(1.0)
    queue.add(delivery.messages[1], 5.0, more_to_come=False)
    assert taken(queue, 5.0) == []
    assert queue.forget_away(1.0 + delay + 5.0, 30.0) == 0
    assert queue.forget_away(1.0 + delay + 31.0, 30.0) == 1
    assert taken(queue, 40.0) == [2]


def test_halves_have_no_key_in_common() -> None:
    messages = [message(n, subject) for n, subject in enumerate("aabacbaaaa")]
    queue_of(*messages)
    one, other = halve_by_lane(messages)
    assert {m.subject for m in one} == {"a"}
    assert {m.subject for m in other} == {"b", "c"}
    assert [m.key.sequence for m in one] == sorted(m.key.sequence for m in one)
    one, other = halve_by_lane(one)
    assert [len(one), len(other)] == [3, 4]


@dataclass
class World:
    """Deliveries that end as chance has it."""

    chance: random.Random
    queue: OrderedQueue
    open: dict[str, list[MessageKey]] = field(default_factory=dict[str, list[MessageKey]])
    running: list[Delivery] = field(default_factory=list[Delivery])
    away: list[Message] = field(default_factory=list[Message])
    now: float = 0.0

    def arrive(self, each: Message) -> None:
        self.open.setdefault(each.subject, []).append(each.key)
        self.queue.add(each, self.now, more_to_come=self.chance.random() < 0.5)

    def take(self) -> None:
        one = self.chance.random() < 0.1
        delivery = self.queue.take(self.now, busy=bool(self.running), one=one)
        if delivery is None:
            return
        keys = {each.key for each in delivery.messages}
        assert [each.key for each in delivery.messages] == sorted(keys)
        for each in delivery.messages:
            earlier = [key for key in self.open[each.subject] if key < each.key]
            assert set(earlier) <= keys, "it is not its turn"
            others = [m.subject for other in self.running for m in other.messages]
            assert each.subject not in others
        self.running.append(delivery)

    def end(self) -> None:
        if not self.running:
            return
        delivery = self.running.pop(self.chance.randrange(len(self.running)))
        messages = delivery.messages
        later = self.now + self.chance.choice((0.0, 1.0, 5.0))
        match self.chance.choice("dddrhp"):
            case "r":
                self.queue.retry_at(delivery, later)
            case "h" if len(messages) > 1:
                for half in halve_by_lane(messages):
                    self.queue.retry_at(Delivery(half, 1), self.now)
            case "h" if parts := halve(messages[0]):
                keys = self.open[messages[0].subject]
                keys.remove(messages[0].key)
                keys += [part.key for part in parts]
                for part in parts:
                    self.queue.retry_at(Delivery([part], 1), later)
            case "p":
                self.fail_some(messages, later)
            case _:
                self.settle(messages)
        self.queue.invoked(delivery, 0.1, self.now)

    def fail_some(self, messages: Sequence[Message], later: float) -> None:
        failed = self.chance.choice(messages)
        behind = [m for m in messages if m.subject == failed.subject and m.key > failed.key]
        self.queue.wait_again(behind)
        self.queue.retry_at(Delivery([failed]), later)
        self.settle([m for m in messages if m is not failed and m not in behind])

    def settle(self, messages: Sequence[Message]) -> None:
        for each in messages:
            self.open[each.subject].remove(each.key)

    def release(self) -> None:
        some = self.chance.random() < 0.5
        released = (
            self.queue.release_delayed(self.now, 2.0) if some else self.queue.release_all(self.now)
        )
        self.away += [each for delivery, _ in released for each in delivery.messages]

    def come_back(self) -> None:
        self.chance.shuffle(self.away)
        for _ in range(self.chance.randint(0, len(self.away))):
            each = self.away.pop()
            again = replace(each)
            self.queue.add(again, self.now, more_to_come=False)


# an example takes as long as ten of another property
@settings(max_examples=settings().max_examples // 5)
@given(st.randoms(use_true_random=False), st.integers(1, 25), st.integers(1, 5))
def test_whatever_happens_keys_stay_in_order_and_all_is_settled(
    chance: random.Random, number: int, keys: int
) -> None:
    limits = replace(LIMITS, max_events=chance.choice((1, 6, 100)))
    world = World(chance, OrderedQueue(limits, 4, BY_SUBJECT))
    messages: list[Message] = []
    for sequence in range(1, number + 1):
        events = chance.choice((1, 1, 3))
        data = b"[" + b",".join([b"{}"] * events) + b"]"
        subject = f"k.{chance.randrange(keys)}"
        messages.append(message(sequence, subject, data, {EVENT_COUNT: str(events)}))
    # what a new owner gets first is in no order
    first = messages[: chance.randint(0, number)]
    chance.shuffle(first)
    for each in first:
        world.arrive(each)
    coming = messages[len(first) :]
    for _ in range(number * 6):
        world.now += chance.choice((0.0, 0.1, 2.0))
        match chance.choice("aatteerb"):
            case "a" if coming:
                world.arrive(coming.pop(0))
            case "e":
                world.end()
            case "r":
                world.release()
            case "b":
                world.come_back()
            case _:
                world.take()
    for each in coming:
        world.arrive(each)
    for _ in range(100 * number):
        if not any(world.open.values()):
            break
        world.now += 5.0
        world.come_back()
        world.take()
        world.end()
    assert not any(world.open.values())
    assert (world.queue.lanes, world.queue.away, world.queue.events_held_back) == (0, 0, 0)
