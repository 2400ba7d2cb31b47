"""Parts of messages, the queue, and what becomes of a failed invocation."""

import json
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.common.backoff import Backoff
from infra.connector.delivery.adaptive_limit import AdaptiveLimit
from infra.connector.delivery.attempts import AttemptCounter
from infra.connector.delivery.batcher import BatchLimits
from infra.connector.delivery.message import Delivery, Message, MessageKey, halve
from infra.connector.delivery.queue import DeliveryQueue
from infra.connector.delivery.response import Failed, Fault, Rejected, Unavailable
from infra.connector.delivery.retry_policy import (
    MIN_DEFERRAL_SECONDS,
    SMALL_SAMPLE,
    RetryDecision,
    RetryPolicy,
    RetryRequest,
)
from infra.connector.delivery.throttle import Throttle
from infra.connector.dlq.publisher import DeadLetterRoute, dead_letters_for_message

ROUTE = DeadLetterRoute("fn.ns", "fn", "EVENTS", "EVENTS_DLQ", "dlq.{subject}")

CRASH = Failed(Fault.CRASH, "gone")
ERROR = Failed(Fault.ERROR, "HTTP 500")
TIMEOUT = Failed(Fault.TIMEOUT, "no answer")
MANY = 1000


def message(sequence: int = 1, events: int = 1, counted: bool = True) -> Message:
    payload = [{"eventId": f"{sequence}-{n}"} for n in range(events)]
    return Message(
        key=MessageKey(sequence, 7),
        id=f"EVENTS:{sequence}",
        subject="events.x",
        reply="r",
        data=json.dumps(payload if events > 1 else payload[0]).encode(),
        headers={"Event-Count": str(events)} if counted else {},
        events=events,
        is_json=True,
        delivered=1,
    )


def messages(number: int) -> list[Message]:
    return [message(n) for n in range(1, number + 1)]


class Harness:
    """A policy with its state."""

    def __init__(self, max_deliver: int = 3) -> None:
        self.attempts: AttemptCounter[MessageKey] = AttemptCounter(max_deliver)
        self.throttle = Throttle(Backoff((1.0,), 0.0))
        self.limit = AdaptiveLimit()
        self.policy = RetryPolicy(
            self.attempts, self.throttle, self.limit, Backoff((10.0, 20.0), 0.0), lambda: 0.5
        )


# Parts of messages


def test_halves_of_a_message() -> None:
    top = message(5, 5)
    halves = halve(top)
    assert halves
    first, second = halves
    assert [json.loads(part.data) for part in halves] == [
        [{"eventId": "5-0"}, {"eventId": "5-1"}],
        [{"eventId": "5-2"}, {"eventId": "5-3"}, {"eventId": "5-4"}],
    ]
    assert (first.id, second.id) == ("EVENTS:5/0-1", "EVENTS:5/2-4")
    assert second.top is top
    assert second.parent is top
    quarters = halve(second)
    assert quarters
    assert [part.id for part in quarters] == ["EVENTS:5/2-2", "EVENTS:5/3-4"]
    assert quarters[1].parent is top
    assert halve(quarters[0]) is None
    assert len({part.key for part in (top, *halves, *quarters)}) == 5


@pytest.mark.parametrize(
    "whole_message", [message(1, 1), message(1, 4, counted=False), message(1, 1, counted=False)]
)
def test_what_is_no_array_of_events_stays_whole(whole_message: Message) -> None:
    assert halve(whole_message) is None
    assert whole_message.separable_events == 1


def test_a_wrong_event_count_is_not_believed() -> None:
    wrong = message(1, 4)
    wrong.headers["Event-Count"] = "5"
    assert halve(wrong) is None


@given(st.integers(1, 300))
def test_parts_are_the_whole(events: int) -> None:
    top = message(1, events)
    waiting, found = [top], []
    while waiting:
        part = waiting.pop(0)
        halves = halve(part)
        if halves:
            waiting = [*halves, *waiting]
        else:
            found.append(part)
    assert len(found) == events
    assert [part.key.first for part in found] == list(range(events))
    if events > 1:
        assert [json.loads(part.data)[0]["eventId"] for part in found] == [
            f"1-{n}" for n in range(events)
        ]


