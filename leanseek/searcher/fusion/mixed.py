"""Fusion by scores with a scale of its own for each side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from leanseek.searcher.fusion.base import Side
from leanseek.searcher.fusion.scaled import (
    Float64Array,
    minmax,
    theoretical_minmax,
    weighted_mean,
    zscore,
)
from leanseek.types import Float32Array

Scale: TypeAlias = Literal["theoretical", "minmax", "zscore"]
SCALES: tuple[Scale, ...] = get_args(Scale)

LEAST_BM25 = 0.0
LEAST_COSINE = -1.0


def scaled(scores: Float32Array, scale: Scale, infimum: float) -> Float64Array:
    """(c,) float64: one side's scores (c,) on a scale; `infimum`, the least there can be, is for `theoretical`."""
    if scale == "theoretical":
        return theoretical_minmax(scores, infimum)
    return minmax(scores) if scale == "minmax" else zscore(scores)


@dataclass(frozen=True, slots=True)
class MixedFusion:
    """Weighted mean of the two sides' scores, each on its own scale.

    `theoretical` is that of `ConvexFusion`, `minmax` and `zscore` are those of the fusions of these names; what they
    say of equal scores, one hit and negative scores holds for the side that has the scale. Both sides on one scale
    give that fusion's scores.

    A weight means another thing on another scale: z-scores spread several times as widely as scaled cosines do, so
    `theoretical+zscore` with 0.2 ranks about as `ConvexFusion` with 0.8.
    """

    sparse_scale: Scale
    dense_scale: Scale
    dense_weight: float = 0.5

    def fuse(self, sparse: Side, dense: Side) -> Float32Array:
        """(c,) float32."""
        return weighted_mean(
            scaled(sparse.scores, self.sparse_scale, LEAST_BM25),
            scaled(dense.scores, self.dense_scale, LEAST_COSINE),
            self.dense_weight,
        )
