"""Vectors in 4 or 8 bits an element, each between its own least and largest one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from leanseek.indexing.dense.lean.lvq import Bits, quantise
from leanseek.types import Float32Array, Int64Array


class Codes(NamedTuple):
    """n vectors as low + step * code: `codes` (n, `code_width`) uint8, `lows` and `steps` (n,) float16."""

    codes: NDArray[np.uint8]
    lows: NDArray[np.float16]
    steps: NDArray[np.float16]

    def take(self, rows: slice | Int64Array) -> Codes:
        """Those of some of the vectors."""
        return Codes(self.codes[rows], self.lows[rows], self.steps[rows])


def joined(parts: Sequence[Codes]) -> Codes:
    """The codes of several together, one after another; at least one."""
    return Codes(
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.lows for part in parts]),
        np.concatenate([part.steps for part in parts]),
    )


def code_width(dims: int, bits: Bits) -> int:
    """Bytes of the codes of a vector of `dims` elements, without its low and step."""
    return -(-dims * bits // 8)


def encode(vectors: Float32Array, bits: Bits) -> Codes:
    """Vectors (n, d) in codes, see `leanseek.indexing.dense.lean.lvq.quantise`.

    No element is off by more than half of its vector's step, and by what float16 rounds off low and step. (Locally
    adaptive quantisation: Aguerrebere et al., "Similarity search in the blink of an eye with compressed indices",
    VLDB 2023.)
    """
    if bits == 4 and vectors.shape[1] % 2:
        # Two codes make a byte; an element that is there already widens no vector's range.
        vectors = np.concatenate([vectors, vectors[:, :1]], axis=1)
    found = quantise(vectors, bits)
    return Codes(found.codes, found.lows.astype(np.float16), found.steps.astype(np.float16))


def decode(codes: Codes, dims: int, bits: Bits) -> Float32Array:
    """(n, dims) the vectors that the codes stand for."""
    levels = codes.codes
    if bits == 4:
        half = levels.shape[1]
        vectors = np.empty((len(levels), 2 * half), dtype=np.float32)
        vectors[:, :half] = levels & 15
        vectors[:, half:] = levels >> 4
    else:
        vectors = levels.astype(np.float32)
    vectors *= codes.steps.astype(np.float32)[:, np.newaxis]
    vectors += codes.lows.astype(np.float32)[:, np.newaxis]
    return vectors[:, :dims]