def test_a_dead_part_is_one_dead_letter_for_each_event() -> None:
    top = message(5, 5)
    halves = halve(top)
    assert halves
    part = halves[1]
    letters = dead_letters_for_message(part, "no", 3, ROUTE)
    assert [json.loads(letter.payload)["eventId"] for letter in letters] == ["5-2", "5-3", "5-4"]
    assert [letter.headers["Nats-Msg-Id"] for letter in letters] == [
        f"dlq:fn:EVENTS:5:7:{n}" for n in (2, 3, 4)
    ], "as when the function had named the events itself"
    assert {letter.headers["Event-Count"] for letter in letters} == {"1"}
    assert {letter.headers["Dlq-Stream"] for letter in letters} == {"EVENTS"}


# Failures


def test_a_batch_is_retried_once_then_split() -> None:
    harness = Harness()
    batch = messages(4)
    (again,) = harness.policy.failed(Delivery(batch), CRASH, MANY, 100.0).retries
    assert again.delivery.messages == batch
    assert (again.due, again.charged) == (110.0, True)
    assert again.delivery.exclusive
    harness.policy.succeeded()
    parts = harness.policy.failed(again.delivery, CRASH, MANY, 110.0).retries
    assert [part.delivery.messages for part in parts] == [batch[:2], batch[2:]]
    assert all(part.due == 110.0 and not part.charged for part in parts)
    assert {harness.attempts.count(m.key) for m in batch} == {1}


def test_a_timeout_needs_no_seclusion() -> None:
    harness = Harness()
    assert (
        not harness.policy.failed(Delivery(messages(2)), TIMEOUT, 2, 0.0)
        .retries[0]
        .delivery.exclusive
    )


def test_a_lone_message_dies_of_its_own_errors() -> None:
    harness = Harness(max_deliver=3)
    delivery = Delivery(messages(1))
    for _ in range(2):
        (again,) = harness.policy.failed(delivery, ERROR, MANY, 0.0).retries
        assert again.charged
        delivery = again.delivery
    decision = harness.policy.failed(delivery, ERROR, MANY, 0.0)
    assert decision == RetryDecision(dead=[(delivery.messages[0], "HTTP 500")])


@pytest.mark.parametrize("fault", [CRASH, TIMEOUT])
def test_an_outage_is_not_charged_to_a_lone_message(fault: Failed) -> None:
    harness = Harness(max_deliver=3)
    harness.policy.succeeded()
    delivery = Delivery(messages(1))
    charges = []
    for _ in range(50):
        (again,) = harness.policy.failed(delivery, fault, MANY, 0.0).retries
        charges.append(again.charged)
        delivery = again.delivery
    assert charges == [True] + [False] * 49, "once, since the function had worked before"
    # the function does others again, and still not this one
    harness.policy.succeeded()
    delivery = harness.policy.failed(delivery, fault, MANY, 0.0).retries[0].delivery
    harness.policy.succeeded()
    assert harness.policy.failed(delivery, fault, MANY, 0.0).dead


@pytest.mark.parametrize("fault", [CRASH, TIMEOUT])
def test_with_hardly_any_others_to_tell_by_it_is_charged(fault: Failed) -> None:
    harness = Harness(max_deliver=2)
    (again,) = harness.policy.failed(Delivery(messages(1)), fault, SMALL_SAMPLE, 0.0).retries
    assert again.charged
    assert harness.policy.failed(again.delivery, fault, SMALL_SAMPLE, 0.0).dead


def test_in_trouble_batches_are_not_split() -> None:
    harness = Harness()
    delivery = Delivery(messages(8), failures=1, successes=0)
    for _ in range(11):
        harness.policy.failed(Delivery(messages(2), 1, successes=0), CRASH, MANY, 0.0)
    assert harness.throttle.failing
    (again,) = harness.policy.failed(delivery, CRASH, MANY, 5.0).retries
    assert again.delivery == delivery
    assert again.due == 25.0
    assert not again.charged


def test_a_rejected_batch_is_split_at_once_and_a_lone_message_dies() -> None:
    harness = Harness()
    batch = messages(3)
    parts = harness.policy.rejected(Delivery(batch), Rejected(422, "no"), 5.0).retries
    assert [part.delivery.messages for part in parts] == [batch[:1], batch[1:]]
    assert harness.policy.rejected(Delivery(batch[:1]), Rejected(422, "no"), 5.0).dead == [
        (batch[0], "no")
    ]
    assert harness.throttle.healthy


def test_unavailable_charges_nobody() -> None:
    harness = Harness()
    delivery = Delivery(messages(3), failures=1, exclusive=True, successes=4)
    (again,) = harness.policy.unavailable(delivery, Unavailable("503", 9.0), 1.0).retries
    assert again.delivery == delivery
    assert (again.due, again.charged) == (10.0, False)
    (again,) = harness.policy.unavailable(
        delivery, Unavailable("refused", reached=False), 1.0
    ).retries
    assert again.due == 0.0, "it keeps its place"
    assert len(harness.attempts) == 0


