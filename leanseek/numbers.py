"""Scores on a common scale, with scores that are equal up to rounding treated as equal; different numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from leanseek.types import BoolArray, Float32Array, Float64Array, Int64Array

ROUNDING: Final = 1e-9
"""Differences up to this share of the largest value are rounding; neighbouring float32 numbers differ by more."""


def alike(values: Float32Array | Float64Array) -> bool:
    """Whether values (n,) are equal up to rounding, as none and a single one are."""
    if not values.size:
        return True
    least, most = float(values.min()), float(values.max())
    return most - least <= ROUNDING * max(abs(least), abs(most))


def zscore(
    scores: Float32Array | Float64Array,
    of: Float32Array | Float64Array | None = None,
    *,
    least: float = 0.0,
) -> Float64Array:
    """(n,) float64: (s - mean) / population standard deviation; all 0 where the scores (n,) are alike.

    Mean and deviation are those of the list `of` (m,), by default of the scores themselves. A deviation below
    `least` counts as `least`; with one above 0, nearly equal scores keep their small differences.
    """
    values = scores.astype(np.float64)
    whole = values if of is None else of.astype(np.float64)
    if not least and alike(whole):
        return np.zeros_like(values)
    if not whole.size:
        return values
    spread = max(float(whole.std()), least)
    # The squares of differences below 1e-160 are 0.
    return (values - whole.mean()) / spread if spread else np.zeros_like(values)


def minmax(scores: Float32Array | Float64Array) -> Float64Array:
    """(n,) float64 in [0, 1]: (s - min) / (max - min); all 0 where the scores (n,) are alike."""
    values: Float64Array = scores.astype(np.float64)
    if alike(values):
        return np.zeros_like(values)
    scaled: Float64Array = (values - values.min()) / (values.max() - values.min())
    return scaled


def distinct(numbers: Int64Array) -> Int64Array:
    """(d,) the different ones of whole numbers (n,), ascending.

    `np.unique` gives the same, but its first call imports all of numpy.ma, a tenth of what a search takes to start.
    """
    ordered = np.sort(numbers)
    first: BoolArray = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def kendall(first: Sequence[float], second: Sequence[float]) -> float:
    """Kendall's τ-b of two lists of numbers about the same things, in [-1, 1]; 0 where either has no order at all."""
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    here, there = (np.sign(column[:, None] - column[None, :]) for column in (one, two))
    scale = float(np.sqrt((here**2).sum() * (there**2).sum()))
    return float((here * there).sum()) / scale if scale else 0.0
