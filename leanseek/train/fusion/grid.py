"""The grid of fusions: each measured on judged queries, and the choice among them.

The effect of a weight depends on the scales: z-scores spread several times as widely as scaled cosines do. So each
pair of scales has the weights at which its sides' scores spread in the same proportion as under the default's scales;
one "share" of the dense side then ranks nearly alike on all of them, 0.8 being the default. This uses no judgments.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Final, NamedTuple

import numpy as np

from leanseek.searcher.fusion.methods import LEAST_BM25, LEAST_COSINE, Scale, scaled
from leanseek.train.fusion.judged_candidates import CUT, DISCOUNTS, JudgedQuery
from leanseek.types import Float64Array, Int64Array, Progress

SHARES: Final[Float64Array] = np.linspace(0.0, 1.0, 51).round(2)
DEFAULT_SHARE: Final = 0.8
DEFAULT_PLACE: Final = int(np.argmin(np.abs(SHARES - DEFAULT_SHARE)))

# Min-max of BM25 is its theoretical scale wherever a candidate shares no term with the query: nearly always.
SPARSE_SCALES: Final[tuple[Scale, ...]] = ("theoretical", "zscore")
DENSE_SCALES: Final[tuple[Scale, ...]] = ("theoretical", "minmax", "zscore")
PAIRS: Final = tuple(product(SPARSE_SCALES, DENSE_SCALES))
"""The scales of the sparse and the dense side; the first pair is the default's."""

SPREAD: Final = 0.1
"""τ: how far from the default's share the best is expected."""
OTHER_SCALES: Final = -1.0
"""The log of how much less probable another pair of scales is: scales matter far less than the weight."""
FOLDS: Final = 5
REPEATS: Final = 5
FEWEST: Final = 5
"""Judged queries at least."""
USUAL_DEVIATION: Final = 0.1
USUAL_WEIGHT: Final = 5
"""The gains' variance on few queries is mixed with a usual one, as of so many more: five equal gains prove little."""


class Place(NamedTuple):
    """A fusion of the grid: its pair of scales and its share."""

    pair: int
    share: int


DEFAULT: Final = Place(0, DEFAULT_PLACE)


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


class Choice(NamedTuple):
    """The fusion to take. `gain` is that of choosing so, on held-out queries, over the default; `error` its
    standard error. `candidate` is what would have been taken if the gain had sufficed."""

    taken: Place
    candidate: Place
    gain: float
    error: float


def choose(ndcg: Float64Array) -> Choice:
    """The choice by the nDCG@10 of n queries, (n, p, s) with every pair of scales and share."""
    gains = ndcg - ndcg[:, :1, DEFAULT_PLACE, None]
    queries = len(gains)
    if queries < FEWEST:
        return Choice(DEFAULT, DEFAULT, 0.0, 0.0)
    candidate = most_probable(gains.sum(axis=0))
    held_out = cross_validated(gains)
    deviation = np.square(held_out - held_out.mean()).sum() + USUAL_WEIGHT * USUAL_DEVIATION**2
    error = float(np.sqrt(deviation / (queries - 1 + USUAL_WEIGHT) / queries))
    gain = float(held_out.mean())
    return Choice(candidate if gain > error else DEFAULT, candidate, gain, error)


def most_probable(summed: Float64Array) -> Place:
    """The place that the posterior points to; `summed` (p, s) are gains summed over queries."""
    log = summed - np.square(SHARES - DEFAULT_SHARE) / (2.0 * SPREAD**2)
    log[1:] += OTHER_SCALES
    posterior = np.exp(log - log.max())
    # Rounded: between scales that rank alike the last bit must not decide.
    pair = int(np.argmax((posterior.sum(axis=1) / posterior.sum()).round(9)))
    share = posterior[pair] @ SHARES / posterior[pair].sum()
    return Place(pair, int(np.argmin(np.abs(SHARES - share))))


def cross_validated(gains: Float64Array) -> Float64Array:
    """(n,) each query's gain when the choice is made without it; the mean of several partitions, always the same."""
    chance = np.random.default_rng(0)
    found = np.zeros(len(gains))
    summed = gains.sum(axis=0)
    for _ in range(REPEATS):
        folds = chance.permutation(np.arange(len(gains)) % FOLDS)
        for fold in range(FOLDS):
            held = folds == fold
            pair, share = most_probable(summed - gains[held].sum(axis=0))
            found[held] += gains[held, pair, share] / REPEATS
    return found
