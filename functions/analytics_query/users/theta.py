"""Theta sketches as samples of users, looked at with numpy.

A sketch holds the hashes of those users of a set whose hash is below a limit; as long as the set
is small the limit is the largest hash there is, and the sketch holds all of them. The hashes are
stored in order. Their place in the bytes is defined by Apache DataSketches for all its languages.
"""

# datasketches has no type stubs
# pyright: reportAttributeAccessIssue=false

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasketches import update_theta_sketch

from functions.common.sketches import LG_K

_LARGEST = float(1 << 63)
_EMPTY, _SINGLE = 0x04, 0x20


@dataclass(frozen=True)
class Sample:
    """The users of a set whose hash is low enough.

    Attributes:
        hashes: of the users, in order.
        share: of all users that the sample would hold, 0 to 1.
    """

    hashes: Any
    share: float

    def below(self, share: float) -> Any:
        """Return the hashes that a sample of a smaller share holds too."""
        if share >= self.share:
            return self.hashes
        return self.hashes[: np.searchsorted(self.hashes, np.uint64(share * _LARGEST))]


def sample_stored(sketch: bytes) -> Sample:
    """Return the sample that a serialized compact sketch, or the beginning of one, holds."""
    longs, flags = sketch[0] & 0x3F, sketch[5]
    if flags & _EMPTY:
        return Sample(np.empty(0, np.uint64), 1.0)
    if flags & _SINGLE or longs == 1:
        return Sample(np.frombuffer(sketch, "<u8", 1, 8), 1.0)
    count = int.from_bytes(sketch[8:12], "little")
    limit = int.from_bytes(sketch[16:24], "little") if longs > 2 else 1 << 63
    there = min(count, len(sketch) // 8 - longs)
    hashes = np.frombuffer(sketch, "<u8", there, 8 * longs)
    if there < count:  # what was cut off is larger than the last hash that is there
        return Sample(hashes[:-1], int(hashes[-1]) / _LARGEST)
    return Sample(hashes, limit / _LARGEST)


def sample_of(users: Iterable[str]) -> Sample:
    """Return a sample of some users, with the same hashes."""
    sketch = update_theta_sketch(LG_K)
    for user in users:
        sketch.update(user)
    return sample_stored(sketch.compact().serialize())