def test_a_busy_function_is_not_away() -> None:
    harness = Harness()
    delivery, busy = Delivery(messages(1)), Unavailable("429", busy=True)
    (again,) = harness.policy.unavailable(delivery, busy, 5.0, others=2).retries
    assert (again.due, again.charged) == (6.0, False)
    assert (harness.limit.value, harness.throttle.healthy) == (2, True)
    assert harness.throttle.may_invoke(5.0, 1)
    asking = Unavailable("429", 9.0, busy=True)
    (again,) = harness.policy.unavailable(delivery, asking, 5.0, others=2).retries
    assert again.due == 14.0
    assert not harness.throttle.may_invoke(13.9, 1)
    assert harness.throttle.may_invoke(14.0, 1)
    harness.policy.unavailable(delivery, busy, 20.0)
    assert (harness.limit.value, harness.throttle.healthy) == (1, False), "it takes none at all"


def test_retries_that_the_function_asks_for() -> None:
    harness = Harness(max_deliver=2)
    one, two, three = messages(3)
    harness.attempts.record(three.key)
    decision = harness.policy.retry_requested(
        [
            RetryRequest(one, "x", None),
            RetryRequest(two, "y", 0.5),
            RetryRequest(three, "z", None),
        ],
        100.0,
    )
    assert [(retry.delivery.messages, retry.due) for retry in decision.retries] == [
        ([one], 110.0),
        ([two], 100.5),
    ]
    assert decision.dead == [(three, "z")]


def test_deferral_is_never_charged() -> None:
    harness = Harness(max_deliver=2)
    one, two = messages(2)
    requests = [
        RetryRequest(one, "x", 30.0, charged=False),
        RetryRequest(two, "y", 0.0, charged=False),
    ]
    for _ in range(5):
        decision = harness.policy.retry_requested(requests, 100.0)
        assert (decision.dead, decision.retries) == ([], [])
        # asked to wait no time at all, it would come back at once, over and over
        assert decision.deferred == [(one, 30.0), (two, MIN_DEFERRAL_SECONDS)]


def test_events_of_a_message_are_found_with_the_attempts_of_the_message() -> None:
    harness = Harness(max_deliver=3)
    top = message(1, 4)
    harness.attempts.record(top.key)
    decision = harness.policy.failed(Delivery([top], failures=2), ERROR, MANY, 0.0)
    halves = [retry.delivery.messages[0] for retry in decision.retries]
    assert [half.id for half in halves] == ["EVENTS:1/0-1", "EVENTS:1/2-3"]
    assert [harness.attempts.count(half.key) for half in halves] == [1, 1]


def calls_until_settled(
    batch: list[Message], bad: Callable[[str], bool], rejects: bool
) -> tuple[int, list[str], list[str]]:
    """Follow the policy to its end; return the calls, the events done and those dead."""
    harness = Harness(max_deliver=3)
    deliveries = [Delivery(batch)]
    calls, done, dead = 0, [], []

    def events(delivery: Delivery) -> list[str]:
        found: list[str] = []
        for m in delivery.messages:
            value = json.loads(m.data)
            found += [e["eventId"] for e in (value if isinstance(value, list) else [value])]
        return found

    while deliveries:
        delivery = deliveries.pop(0)
        calls += 1
        names = events(delivery)
        if not any(bad(name) for name in names):
            harness.policy.succeeded()
            done += names
            continue
        if rejects:
            decision = harness.policy.rejected(delivery, Rejected(400, "no"), 0.0)
        else:
            in_flight = {m.top.key for each in (delivery, *deliveries) for m in each.messages}
            decision = harness.policy.failed(delivery, CRASH, len(in_flight), 0.0)
        deliveries += [retry.delivery for retry in decision.retries]
        dead += [name for m, _ in decision.dead for name in events(Delivery([m]))]
        assert calls < 10_000
    return calls, done, dead


@given(st.integers(1, 12), st.integers(1, 40), st.data(), st.booleans())
def test_one_poison_event_is_found_within_the_bound(
    number: int, per_message: int, data: st.DataObject, rejects: bool
) -> None:
    batch = [message(n, per_message) for n in range(number)]
    poison = f"{data.draw(st.integers(0, number - 1))}-{data.draw(st.integers(0, per_message - 1))}"
    calls, done, dead = calls_until_settled(batch, lambda name: name == poison, rejects)
    assert dead == [poison]
    assert len(done) == len(set(done)) == number * per_message - 1
    halvings = math.ceil(math.log2(number)) + math.ceil(math.log2(per_message))
    retries = 0 if rejects else 3
    assert calls <= 2 * halvings + 1 + retries


