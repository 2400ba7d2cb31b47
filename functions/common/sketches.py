"""Sets of users as mergeable sketches (Apache DataSketches): what writer and reports agree on.

Two kinds are stored (tables `rollup_hour_users` and `rollup_day_users`): HLL for the number of
users, theta for the users two sets have in common. Up to a few hundred (HLL) or 4,096 (theta)
users a sketch is exact or nearly so; beyond, the errors below hold with 95 per cent confidence.

The library imports numpy, which takes as long as a fifth of a function's start: it is imported when
a sketch is first needed.
"""

from collections.abc import Iterable

LG_K = 12
HLL_ERROR = 0.033
"""Relative error of a number of users that an HLL sketch tells: two standard errors."""
THETA_ERROR = 0.032
"""The same of a theta sketch. An intersection's error is this, relative to the union."""


def add_to_hll(stored: bytes | None, users: Iterable[str]) -> bytes:
    """Return the HLL sketch `stored` (None: an empty one) with some users added."""
    from datasketches import hll_sketch, tgt_hll_type  # noqa: PLC0415

    if stored is None:
        sketch = hll_sketch(LG_K, tgt_hll_type.HLL_4)
    else:
        sketch = hll_sketch.deserialize(stored)
    for user in users:
        sketch.update(user)
    return sketch.serialize_compact()


def add_to_theta(stored: bytes | None, users: Iterable[str]) -> bytes:
    """Return the theta sketch `stored` (None: an empty one) with some users added."""
    from datasketches import (  # noqa: PLC0415
        compact_theta_sketch,
        theta_union,
        update_theta_sketch,
    )

    added = update_theta_sketch(LG_K)
    for user in users:
        added.update(user)
    if stored is None:
        return added.compact().serialize()
    union = theta_union(LG_K)
    union.update(compact_theta_sketch.deserialize(stored))
    union.update(added)
    return union.get_result().serialize()
