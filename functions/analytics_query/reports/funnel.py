"""From the top of the funnel to its bottom."""

from typing_extensions import TypedDict

from ..answers import Count, Range, Rate, rate, time
from ..database import Row, Snapshot
from ..filters import ReportQuery
from ..statements import Statements
from ..sums import sums
from .report import Report

SQL = Statements("report_funnel.sql")


class Stages(TypedDict):
    """Events at both stages; `conversionRate` is bottom/top, null where only top is 0."""

    top: Count
    bottom: Count
    conversionRate: Rate | None


class SourceStages(Stages):
    """The same of one source."""

    source: str


class Funnel(Range, Stages):
    """From top to bottom, in total and by source."""

    bySource: list[SourceStages]


def _stages(top: int, bottom: int) -> Stages:
    return {"top": top, "bottom": bottom, "conversionRate": rate(bottom, top)}


def _total(rows: list[Row]) -> Stages:
    return _stages(sum(row["top"] for row in rows), sum(row["bottom"] for row in rows))


def funnel(now: Snapshot, query: ReportQuery) -> Funnel:
    """Compute the report."""
    by_source = sums(now, SQL, "funnel", query, split="source")
    return {
        "from": time(query.from_),
        "to": time(query.to),
        **_total(by_source),
        "bySource": [
            {"source": row["key"], **_stages(row["top"], row["bottom"])} for row in by_source
        ],
    }


REPORT = Report(
    name="funnel",
    summary="From the top of the funnel to its bottom",
    description="Events at the top and at the bottom of the funnel and their ratio.",
    query=ReportQuery,
    answer=Funnel,
    compute=funnel,
)
