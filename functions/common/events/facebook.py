"""Facebook events."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field, with_config
from typing_extensions import TypedDict

from functions.common.contract import (
    KEEP_UNKNOWN,
    ActionTime,
    Amount,
    Columns,
    Envelope,
    Source,
    Text,
    money,
)

OLDEST = 150


@with_config(KEEP_UNKNOWN)
class Location(TypedDict):
    """Where the user lives."""

    country: Text
    city: Text


@with_config(KEEP_UNKNOWN)
class User(TypedDict):
    """Who acted."""

    userId: Text
    name: str
    age: Annotated[int, Field(ge=0, le=OLDEST)]
    gender: Literal["male", "female", "non-binary"]
    location: Location


@with_config(KEEP_UNKNOWN)
class TopEngagement(TypedDict):
    """What was done with organic content."""

    actionTime: ActionTime
    referrer: Literal["newsfeed", "marketplace", "groups"]
    videoId: NotRequired[Text | None]


@with_config(KEEP_UNKNOWN)
class BottomEngagement(TypedDict):
    """What was done with an advertisement."""

    adId: Text
    campaignId: Text
    clickPosition: Literal["top_left", "bottom_right", "center"]
    device: Literal["mobile", "desktop"]
    browser: Literal["Chrome", "Firefox", "Safari"]
    purchaseAmount: NotRequired[Amount | None]


@with_config(KEEP_UNKNOWN)
class TopData(TypedDict):
    """`data` of a top-of-funnel event."""

    user: User
    engagement: TopEngagement


@with_config(KEEP_UNKNOWN)
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


def _columns(event: Top | Bottom) -> Columns:
    data = event["data"]
    user = data["user"]
    if event["funnelStage"] == "top":
        return Columns(user["userId"], user["location"]["country"])
    engagement = event["data"]["engagement"]
    return Columns(
        user["userId"],
        user["location"]["country"],
        engagement["campaignId"],
        money(engagement.get("purchaseAmount")),
    )


AGE_GROUPS = (
    (18, "0-17"),
    (25, "18-24"),
    (35, "25-34"),
    (45, "35-44"),
    (55, "45-54"),
    (65, "55-64"),
)


def age_group(age: int) -> str:
    """Return the group that reports count an age (years) in."""
    return next((group for end, group in AGE_GROUPS if age < end), "65+")


_GROUP_OF_AGE = tuple(age_group(age) for age in range(OLDEST + 1))


def _demographics(event: Top | Bottom) -> tuple[tuple[str, str], ...]:
    user = event["data"]["user"]
    location = user["location"]
    return (
        ("ageGroup", _GROUP_OF_AGE[user["age"]]),
        ("gender", user["gender"]),
        ("country", location["country"]),
        ("city", location["city"]),
    )


SOURCE = Source(
    "facebook", Annotated[Top | Bottom, Field(discriminator="funnelStage")], _columns, _demographics
)
