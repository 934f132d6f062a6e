"""Small whole numbers, most of them in one byte: seven bits to a byte, lowest first, and the eighth says that more
follow (LEB128)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from leanseek.types import Int64Array

_LONGEST: Final = 5
"""Bytes of a number, which is below 2**35: sums of billions of them do not overflow."""


def pack(numbers: NDArray[np.integer]) -> NDArray[np.uint8]:
    """The bytes (b,) of numbers (n,) from 0 to 2**35 - 1. Raises ValueError for others."""
    values = np.asarray(numbers, np.int64)
    if not len(values):
        return np.empty(0, np.uint8)
    largest = int(values.max())
    if values.min() < 0 or largest >> 7 * _LONGEST:
        raise ValueError(f"numbers from 0 to 2**{7 * _LONGEST} - 1 can be packed")
    if largest < 128:
        return values.astype(np.uint8)
    sizes = np.ones(len(values), np.int64)
    for more in range(1, _LONGEST):
        sizes += values >> 7 * more > 0
    starts = np.cumsum(sizes) - sizes
    packed = np.empty(int(sizes.sum()), np.uint8)
    for place in range(int(sizes.max())):
        there = sizes > place
        follows = (sizes[there] > place + 1).astype(np.int64) << 7
        packed[starts[there] + place] = values[there] >> 7 * place & 127 | follows
    return packed


def unpack(packed: NDArray[np.uint8]) -> Int64Array:
    """The numbers (n,) of `pack`'s bytes (b,). Raises ValueError where the bytes are not such."""
    last = np.flatnonzero(packed < 128)
    if len(last) == len(packed):
        return packed.astype(np.int64)
    if not len(last) or last[-1] != len(packed) - 1:
        raise ValueError("the last number is cut short")
    first = np.concatenate([np.zeros(1, np.int64), last[:-1] + 1])
    sizes = last - first + 1
    longest = int(sizes.max())
    if longest > _LONGEST:
        raise ValueError(f"a number takes {longest} bytes")
    values: Int64Array = (packed[first] & 127).astype(np.int64)
    for place in range(1, longest):
        there = sizes > place
        values[there] |= (packed[first[there] + place] & 127).astype(np.int64) << 7 * place
    return values
