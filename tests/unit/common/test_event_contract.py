"""The event contract: what is an event, and what is said about one that is not."""

import json
from copy import deepcopy
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import AwareDatetime, TypeAdapter, ValidationError

from functions.common.contract import EventTime
from functions.common.events import (
    SOURCES,
    columns,
    demographics,
    explain,
    summarize,
    validate_json,
)
from functions.common.workspace import workspace
from infra.cli.load.event_generator import Mix, generate

FACEBOOK: dict[str, Any] = {
    "eventId": "fb-1",
    "timestamp": "2026-01-02T03:04:05.678+02:00",
    "source": "facebook",
    "funnelStage": "bottom",
    "eventType": "checkout.complete",
    "data": {
        "user": {
            "userId": "u-1",
            "name": "Ada",
            "age": 36,
            "gender": "female",
            "location": {"country": "GB", "city": "London"},
        },
        "engagement": {
            "adId": "ad-1",
            "campaignId": "c-1",
            "clickPosition": "center",
            "device": "mobile",
            "browser": "Firefox",
            "purchaseAmount": "19.99",
        },
    },
}
TIKTOK: dict[str, Any] = {
    "eventId": "tt-1",
    "timestamp": "2026-01-02T03:04:05Z",
    "source": "tiktok",
    "funnelStage": "top",
    "eventType": "video.view",
    "data": {
        "user": {"userId": "u-2", "username": "grace", "followers": 12_500},
        "engagement": {
            "watchTime": 12,
            "percentageWatched": 99.5,
            "device": "iOS",
            "country": "US",
            "videoId": "v-1",
        },
    },
}


def changed(event: dict[str, Any], path: str, value: Any = None, *, remove: bool = False) -> bytes:
    copy = deepcopy(event)
    *parents, last = path.split(".")
    place = copy
    for step in parents:
        place = place[step]
    if remove:
        del place[last]
    else:
        place[last] = value
    return json.dumps(copy).encode()


def fault(raw: bytes) -> tuple[str, str]:
    """Return the path and the type of the first thing that is wrong."""
    with pytest.raises(ValidationError) as caught:
        validate_json(raw)
    first = explain(caught.value)[0]
    return ".".join(map(str, first["loc"])), first["type"]


def test_columns_of_a_facebook_event() -> None:
    event = validate_json(json.dumps(FACEBOOK))
    assert event["timestamp"] == datetime(2026, 1, 2, 1, 4, 5, 678000, UTC)
    assert columns(event) == ("u-1", "GB", "c-1", Decimal("19.99"))
    assert dict(demographics(event)) == {
        "ageGroup": "35-44",
        "gender": "female",
        "country": "GB",
        "city": "London",
    }


def test_columns_of_a_tiktok_event() -> None:
    event = validate_json(json.dumps(TIKTOK))
    assert columns(event) == ("u-2", "US", None, None)
    assert dict(demographics(event)) == {"followerBand": "10K-99.9K", "device": "iOS"}


def test_every_generated_event_is_what_it_is_said_to_be() -> None:
    for generated in generate(3000, seed=5, mix=Mix(duplicates=0.05, invalid=0.1)):
        raw = json.dumps(generated.event)
        if generated.kind == "invalid":
            with pytest.raises(ValidationError):
                validate_json(raw)
        else:
            assert validate_json(raw)["eventId"] == generated.event["eventId"]


def test_unknown_fields_are_allowed_everywhere() -> None:
    event = deepcopy(FACEBOOK)
    event["x"] = {"deep": [1]}
    event["data"]["x"] = event["data"]["user"]["x"] = event["data"]["engagement"]["x"] = 1
    assert validate_json(json.dumps(event)) == validate_json(json.dumps(FACEBOOK))


@pytest.mark.parametrize("path", ["purchasedItem", "purchaseAmount", "actionTime", "profileId"])
@pytest.mark.parametrize("remove", [True, False])
def test_tiktok_bottom_fields_may_be_null_or_missing(path: str, remove: bool) -> None:
    event: dict[str, Any] = deepcopy(TIKTOK) | {"funnelStage": "bottom", "eventType": "purchase"}
    event["data"]["engagement"] = {
        "actionTime": "2026-01-02T03:04:05Z",
        "profileId": "p",
        "purchasedItem": "Mug",
        "purchaseAmount": "5",
    }
    validate_json(changed(event, f"data.engagement.{path}", None, remove=remove))


