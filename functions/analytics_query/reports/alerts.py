"""Alerts and summaries: what they watch, and how they stand."""

from typing import Any, Literal

from typing_extensions import TypedDict

from ..alerts.figures import FIGURES, Unit
from ..alerts.rule import Rule, shown_webhook
from ..database import Row, Snapshot
from ..formatting import Count, Time, format_optional_time
from ..query.filters import QueryParameters
from ..query.statements import Statements
from .report import Report

SQL = Statements("alerts.sql")

State = Literal["new", "ok", "firing"]


class AlertsQuery(QueryParameters):
    """The query parameters of the report: none."""


class Alert(TypedDict):
    """An alert or a summary.

    `webhook` is its address without what is secret in it. `state` is `new` until a figure was
    judged, and `ok` of a summary. `value` is the figure when it was last looked at, `weekBefore`
    that of a week before, where that is compared; null: not known. `waiting` is how many messages
    are not sent yet; `lastError` is what went wrong with judging or sending; null: nothing.
    """

    id: str
    name: str
    rule: Rule
    emails: list[str]
    webhook: str | None
    state: State
    firingSince: Time | None
    value: str | None
    weekBefore: str | None
    checkedAt: Time | None
    notifiedAt: Time | None
    waiting: Count
    lastError: str | None


class WatchedFigure(TypedDict):
    """A figure that an alert can watch; one `byDay` is known by whole days only."""

    name: str
    title: str
    unit: Unit
    byDay: bool


class Alerts(TypedDict):
    """All of them, by name, and the figures that can be watched."""

    items: list[Alert]
    figures: list[WatchedFigure]


def alerts(snapshot: Snapshot, _: AlertsQuery) -> Alerts:
    """Return the report."""
    return {
        "items": [_alert(row) for row in snapshot.rows(SQL["all_alerts"])],
        "figures": [
            {"name": name, "title": figure.title, "unit": figure.unit, "byDay": figure.by_day}
            for name, figure in FIGURES.items()
        ],
    }


def _alert(row: Row) -> Alert:
    rule: Any = row["rule"]
    judged = rule["kind"] == "summary" or row["judged"] is not None
    return {
        "id": row["id"],
        "name": row["name"],
        "rule": rule,
        "emails": row["emails"],
        "webhook": row["webhook"] and shown_webhook(row["webhook"]),
        "state": "firing" if row["firing_since"] else "ok" if judged else "new",
        "firingSince": format_optional_time(row["firing_since"]),
        "value": row["value"],
        "weekBefore": row["compared"],
        "checkedAt": format_optional_time(row["checked_at"]),
        "notifiedAt": format_optional_time(row["notified_at"]),
        "waiting": row["waiting"],
        "lastError": "; ".join(filter(None, (row["check_error"], *row["send_errors"].values())))
        or None,
    }


REPORT = Report(
    name="alerts",
    summary="Alerts and summaries",
    description="What is watched, who is told, and how it stands; and the figures that can be "
    "watched.",
    query=AlertsQuery,
    response=Alerts,
    compute=alerts,
)
