"""What becomes of messages whose invocation failed: whose fault it was, and what to try next."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from infra.connector.delivery.attempts import AttemptLedger
from infra.connector.delivery.backoff import Backoff
from infra.connector.delivery.bisect import Alone, RetryWhole, Split, after_failure, after_rejection
from infra.connector.delivery.message import Key, Message, halve
from infra.connector.delivery.response import Failed, Fault, Rejected, Unavailable
from infra.connector.delivery.throttle import Pace
from infra.connector.delivery.unit import Unit

FEW = 10
"""So few messages in hand are no outage to be careful about, but all there is to tell by."""

AT_ONCE = 0.0
"""The time before everything that has a time."""


@dataclass(frozen=True)
class Later:
    """A unit to deliver again.

    Attributes:
        unit: the messages.
        due: from when on.
        charged: whether an attempt was charged.
    """

    unit: Unit
    due: float
    charged: bool = False


@dataclass
class Plan:
    """What to do: units to deliver again, and messages that are dead with the reason."""

    later: list[Later] = field(default_factory=list)
    dead: list[tuple[Message, str]] = field(default_factory=list)


class FailurePolicy:
    """Charges attempts and decides about retries."""

    def __init__(
        self,
        ledger: AttemptLedger[Key],
        pace: Pace,
        backoff: Backoff,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._ledger = ledger
        self._pace = pace
        self._backoff = backoff
        self._chance = chance
        self._successes = 0

    def answered(self) -> None:
        """The function answered sensibly: it is there."""
        self._successes += 1
        self._pace.succeeded()

    def unavailable(self, unit: Unit, answer: Unavailable, now: float) -> Plan:
        """Nobody is charged.

        What the function has not seen keeps its place. What it has seen goes behind the others: if
        it refuses these messages only, they do not keep the others from it.
        """
        due = self._pace.unavailable(now, answer.retry_after, self._chance())
        return Plan([Later(unit, due if answer.reached else AT_ONCE)])

    def retry(self, wanted: Iterable[tuple[Message, str, float | None]], now: float) -> Plan:
        """The function asked for messages again, each with a reason and maybe a wait."""
        plan = Plan()
        together: dict[float, list[Message]] = {}
        for message, reason, delay in wanted:
            attempts = self._ledger.charge(message.key)
            if self._ledger.exhausted(message.key):
                plan.dead.append((message, reason))
                continue
            wait = self._delay(attempts) if delay is None else delay
            together.setdefault(round(wait, 1), []).append(message)
        for wait, messages in together.items():
            plan.later.append(Later(Unit(messages), now + wait, charged=True))
        return plan

    def failed(self, unit: Unit, answer: Failed, in_hand: int, now: float) -> Plan:
        """The invocation failed.

        Args:
            unit: what was delivered.
            answer: how it failed.
            in_hand: how many messages are in hand.
            now: the time on a clock that never goes back.
        """
        self._pace.failed(now, self._chance(), crashed=answer.fault is Fault.CRASH)
        evidence = self._evidence(unit, answer, in_hand)
        failures = unit.failures + 1
        exclusive = unit.exclusive or answer.fault is not Fault.TIMEOUT
        if self._pace.troubled and not evidence:
            # everything fails, no matter what: splitting would only make work
            return Plan([Later(unit, now + self._delay(failures))])
        match after_failure(unit.messages, unit.failures):
            case RetryWhole(messages):
                attempts = max(self._ledger.charge(message.key) for message in messages)
                again = Unit(messages, failures, exclusive, self._successes)
                return Plan([Later(again, now + self._delay(attempts), charged=True)])
            case Split(halves):
                parts = [Unit(half, failures, exclusive, unit.successes) for half in halves]
                return Plan([Later(part, now) for part in parts])
            case Alone(message):
                return self._alone(unit, message, answer, exclusive, evidence, now)

    def rejected(self, unit: Unit, answer: Rejected, now: float) -> Plan:
        """The function refuses what it was given; it does answer, though."""
        self.answered()
        match after_rejection(unit.messages):
            case Split(halves):
                parts = [
                    Unit(half, unit.failures + 1, unit.exclusive, unit.successes) for half in halves
                ]
                return Plan([Later(part, now) for part in parts])
            case _:
                message = unit.messages[0]
                if parts := self._within(unit, message, unit.exclusive, now):
                    return parts
                self._ledger.charge(message.key)
                return Plan(dead=[(message, answer.reason)])

    def _alone(
        self,
        unit: Unit,
        message: Message,
        answer: Failed,
        exclusive: bool,
        evidence: bool,
        now: float,
    ) -> Plan:
        failures = unit.failures + 1
        if unit.failures > 0 and (parts := self._within(unit, message, exclusive, now)):
            return parts
        successes = unit.successes
        if evidence:
            successes = self._successes
            self._ledger.charge(message.key)
            if self._ledger.exhausted(message.key) and message.events_apart == 1:
                return Plan(dead=[(message, answer.reason)])
        again = Unit([message], failures, exclusive, successes)
        return Plan([Later(again, now + self._delay(failures), charged=evidence)])

    def _within(self, unit: Unit, message: Message, exclusive: bool, now: float) -> Plan | None:
        """Go on with the halves of a message that holds several events."""
        halves = halve(message)
        if halves is None:
            return None
        for half in halves:
            self._ledger.carry_over(message.key, half.key)
        if message.parent:
            self._ledger.forget(message.key)
        return Plan(
            [
                Later(Unit([half], unit.failures + 1, exclusive, unit.successes), now)
                for half in halves
            ]
        )

    def _evidence(self, unit: Unit, answer: Failed, in_hand: int) -> bool:
        """Return whether a failure is the messages' own and not the function's outage.

        A function that answers with an error speaks for itself. A broken connection or a timeout
        looks the same whether this message or something else is to blame: it counts where the
        function did other messages since, or where there are hardly any others to tell by.
        """
        if answer.fault is Fault.ERROR:
            return True
        return self._successes > unit.successes or in_hand <= FEW

    def _delay(self, failures: int) -> float:
        return self._backoff.delay(failures, self._chance())
