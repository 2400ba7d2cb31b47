"""Generates realistic events of the known sources, for the demo, load tests and other tests."""

import random
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any, Literal

Event = dict[str, Any]
Kind = Literal["new", "duplicate", "invalid"]

COUNTRIES = {
    "US": ("New York", "Austin", "Chicago"),
    "DE": ("Berlin", "Hamburg", "Munich"),
    "GB": ("London", "Leeds"),
    "FR": ("Paris", "Lyon"),
    "BR": ("São Paulo", "Recife"),
    "IN": ("Mumbai", "Pune"),
    "JP": ("Tokyo", "Osaka"),
    "UA": ("Kyiv", "Lviv"),
    "PL": ("Warsaw", "Kraków"),
    "ES": ("Madrid", "Valencia"),
}
_COUNTRY_WEIGHTS = tuple(accumulate((30, 14, 12, 9, 9, 8, 6, 5, 4, 3)))
_COUNTRY_NAMES = tuple(COUNTRIES)
CAMPAIGNS = tuple(f"campaign-{number:02d}" for number in range(1, 13))
_CAMPAIGN_WEIGHTS = tuple(accumulate(range(12, 0, -1)))
_FIRST_NAMES = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Linus", "Margaret", "Dennis", "Radia")
_ITEMS = ("T-shirt", "Mug", "Poster", "Hoodie", "Stickers")
_GENDERS = ("male", "female", "non-binary")
_GENDER_WEIGHTS = (48, 96, 100)

FACEBOOK_TOP = ("ad.view", "video.view", "page.like", "comment")
FACEBOOK_BOTTOM = ("ad.click", "form.submission", "checkout.complete")
TIKTOK_TOP = ("video.view", "like", "share", "comment")
TIKTOK_BOTTOM = ("profile.visit", "follow", "purchase")
_TOP_WEIGHTS = (60, 85, 95, 100)
_BOTTOM_WEIGHTS = (65, 88, 100)


@dataclass(frozen=True)
class Generated:
    """An event, and whether it is new, a copy of an earlier one, or violates the contract."""

    event: Event
    kind: Kind


@dataclass(frozen=True)
class Mix:
    """What to generate.

    Attributes:
        duplicates: share of events that repeat an earlier one, 0 to 1.
        invalid: share of events that violate the contract, 0 to 1.
        days: how many days back event times go.
        shuffled: seconds by which event times are out of order at most.
        users: number of users per source.
    """

    duplicates: float = 0.0
    invalid: float = 0.0
    days: float = 7.0
    shuffled: float = 600.0
    users: int = 2000


def generate(
    count: int, seed: int = 1, mix: Mix | None = None, until: datetime | None = None
) -> Iterator[Generated]:
    """Yield `count` events; the same arguments give the same events.

    Args:
        count: how many events, duplicates and invalid ones included.
        seed: the random seed; it is a part of event ids, so two seeds never share an id.
        mix: what they are like.
        until: the time of the newest event; by default now.
    """
    mix = mix or Mix()
    rng = random.Random(seed)  # noqa: S311
    end = (until or datetime.now(UTC)).astimezone(UTC)
    span = timedelta(days=mix.days).total_seconds()
    recent: list[Event] = []
    for number in range(count):
        draw = rng.random()
        if recent and draw < mix.duplicates:
            yield Generated(rng.choice(recent), "duplicate")
            continue
        age = span * (1 - number / count) + rng.random() * mix.shuffled
        event = _event(rng, f"{seed:x}-{number}", end - timedelta(seconds=age), mix.users)
        if draw >= 1 - mix.invalid:
            yield Generated(_corrupt(rng, event), "invalid")
            continue
        if len(recent) < 500:
            recent.append(event)
        else:
            recent[rng.randrange(500)] = event
        yield Generated(event, "new")


def _event(rng: random.Random, number: str, at: datetime, users: int) -> Event:
    if rng.random() < 0.55:
        return _facebook(rng, number, at, users)
    return _tiktok(rng, number, at, users)


def _pick(rng: random.Random, choices: tuple[str, ...], weights: tuple[int, ...]) -> str:
    return rng.choices(choices, cum_weights=weights)[0]


def _price(rng: random.Random) -> str:
    return f"{rng.randrange(500, 25000) / 100:.2f}"


def _user_number(rng: random.Random, users: int) -> int:
    # a few users are active, most are not
    return int(users * rng.random() ** 2)


