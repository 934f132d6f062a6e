"""What a query's candidates are judged by: where each of them stands in the query's own lists."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from leanseek.numbers import zscore
from leanseek.types import Float32Array, Float64Array

LIST_DEPTH = 1000
"""How much of each side's own list the judgment of a query rests on; less where the index holds less."""


class DenseEvidence(NamedTuple):
    """The dense side: `query` (D,) the query's vector; `cosines` (c,) of the candidates, in any order;
    `listed` (l,) the side's own best cosines in the whole index, descending, l at most `LIST_DEPTH`."""

    query: Float32Array
    cosines: Float32Array
    listed: Float32Array


class SparseEvidence(NamedTuple):
    """The sparse side: `scores` (c,) exact BM25 of the candidates, 0 where no term is shared; `listed` (l,)
    the side's own best scores, descending; `idf` (t,) of the query's different terms, 0 for one that the
    index does not have."""

    scores: Float32Array
    listed: Float32Array
    idf: Float32Array


class Evidence(NamedTuple):
    """Both sides' view of one query's c candidates; `sparse` is None where the dense side was asked alone.

    `size`: the passages that were searched (those that a filter leaves, where there is one).
    """

    dense: DenseEvidence
    sparse: SparseEvidence | None
    size: int


LEAST_TOP: Final = 0.05
LEAST_SPREAD: Final = 1e-3
LEAST_LENGTH: Final = 150
"""A shorter list is completed: its own mean, spread and ranks say nothing."""


class Usual(NamedTuple):
    """Mean and standard deviation of the cosines of queries with passages drawn at random."""

    mean: float
    spread: float


def completed(listed: Float32Array, usual: Usual) -> Float32Array:
    """A list (l,) of cosines, descending, with as many usual ones as it lacks to `LEAST_LENGTH`.

    Among two or three passages the mean, the spread and the ranks say nothing: the best of three is the best of three
    whether it answers the query or not. The usual cosines are a normal distribution's, at even shares.
    """
    missing = LEAST_LENGTH - len(listed)
    if missing <= 0 or usual.spread <= 0:
        return listed
    return np.sort(np.concatenate([listed.astype(np.float32), usual_cosines(missing, usual)]))[::-1]


def usual_cosines(count: int, usual: Usual) -> Float32Array:
    """(count,) cosines of a normal distribution at even shares."""
    return (usual.mean + usual.spread * even_shares(count)).astype(np.float32)


@lru_cache(maxsize=256)
def even_shares(count: int) -> Float64Array:
    """(count,) values of the standard normal distribution at even shares."""
    from statistics import NormalDist  # brings decimals and fractions along; few lists are short

    shares = (np.arange(count) + 0.5) / count
    values = np.array([NormalDist().inv_cdf(share) for share in shares], np.float64)
    values.setflags(write=False)
    return values


def lexical_zscore(scores: Float32Array, listed: Float32Array, size: int) -> Float64Array:
    """(c,) how many standard deviations BM25 scores (c,) are above the mean of the list.

    `listed` (l,) are the side's own best scores. Passages that share no term with the query are in no list, and count
    as 0, as many as there are up to `LIST_DEPTH`: a term that two passages share is worth more than one of thousands.
    """
    length = max(min(LIST_DEPTH, size), LEAST_LENGTH, len(listed))
    best = listed.astype(np.float64)
    mean = float(best.sum()) / length
    spread = max(float(best @ best) / length - mean * mean, 0.0) ** 0.5
    found: Float64Array = (scores.astype(np.float64) - mean) / max(spread, LEAST_SPREAD)
    return np.clip(found, -10.0, 40.0)


def matched_share(scores: Float32Array, idf: Float32Array) -> Float64Array:
    """(c,) BM25 scores (c,) as shares of the idf of the query's terms (t,).

    Of a term that fills a text BM25 gives about its idf, up to a constant that is the same for all queries.
    """
    return scores.astype(np.float64) / max(float(idf.astype(np.float64).sum()), LEAST_SPREAD)


def places(scores: Float64Array, best: Float64Array) -> Float64Array:
    """(c,) the rank, from 1, that each score (c,) would have in the list (l,) descending."""
    return np.searchsorted(-best, -scores, side="left").astype(np.float64) + 1.0


def dense_zscore(cosines: Float32Array, listed: Float32Array) -> tuple[Float64Array, Float64Array]:
    """z scores of cosines (c,) in their list (l,), and those of the list itself, descending."""
    return zscore(cosines, listed, least=LEAST_SPREAD), zscore(listed, least=LEAST_SPREAD)
