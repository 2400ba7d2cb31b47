"""Sets of users as mergeable sketches (Apache DataSketches): what writer and reports agree on.

Two kinds are stored (tables `rollup_hour_users` and `rollup_day_users`): HLL for the number of
users, theta for the users two sets have in common. Up to a few hundred (HLL) or 4,096 (theta)
users a sketch is exact or nearly so; beyond, the errors below hold with 95 per cent confidence.

The part of the library that is compiled is all that this needs. On Python 3.11 and 3.12 it works
without numpy, which is three times as large as the rest of process-batch's image and takes as long
as a fifth of a function's start. It is imported when a sketch is first needed.
"""

from collections.abc import Iterable
from contextlib import redirect_stderr
from functools import cache
from io import StringIO
from threading import Lock
from types import ModuleType

LG_K = 12
HLL_ERROR = 0.033
"""Relative error of a number of users that an HLL sketch tells: two standard errors."""
THETA_ERROR = 0.032
"""The same of a theta sketch. An intersection's error is this, relative to the union."""


_import_lock = Lock()


@cache
def _library() -> ModuleType:
    # one thread after the other: of two at once, one would restore what the other has put there
    with _import_lock, redirect_stderr(StringIO()):  # where it says that there is no numpy
        import _datasketches  # noqa: PLC0415
    return _datasketches


def add_to_hll(stored: bytes | None, users: Iterable[str]) -> bytes:
    """Return the HLL sketch `stored` (None: an empty one) with some users added."""
    library = _library()
    if stored is None:
        sketch = library.hll_sketch(LG_K, library.tgt_hll_type.HLL_4)
    else:
        sketch = library.hll_sketch.deserialize(stored)
    for user in users:
        sketch.update(user)
    return sketch.serialize_compact()


def add_to_theta(stored: bytes | None, users: Iterable[str]) -> bytes:
    """Return the theta sketch `stored` (None: an empty one) with some users added."""
    library = _library()
    added = library.update_theta_sketch(LG_K)
    for user in users:
        added.update(user)
    if stored is None:
        return added.compact().serialize()
    union = library.theta_union(LG_K)
    union.update(library.compact_theta_sketch.deserialize(stored))
    union.update(added)
    return union.get_result().serialize()
