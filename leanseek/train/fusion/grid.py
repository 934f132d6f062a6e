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

from leanseek.searcher.fusion.methods import (
    LEAST_BM25,
    LEAST_COSINE,
    AgreementFusion,
    Scale,
    Side,
    agreement_weights,
    agrees_more,
    scaled,
)
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
USUAL_LEARNED: Final = 0.1
"""Between the learned side's shares in the two cases of the default."""
FOLDS: Final = 5
REPEATS: Final = 5
FEWEST: Final = 5
"""Judged queries at least."""
USUAL_DEVIATION: Final = 0.1
USUAL_WEIGHT: Final = 5
"""The gains' variance on few queries is mixed with a usual one, as of so many more: five equal gains prove little."""


LEARNED_SHARES: Final = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)


class Row(NamedTuple):
    """The scales of the sparse and the dense side, and the share of the learned one, which has the sparse side's scale.

    Of the rest as much goes to the dense side as a share of the grid says, up to all of it. `agreement`: the shares
    follow the query, see `AgreementFusion`.
    """

    sparse: Scale
    dense: Scale
    learned: float = 0.0
    agreement: bool = False


TWO_SIDED: Final = tuple(Row(*pair) for pair in PAIRS)
THREE_SIDED: Final = (
    Row(*PAIRS[0], AgreementFusion().learned_weight, agreement=True),
    *(Row(*pair, share) for share in LEARNED_SHARES for pair in PAIRS),
)
"""The rows of the grid; the first is the default's."""


class Place(NamedTuple):
    """A fusion of the grid: its row (without a learned side its pair of scales) and its share."""

    pair: int
    share: int


DEFAULT: Final = Place(0, DEFAULT_PLACE)


class Tried(NamedTuple):
    """`weights` (p, s): dense weights of p rows at s shares; `ndcg` (n, p, s): of n queries with them; `learned`
    (p, s): the learned side's weights."""

    weights: Float64Array
    ndcg: Float64Array
    learned: Float64Array
    rows: tuple[Row, ...] = TWO_SIDED


class Scaled(NamedTuple):
    """One query's scores on every scale: (c,) by scale, for each side."""

    sparse: dict[Scale, Float64Array]
    dense: dict[Scale, Float64Array]
    learned: dict[Scale, Float64Array] | None = None


def try_all(judged: Sequence[JudgedQuery], progress: Progress | None = None) -> Tried:
    """nDCG@10 of each query with every row and share; ties are broken by id, as in a search."""
    three = bool(judged) and judged[0].learned is not None
    rows = THREE_SIDED if three else TWO_SIDED
    on_scales = [on_all_scales(query) for query in judged]
    weights, learned = row_weights(on_scales, rows)
    ndcg = np.zeros((len(judged), len(rows), len(SHARES)))
    for number, (query, scores) in enumerate(zip(judged, on_scales, strict=True)):
        # A search that does not ask the learned side has the candidates of the others alone.
        without = query.two_sided() if three else query
        without_scores = on_all_scales(without) if three else scores
        for place, row in enumerate(rows):
            if row.agreement:
                ndcg[number, place] = ndcg_by_agreement(query, scores, row)
                continue
            given, found = (query, scores) if row.learned else (without, without_scores)
            expanded = None
            if row.learned and found.learned is not None:
                expanded = found.learned[row.sparse]
            ndcg[number, place] = ndcg_by_weight(
                given,
                found.sparse[row.sparse],
                found.dense[row.dense],
                weights[place],
                expanded,
                learned[place],
            )
        if progress is not None:
            progress("weighing", number + 1, len(judged))
    return Tried(weights, ndcg, learned, rows)


def ndcg_by_agreement(query: JudgedQuery, scores: Scaled, row: Row) -> Float64Array:
    """(s,) nDCG@10 of one query with shares that follow it, at each of the dense weights."""
    assert query.learned is not None and query.ranked is not None, "the candidates of three sides"
    sides = zip((query.sparse, query.dense, query.learned), query.ranked, strict=True)
    agrees = agrees_more(*(Side(values, found) for values, found in sides))
    weights = np.array([agreement_weights(share, row.learned, agrees) for share in SHARES.tolist()])
    expanded = (scores.learned or {})[row.sparse]
    return ndcg_by_weight(
        query, scores.sparse[row.sparse], scores.dense[row.dense], weights[:, 1], expanded, weights[:, 2]
    )


def on_all_scales(query: JudgedQuery) -> Scaled:
    """The query's scores as every fusion scales them."""
    by_expansion = query.learned
    return Scaled(
        {scale: scaled(query.sparse, scale, LEAST_BM25) for scale in SPARSE_SCALES},
        {scale: scaled(query.dense, scale, LEAST_COSINE) for scale in DENSE_SCALES},
        {scale: scaled(by_expansion, scale, LEAST_BM25) for scale in SPARSE_SCALES}
        if by_expansion is not None
        else None,
    )