@given(st.integers(1, 6), st.integers(1, 12), st.data(), st.booleans())
def test_everything_ends_done_or_dead(
    number: int, per_message: int, data: st.DataObject, rejects: bool
) -> None:
    batch = [message(n, per_message) for n in range(number)]
    names = [f"{n}-{i}" for n in range(number) for i in range(per_message)]
    poison = data.draw(st.sets(st.sampled_from(names)))
    _, done, dead = calls_until_settled(batch, lambda name: name in poison, rejects)
    assert sorted(done) == sorted(set(names) - poison)
    assert sorted(dead) == sorted(poison)


# The queue

LIMITS = BatchLimits(max_events=3, max_bytes=10**6, window=1.0, linger=0.0)


def fresh(queue: DeliveryQueue, number: int, now: float = 0.0) -> None:
    for m in messages(number):
        queue.add(m, now, more_to_come=False)


def test_fresh_messages_are_worth_a_look_when_they_change_the_time() -> None:
    queue = DeliveryQueue(LIMITS, 2)
    seen: list[float | None] = [None]
    for m, more in zip(messages(5), (True, True, False, True, True), strict=True):
        look = queue.add(m, 0.5, more_to_come=more)
        at = queue.next_at(busy=False)
        assert at is not None
        before = seen[-1]
        assert look or (before is not None and at >= before)
        seen.append(at)


def test_retries_come_when_they_are_due() -> None:
    queue = DeliveryQueue(LIMITS, 2)
    delivery = Delivery(messages(2))
    queue.retry_at(delivery, 5.0)
    assert queue.events_awaiting_retry == 2
    assert queue.next_at(busy=False) == 5.0
    assert queue.take(4.9, busy=False) is None
    assert queue.take(5.0, busy=True) is delivery
    assert queue.events_awaiting_retry == 0
    assert queue.next_at(busy=False) is None


def test_suspects_run_alone_with_fresh_messages_in_between() -> None:
    queue = DeliveryQueue(LIMITS, 2)
    suspects = [Delivery([m], exclusive=True) for m in messages(2)]
    for suspect in suspects:
        queue.retry_at(suspect, 0.0)
    fresh(queue, 12)
    assert queue.take(1.0, busy=True) is None, "it waits for those that run"
    assert queue.take(1.0, busy=False) is suspects[0]
    for _ in range(2):
        turn = queue.take(1.0, busy=True)
        assert turn
        assert not turn.exclusive
    assert queue.take(1.0, busy=True) is None
    assert queue.take(1.0, busy=False) is suspects[1]


def test_fresh_messages_get_turns_between_retries_too() -> None:
    queue = DeliveryQueue(LIMITS, 2)
    for m in messages(3):
        queue.retry_at(Delivery([m], failures=1), 0.0)
    fresh(queue, 6)
    kinds = []
    while delivery := queue.take(1.0, busy=False):
        kinds.append("again" if delivery.failures else "fresh")
    assert kinds == ["again", "fresh", "again", "fresh", "again"]


def test_a_trial_is_one_message() -> None:
    queue = DeliveryQueue(LIMITS, 2)
    queue.retry_at(Delivery(messages(3), failures=4, exclusive=True, successes=9), 0.0)
    trial = queue.take(1.0, busy=False, one=True)
    assert trial
    assert len(trial.messages) == 1
    assert (trial.failures, trial.exclusive, trial.successes) == (4, True, 9)
    rest = queue.take(1.0, busy=False)
    assert rest
    assert len(rest.messages) == 2


def test_what_waits_long_may_go_back() -> None:
    queue = DeliveryQueue(LIMITS, 2)
    soon, late = Delivery(messages(1)), Delivery(messages(2))
    suspect = Delivery(messages(1), exclusive=True)
    halves = halve(message(1, 4))
    assert halves
    part = Delivery([halves[0]])
    for delivery, due in ((soon, 1.0), (late, 60.0), (suspect, 60.0), (part, 60.0)):
        queue.retry_at(delivery, due)
    assert queue.release_delayed(0.0, 5.0) == [(late, 60.0)]
    assert queue.events_awaiting_retry == 4
    assert queue.take(1.0, busy=False) is soon
    queue.clear()
    assert queue.next_at(busy=False) is None
    assert queue.events_awaiting_retry == 0
