"""The query parameters of reports: which events a report covers."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from functions.common.events import SourceName

from ..settings import settings
from .property_filters import Filters, all_conditions
from .time_zone import TimeZoneName

_DATE_OR_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d"
    r"(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d))?"
)
_PLUS_AS_SPACE = re.compile(r"(?<=[\d.]) (?=\d\d:?\d\d$)")


def _utc_time(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip().upper()
    if "T" in text:
        # "+02:00" in a URL without percent-encoding arrives as " 02:00"
        text = _PLUS_AS_SPACE.sub("+", text)
    if not _DATE_OR_RFC3339.fullmatch(text):
        raise PydanticCustomError(
            "invalid_time",
            "Expected a date (2026-11-20, its midnight) or an RFC 3339 time with an offset "
            "(2026-11-20T10:00:00+02:00)",
        )
    try:
        moment = datetime.fromisoformat(text.replace(",", "."))
        if moment.tzinfo is None:
            # a timezone that is wrong is missing here, and named by itself
            moment = moment.replace(tzinfo=ZoneInfo(info.data.get("timezone", "UTC")))
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise PydanticCustomError("invalid_time", "Not a valid time") from error


UtcTime = Annotated[datetime, BeforeValidator(_utc_time)]
"""A time with any offset, or a date in the question's time zone, converted to UTC."""


FilterText = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]

Stage = Literal["top", "bottom"]


class QueryParameters(BaseModel):
    """The query parameters of one report; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)

    repeatable: ClassVar[frozenset[str]] = frozenset()
    """Those that may be given more than once."""


class TimeRange(QueryParameters):
    """When the events happened that a report covers."""

    # before the times, which it is needed for
    timezone: TimeZoneName = Field(
        default_factory=lambda: settings().timezone,
        description="Time zone in which days begin at midnight and hours at full hours: of dates "
        "in `from` and `to`, and of intervals. Times in responses are in UTC all the same. "
        "Default: that of the workspace (setting `TIMEZONE`), else UTC.",
        examples=["Europe/Berlin"],
    )
    from_: UtcTime | None = Field(
        None,
        alias="from",
        description="Start of the range (inclusive): RFC 3339 with any offset, or a date "
        "(its midnight in `timezone`). Default: the first event.",
        examples=["2026-11-01T00:00:00Z"],
    )
    to: UtcTime | None = Field(
        None,
        description="End of the range (exclusive). Default: after the last event.",
        examples=["2026-12-01T00:00:00Z"],
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.from_ is not None and self.to is not None and self.to < self.from_:
            raise PydanticCustomError("invalid_range", "to is before from", {"parameter": "to"})
        return self

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of days."""
        return ZoneInfo(self.timezone)


class WhatFilters(QueryParameters):
    """What the events are that a report covers; a filter that is not given does not restrict."""

    repeatable = frozenset({"filter"})

    source: SourceName | None = Field(
        None, description="Only events of this source.", examples=["facebook"]
    )
    funnelStage: Stage | None = Field(
        None, description="Only events of this funnel stage.", examples=["bottom"]
    )
    eventType: FilterText | None = Field(
        None, description="Only events of this type.", examples=["checkout.complete"]
    )
    campaignId: FilterText | None = Field(
        None, description="Only events of this campaign.", examples=["campaign-7"]
    )
    country: FilterText | None = Field(
        None, description="Only events from this country.", examples=["DE"]
    )
    filter: Filters = Field(
        (),
        description="Only events whose property is like this: `property:operator:value`, and of "
        "several filters all must hold. A property is a known name (`/analytics/properties` lists "
        "them) or a path such as `data.engagement.device`. Operators: `is`, `isNot` (events that "
        "do not tell the property are in), `oneOf` (values separated by commas, or a JSON array), "
        "`contains` (whatever the case of letters), `isSet` and `isNotSet` (without a value). "
        "Numbers are compared as JSON writes them. No rollup has properties: the events of the "
        "range are read, up to a limit that the refusal names.",
        examples=[["device:is:mobile", "ageGroup:oneOf:18-24,25-34"]],
    )


class EventFilters(WhatFilters, TimeRange):
    """Which events a report covers."""

    def params(self) -> dict[str, Any]:
        """Return the parameters of `{{event_filters}}` and of the other filters in the SQL."""
        return {
            "from_time": self.from_,
            "to_time": self.to,
            "from_day": self.from_ and self.from_.date(),
            "to_day": self.to and self.to.date(),
            "source": self.source,
            "funnel_stage": self.funnelStage,
            "event_type": self.eventType,
            "campaign_id": self.campaignId,
            "country": self.country,
            "told": False,
            "told_users": [],
            "property_filters": all_conditions(self.filter),
        }


class ReportQuery(EventFilters):
    """The filters, and whether figures may be estimated."""

    exact: bool = Field(
        False,
        description="Compute every figure from the stored events. Slower, but nothing is "
        "estimated.",
        examples=[False],
    )
    countryOf: Literal["user", "event"] = Field(
        "user",
        description="Whose country the filter by country looks at: where an event has none, that "
        "of its `user`, as the user's latest event of the same source with a country tells; or "
        "only that of the `event`.",
        examples=["event"],
    )
    _told_users: tuple[str, ...] = PrivateAttr(())

    @property
    def from_events(self) -> bool:
        """Whether all is computed from the stored events: asked for, or no rollup has a filter."""
        return self.exact or bool(self.filter)

    def of_users(self, users: Iterable[str]) -> Self:
        """Return the query with the users, as "source userId", whose country is asked for."""
        found = self.model_copy()
        found._told_users = tuple(users)
        return found

    def params(self) -> dict[str, Any]:
        """Return the parameters of the filters, by users' country too."""
        told = self._told_users if self.country is not None else ()
        return super().params() | {"told": bool(told), "told_users": list(told)}