def _facebook(rng: random.Random, number: str, at: datetime, users: int) -> Event:
    user = _user_number(rng, users)
    person = random.Random(user)  # noqa: S311 - the same user is the same person in each event
    country = _pick(person, _COUNTRY_NAMES, _COUNTRY_WEIGHTS)
    top = rng.random() < 0.72
    event_type = (
        _pick(rng, FACEBOOK_TOP, _TOP_WEIGHTS)
        if top
        else _pick(rng, FACEBOOK_BOTTOM, _BOTTOM_WEIGHTS)
    )
    if top:
        engagement: Event = {
            "actionTime": _rfc3339(at),
            "referrer": rng.choice(("newsfeed", "marketplace", "groups")),
            "videoId": f"video-{rng.randrange(400)}" if event_type == "video.view" else None,
        }
    else:
        engagement = {
            "adId": f"ad-{rng.randrange(60)}",
            "campaignId": _pick(rng, CAMPAIGNS, _CAMPAIGN_WEIGHTS),
            "clickPosition": rng.choice(("top_left", "bottom_right", "center")),
            "device": rng.choice(("mobile", "mobile", "desktop")),
            "browser": rng.choice(("Chrome", "Chrome", "Safari", "Firefox")),
            "purchaseAmount": _price(rng) if event_type == "checkout.complete" else None,
        }
    return {
        "eventId": f"fb-{number}",
        "timestamp": _rfc3339(at),
        "source": "facebook",
        "funnelStage": "top" if top else "bottom",
        "eventType": event_type,
        "data": {
            "user": {
                "userId": f"fb-user-{user}",
                "name": f"{person.choice(_FIRST_NAMES)} {user}",
                "age": min(90, max(16, int(person.gauss(36, 13)))),
                "gender": _pick(person, _GENDERS, _GENDER_WEIGHTS),
                "location": {"country": country, "city": person.choice(COUNTRIES[country])},
            },
            "engagement": engagement,
        },
    }


def _tiktok(rng: random.Random, number: str, at: datetime, users: int) -> Event:
    user = _user_number(rng, users)
    person = random.Random(-user - 1)  # noqa: S311
    country = _pick(person, _COUNTRY_NAMES, _COUNTRY_WEIGHTS)
    top = rng.random() < 0.8
    event_type = (
        _pick(rng, TIKTOK_TOP, _TOP_WEIGHTS) if top else _pick(rng, TIKTOK_BOTTOM, _BOTTOM_WEIGHTS)
    )
    if top:
        engagement: Event = {
            "watchTime": rng.randrange(1, 180),
            "percentageWatched": round(100 * rng.random(), 1),
            "device": rng.choice(("Android", "Android", "iOS", "Desktop")),
            "country": country,
            "videoId": f"clip-{rng.randrange(900)}",
        }
    else:
        bought = event_type == "purchase"
        engagement = {
            "actionTime": _rfc3339(at),
            "profileId": None if bought else f"profile-{rng.randrange(80)}",
            "purchasedItem": rng.choice(_ITEMS) if bought else None,
            "purchaseAmount": _price(rng) if bought else None,
        }
    return {
        "eventId": f"tt-{number}",
        "timestamp": _rfc3339(at),
        "source": "tiktok",
        "funnelStage": "top" if top else "bottom",
        "eventType": event_type,
        "data": {
            "user": {
                "userId": f"tt-user-{user}",
                "username": f"{person.choice(_FIRST_NAMES).lower()}_{user}",
                "followers": int(10 ** (person.random() * 6.3)),
            },
            "engagement": engagement,
        },
    }


def _rfc3339(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _corrupt(rng: random.Random, event: Event) -> Event:
    """Return the event with one of the mistakes that producers make."""
    corrupted = deepcopy(event)
    user = corrupted["data"]["user"]
    match rng.randrange(7):
        case 0:
            del corrupted["timestamp"]
        case 1:
            corrupted["timestamp"] = corrupted["timestamp"].removesuffix("Z")
        case 2:
            corrupted["source"] = "myspace"
        case 3:
            corrupted["eventType"] = "unheard.of"
        case 4:
            del user["userId"]
        case 5:
            user["age" if "age" in user else "followers"] = "many"
        case _:
            corrupted["timestamp"] = "1998-07-03T12:00:00Z"
    return corrupted