def row_weights(queries: Sequence[Scaled], rows: Sequence[Row]) -> tuple[Float64Array, Float64Array]:
    """(p, s) for each row the dense weights, and the learned ones, that stand for the shares."""
    pairs = equivalent_weights(queries)
    dense, learned = np.empty((2, len(rows), len(SHARES)))
    for place, row in enumerate(rows):
        number = PAIRS.index((row.sparse, row.dense))
        share = np.minimum(SHARES, 1.0 - row.learned)
        if not row.learned:
            dense[place], learned[place] = pairs[number], 0.0
        elif row.agreement:
            dense[place], learned[place] = SHARES, row.learned
        elif number == 0:
            dense[place], learned[place] = share, row.learned
        else:
            # Each side's share in proportion to how widely its scores spread on the usual scale and on this one.
            usual = PAIRS[0]
            each = np.stack(
                [
                    (1.0 - share - row.learned)
                    * spread_ratio([one.sparse for one in queries], usual[0], row.sparse),
                    share * spread_ratio([one.dense for one in queries], usual[1], row.dense),
                    row.learned
                    * spread_ratio([one.learned or {} for one in queries], usual[0], row.sparse)
                    * np.ones(len(SHARES)),
                ]
            ).clip(0.0)
            dense[place], learned[place] = (each[1:] / each.sum(axis=0)).round(4)
    return dense, learned


def spread_ratio(scores: Sequence[dict[Scale, Float64Array]], usual: Scale, other: Scale) -> float:
    """How widely a side's scores spread on the usual scale, over how widely on another."""
    return spread([one[usual] for one in scores]) / spread([one[other] for one in scores])


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
    query: JudgedQuery,
    sparse: Float64Array,
    dense: Float64Array,
    weights: Float64Array,
    learned: Float64Array | None = None,
    learned_weights: Float64Array | None = None,
) -> Float64Array:
    """(s,) nDCG@10 of one query with each of the dense and the learned weights (s,); `sparse`, `dense` and `learned`
    (c,) are scaled scores."""
    if not query.starts.size:
        return np.zeros(len(weights))
    # The arithmetic of `weighted_mean`, so that equal float32 scores are equal here too.
    if learned is None or learned_weights is None:
        fused = ((1.0 - weights)[:, None] * sparse + weights[:, None] * dense).astype(np.float32)
    else:
        rest = (1.0 - weights - learned_weights)[:, None]
        two = rest * sparse + weights[:, None] * dense
        fused = (two + learned_weights[:, None] * learned).astype(np.float32)
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


def choose(ndcg: Float64Array, rows: Sequence[Row] = TWO_SIDED) -> Choice:
    """The choice by the nDCG@10 of n queries, (n, p, s) with every row and share."""
    gains = ndcg - ndcg[:, :1, DEFAULT_PLACE, None]
    queries = len(gains)
    if queries < FEWEST:
        return Choice(DEFAULT, DEFAULT, 0.0, 0.0)
    candidate = most_probable(gains.sum(axis=0), rows)
    held_out = cross_validated(gains, rows)
    deviation = np.square(held_out - held_out.mean()).sum() + USUAL_WEIGHT * USUAL_DEVIATION**2
    error = float(np.sqrt(deviation / (queries - 1 + USUAL_WEIGHT) / queries))
    gain = float(held_out.mean())
    return Choice(candidate if gain > error else DEFAULT, candidate, gain, error)


def most_probable(summed: Float64Array, rows: Sequence[Row] = TWO_SIDED) -> Place:
    """The place that the posterior points to; `summed` (p, s) are gains summed over queries."""
    log = summed - np.square(SHARES - DEFAULT_SHARE) / (2.0 * SPREAD**2)
    for place, row in enumerate(rows):
        log[place] += 0.0 if (row.sparse, row.dense) == PAIRS[0] else OTHER_SCALES
        if rows[0].agreement and not row.agreement:
            log[place] -= (row.learned - USUAL_LEARNED) ** 2 / (2.0 * SPREAD**2)
    posterior = np.exp(log - log.max())
    # Rounded: between scales that rank alike the last bit must not decide.
    pair = int(np.argmax((posterior.sum(axis=1) / posterior.sum()).round(9)))
    share = posterior[pair] @ SHARES / posterior[pair].sum()
    return Place(pair, int(np.argmin(np.abs(SHARES - share))))


def cross_validated(gains: Float64Array, rows: Sequence[Row] = TWO_SIDED) -> Float64Array:
    """(n,) each query's gain when the choice is made without it; the mean of several partitions, always the same."""
    chance = np.random.default_rng(0)
    found = np.zeros(len(gains))
    summed = gains.sum(axis=0)
    for _ in range(REPEATS):
        folds = chance.permutation(np.arange(len(gains)) % FOLDS)
        for fold in range(FOLDS):
            held = folds == fold
            pair, share = most_probable(summed - gains[held].sum(axis=0), rows)
            found[held] += gains[held, pair, share] / REPEATS
    return found
