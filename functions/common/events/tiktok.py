"""TikTok events."""

from bisect import bisect_right
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
    UnsignedInteger,
    money,
)


@with_config(STRICT)
class User(TypedDict):
    """Who acted."""

    userId: Text
    username: Name
    followers: UnsignedInteger


@with_config(STRICT)
class TopEngagement(TypedDict):
    """What was done with a video; `watchTime` is in seconds."""

    watchTime: Annotated[float, Field(ge=0)]
    percentageWatched: Annotated[float, Field(ge=0, le=100)]
    device: Literal["Android", "iOS", "Desktop"]
    country: Text
    videoId: Text


@with_config(STRICT)
class BottomEngagement(TypedDict):
    """What was done with a profile or a shop."""

    actionTime: NotRequired[ActionTime | None]
    profileId: NotRequired[Text | None]
    purchasedItem: NotRequired[Text | None]
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

    source: Literal["tiktok"]
    funnelStage: Literal["top"]
    eventType: Literal["video.view", "like", "share", "comment"]
    data: TopData


class Bottom(Envelope):
    """A bottom-of-funnel event."""

    source: Literal["tiktok"]
    funnelStage: Literal["bottom"]
    eventType: Literal["profile.visit", "purchase", "follow"]
    data: BottomData


FOLLOWER_BANDS = (
    (1_000, "0-999"),
    (10_000, "1K-9.9K"),
    (100_000, "10K-99.9K"),
    (1_000_000, "100K-999.9K"),
)
_ENDS = tuple(end for end, _ in FOLLOWER_BANDS)
_BANDS = (*(band for _, band in FOLLOWER_BANDS), "1M+")


def follower_band(followers: int) -> str:
    """Return the band that reports count a number of followers in."""
    return _BANDS[bisect_right(_ENDS, followers)]


def _report_fields(event: Top | Bottom) -> ReportFields:
    user = event["data"]["user"]
    band = follower_band(user["followers"])
    if event["funnelStage"] == "top":
        watched = event["data"]["engagement"]
        return user["userId"], watched["country"], None, None, (band, watched["device"])
    revenue = money(event["data"]["engagement"].get("purchaseAmount"))
    return user["userId"], None, None, revenue, (band,)


SOURCE = Source(
    "tiktok",
    Annotated[Top | Bottom, Field(discriminator="funnelStage")],
    _report_fields,
    dimensions=("followerBand", "device"),
    bands={"followerBand": Bands(("user", "followers"), _ENDS, _BANDS)},
)
