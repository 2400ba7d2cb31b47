"""Theta sketches read as samples of users, with numpy.

A theta sketch holds the hashes of those users of a set whose hash is below a limit (theta). While
the set is small the limit is the end of the hash range, and the sketch holds all users.

The serialized sketch is parsed here because the library returns the hashes only one by one: 200 µs
for a full sketch instead of 1 µs, and a report reads hundreds. It also cannot read the beginning of
a sketch, which is a smaller sample. The layout (a compact sketch of serial version 3: preamble,
then 64-bit hashes in ascending order) is defined by Apache DataSketches for all its languages.
`tests/unit/analytics_query/test_theta.py` compares this parser with the library for every kind of
sketch, so a version of datasketches that writes another layout fails there.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from datasketches import update_theta_sketch

from functions.common.sketches import LG_K

from ..errors import SketchFormatError

Hashes = npt.NDArray[np.uint64]

_HASH_RANGE = 1 << 63
_SERIAL_VERSION = 3
_COMPACT_FAMILY = 3
_EMPTY, _SINGLE = 0x04, 0x20


@dataclass(frozen=True)
class UserSample:
    """The users of a set whose hash is below a limit.

    Attributes:
        hashes: of the users, ascending.
        share: the share of all possible users whose hash is below the limit, 0 to 1.
    """

    hashes: Hashes
    share: float

    def below(self, share: float) -> Hashes:
        """Return the hashes that are in a sample of a smaller share, too."""
        if share >= self.share:
            return self.hashes
        return self.hashes[: np.searchsorted(self.hashes, np.uint64(share * _HASH_RANGE))]


def parse_sketch(sketch: bytes) -> UserSample:
    """Return the sample in a serialized compact theta sketch, or in the beginning of one.

    Raises:
        SketchFormatError: the bytes have another serial version or are another kind of sketch.
    """
    preamble_longs, flags = sketch[0] & 0x3F, sketch[5]
    if sketch[1] != _SERIAL_VERSION or sketch[2] != _COMPACT_FAMILY:
        raise SketchFormatError(
            f"not a compact theta sketch of serial version {_SERIAL_VERSION}: {sketch[:8].hex()}"
        )
    if flags & _EMPTY:
        return UserSample(np.empty(0, np.uint64), 1.0)
    if flags & _SINGLE or preamble_longs == 1:
        return UserSample(np.frombuffer(sketch, "<u8", 1, 8), 1.0)
    count = int.from_bytes(sketch[8:12], "little")
    limit = int.from_bytes(sketch[16:24], "little") if preamble_longs > 2 else _HASH_RANGE
    available = min(count, len(sketch) // 8 - preamble_longs)
    hashes = np.frombuffer(sketch, "<u8", available, 8 * preamble_longs)
    if available < count:  # the hashes that were cut off are larger than the last one here
        return UserSample(hashes[:-1], int(hashes[-1]) / _HASH_RANGE)
    return UserSample(hashes, limit / _HASH_RANGE)


def sample_of_users(users: Iterable[str]) -> UserSample:
    """Return a sample of users, with the hashes that a stored sketch has for them."""
    sketch = update_theta_sketch(LG_K)
    for user in users:
        sketch.update(user)
    return parse_sketch(sketch.compact().serialize())