@pytest.mark.parametrize(
    ("path", "value", "kind"),
    [
        ("eventId", "", "string_too_short"),
        ("eventId", "x" * 201, "string_too_long"),
        ("eventId", 7, "string_type"),
        ("timestamp", 1_700_000_000, "timestamp_format"),
        ("timestamp", "1700000000", "timestamp_format"),
        ("timestamp", "2026-01-02", "timestamp_format"),
        ("timestamp", "2026-01-02_03:04:05Z", "timestamp_format"),
        ("timestamp", "2026-01-02T03:04:05,5Z", "timestamp_format"),
        ("timestamp", "2026-01-02T03:04:05", "timezone_aware"),
        ("timestamp", "2026-02-30T03:04:05Z", "datetime_from_date_parsing"),
        ("timestamp", "1999-12-31T23:59:59Z", "timestamp_too_early"),
        ("timestamp", "9999-12-31T23:59:59-23:59", "timestamp_in_future"),
        ("source", "myspace", "union_tag_invalid"),
        ("source", None, "union_tag_invalid"),
        ("funnelStage", "middle", "union_tag_invalid"),
        ("eventType", "ad.view", "literal_error"),
        ("data", [], "dict_type"),
        ("data.user.age", "36", "int_type"),
        ("data.user.age", True, "int_type"),
        ("data.user.age", 36.5, "int_type"),
        ("data.user.age", -1, "greater_than_equal"),
        ("data.user.gender", "other", "literal_error"),
        ("data.user.location", "London", "dict_type"),
        ("data.engagement.purchaseAmount", 19.99, "string_type"),
        ("data.engagement.purchaseAmount", "1e3", "string_pattern_mismatch"),
        ("data.engagement.purchaseAmount", "NaN", "string_pattern_mismatch"),
        ("data.engagement.purchaseAmount", "9" * 16, "string_pattern_mismatch"),
        ("data.engagement.device", "Mobile", "literal_error"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(path: str, value: Any, kind: str) -> None:
    where, what = fault(changed(FACEBOOK, path, value))
    assert where == path
    if kind.startswith("datetime"):
        assert what.startswith("datetime")
    else:
        assert what == kind


@pytest.mark.parametrize(
    "path", ["eventId", "timestamp", "source", "funnelStage", "eventType", "data", "data.user.name"]
)
def test_a_missing_field_is_named_by_its_path(path: str) -> None:
    with pytest.raises(ValidationError) as caught:
        validate_json(changed(FACEBOOK, path, remove=True))
    assert [".".join(map(str, each["loc"])) for each in explain(caught.value)] == [path]
    assert summarize(explain(caught.value)) == f"{path}: Field required"


@pytest.mark.parametrize(
    ("path", "value", "kind"),
    [
        ("data.engagement.percentageWatched", 100.5, "less_than_equal"),
        ("data.engagement.watchTime", -1, "greater_than_equal"),
        ("data.engagement.watchTime", float("inf"), "finite_number"),
        ("data.user.followers", "12", "int_type"),
    ],
)
def test_what_is_wrong_with_a_tiktok_event(path: str, value: Any, kind: str) -> None:
    assert fault(changed(TIKTOK, path, value)) == (path, kind)


def test_a_timestamp_may_be_a_day_ahead_and_no_more() -> None:
    ahead = datetime.now(UTC) + timedelta(days=1)
    validate_json(changed(TIKTOK, "timestamp", (ahead - timedelta(minutes=1)).isoformat()))
    where, what = fault(changed(TIKTOK, "timestamp", (ahead + timedelta(minutes=1)).isoformat()))
    assert (where, what) == ("timestamp", "timestamp_in_future")


@pytest.mark.parametrize(
    "raw", [b"", b"7", b"[]", b"null", b'"x"', b"{", b"\xff", b'{"eventId":"\\ud800"}', b"[" * 500]
)
def test_what_is_no_object_is_no_event(raw: bytes) -> None:
    where, what = fault(raw)
    assert where == ""
    assert what in ("json_invalid", "dict_type")


def test_sources_are_found_by_themselves() -> None:
    assert set(SOURCES) == {"facebook", "tiktok"}


PYDANTIC_TIME: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)
EVENT_TIME: TypeAdapter[datetime] = TypeAdapter(EventTime)
UTC_TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC))


