"""How far people come in a funnel of chosen steps."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter

Action = tuple[datetime, int]
"""When a person did something, and the steps that it is: bit n is step n, from 0."""


def steps_done(actions: Iterable[Action], number: int, window: timedelta) -> int:
    """Return how many steps a person did, one after the other, within a window.

    Each step is later than the one before, and the last of them no more than the window after the
    first; other actions may lie between them. Of all ways to begin the best one counts.

    Args:
        actions: of one person, in order of time.
        number: of steps.
        window: how long all steps together may take.
    """
    # for each step the latest beginning of a way that has come so far: no other is better
    begun: list[datetime | None] = [None] * number
    done = 0
    for at, together in groupby(actions, key=itemgetter(0)):
        steps = 0
        for _, bits in together:
            steps |= bits
        # from the last step: what happens at one moment is not one after the other
        for step in range(number - 1, -1, -1):
            if not steps >> step & 1:
                continue
            start = at if step == 0 else begun[step - 1]
            if start is None or at - start > window:
                continue
            begun[step] = start if begun[step] is None else max(start, begun[step] or start)
            done = max(done, step + 1)
        if done == number:
            break
    return done


Found = tuple[str, datetime, str | None, int]
"""A person's action as it is stored: who, when, the value that people are split by, the steps."""


def people_by_steps(
    rows: Iterable[Found], number: int, window: timedelta
) -> Iterator[tuple[str | None, int]]:
    """Yield for each person the value, the first that an action tells, and the steps done.

    Args:
        rows: by person, and in order of time.
        number: of steps.
        window: how long all steps together may take.
    """
    for _, of_person in groupby(rows, key=itemgetter(0)):
        actions: list[Action] = []
        key: str | None = None
        for _, at, value, steps in of_person:
            actions.append((at, steps))
            key = value if key is None else key
        yield key, steps_done(actions, number, window)
