"""Holding reports, as they are read fast, against the same reports over the events."""

from decimal import Decimal
from typing import Any

from tests.support import oracle
from tests.support.analytics import Analytics
from tests.support.oracle import Fact

QUESTIONS: tuple[dict[str, str], ...] = (
    {},
    {"from": "2024-06-15T05:10:00Z", "to": "2024-06-19T22:40:00Z"},
    {"source": "tiktok"},
    {"country": "DE"},
    {"campaignId": "campaign-02"},
)
_REPORTS: dict[str, dict[str, str]] = {
    "overview": {},
    "timeseries": {"interval": "day", "split": "country"},
    "funnel": {},
    "countries": {},
    "campaigns": {"sort": "revenue"},
    "revenue": {"interval": "day"},
    "demographics": {"limit": "1000"},
}
_ABOUT_USERS = ("uniqueUsers", "users", "buyers")
_ACCURACY = ("accuracy", "uniqueUsersAccuracy", "buyersAccuracy", "conversionRateAccuracy")
_USERS_ERROR = 0.05


def assert_reports_exact(live: Analytics) -> None:
    """Compare each report with the same report over the events; users within their error."""
    for question in QUESTIONS:
        for name, parameters in _REPORTS.items():
            asked = {**question, **parameters}
            fast, exact = live.report(name, **asked), live.report(name, **asked, exact="true")
            _compare(fast, exact, f"{name} {question}")


def assert_users_exact(live: Analytics, facts: list[Fact]) -> None:
    """Compare the report of the top users with the facts."""
    for question in QUESTIONS:
        of_user = oracle.grouped(oracle.chosen(facts, question), lambda fact: fact.userId)
        for by, figure in (("events", len), ("revenue", oracle.amount)):
            order = sorted(
                of_user, key=lambda user: (-figure(of_user[user]), -len(of_user[user]), user)
            )
            for limit in (5, 1000):
                items = live.report("users", **question, by=by, limit=limit)["items"]
                assert [item["userId"] for item in items] == order[:limit]
                for item in items:
                    of = of_user[item["userId"]]
                    assert item["events"] == len(of)
                    assert Decimal(item["revenue"]) == oracle.amount(of)
                    assert (item["topEvents"], item["bottomEvents"]) == oracle.stages(of)
                    assert item["lastEvent"] == oracle.utc(max(fact.at for fact in of))


def _compare(fast: Any, exact: Any, where: str, about_users: bool = False) -> None:
    if isinstance(exact, dict):
        assert fast.keys() == exact.keys(), where
        for name, value in exact.items():
            if name in _ACCURACY or (about_users and name == "continuationRate"):
                continue
            if name == "conversionRate":
                assert abs((fast[name] or 0) - (value or 0)) <= 2 * _USERS_ERROR, where
                continue
            users = about_users or name in _ABOUT_USERS
            _compare(fast[name], value, f"{where} {name}", users)
    elif isinstance(exact, list):
        assert len(fast) == len(exact), where
        for place, (one, other) in enumerate(zip(fast, exact, strict=True)):
            _compare(one, other, f"{where} {place}", about_users)
    elif about_users and isinstance(exact, int):
        assert abs(fast - exact) <= _USERS_ERROR * exact, where
    else:
        assert fast == exact, where
