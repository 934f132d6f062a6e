"""How often a term is in a passage, two bits for each posting.

They say 1, 2 or 3, or that `more` has the frequency: a byte for each such posting, in the order of the postings, 255
for that and more. `more_counts` says how many of each 64 postings have one, so that any frequency is read without
those before it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from leanseek.indexing.arrays import offsets_of
from leanseek.types import Int64Array

BLOCK: Final = 64
"""Postings with a count of their own."""
MOST: Final = 255
"""Of a byte: this and more."""
_PACKED: Final = 4
"""Postings in a byte; and the least frequency in `more`."""
_SHIFTS: Final = np.arange(0, 8, 2, dtype=np.uint8)


def pack_frequencies(
    frequencies: NDArray[np.uint8],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Int64Array]:
    """The bytes (ceil(p / 4),) of frequencies (p,) from 1, `more` (m,) and `more_counts` (ceil(p / 64),)."""
    size = len(frequencies)
    codes = np.zeros(-(-size // _PACKED) * _PACKED, np.uint8)
    codes[:size] = np.minimum(frequencies, _PACKED) - 1
    packed = np.bitwise_or.reduce(codes.reshape(-1, _PACKED) << _SHIFTS, axis=1)
    more = frequencies >= _PACKED
    counts = np.bincount(np.flatnonzero(more) // BLOCK, minlength=-(-size // BLOCK))
    return packed.astype(np.uint8), frequencies[more], counts


class Frequencies:
    """Those of `pack_frequencies`.

    `codes` (ceil(p / 4),) are the bytes, `more_starts` (ceil(p / 64) + 1,) where in `more` those of each 64 postings
    begin.
    """

    def __init__(self, codes: NDArray[np.uint8], more: NDArray[np.uint8], more_counts: Int64Array) -> None:
        """Raises ValueError where the counts are not those of `more`."""
        self.codes = codes
        self.more = more
        self.more_starts = offsets_of(more_counts)
        if self.more_starts[-1] != len(more):
            raise ValueError(f"{self.more_starts[-1]} large frequencies are counted, {len(more)} are there")

    def read(self, first: int, last: int) -> NDArray[np.uint8]:
        """The frequencies of the postings first, ..., last - 1, at most `MOST`. Raises ValueError where damaged."""
        block = first // BLOCK * BLOCK
        codes = self.codes[block // _PACKED : -(-last // _PACKED), np.newaxis] >> _SHIFTS & np.uint8(3)
        frequencies: NDArray[np.uint8] = codes.reshape(-1)[: last - block] + np.uint8(1)
        more = np.flatnonzero(frequencies == _PACKED)
        start = int(self.more_starts[block // BLOCK])
        values = self.more[start : start + len(more)]
        if len(values) < len(more):
            raise ValueError("large frequencies are missing")
        frequencies[more] = values
        return frequencies[first - block :]
