"""Locally adaptive scalar quantisation: each vector between its own least and largest element.

Aguerrebere et al., "Similarity search in the blink of an eye with compressed indices", VLDB 2023.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from leanseek.types import Float32Array

Bits: TypeAlias = Literal[4, 8]

_BLOCK_ROWS: Final = 16_384


class Quantised(NamedTuple):
    """Vectors (n, d) as x[i] = low + step * code[i].

    `codes` (n, d) or, in 4 bits, (n, d/2) uint8, the first half of the dimensions in the lower halves of bytes;
    `lows` and `steps` (n,) float32.
    """

    codes: NDArray[np.uint8]
    lows: Float32Array
    steps: Float32Array


def quantise(vectors: Float32Array, bits: Bits) -> Quantised:
    """Vectors (n, d), each to its own 2^bits levels; no element is off by more than half of its vector's step.

    With step = (u - l) / (2^bits - 1) between the vector's least and largest element, code = round((x - l) /
    step). d is even for 4 bits. The paper centres vectors first; here that is the caller's choice.
    """
    most = 2**bits - 1
    width = vectors.shape[1] * bits // 8
    codes = np.empty((len(vectors), width), dtype=np.uint8)
    lows = np.empty(len(vectors), dtype=np.float32)
    steps = np.empty(len(vectors), dtype=np.float32)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        part = np.asarray(vectors[start : start + _BLOCK_ROWS], dtype=np.float32)
        low = part.min(axis=1)
        step = (part.max(axis=1) - low) / np.float32(most)
        step[step == 0] = 1
        levels = np.rint((part - low[:, None]) / step[:, None]).clip(0, most).astype(np.uint8)
        if bits == 4:
            levels = levels[:, :width] | levels[:, width:] << 4
        stop = start + len(part)
        codes[start:stop], lows[start:stop], steps[start:stop] = levels, low, step
    return Quantised(codes, lows, steps)
