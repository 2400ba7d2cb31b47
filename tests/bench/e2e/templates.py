"""Bodies of requests made beforehand, of which the load generator makes any number of new ones."""

import random
from pathlib import Path
from uuid import UUID

import orjson

from infra.cli.load.event_generator import Mix, generate

TAG = b"7a97a97a"
"""The first characters of each event id in a template; the load generator puts others there."""

LIVE_DAYS = 0.005
"""How far back the times of live events go: seven minutes."""


def write(file: Path, events: int, per_request: int, days: float) -> None:
    """Write bodies of requests into a file, a line each.

    Ids are in no order, as producers make them, which is what a unique index finds hard.

    Args:
        file: where to.
        events: how many different events there are.
        per_request: events in a request; 1: an object instead of an array.
        days: over how many days back the times of each request's events are spread.
    """
    rng = random.Random(events)
    made = [each.event for each in generate(events, 1, Mix(days=days))]
    rng.shuffle(made)
    for event in made:
        event["eventId"] = TAG.decode() + str(UUID(int=rng.getrandbits(128)))[8:]
    bodies = (
        made
        if per_request == 1
        else [made[at : at + per_request] for at in range(0, events, per_request)]
    )
    file.write_bytes(b"\n".join(map(orjson.dumps, bodies)))