def read(adapter: TypeAdapter[datetime], text: str) -> datetime | None:
    try:
        return adapter.validate_python(text)
    except ValidationError:
        return None


@given(
    UTC_TIMES,
    st.sampled_from(["seconds", "milliseconds", "microseconds"]),
    st.sampled_from(["Z", "+00:00"]),
    st.lists(st.tuples(st.integers(4, 31), st.sampled_from("0129-:.+TWZ zt\u0663"))),
)
@example(datetime(2020, 1, 2, tzinfo=UTC), "milliseconds", "Z", [(5, "W")])
@example(datetime(2020, 1, 2, tzinfo=UTC), "seconds", "Z", [(16, ".")])
@example(datetime(2020, 1, 2, tzinfo=UTC), "milliseconds", "+00:00", [(19, "+")])
@example(datetime(2020, 1, 2, tzinfo=UTC), "seconds", "+00:00", [(20, "2")])
def test_times_in_utc_are_read_as_pydantic_reads_them(
    moment: datetime, precision: str, offset: str, changes: list[tuple[int, str]]
) -> None:
    # the year stays within the bounds, and the T a T: pydantic reads other letters there, too
    letters = list(moment.isoformat(timespec=precision).replace("+00:00", offset))
    for place, letter in changes:
        if place != 10 and place < len(letters):
            letters[place] = letter
    text = "".join(letters)
    assert read(EVENT_TIME, text) == read(PYDANTIC_TIME, text)


@pytest.mark.parametrize(
    ("timestamp", "kind"),
    [
        ("0001-01-01T00:00:00+14:00", "timestamp_too_early"),
        ("9999-12-31T23:59:59-14:00", "timestamp_in_future"),
        ("9999-12-31T23:59:59Z", "timestamp_in_future"),
        ("1999-12-31T23:59:59.999999Z", "timestamp_too_early"),
        ("2000-01-01T00:59:59+01:00", "timestamp_too_early"),
    ],
)
def test_times_beyond_the_bounds(timestamp: str, kind: str) -> None:
    assert fault(changed(FACEBOOK, "timestamp", timestamp)) == ("timestamp", kind)


def test_a_time_one_day_ahead_is_the_last() -> None:
    for zone in (UTC, timezone(timedelta(hours=-3))):
        soon = datetime.now(zone) + timedelta(days=1)
        early, late = (soon + timedelta(seconds=s) for s in (-60, 60))
        assert EVENT_TIME.validate_python(early.isoformat()) == early
        assert fault(changed(FACEBOOK, "timestamp", late.isoformat()))[1] == "timestamp_in_future"
        early, late = (each.astimezone(UTC) for each in (early, late))
        plain = early.isoformat().replace("+00:00", "Z")
        assert EVENT_TIME.validate_python(plain) == early
        plain = late.isoformat().replace("+00:00", "Z")
        assert fault(changed(FACEBOOK, "timestamp", plain))[1] == "timestamp_in_future"


def test_an_amount_is_of_the_currency_of_the_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Amounts of several currencies are never added up: one that names another is no event."""
    path = "data.engagement.currency"
    none = changed(FACEBOOK, path, None)
    for expected, named, fault in (
        ("EUR", "EUR", None),
        ("EUR", "USD", "Amounts are in EUR here"),
        ("EUR", 978, "Amounts are in EUR here"),
        ("", "EUR", "Amounts have no currency here: CURRENCY is not set"),
    ):
        monkeypatch.setenv("CURRENCY", expected)
        workspace.cache_clear()
        validate_json(none)
        if fault is None:
            validate_json(changed(FACEBOOK, path, named))
            continue
        with pytest.raises(ValidationError) as error:
            validate_json(changed(FACEBOOK, path, named))
        [detail] = explain(error.value)
        assert (detail["loc"], detail["msg"]) == (path.split("."), fault)
    monkeypatch.undo()
    workspace.cache_clear()
