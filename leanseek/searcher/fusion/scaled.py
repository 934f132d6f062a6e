"""Fusion by scores: each side is brought to a common scale, then the two are averaged with weights.

    fused = (1 - w) · scale(sparse scores) + w · scale(dense scores)        w = `dense_weight` in [0, 1]

The statistics of a scale (minimum, maximum, mean, deviation) are taken over the union of both sides'
candidates, one query at a time: every candidate has an exact score on both sides, so no list's end shifts
them and no candidate lies outside. `Side.found` plays no part. The arithmetic is float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from leanseek.searcher.fusion.base import Side
from leanseek.types import Float32Array

Float64Array: TypeAlias = NDArray[np.float64]


def weighted_mean(sparse: Float64Array, dense: Float64Array, dense_weight: float) -> Float32Array:
    """(c,) float32: (1 - dense_weight) · sparse + dense_weight · dense."""
    return ((1.0 - dense_weight) * sparse + dense_weight * dense).astype(np.float32)


def theoretical_minmax(scores: Float32Array, infimum: float) -> Float64Array:
    """(c,) float64 in [0, 1]: (s - infimum) / (max - infimum); all 0 where the maximum is not above it.

    A score below the infimum counts as the infimum: a cosine of -1.0000001, or the negative scores that some
    BM25 variants give to very frequent words.
    """
    values: Float64Array = scores.astype(np.float64)
    span = float(values.max(initial=infimum)) - infimum
    if span <= 0.0:
        return np.zeros_like(values)
    scaled: Float64Array = np.maximum((values - infimum) / span, 0.0)
    return scaled


def minmax(scores: Float32Array) -> Float64Array:
    """(c,) float64 in [0, 1]: (s - min) / (max - min); all 0 where every score is the same."""
    values: Float64Array = scores.astype(np.float64)
    if not values.size or values.min() == values.max():
        return np.zeros_like(values)
    scaled: Float64Array = (values - values.min()) / (values.max() - values.min())
    return scaled


def zscore(scores: Float32Array) -> Float64Array:
    """(c,) float64: (s - mean) / population standard deviation; all 0 where every score is the same."""
    values: Float64Array = scores.astype(np.float64)
    # Rounding in the mean would make a tiny deviation, and large z-scores, out of equal scores.
    if not values.size or values.min() == values.max():
        return np.zeros_like(values)
    scaled: Float64Array = (values - values.mean()) / values.std()
    return scaled


@dataclass(frozen=True, slots=True)
class ConvexFusion:
    """Convex combination with theoretical min-max scaling (TM2C2), the default.

    scale(s) = (s - m) / (max - m), where m is the least score there can be: 0 for BM25, -1 for a cosine.
    Unlike the minimum of a list, m is the same for every query, so a side whose candidates are all about
    equally good does not have their small differences blown up.

    - Equal scores of a side become equal parts; with a maximum at or below m the side gives 0 to all (a query
      without known terms: the order is the dense one).
    - One hit: its scale is 1 on each side whose score is above m.
    - Scores below m count as m.
    - BM25L and BM25+ raise matching documents by a constant; m stays 0 for them.

    Sebastian Bruch, Siyu Gai, Amir Ingber: An Analysis of Fusion Functions for Hybrid Retrieval. ACM TOIS
    42(1), 2023, arXiv:2210.11934. The weight 0.8 on dense is theirs.
    """

    dense_weight: float = 0.8

    def fuse(self, sparse: Side, dense: Side) -> Float32Array:
        """(c,) float32 in [0, 1]."""
        return weighted_mean(
            theoretical_minmax(sparse.scores, 0.0), theoretical_minmax(dense.scores, -1.0), self.dense_weight
        )


@dataclass(frozen=True, slots=True)
class MinMaxFusion:
    """Weighted mean of min-max scaled scores: scale(s) = (s - min) / (max - min) over the union.

    - The best candidate of a side gets 1 and its worst 0, whatever they are; negative scores need no care.
    - Equal scores, one hit, or a side that knows none of the candidates: the side gives 0 to all.
    """

    dense_weight: float = 0.5

    def fuse(self, sparse: Side, dense: Side) -> Float32Array:
        """(c,) float32 in [0, 1]."""
        return weighted_mean(minmax(sparse.scores), minmax(dense.scores), self.dense_weight)


@dataclass(frozen=True, slots=True)
class ZScoreFusion:
    """Weighted mean of z-scores: scale(s) = (s - mean) / standard deviation (population) over the union.

    - Fused scores are negative for candidates below the mean; none exceeds √(c - 1) in size.
    - Equal scores, one hit, or a side that knows none of the candidates: the side gives 0 to all.
    """

    dense_weight: float = 0.5

    def fuse(self, sparse: Side, dense: Side) -> Float32Array:
        """(c,) float32."""
        return weighted_mean(zscore(sparse.scores), zscore(dense.scores), self.dense_weight)
