"""The same reports in other ways: raw JSONB in PostgreSQL, and DuckDB on columns.

Each is a list of statements; `{range}` is the condition on the time.
"""

from datetime import datetime, timedelta

_TIME = "event ->> 'timestamp'"
_COUNTRY = (
    "coalesce(event #>> '{{data,user,location,country}}', event #>> '{{data,engagement,country}}')"
)
_REVENUE = "(event #>> '{{data,engagement,purchaseAmount}}')::numeric"
_USER = "event #>> '{{data,user,userId}}'"
_CAMPAIGN = "event #>> '{{data,engagement,campaignId}}'"


def _raw(columns: str, rest: str) -> str:
    return f"SELECT {columns} FROM raw_events WHERE {{range}} {rest}"


RAW: dict[str, list[str]] = {
    "overview": [
        _raw(
            "event ->> 'source', event ->> 'funnelStage', event ->> 'eventType', count(*), "
            f"sum({_REVENUE}), min({_TIME}), max({_TIME})",
            "GROUP BY 1, 2, 3",
        ),
        _raw(f"count(DISTINCT {_USER})", ""),
    ],
    "timeseries": [
        _raw(
            f"left({_TIME}, {{prefix}}), event ->> 'source', count(*), sum({_REVENUE})",
            "GROUP BY 1, 2",
        )
    ],
    "funnel": [
        _raw("event ->> 'source', event ->> 'funnelStage', count(*)", "GROUP BY 1, 2"),
        _raw(f"{_CAMPAIGN}, event ->> 'funnelStage', count(*)", "GROUP BY 1, 2"),
        _raw(f"{_COUNTRY}, event ->> 'funnelStage', count(*)", "GROUP BY 1, 2"),
        "SELECT count(*) FILTER (WHERE first_top < last_bottom) FROM ("
        + _raw(
            f"min({_TIME}) FILTER (WHERE event ->> 'funnelStage' = 'top') AS first_top, "
            f"max({_TIME}) FILTER (WHERE event ->> 'funnelStage' = 'bottom') AS last_bottom",
            f"GROUP BY {_USER}",
        )
        + ") AS of_user",
    ],
    "countries": [
        _raw(
            f"{_COUNTRY}, count(*), count(DISTINCT {_USER}), sum({_REVENUE})",
            "GROUP BY 1 ORDER BY 2 DESC",
        )
    ],
    "campaigns": [
        _raw(
            f"{_CAMPAIGN}, count(*), count(*) FILTER (WHERE event ->> 'eventType' = 'ad.click'), "
            f"count({_REVENUE}), sum({_REVENUE})",
            f"AND {_CAMPAIGN} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC",
        )
    ],
    "users": [_raw(f"{_USER}, count(*), sum({_REVENUE})", "GROUP BY 1 ORDER BY 2 DESC LIMIT 20")],
    "users by revenue": [
        _raw(
            f"{_USER}, count(*), sum({_REVENUE})",
            "GROUP BY 1 ORDER BY 3 DESC NULLS LAST LIMIT 20",
        )
    ],
    "revenue": [
        _raw(
            f"event ->> 'source', {_CAMPAIGN}, {_COUNTRY}, left({_TIME}, {{prefix}}), "
            f"count(*), sum({_REVENUE})",
            f"AND {_REVENUE} IS NOT NULL GROUP BY GROUPING SETS (1, 2, 3, 4)",
        )
    ],
    "demographics": [
        _raw(
            "event ->> 'source', width_bucket((event #>> '{{data,user,age}}')::int, "
            "ARRAY[18, 25, 35, 45, 55, 65]), event #>> '{{data,user,gender}}', "
            f"{_COUNTRY}, event #>> '{{{{data,user,location,city}}}}', "
            "width_bucket((event #>> '{{data,user,followers}}')::int, "
            "ARRAY[1000, 10000, 100000, 1000000]), event #>> '{{data,engagement,device}}', "
            f"count(*), sum({_REVENUE})".replace("{{{{", "{{").replace("}}}}", "}}"),
            "GROUP BY GROUPING SETS ((1, 2), (1, 3), (1, 4), (1, 5), (1, 6), (1, 7))",
        )
    ],
    "newest events": [_raw("event", f"ORDER BY {_TIME} DESC LIMIT 100")],
    "search, frequent": [
        _raw(
            "event",
            'AND event @> \'{{"data": {{"engagement": {{"device": "mobile"}}}}}}\' '
            f"ORDER BY {_TIME} DESC LIMIT 100",
        )
    ],
    "search, rare": [
        _raw(
            "event",
            f"AND {_USER} = 'fb-user-150001' ORDER BY {_TIME} DESC LIMIT 100",
        )
    ],
}


