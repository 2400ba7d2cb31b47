"""What tests read out of the stored sketches of users."""

# datasketches has no type stubs
# pyright: reportAttributeAccessIssue=false

from collections.abc import Iterable

from datasketches import (
    compact_theta_sketch,
    hll_sketch,
    hll_union,
    theta_intersection,
    theta_union,
    update_theta_sketch,
)

from functions.common.sketches import LG_K


def unite_hll(sketches: Iterable[bytes], users: Iterable[str] = ()) -> float:
    """Estimate how many users are in any of some HLL sketches or among `users`."""
    union = hll_union(LG_K)
    for sketch in sketches:
        union.update(hll_sketch.deserialize(sketch))
    for user in users:
        union.update(user)
    return union.get_estimate()


def unite_theta(sketches: Iterable[bytes], users: Iterable[str] = ()) -> compact_theta_sketch:
    """Return the union of some theta sketches and `users`."""
    union = theta_union(LG_K)
    for sketch in sketches:
        union.update(compact_theta_sketch.deserialize(sketch))
    added = update_theta_sketch(LG_K)
    for user in users:
        added.update(user)
    union.update(added)
    return union.get_result()


def in_common(one: compact_theta_sketch, other: compact_theta_sketch) -> float:
    """Estimate how many users two sets have in common."""
    intersection = theta_intersection()
    intersection.update(one)
    intersection.update(other)
    return intersection.get_result().get_estimate()
