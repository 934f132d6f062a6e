"""A sample of passages that is the same however they are spread over segments and shards.

Each passage draws a lot by its document's id and its number in it; the lowest lots are the sample. What is learned from
a sample is then a fact of the documents, and shards find that of the whole by merging their own.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np

from leanseek.types import Float64Array, Int64Array

BLOCK: Final = 65_536
"""Passages whose ids are read at a time."""


def lots(ids: Sequence[str], parts: Int64Array) -> Float64Array:
    """(c,) the lots, in [0, 1), of passages by the ids of their documents and their numbers in them (c,).

    The finaliser is that of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
    OOPSLA 2014).
    """
    sums = (zlib.crc32(one.encode("utf-8", "surrogatepass")) for one in ids)
    mixed = np.fromiter(sums, np.uint64, len(ids)) << np.uint64(32)
    mixed += parts.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    drawn: Float64Array = (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return drawn
