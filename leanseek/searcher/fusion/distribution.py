"""Fusion by the distribution of each side's own list."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leanseek.searcher.fusion.base import Side
from leanseek.searcher.fusion.scaled import Float64Array, weighted_mean
from leanseek.types import Float32Array


def three_sigma(side: Side) -> Float64Array:
    """(c,) float64: (s - (mean - 3σ)) / 6σ, at least 0; mean and σ over the candidates that the side found.

    Where all found scores are the same: 0.5 for those at least as high, 0 below. Where none was found: all 0.
    """
    values: Float64Array = side.scores.astype(np.float64)
    found = values[side.found]
    if not found.size:
        return np.zeros_like(values)
    if found.min() == found.max():
        return np.where(values >= found[0], 0.5, 0.0)
    # Only an approximate search leaves a better candidate to the other side; it counts as the best one found.
    scaled: Float64Array = (np.minimum(values, found.max()) - found.mean()) / (6.0 * found.std()) + 0.5
    return np.maximum(scaled, 0.0)


@dataclass(frozen=True, slots=True)
class DistributionFusion:
    """Distribution-based score fusion (DBSF): the weighted mean of scale(s) = (s - (mean - 3σ)) / 6σ.

    Mean and σ (population) are those of each side's own list (`Side.found`), as DBSF is commonly defined; the
    other fusions by score take the union. A candidate that a side did not find keeps its exact score there,
    where other implementations give it 0; one below mean - 3σ gets 0.

    - Nothing is cut at mean + 3σ. In a list of hundreds the best answers stand beyond it, and a cut makes
      them all equal: in lists of 1,000 it took nDCG@10 on SciFact from 0.74 to 0.53.
    - Equal scores or one hit: 0.5 for them, 0 for candidates below.
    - An empty side gives 0 to all. Negative scores need no care.
    - The sides are averaged; implementations that add them order alike.
    """

    dense_weight: float = 0.5

    def fuse(self, sparse: Side, dense: Side) -> Float32Array:
        """(c,) float32, not negative; most of it in [0, 1]."""
        return weighted_mean(three_sigma(sparse), three_sigma(dense), self.dense_weight)
