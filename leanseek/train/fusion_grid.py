"""Every fusion that is tried, measured on judged queries at once.

What a weight means depends on the scales: z-scores spread several times as widely as scaled cosines do. So each pair of
scales has the weights at which its sides' scores spread in the same proportion as under the default's scales; one
"share" of the dense side then ranks nearly alike on all of them, 0.8 being the default. No judgment takes part in that.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Final, NamedTuple

import numpy as np

from leanseek.searcher.fusion.mixed import LEAST_BM25, LEAST_COSINE, Scale, scaled
from leanseek.searcher.fusion.scaled import Float64Array
from leanseek.train.fusion_candidates import CUT, DISCOUNTS, JudgedQuery
from leanseek.types import Int64Array, Progress

SHARES: Final[Float64Array] = np.linspace(0.0, 1.0, 51).round(2)
DEFAULT_SHARE: Final = 0.8
DEFAULT_PLACE: Final = int(np.argmin(np.abs(SHARES - DEFAULT_SHARE)))

# Min-max of BM25 is its theoretical scale wherever a candidate shares no term with the query: nearly always.
SPARSE_SCALES: Final[tuple[Scale, ...]] = ("theoretical", "zscore")
DENSE_SCALES: Final[tuple[Scale, ...]] = ("theoretical", "minmax", "zscore")
PAIRS: Final = tuple(product(SPARSE_SCALES, DENSE_SCALES))
"""The scales of the sparse and the dense side; the first pair is the default's."""


class Tried(NamedTuple):
    """`weights` (p, s): dense weights of p pairs of scales at s shares; `ndcg` (n, p, s): of n queries with them."""

    weights: Float64Array
    ndcg: Float64Array


class Scaled(NamedTuple):
    """One query's scores on every scale: (c,) by scale, for each side."""

    sparse: dict[Scale, Float64Array]
    dense: dict[Scale, Float64Array]


def try_all(judged: Sequence[JudgedQuery], progress: Progress | None = None) -> Tried:
    """nDCG@10 of each query with every pair of scales and share; ties are broken by id, as in a search."""
    on_scales = [on_all_scales(query) for query in judged]
    weights = equivalent_weights(on_scales)
    ndcg = np.zeros((len(judged), len(PAIRS), len(SHARES)))
    for row, (query, scores) in enumerate(zip(judged, on_scales, strict=True)):
        for place, (sparse, dense) in enumerate(PAIRS):
            ndcg[row, place] = ndcg_by_weight(
                query, scores.sparse[sparse], scores.dense[dense], weights[place]
            )
        if progress is not None:
            progress("weighing", row + 1, len(judged))
    return Tried(weights, ndcg)


def on_all_scales(query: JudgedQuery) -> Scaled:
    """The query's scores as every fusion scales them."""
    return Scaled(
        {scale: scaled(query.sparse, scale, LEAST_BM25) for scale in SPARSE_SCALES},
        {scale: scaled(query.dense, scale, LEAST_COSINE) for scale in DENSE_SCALES},
    )


def equivalent_weights(queries: Sequence[Scaled]) -> Float64Array:
    """(p, s) for each pair of scales the dense weights that stand for the shares; the default's are the shares."""
    sparse = {scale: spread([query.sparse[scale] for query in queries]) for scale in SPARSE_SCALES}
    dense = {scale: spread([query.dense[scale] for query in queries]) for scale in DENSE_SCALES}
    usual_sparse, usual_dense = sparse[PAIRS[0][0]], dense[PAIRS[0][1]]
    weights = np.empty((len(PAIRS), len(SHARES)))
    for place, (on, over) in enumerate(PAIRS):
        shares = SHARES * sparse[on] * usual_dense
        weights[place] = shares / (shares + (1.0 - SHARES) * usual_sparse * dense[over])
    weights[0] = SHARES
    rounded: Float64Array = weights.round(4)
    return rounded


def spread(scores: Sequence[Float64Array]) -> float:
    """The mean over queries of the standard deviation of their scores; 1 where no query's scores differ."""
    return float(np.mean([each.std() if each.size else 0.0 for each in scores] or [0.0])) or 1.0


def ndcg_by_weight(
    query: JudgedQuery, sparse: Float64Array, dense: Float64Array, weights: Float64Array
) -> Float64Array:
    """(s,) nDCG@10 of one query with each of the dense weights (s,); `sparse`, `dense` (c,) are scaled scores."""
    if not query.starts.size:
        return np.zeros(len(weights))
    # The arithmetic of `weighted_mean`, so that equal float32 scores are equal here too.
    fused = ((1.0 - weights)[:, None] * sparse + weights[:, None] * dense).astype(np.float32)
    documents = np.maximum.reduceat(fused, query.starts, axis=1)
    best: Int64Array = np.argsort(-documents, axis=1, kind="stable")[:, :CUT]
    gained: Float64Array = query.grades[best] @ DISCOUNTS[: best.shape[1]] / query.ideal
    return gained
