"""The events, as models."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter


class Location(BaseModel):
    country: str
    city: str


class FacebookUser(BaseModel):
    userId: str
    name: str
    age: int
    gender: Literal["male", "female", "non-binary"]
    location: Location


class FacebookTop(BaseModel):
    actionTime: AwareDatetime
    referrer: Literal["newsfeed", "marketplace", "groups"]
    videoId: str | None


class FacebookBottom(BaseModel):
    adId: str
    campaignId: str
    clickPosition: Literal["top_left", "bottom_right", "center"]
    device: Literal["mobile", "desktop"]
    browser: Literal["Chrome", "Firefox", "Safari"]
    purchaseAmount: Decimal | None


class FacebookData(BaseModel):
    user: FacebookUser
    engagement: FacebookTop | FacebookBottom


class TiktokUser(BaseModel):
    userId: str
    username: str
    followers: int


class TiktokTop(BaseModel):
    watchTime: float
    percentageWatched: float
    device: Literal["Android", "iOS", "Desktop"]
    country: str
    videoId: str


class TiktokBottom(BaseModel):
    actionTime: AwareDatetime
    profileId: str | None
    purchasedItem: str | None
    purchaseAmount: Decimal | None


class TiktokData(BaseModel):
    user: TiktokUser
    engagement: TiktokTop | TiktokBottom


class Envelope(BaseModel):
    eventId: str = Field(min_length=1, max_length=200)
    timestamp: AwareDatetime
    funnelStage: Literal["top", "bottom"]
    eventType: str


class FacebookEvent(Envelope):
    source: Literal["facebook"]
    data: FacebookData

    @property
    def country(self) -> str | None:
        return self.data.user.location.country


class TiktokEvent(Envelope):
    source: Literal["tiktok"]
    data: TiktokData

    @property
    def country(self) -> str | None:
        return getattr(self.data.engagement, "country", None)


Event = FacebookEvent | TiktokEvent
EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="source")])
COLUMNS = 11


def row(event: Event, data: Any, received: datetime) -> tuple[Any, ...]:
    """Return the values of an event's row.

    Args:
        event: the event.
        data: its member `data`, as it is stored.
        received: when it was received.
    """
    engagement = event.data.engagement
    return (
        *(event.eventId, event.timestamp, received),
        *(event.source, event.funnelStage, event.eventType, event.data.user.userId, event.country),
        *(getattr(engagement, "campaignId", None), getattr(engagement, "purchaseAmount", None)),
        data,
    )
