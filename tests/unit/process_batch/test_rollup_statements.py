"""The statements of compaction, as far as no database is needed to tell."""

import re

from functions.process_batch.rollup_statements import Rollup, compaction_statements


def sums(grain: str, *keys: str, measures: tuple[str, ...] = ("events",)) -> Rollup:
    name = "_".join(("rollup", grain, *keys))
    of_deltas = tuple(f"sum({each})" for each in measures)
    added = tuple(f"r.{each} + excluded.{each}" for each in measures)
    return Rollup(name, "sums", grain, keys, measures, None, of_deltas, added)


def read_by(*rollups: Rollup) -> dict[str, str]:
    """Return what the sums of each rollup are made of."""
    statement = compaction_statements(rollups).compact
    read = re.findall(r"(sums_of_\w+) AS \(\s+SELECT [^;]*?FROM (\w+)", statement)
    return {name.removeprefix("sums_of_rollup_"): of for name, of in read}


def test_coarse_sums_are_made_of_the_fewest_sums_that_hold_the_same_events() -> None:
    assert read_by(
        sums("day", "source"),
        sums("hour", "source"),
        sums("hour", "source", "country"),
        sums("day", "source", "country", measures=("events", "revenue")),
        sums("day", "campaign_id"),
        sums("day", "source", "dimension"),
        sums("hour", "source", "campaign_id"),
    ) == {
        "hour_source_country": "taken",
        "hour_source_campaign_id": "taken",
        "day_source_country": "taken",  # no finer one has its revenue
        "day_source_dimension": "grouped",
        "hour_source": "sums_of_rollup_hour_source_country",
        "day_source": "sums_of_rollup_hour_source",
        "day_campaign_id": "sums_of_rollup_hour_source_campaign_id",
    }
