"""What is stored of a person, as the person may ask for it."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import orjson
from psycopg import Connection

from infra.privacy.dead_letters import PersonsLetter
from infra.privacy.person import Person

_EVENTS_OF_DAY = (
    "SELECT event_id, occurred_at, received_at, source, funnel_stage, event_type, data, extra"
    " FROM events WHERE day = %s AND user_id = %s AND (%s::text IS NULL OR source = %s)"
    " ORDER BY occurred_at, event_id"
)
_EVENTS_PER_FETCH = 500


def stored_events(connection: Connection, person: Person, day: date) -> Iterator[dict[str, Any]]:
    """Yield a person's events of one day as they were sent, and when they were received."""
    with connection.transaction(), connection.cursor(name="events_of_person") as cursor:
        cursor.itersize = _EVENTS_PER_FETCH
        cursor.execute(_EVENTS_OF_DAY, [day, person.user_id, person.source, person.source])
        for event_id, occurred_at, received_at, source, stage, kind, data, extra in cursor:
            yield {
                "eventId": event_id,
                "timestamp": _time(occurred_at),
                "source": source,
                "funnelStage": stage,
                "eventType": kind,
                "data": data,
                **(extra or {}),
                "receivedAt": _time(received_at),
            }


def dead_events(found: PersonsLetter) -> Iterator[dict[str, Any]]:
    """Yield a person's events of a dead letter: what was sent, and why it is dead."""
    letter = found.letter
    for event in found.events:
        try:
            sent: Any = orjson.loads(event)
        except orjson.JSONDecodeError:
            sent = event.decode("utf-8", "replace")
        yield {
            "deadLetter": {
                "id": letter.sequence,
                "time": _time(letter.died),
                "reason": letter.reason,
            },
            "sent": sent,
        }


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
