"""The thread that compacts deltas."""

import pytest

from functions.process_batch import compactor
from functions.process_batch.writer import Writer
from infra.cli.load.event_generator import Mix
from tests.conftest import Database
from tests.support.net import wait_until
from tests.support.storage import ask, parts, pool_of
from tests.support.stored_events import generated

EVENTS = generated(300, mix=Mix(days=0.01))


@pytest.mark.parametrize(
    ("intervals", "few", "second"),
    [(1_000_000, 5, EVENTS[1:200]), (2, 1_000_000, EVENTS[1:2])],
    ids=["many deltas", "few deltas, in the end"],
)
def test_deltas_are_compacted_at_once_after_a_pause_and_later_with_others(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    intervals: int,
    few: int,
    second: list[dict[str, object]],
) -> None:
    monkeypatch.setattr(compactor, "MAX_INTERVALS", intervals)
    monkeypatch.setattr(compactor, "FEW_DELTAS", few)
    with pool_of(database) as pool:
        writer = Writer(pool)
        compacting = compactor.Compactor(pool, 0.05)
        for events in (EVENTS[:1], second):
            writer.store(parts(events))
            compacting.wake()
            wait_until(lambda: ask(database, "SELECT count(*) FROM rollup_deltas") == [(0,)], 60)
