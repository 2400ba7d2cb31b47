"""The parameters of reports: which events a question is about."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from functions.common.events import SOURCES

RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d"
    r"(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d))?"
)
_PLUS_AS_SPACE = re.compile(r"(?<=[\d.]) (?=\d\d:?\d\d$)")


def _instant(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip().upper()
    if "T" in text:
        # "+02:00" in a URL without percent-encoding arrives as " 02:00"
        text = _PLUS_AS_SPACE.sub("+", text)
    if not RFC3339.fullmatch(text):
        raise PydanticCustomError(
            "instant",
            "Write a date (2026-11-20, midnight UTC) or an RFC 3339 time with its offset "
            "(2026-11-20T10:00:00+02:00)",
        )
    try:
        moment = datetime.fromisoformat(text.replace(",", "."))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise PydanticCustomError("instant", "There is no such time") from error


Instant = Annotated[datetime, BeforeValidator(_instant)]
"""A moment, converted to UTC."""

Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]

Stage = Literal["top", "bottom"]


def _known_source(name: str) -> str:
    if name not in SOURCES:
        raise PydanticCustomError(
            "source", "Sources are {known}", {"known": ", ".join(sorted(SOURCES))}
        )
    return name


SourceName = Annotated[
    str, AfterValidator(_known_source), Field(json_schema_extra={"enum": [*sorted(SOURCES)]})
]


class Query(BaseModel):
    """The parameters of one report; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)


class Filters(Query):
    """The events a report is about; what is not given does not restrict."""

    from_: Instant | None = Field(
        None,
        alias="from",
        description="First moment of the range (inclusive): RFC 3339 with any offset, or a date "
        "(midnight UTC). By default from the first event on.",
        examples=["2026-11-01T00:00:00Z"],
    )
    to: Instant | None = Field(
        None,
        description="End of the range (exclusive). By default up to the last event.",
        examples=["2026-12-01T00:00:00Z"],
    )
    source: SourceName | None = Field(
        None, description="Only events of this source.", examples=["facebook"]
    )
    funnelStage: Stage | None = Field(
        None, description="Only events of this stage of the funnel.", examples=["bottom"]
    )
    eventType: Text | None = Field(
        None, description="Only events of this type.", examples=["checkout.complete"]
    )
    campaignId: Text | None = Field(
        None, description="Only events of this campaign.", examples=["campaign-7"]
    )
    country: Text | None = Field(
        None, description="Only events from this country.", examples=["DE"]
    )

    FILTER_NAMES: ClassVar = (
        "source",
        "funnelStage",
        "eventType",
        "campaignId",
        "country",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.from_ is not None and self.to is not None and self.to < self.from_:
            raise PydanticCustomError("range", "to is before from", {"parameter": "to"})
        return self

    def params(self) -> dict[str, Any]:
        """Return what `{{event_filters}}` in the SQL takes."""
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
        }


class ReportQuery(Filters):
    """The filters, and whether figures that are estimated may be."""

    exact: bool = Field(
        False,
        description="Compute every figure from the stored events. Slower; nothing is estimated.",
        examples=[False],
    )
