"""Reports that follow people or look at any property, in other ways: once for raw JSONB and DuckDB.

The statements are the same for both. `{events}` is the events of the range as a subquery with the
columns that they need, `{before}` those up to its end, `{touched}` those of the range and of the
week before it; `{start}` is when the range starts.
"""

from datetime import datetime, timedelta

WINDOW = timedelta(days=7)

_SOURCES = {
    "raw": """(
        SELECT (event ->> 'timestamp')::timestamptz AS occurred_at, event ->> 'source' AS source,
               event ->> 'eventType' AS event_type, event #>> '{data,user,userId}' AS user_id,
               coalesce(event #>> '{data,user,location,country}',
                        event #>> '{data,engagement,country}') AS country,
               event #>> '{data,engagement,campaignId}' AS campaign_id,
               event #>> '{data,engagement,browser}' AS browser,
               (event #>> '{data,engagement,purchaseAmount}')::numeric AS revenue
        FROM raw_events WHERE CONDITION) AS events""",
    "duckdb": """(
        SELECT occurred_at, source, event_type, user_id, country, campaign_id, revenue,
               data ->> '$.engagement.browser' AS browser
        FROM events WHERE CONDITION) AS events""",
}
_TIMES = {"raw": "event ->> 'timestamp'", "duckdb": "occurred_at"}

_BREAKDOWN = """
SELECT {column}, count(*), count(DISTINCT user_id), count(revenue), sum(revenue)
FROM {events} GROUP BY 1 ORDER BY 2 DESC
"""
STATEMENTS: dict[str, list[str]] = {
    "steps": [
        """
        WITH begun AS (
            SELECT user_id, occurred_at, event_type,
                   max(CASE event_type WHEN 'ad.view' THEN occurred_at END) OVER so_far AS viewed
            FROM {events}
            WHERE event_type IN ('ad.view', 'ad.click', 'checkout.complete')
            WINDOW so_far AS (PARTITION BY user_id ORDER BY occurred_at ROWS UNBOUNDED PRECEDING)
        ), gone_on AS (
            SELECT *, max(CASE event_type WHEN 'ad.click' THEN viewed END) OVER so_far AS clicked
            FROM begun
            WINDOW so_far AS (PARTITION BY user_id ORDER BY occurred_at ROWS UNBOUNDED PRECEDING)
        )
        SELECT count(DISTINCT user_id) FILTER (WHERE event_type = 'ad.view'),
               count(DISTINCT user_id) FILTER (
                   WHERE event_type = 'ad.click' AND occurred_at - viewed <= INTERVAL '7 days'),
               count(DISTINCT user_id) FILTER (
                   WHERE event_type = 'checkout.complete'
                   AND occurred_at - clicked <= INTERVAL '7 days')
        FROM gone_on
        """
    ],
    "retention": [
        """
        WITH cohorts AS (
            SELECT user_id, date_trunc('week', min(occurred_at)) AS cohort
            FROM {before} GROUP BY 1 HAVING min(occurred_at) >= {start}
        ), seen AS (
            SELECT DISTINCT user_id, date_trunc('week', occurred_at) AS period FROM {events}
        )
        SELECT cohort, period, count(*) FROM cohorts JOIN seen USING (user_id)
        WHERE period >= cohort GROUP BY 1, 2 ORDER BY 1, 2
        """
    ],
    "by country": [_BREAKDOWN.replace("{column}", "country")],
    "by browser": [_BREAKDOWN.replace("{column}", "browser")],
    "economics": [
        """
        SELECT source, campaign_id, count(*) FILTER (WHERE event_type LIKE '%.click'),
               count(revenue), sum(revenue)
        FROM {events} WHERE campaign_id IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
        """,
        "SELECT source, campaign_id, sum(amount) FROM {spend} AS spend GROUP BY 1, 2 ORDER BY 1, 2",
    ],
    "attribution": [
        """
        WITH numbered AS (
            SELECT user_id, source, occurred_at, campaign_id, revenue,
                   count(CASE WHEN revenue IS NULL THEN 1 END) OVER (
                       PARTITION BY user_id, source ORDER BY occurred_at
                       ROWS UNBOUNDED PRECEDING) AS touches
            FROM {touched} WHERE revenue IS NOT NULL OR campaign_id IS NOT NULL
        ), followed AS (
            SELECT *, first_value(campaign_id) OVER since AS touched,
                   first_value(occurred_at) OVER since AS touched_at
            FROM numbered
            WINDOW since AS (PARTITION BY user_id, source, touches ORDER BY occurred_at)
        )
        SELECT CASE WHEN touches > 0 AND occurred_at - touched_at <= INTERVAL '7 days'
                    THEN touched END AS campaign_id, count(*), sum(revenue)
        FROM followed WHERE revenue IS NOT NULL AND occurred_at >= {start}
        GROUP BY 1 ORDER BY 1
        """
    ],
    "live": [
        """
        SELECT source, date_trunc('minute', occurred_at), count(*), count(revenue), sum(revenue)
        FROM {events} GROUP BY 1, 2 ORDER BY 1, 2
        """,
        "SELECT count(DISTINCT user_id) FROM {events}",
    ],
    "person": ["SELECT * FROM {person} ORDER BY {time} DESC LIMIT 100"],
}
PERSON = "fb-user-1501"


def newer_statements(
    way: str, name: str, start: datetime | None, end: datetime | None
) -> list[str]:
    """Return a report's statements.

    Args:
        way: `raw` or `duckdb`.
        name: of the report.
        start: of the range; None: from the first event on.
        end: of the range, exclusive; None: to the last event.
    """
    source = _SOURCES[way]
    time = _TIMES[way]
    user = {"raw": "event #>> '{data,user,userId}'", "duckdb": "user_id"}[way]
    spend = {"raw": "workspace.spend", "duckdb": "spend"}[way]
    table = {"raw": "raw_events", "duckdb": "events"}[way]
    slots = {
        "{events}": source.replace("CONDITION", _within(way, start, end)),
        "{before}": source.replace("CONDITION", _within(way, None, end)),
        "{touched}": source.replace("CONDITION", _within(way, start and start - WINDOW, end)),
        "{start}": f"TIMESTAMP '{start or datetime(2000, 1, 1):%Y-%m-%d %H:%M:%S}'",
        "{spend}": f"(SELECT * FROM {spend} WHERE {_days(start, end)})",
        "{person}": f"{table} WHERE {user} = '{PERSON}' AND {_within(way, start, end)}",
        "{time}": time,
    }
    statements = STATEMENTS[name]
    for slot, text in slots.items():
        statements = [statement.replace(slot, text) for statement in statements]
    return statements


def _within(way: str, start: datetime | None, end: datetime | None) -> str:
    form = {"raw": "%Y-%m-%dT%H:%M:%S", "duckdb": "%Y-%m-%d %H:%M:%S"}[way]
    bounds = [f"{_TIMES[way]} >= '{start:{form}}'"] if start else []
    bounds += [f"{_TIMES[way]} < '{end:{form}}'"] if end else []
    return " AND ".join(bounds) or "true"


def _days(start: datetime | None, end: datetime | None) -> str:
    bounds = [f"day >= '{start:%Y-%m-%d}'"] if start else []
    bounds += [f"day < '{end:%Y-%m-%d}'"] if end else []
    return " AND ".join(bounds) or "true"
