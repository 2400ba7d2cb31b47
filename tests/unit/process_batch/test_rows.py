"""From events to COPY text, and to what they add to the rollups."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from functions.common.events import EVENT
from functions.process_batch.body import EventMessage, dump_json
from functions.process_batch.deltas import delta_lines
from functions.process_batch.rows import EventRow, NotStorableError, make_row
from functions.process_batch.validation import ROWS_PER_PART, ValidationSummary, validated_rows


def checkout(**changes: Any) -> dict[str, Any]:
    return {
        "eventId": "e1",
        "timestamp": "2026-03-01T10:20:30.5Z",
        "source": "facebook",
        "funnelStage": "bottom",
        "eventType": "checkout.complete",
        "data": {
            "user": {
                "userId": "u1",
                "name": "Ada",
                "age": 30,
                "gender": "female",
                "location": {"country": "DE", "city": "Berlin"},
            },
            "engagement": {
                "adId": "a1",
                "campaignId": "c1",
                "clickPosition": "center",
                "device": "mobile",
                "browser": "Firefox",
                "purchaseAmount": "19.90",
            },
        },
        **changes,
    }


def row_of(event: dict[str, Any]) -> EventRow:
    return make_row(event, EVENT.validate_python(event), 0, "now", dump_json)


@pytest.mark.parametrize(
    ("timestamp", "day", "at"),
    [
        ("2026-03-01T10:20:30.5Z", "2026-03-01", "2026-03-01T10:20:30.5+00:00"),
        ("2026-03-01T10:20:30+00:00", "2026-03-01", "2026-03-01T10:20:30+00:00"),
        ("2026-03-01T10:20:30.123456+00:00", "2026-03-01", "2026-03-01T10:20:30.123456+00:00"),
        ("2026-03-01T10:20:30.1234567+00:00", "2026-03-01", "2026-03-01T10:20:30.123456+00:00"),
        ("2026-03-01t10:20:30+00:00", "2026-03-01", "2026-03-01T10:20:30+00:00"),
        ("2026-03-01T10:20+00:00", "2026-03-01", "2026-03-01T10:20:00+00:00"),
        ("2026-03-01T00:30:00+01:00", "2026-02-28", "2026-02-28T23:30:00+00:00"),
        ("2026-03-01t10:20:30z", "2026-03-01", "2026-03-01T10:20:30+00:00"),
        ("2026-03-01 10:20:30Z", "2026-03-01", "2026-03-01T10:20:30+00:00"),
        ("2026-03-01T10:20Z", "2026-03-01", "2026-03-01T10:20:00+00:00"),
    ],
)
def test_time_is_in_utc(timestamp: str, day: str, at: str) -> None:
    row = row_of(checkout(timestamp=timestamp))
    assert (row.day, row.occurred_at) == (day, at)
    assert row.rollup_key.startswith(at[:13] + ":00:00+00\tfacebook\tbottom\t")


def test_line_is_copy_text() -> None:
    event = checkout(eventId="tab\t back\\slash", more="new\nline")
    fields = row_of(event).line.rstrip("\n").split("\t")
    assert fields[0] == "tab\\t back\\\\slash"
    assert fields[4:11] == ["u1", "19.90", "facebook", "bottom", "checkout.complete", "DE", "c1"]
    assert fields[12] == '{"more":"new\\\\nline"}'
    assert row_of(checkout()).line.endswith("\t\\N\n")


def test_everything_that_was_sent_is_in_the_row() -> None:
    event = checkout(x={"deep": [1]}, y=None)
    data = event["data"]
    data["x"] = data["user"]["x"] = data["user"]["location"]["x"] = data["engagement"]["x"] = [1.5]
    *_, stored, extra = row_of(event).line.rstrip("\n").split("\t")
    assert json.loads(stored) == data
    assert json.loads(extra) == {"x": {"deep": [1]}, "y": None}


def test_numbers_are_stored_as_they_were_sent() -> None:
    watched = checkout(
        source="tiktok",
        funnelStage="top",
        eventType="video.view",
        data={
            "user": {"userId": "u2", "username": "grace", "followers": 1},
            "engagement": {
                "watchTime": 12,
                "percentageWatched": 1e2,
                "device": "iOS",
                "country": "US",
                "videoId": "v1",
            },
        },
    )
    line = row_of(watched).line
    assert '"watchTime":12,' in line
    assert '"percentageWatched":100.0,' in line


def test_too_long_values_are_refused() -> None:
    event = EVENT.validate_python(checkout())
    event["data"]["user"]["location"]["city"] = "x" * 201
    with pytest.raises(NotStorableError, match="city has 201 characters"):
        make_row(checkout(), event, 0, "now", dump_json)
    event["data"]["user"]["userId"] = "x" * 201
    with pytest.raises(NotStorableError, match="userId"):
        make_row(checkout(), event, 0, "now", dump_json)


def test_each_event_is_kept_once() -> None:
    events = [
        checkout(eventId="b"),
        checkout(eventId="a"),
        checkout(eventId="b", timestamp="2026-03-01T23:59:59Z"),
        checkout(eventId="b", timestamp="2026-03-02T00:00:00Z"),  # another day: another event
        {"eventId": "bad"},
        7,
    ]
    validation = ValidationSummary()
    [part] = validated_rows(
        [EventMessage(events[:3], dump_json), EventMessage(events[3:], dump_json)], validation
    )
    assert [(row.event_id, row.day, row.position) for row in part] == [
        ("b", "2026-03-01", 0),
        ("a", "2026-03-01", 1),
        ("b", "2026-03-02", 3),
    ]
    assert (validation.received, validation.duplicates) == (6, 1)
    assert [(each.position, each.event_id) for each in validation.invalid] == [
        (4, "bad"),
        (5, None),
    ]


def test_deltas_sum_up_by_hour_and_dimensions() -> None:
    events = [
        checkout(eventId="1"),
        checkout(eventId="2", timestamp="2026-03-01T10:05:00Z"),
        checkout(eventId="3", timestamp="2026-03-01T11:00:00Z"),
    ]
    events[1]["data"]["user"] |= {"userId": "u2", "gender": "male"}
    events[2]["data"]["engagement"]["purchaseAmount"] = None
    [rows] = validated_rows([EventMessage(events, dump_json)], ValidationSummary())
    lines = [line.rstrip("\n").split("\t") for line in delta_lines(rows)]
    both, alone = sorted(lines)
    assert both[:11] == [
        *("2026-03-01T10:00:00+00", "facebook", "bottom", "checkout.complete", "DE", "c1"),
        *("2", "2", "39.80", "2026-03-01T10:05:00+00:00", "2026-03-01T10:20:30.5+00:00"),
    ]
    assert both[11] == '{"u1","u2"}'
    groups = dict(
        zip(both[12].strip("{}").split(","), both[13].strip("{}").split(","), strict=True)
    )
    assert groups == {
        '"ageGroup=25-34"': "2",
        '"gender=female"': "1",
        '"gender=male"': "1",
        '"country=DE"': "2",
        '"city=Berlin"': "2",
    }
    assert sorted(map(Decimal, both[14].strip("{}").split(","))) == [
        Decimal("19.90"),
        Decimal("19.90"),
        Decimal("39.80"),
        Decimal("39.80"),
        Decimal("39.80"),
    ]
    assert (alone[6], alone[7], alone[8], alone[14]) == ("1", "0", "0", "\\N")


def test_event_of_the_day_after_tomorrow_is_refused() -> None:
    ahead = (datetime.now(UTC) + timedelta(days=1, minutes=1)).isoformat()
    validation = ValidationSummary()
    assert (
        list(validated_rows([EventMessage([checkout(timestamp=ahead)], dump_json)], validation))
        == []
    )
    [refused] = validation.invalid
    assert "timestamp" in refused.reason


def test_rows_come_in_parts_and_duplicates_are_found_across_them() -> None:
    number = ROWS_PER_PART + 1
    events = [checkout(eventId=f"{n}") for n in range(number)] * 2
    validation = ValidationSummary()
    first, second = validated_rows([EventMessage(events, dump_json)], validation)
    assert (len(first), len(second)) == (ROWS_PER_PART, 1)
    assert (validation.received, validation.duplicates) == (2 * number, number)
