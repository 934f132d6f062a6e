"""Fusion by ranks alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leanseek.searcher.fusion.base import Side
from leanseek.types import Float32Array, Int64Array


def ranks(side: Side) -> Int64Array:
    """(c,) int64: the rank from 1 of each candidate in the side's own list, 0 for one it did not find.

    Equal scores are ranked by position, which is ascending (id, part).
    """
    found = np.flatnonzero(side.found)
    order = np.argsort(-side.scores[found].astype(np.float64), kind="stable")
    result = np.zeros(len(side.found), dtype=np.int64)
    result[found[order]] = np.arange(1, len(found) + 1)
    return result


@dataclass(frozen=True, slots=True)
class ReciprocalRankFusion:
    """Reciprocal rank fusion: fused = (1 - w) / (k + sparse rank) + w / (k + dense rank), w = `dense_weight`.

    - Ranks start at 1 inside each side's own list (`Side.found`); a candidate that a side did not find gets 0
      from it, although its exact score is known: the usual contract.
    - The weights sum to 1, so at w = 0.5 the scores are half of the customary 1/(k + r) + 1/(k + r'); the
      order is the same.
    - Equal scores of a side get successive ranks, in ascending (id, part).
    - An empty side adds 0. The size and sign of scores play no part.

    Gordon V. Cormack, Charles L. A. Clarke, Stefan Büttcher: Reciprocal Rank Fusion outperforms Condorcet and
    individual Rank Learning Methods. SIGIR 2009. k = 60 is theirs.
    """

    dense_weight: float = 0.5
    k: int = 60

    def fuse(self, sparse: Side, dense: Side) -> Float32Array:
        """(c,) float32 in [0, 1 / (k + 1)]."""
        parts = [np.where(rank > 0, 1.0 / (self.k + rank), 0.0) for rank in (ranks(sparse), ranks(dense))]
        return ((1.0 - self.dense_weight) * parts[0] + self.dense_weight * parts[1]).astype(np.float32)
