"""Parts of messages, the schedule, and what becomes of a failed invocation."""

import json
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.connector.delivery.attempts import AttemptLedger
from infra.connector.delivery.backoff import Backoff
from infra.connector.delivery.batcher import BatchLimits
from infra.connector.delivery.message import Key, Message, halve
from infra.connector.delivery.queue import Schedule
from infra.connector.delivery.response import Failed, Fault, Rejected, Unavailable
from infra.connector.delivery.retry_policy import FEW, FailurePolicy, Plan
from infra.connector.delivery.throttle import Pace
from infra.connector.delivery.unit import Unit
from infra.connector.dlq.publisher import whole

CRASH = Failed(Fault.CRASH, "gone")
ERROR = Failed(Fault.ERROR, "HTTP 500")
TIMEOUT = Failed(Fault.TIMEOUT, "no answer")
MANY = 1000


def message(sequence: int = 1, events: int = 1, counted: bool = True) -> Message:
    payload = [{"eventId": f"{sequence}-{n}"} for n in range(events)]
    return Message(
        key=Key(sequence, 7),
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


class World:
    """A policy with what it keeps."""

    def __init__(self, max_deliver: int = 3) -> None:
        self.ledger: AttemptLedger[Key] = AttemptLedger(max_deliver)
        self.pace = Pace(Backoff((1.0,), 0.0))
        self.policy = FailurePolicy(
            self.ledger, self.pace, Backoff((10.0, 20.0), 0.0), chance=lambda: 0.5
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
    assert whole_message.events_apart == 1


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
    letters = whole(part, "no", 3, "dlq.{subject}")
    assert [json.loads(letter.payload)["eventId"] for letter in letters] == ["5-2", "5-3", "5-4"]
    assert [letter.headers["Nats-Msg-Id"] for letter in letters] == [
        f"dlq:EVENTS:5:7:{n}" for n in (2, 3, 4)
    ], "as when the function had named the events itself"
    assert {letter.headers["Event-Count"] for letter in letters} == {"1"}
    assert {letter.headers["Dlq-Stream"] for letter in letters} == {"EVENTS"}


# Failures


def test_a_batch_is_retried_once_then_split() -> None:
    world = World()
    batch = messages(4)
    (again,) = world.policy.failed(Unit(batch), CRASH, MANY, 100.0).later
    assert again.unit.messages == batch
    assert (again.due, again.charged) == (110.0, True)
    assert again.unit.exclusive
    world.policy.answered()
    parts = world.policy.failed(again.unit, CRASH, MANY, 110.0).later
    assert [part.unit.messages for part in parts] == [batch[:2], batch[2:]]
    assert all(part.due == 110.0 and not part.charged for part in parts)
    assert {world.ledger.attempts(m.key) for m in batch} == {1}


def test_a_timeout_needs_no_seclusion() -> None:
    world = World()
    assert not world.policy.failed(Unit(messages(2)), TIMEOUT, 2, 0.0).later[0].unit.exclusive


def test_a_lone_message_dies_of_its_own_errors() -> None:
    world = World(max_deliver=3)
    unit = Unit(messages(1))
    for _ in range(2):
        (again,) = world.policy.failed(unit, ERROR, MANY, 0.0).later
        assert again.charged
        unit = again.unit
    plan = world.policy.failed(unit, ERROR, MANY, 0.0)
    assert plan == Plan(dead=[(unit.messages[0], "HTTP 500")])


@pytest.mark.parametrize("fault", [CRASH, TIMEOUT])
def test_an_outage_is_not_charged_to_a_lone_message(fault: Failed) -> None:
    world = World(max_deliver=3)
    world.policy.answered()
    unit = Unit(messages(1))
    charges = []
    for _ in range(50):
        (again,) = world.policy.failed(unit, fault, MANY, 0.0).later
        charges.append(again.charged)
        unit = again.unit
    assert charges == [True] + [False] * 49, "once, since the function had worked before"
    # the function does others again, and still not this one
    world.policy.answered()
    unit = world.policy.failed(unit, fault, MANY, 0.0).later[0].unit
    world.policy.answered()
    assert world.policy.failed(unit, fault, MANY, 0.0).dead


@pytest.mark.parametrize("fault", [CRASH, TIMEOUT])
def test_with_hardly_any_others_to_tell_by_it_is_charged(fault: Failed) -> None:
    world = World(max_deliver=2)
    (again,) = world.policy.failed(Unit(messages(1)), fault, FEW, 0.0).later
    assert again.charged
    assert world.policy.failed(again.unit, fault, FEW, 0.0).dead


def test_in_trouble_batches_are_not_split() -> None:
    world = World()
    unit = Unit(messages(8), failures=1, successes=0)
    for _ in range(11):
        world.policy.failed(Unit(messages(2), 1, successes=0), CRASH, MANY, 0.0)
    assert world.pace.troubled
    (again,) = world.policy.failed(unit, CRASH, MANY, 5.0).later
    assert again.unit == unit
    assert again.due == 25.0
    assert not again.charged


def test_a_rejected_batch_is_split_at_once_and_a_lone_message_dies() -> None:
    world = World()
    batch = messages(3)
    parts = world.policy.rejected(Unit(batch), Rejected(422, "no"), 5.0).later
    assert [part.unit.messages for part in parts] == [batch[:1], batch[1:]]
    assert world.policy.rejected(Unit(batch[:1]), Rejected(422, "no"), 5.0).dead == [
        (batch[0], "no")
    ]
    assert world.pace.steady


def test_unavailable_charges_nobody() -> None:
    world = World()
    unit = Unit(messages(3), failures=1, exclusive=True, successes=4)
    (again,) = world.policy.unavailable(unit, Unavailable("503", 9.0), 1.0).later
    assert again.unit == unit
    assert (again.due, again.charged) == (10.0, False)
    (again,) = world.policy.unavailable(unit, Unavailable("refused", reached=False), 1.0).later
    assert again.due == 0.0, "it keeps its place"
    assert len(world.ledger) == 0


def test_retries_that_the_function_asks_for() -> None:
    world = World(max_deliver=2)
    one, two, three = messages(3)
    world.ledger.charge(three.key)
    plan = world.policy.retry([(one, "x", None), (two, "y", 0.5), (three, "z", None)], 100.0)
    assert [(later.unit.messages, later.due) for later in plan.later] == [
        ([one], 110.0),
        ([two], 100.5),
    ]
    assert plan.dead == [(three, "z")]


def test_events_of_a_message_are_found_with_the_attempts_of_the_message() -> None:
    world = World(max_deliver=3)
    top = message(1, 4)
    world.ledger.charge(top.key)
    plan = world.policy.failed(Unit([top], failures=2), ERROR, MANY, 0.0)
    assert [later.unit.messages[0].id for later in plan.later] == ["EVENTS:1/0-1", "EVENTS:1/2-3"]
    assert [world.ledger.attempts(later.unit.messages[0].key) for later in plan.later] == [1, 1]


def calls_until_settled(
    batch: list[Message], bad: Callable[[str], bool], rejects: bool
) -> tuple[int, list[str], list[str]]:
    """Follow the policy to its end; return the calls, the events done and those dead."""
    world = World(max_deliver=3)
    units = [Unit(batch)]
    calls, done, dead = 0, [], []

    def events(unit: Unit) -> list[str]:
        found: list[str] = []
        for m in unit.messages:
            value = json.loads(m.data)
            found += [e["eventId"] for e in (value if isinstance(value, list) else [value])]
        return found

    while units:
        unit = units.pop(0)
        calls += 1
        names = events(unit)
        if not any(bad(name) for name in names):
            world.policy.answered()
            done += names
            continue
        if rejects:
            plan = world.policy.rejected(unit, Rejected(400, "no"), 0.0)
        else:
            in_hand = {m.top.key for each in (unit, *units) for m in each.messages}
            plan = world.policy.failed(unit, CRASH, len(in_hand), 0.0)
        units += [later.unit for later in plan.later]
        dead += [name for m, _ in plan.dead for name in events(Unit([m]))]
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


# The schedule

LIMITS = BatchLimits(events=3, size=10**6, window=1.0, quiet=0.0)


def fresh(schedule: Schedule, number: int, now: float = 0.0) -> None:
    for m in messages(number):
        schedule.add(m, now, more_to_come=False)


def test_fresh_messages_are_worth_a_look_when_they_change_the_time() -> None:
    schedule = Schedule(LIMITS, 2)
    seen: list[float | None] = [None]
    for m, more in zip(messages(5), (True, True, False, True, True), strict=True):
        look = schedule.add(m, 0.5, more_to_come=more)
        at = schedule.next_at(busy=False)
        assert at is not None
        before = seen[-1]
        assert look or (before is not None and at >= before)
        seen.append(at)


def test_retries_come_when_they_are_due() -> None:
    schedule = Schedule(LIMITS, 2)
    unit = Unit(messages(2))
    schedule.put_off(unit, 5.0)
    assert schedule.events_later == 2
    assert schedule.next_at(busy=False) == 5.0
    assert schedule.take(4.9, busy=False) is None
    assert schedule.take(5.0, busy=True) is unit
    assert schedule.events_later == 0
    assert schedule.next_at(busy=False) is None


def test_suspects_run_alone_with_fresh_messages_in_between() -> None:
    schedule = Schedule(LIMITS, 2)
    suspects = [Unit([m], exclusive=True) for m in messages(2)]
    for suspect in suspects:
        schedule.put_off(suspect, 0.0)
    fresh(schedule, 12)
    assert schedule.take(1.0, busy=True) is None, "it waits for those that run"
    assert schedule.take(1.0, busy=False) is suspects[0]
    for _ in range(2):
        turn = schedule.take(1.0, busy=True)
        assert turn
        assert not turn.exclusive
    assert schedule.take(1.0, busy=True) is None
    assert schedule.take(1.0, busy=False) is suspects[1]


def test_fresh_messages_get_turns_between_retries_too() -> None:
    schedule = Schedule(LIMITS, 2)
    for m in messages(3):
        schedule.put_off(Unit([m], failures=1), 0.0)
    fresh(schedule, 6)
    kinds = []
    while unit := schedule.take(1.0, busy=False):
        kinds.append("again" if unit.failures else "fresh")
    assert kinds == ["again", "fresh", "again", "fresh", "again"]


def test_a_trial_is_one_message() -> None:
    schedule = Schedule(LIMITS, 2)
    schedule.put_off(Unit(messages(3), failures=4, exclusive=True, successes=9), 0.0)
    trial = schedule.take(1.0, busy=False, one=True)
    assert trial
    assert len(trial.messages) == 1
    assert (trial.failures, trial.exclusive, trial.successes) == (4, True, 9)
    rest = schedule.take(1.0, busy=False)
    assert rest
    assert len(rest.messages) == 2


def test_what_waits_long_may_go_back() -> None:
    schedule = Schedule(LIMITS, 2)
    soon, late = Unit(messages(1)), Unit(messages(2))
    suspect = Unit(messages(1), exclusive=True)
    halves = halve(message(1, 4))
    assert halves
    part = Unit([halves[0]])
    for unit, due in ((soon, 1.0), (late, 60.0), (suspect, 60.0), (part, 60.0)):
        schedule.put_off(unit, due)
    assert schedule.shed(0.0, 5.0) == [(late, 60.0)]
    assert schedule.events_later == 4
    assert schedule.take(1.0, busy=False) is soon
    schedule.clear()
    assert schedule.next_at(busy=False) is None
    assert schedule.events_later == 0