def _columns(columns: str, rest: str) -> str:
    return f"SELECT {columns} FROM events WHERE {{range}} {rest}"


COLUMNS: dict[str, list[str]] = {
    "overview": [
        _columns(
            "source, funnel_stage, event_type, count(*), sum(revenue), min(occurred_at), "
            "max(occurred_at)",
            "GROUP BY ALL",
        ),
        _columns("count(DISTINCT user_id)", ""),
    ],
    "timeseries": [
        _columns(
            "date_trunc('{interval}', occurred_at), source, count(*), sum(revenue)", "GROUP BY ALL"
        )
    ],
    "funnel": [
        _columns("source, funnel_stage, count(*)", "GROUP BY ALL"),
        _columns("campaign_id, funnel_stage, count(*)", "GROUP BY ALL"),
        _columns("country, funnel_stage, count(*)", "GROUP BY ALL"),
        "SELECT count(*) FILTER (WHERE first_top < last_bottom) FROM ("
        + _columns(
            "min(occurred_at) FILTER (WHERE funnel_stage = 'top') AS first_top, "
            "max(occurred_at) FILTER (WHERE funnel_stage = 'bottom') AS last_bottom",
            "GROUP BY user_id",
        )
        + ")",
    ],
    "countries": [
        _columns(
            "country, count(*), count(DISTINCT user_id), sum(revenue)",
            "GROUP BY ALL ORDER BY 2 DESC",
        )
    ],
    "campaigns": [
        _columns(
            "campaign_id, count(*), count(*) FILTER (WHERE event_type = 'ad.click'), "
            "count(revenue), sum(revenue)",
            "AND campaign_id IS NOT NULL GROUP BY ALL ORDER BY 2 DESC",
        )
    ],
    "users": [_columns("user_id, count(*), sum(revenue)", "GROUP BY ALL ORDER BY 2 DESC LIMIT 20")],
    "users by revenue": [
        _columns(
            "user_id, count(*), sum(revenue)",
            "GROUP BY ALL ORDER BY 3 DESC NULLS LAST LIMIT 20",
        )
    ],
    "revenue": [
        _columns(
            "source, campaign_id, country, date_trunc('{interval}', occurred_at) AS time, "
            "count(*), sum(revenue)",
            "AND revenue IS NOT NULL GROUP BY GROUPING SETS (source, campaign_id, country, time)",
        )
    ],
    "demographics": [
        _columns(
            "source, CASE WHEN age < 18 THEN 0 WHEN age < 25 THEN 1 WHEN age < 35 THEN 2 "
            "WHEN age < 45 THEN 3 WHEN age < 55 THEN 4 WHEN age < 65 THEN 5 ELSE 6 END AS band, "
            "gender, country, city, CASE WHEN followers < 1000 THEN 0 WHEN followers < 10000 "
            "THEN 1 WHEN followers < 100000 THEN 2 WHEN followers < 1000000 THEN 3 ELSE 4 END "
            "AS fans, device, count(*), sum(revenue)",
            "GROUP BY GROUPING SETS ((source, band), (source, gender), (source, country), "
            "(source, city), (source, fans), (source, device))",
        )
    ],
    "newest events": [_columns("*", "ORDER BY occurred_at DESC LIMIT 100")],
    "search, frequent": [
        _columns(
            "*", "AND data ->> '$.engagement.device' = 'mobile' ORDER BY occurred_at DESC LIMIT 100"
        )
    ],
    "search, rare": [
        _columns(
            "*",
            "AND data ->> '$.user.userId' = 'fb-user-150001' ORDER BY occurred_at DESC LIMIT 100",
        )
    ],
}


def is_short(start: datetime | None, end: datetime | None) -> bool:
    """Return whether points are hours, and not days."""
    return start is not None and end is not None and end - start <= timedelta(days=1)


def raw_statements(name: str, start: datetime | None, end: datetime | None) -> list[str]:
    """Return a report's statements over raw JSONB."""
    condition = "true"
    if start and end:
        condition = (
            f"{_TIME} >= '{start:%Y-%m-%dT%H:%M:%S}' AND {_TIME} < '{end:%Y-%m-%dT%H:%M:%S}'"
        )
    prefix = 13 if is_short(start, end) else 10
    return [statement.format(range=condition, prefix=prefix) for statement in RAW[name]]


def column_statements(name: str, start: datetime | None, end: datetime | None) -> list[str]:
    """Return a report's statements over DuckDB's columns."""
    condition = "true"
    if start and end:
        condition = (
            f"occurred_at >= '{start:%Y-%m-%d %H:%M:%S}' "
            f"AND occurred_at < '{end:%Y-%m-%d %H:%M:%S}'"
        )
    interval = "hour" if is_short(start, end) else "day"
    return [statement.format(range=condition, interval=interval) for statement in COLUMNS[name]]
