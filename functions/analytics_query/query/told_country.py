"""Events that tell no country, under a filter of a country: their user's own country counts.

Some events of a source carry no country (a purchase on TikTok), though others of the same user do.
Left out in silence, they make a source look as if it never sold anything in a country. So a user's
country is the one that the user's latest event with one tells, of the same source, whenever it was.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from typing_extensions import TypedDict

from ..database import Row, Snapshot
from ..formatting import Count, Money, format_money
from ..settings import settings
from .filters import EventFilters, ReportQuery
from .property_filters import PropertyFilter
from .rollup_query import query_rollups
from .statements import Statements

SQL = Statements("report_told_country.sql")

MAX_LOOKUPS = 8
"""So many look-ups are kept; the users of one are at most as many as `user_country_max_events`."""
FILTERS = set(EventFilters.model_fields) - {"timezone"}
"""What a look-up depends on, beside the snapshot."""


@dataclass
class _Lookup:
    """One look-up, made by the first report that needs it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    told: dict[str, Row] | None = None


_lookups: OrderedDict[str, _Lookup] = OrderedDict()
_lock = threading.Lock()

CountryOf = Literal["user", "event"]


class Sums(TypedDict):
    """Some events, and the money in them."""

    events: Count
    purchases: Count
    revenue: Money


class PropertySums(Sums):
    """Events that do not tell a property."""

    property: str


class LeftOut(TypedDict):
    """What the filters by country, campaign and properties could not judge or judged by the user.

    Attributes:
        countryOf: whose country the filter looked at: that of the `event`, or where it has none of
            its `user`; null without a filter by country.
        byUser: events that are in the figures by their user's country.
        noCountry: events that are in no figure: of neither event nor user a country is known.
        noCampaign: events that are in no figure because they carry no campaign.
        noProperty: for each filter that asks for a value of a property, the events that are in no
            figure because they do not tell it, though all other filters choose them.
    """

    countryOf: CountryOf | None
    byUser: Sums | None
    noCountry: Sums | None
    noCampaign: Sums | None
    noProperty: list[PropertySums]


def _sums(row: Row | None) -> Sums:
    row = row or {"events": 0, "purchases": 0, "revenue": None}
    return {
        "events": row["events"],
        "purchases": row["purchases"],
        "revenue": format_money(row["revenue"]),
    }


def _total(rows: list[Row]) -> Row:
    return {
        "events": sum(row["events"] for row in rows),
        "purchases": sum(row["purchases"] for row in rows),
        "revenue": sum((row["revenue"] for row in rows), Decimal()),
    }


def _less(row: Row, other: Row) -> Row:
    return {name: row[name] - other[name] for name in ("events", "purchases", "revenue")}


def with_users_country(snapshot: Snapshot, query: ReportQuery) -> ReportQuery:
    """Return the query with the users whose country is asked for, where their events tell none.

    The query itself where no country is asked for or the request wants that of events only; a query
    about the country of events where more events than `user_country_max_events` have none, or where
    more than `user_country_max_stored` are stored.
    """
    if query.country is None or query.countryOf == "event":
        return query
    without = _without_country(snapshot, query)["events"]
    if not without:
        return query
    if not query.exact and (
        without > settings().user_country_max_events
        or _stored(snapshot, query) > settings().user_country_max_stored
    ):
        return query.model_copy(update={"countryOf": "event"})
    return query.of_users(_told(snapshot, query).get("same", {}).get("users", ()))


def _told(snapshot: Snapshot, query: ReportQuery) -> dict[str, Row]:
    """Return what users tell of the events that tell no country, looked up once for all reports.

    The reports of one page ask for the same at the same time: the first looks it up, and the others
    wait for it.
    """
    plain = query.of_users(())
    key = snapshot.version() + plain.model_dump_json(include=FILTERS)
    with _lock:
        lookup = _lookups.setdefault(key, _Lookup())
        while len(_lookups) > MAX_LOOKUPS:
            _lookups.popitem(last=False)
    with lookup.lock:
        if lookup.told is None:
            rows = snapshot.rows(SQL["told_countries"], plain.params())
            lookup.told = {row["told"]: row for row in rows}
        return lookup.told


def left_out(snapshot: Snapshot, query: ReportQuery) -> LeftOut | None:
    """Return what filters leave out that an event has not the property for; None without such."""
    needed = [each for each in query.filter if each.needs_value]
    if query.country is None and query.campaignId is None and not needed:
        return None
    found: LeftOut = {
        "countryOf": None,
        "byUser": None,
        "noCountry": None,
        "noCampaign": None,
        "noProperty": [_without_property(snapshot, query, each) for each in needed],
    }
    if query.country is not None:
        found["countryOf"] = query.countryOf
        if query.countryOf == "user":
            told = _told(snapshot, query)
            found["byUser"] = _sums(told.get("same"))
            found["noCountry"] = _sums(told.get("nowhere"))
        else:
            found["noCountry"] = _sums(_without_country(snapshot, query))
    if query.campaignId is not None:
        whole = query.model_copy(update={"campaignId": None})
        every = query_rollups(snapshot, SQL, "totals", whole)
        named = query_rollups(snapshot, SQL, "totals", whole, by_campaign=True)
        found["noCampaign"] = _sums(_less(_total(every), _total(named)))
    return found


def _without_property(
    snapshot: Snapshot, query: ReportQuery, asked: PropertyFilter
) -> PropertySums:
    """Return the sums of the events that do not tell what one filter of a query asks for."""
    rest = (each for each in query.filter if each != asked)
    without = query.model_copy(update={"filter": (*rest, asked.asked("isNotSet"))})
    return {
        "property": asked.by,
        **_sums(_total(query_rollups(snapshot, SQL, "totals", without))),
    }


def _without_country(snapshot: Snapshot, query: ReportQuery) -> Row:
    whole = query.model_copy(update={"country": None})
    return _total(query_rollups(snapshot, SQL, "totals_without_country", whole, by_country=True))


def _stored(snapshot: Snapshot, query: ReportQuery) -> int:
    """Return how many events the look-up would read: all of the sources, of any time."""
    everything = ReportQuery.model_validate({"source": query.source})
    return _total(query_rollups(snapshot, SQL, "totals", everything))["events"]


def known_stages(snapshot: Snapshot, query: ReportQuery) -> dict[tuple[str, str], bool]:
    """Return whether anything is known of each source and stage under the filters of a query.

    False: there are events, but none tells a campaign, a country or a property that is asked for,
    so that 0 would be a statement about nothing.
    """
    whole = query.model_copy(update={"country": None, "campaignId": None, "filter": ()})

    def stages(name: str, of: ReportQuery = whole, **columns: Any) -> set[tuple[str, str]]:
        rows = query_rollups(snapshot, SQL, name, of, **columns)
        return {(row["source"], row["funnel_stage"]) for row in rows}

    every = stages("stages_of_all")
    known = set(every)
    if query.campaignId is not None:
        known &= stages("stages_of_all", by_campaign=True)
    if query.country is not None and query.countryOf == "event":
        known &= stages("stages_with_country", by_country=True)
    for each in query.filter:
        if each.needs_value:
            set_ = whole.model_copy(update={"filter": (each.asked("isSet"),)})
            known &= stages("stages_of_all", set_)
    return {stage: stage in known for stage in every}
