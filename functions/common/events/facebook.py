"""Facebook events."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field, with_config
from typing_extensions import TypedDict

from functions.common.contract import (
    STRICT,
    ActionTime,
    Amount,
    Bands,
    Currency,
    Envelope,
    Name,
    ReportFields,
    Source,
    Text,
    money,
)

OLDEST = 150


@with_config(STRICT)
class Location(TypedDict):
    """Where the user lives."""

    country: Text
    city: Text


@with_config(STRICT)
class User(TypedDict):
    """Who acted."""

    userId: Text
    name: Name
    age: Annotated[int, Field(ge=0, le=OLDEST)]
    gender: Literal["male", "female", "non-binary"]
    location: Location


@with_config(STRICT)
class TopEngagement(TypedDict):
    """What was done with organic content."""

    actionTime: ActionTime
    referrer: Literal["newsfeed", "marketplace", "groups"]
    videoId: NotRequired[Text | None]


@with_config(STRICT)
class BottomEngagement(TypedDict):
    """What was done with an advertisement."""

    adId: Text
    campaignId: Text
    clickPosition: Literal["top_left", "bottom_right", "center"]
    device: Literal["mobile", "desktop"]
    browser: Literal["Chrome", "Firefox", "Safari"]
    purchaseAmount: NotRequired[Amount | None]
    currency: NotRequired[Currency | None]


@with_config(STRICT)
class TopData(TypedDict):
    """`data` of a top-of-funnel event."""

    user: User
    engagement: TopEngagement


@with_config(STRICT)
class BottomData(TypedDict):
    """`data` of a bottom-of-funnel event."""

    user: User
    engagement: BottomEngagement


class Top(Envelope):
    """A top-of-funnel event."""

    source: Literal["facebook"]
    funnelStage: Literal["top"]
    eventType: Literal["ad.view", "page.like", "comment", "video.view"]
    data: TopData


class Bottom(Envelope):
    """A bottom-of-funnel event."""

    source: Literal["facebook"]
    funnelStage: Literal["bottom"]
    eventType: Literal["ad.click", "form.submission", "checkout.complete"]
    data: BottomData


AGE_GROUPS = (
    (18, "0-17"),
    (25, "18-24"),
    (35, "25-34"),
    (45, "35-44"),
    (55, "45-54"),
    (65, "55-64"),
)
OLDEST_GROUP = "65+"


def age_group(age: int) -> str:
    """Return the group that reports count an age (years) in."""
    return next((group for end, group in AGE_GROUPS if age < end), OLDEST_GROUP)


_GROUP_OF_AGE = tuple(age_group(age) for age in range(OLDEST + 1))


def _report_fields(event: Top | Bottom) -> ReportFields:
    data = event["data"]
    user = data["user"]
    location = user["location"]
    country = location["country"]
    groups = _GROUP_OF_AGE[user["age"]], user["gender"], country, location["city"]
    if event["funnelStage"] == "top":
        return user["userId"], country, None, None, groups
    engagement = event["data"]["engagement"]
    revenue = money(engagement.get("purchaseAmount"))
    return user["userId"], country, engagement["campaignId"], revenue, groups


SOURCE = Source(
    "facebook",
    Annotated[Top | Bottom, Field(discriminator="funnelStage")],
    _report_fields,
    dimensions=("ageGroup", "gender", "country", "city"),
    bands={
        "ageGroup": Bands(
            ("user", "age"),
            tuple(end for end, _ in AGE_GROUPS),
            (*(group for _, group in AGE_GROUPS), OLDEST_GROUP),
        )
    },
)
