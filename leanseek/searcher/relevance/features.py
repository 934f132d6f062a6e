"""What a query's candidates are judged by."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
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


DENSE_CANDIDATE: Final = (
    *("cosine", "share of top", "z score", "rank"),
    *("chance ranks 5-50", "chance ranks 10-100", "chance ranks 50-1000", "below top", "above tenth"),
)
DENSE_LIST: Final = (
    *(
        "top chance 5-50",
        "slope 5-50",
        "top chance 10-100",
        "slope 10-100",
        "top chance 50-1000",
        "slope 50-1000",
    ),
    *("first", "third", "tenth", "hundredth", "last", "mean", "spread", "log size", "log length"),
    *("first less second", "first less tenth", "tenth less hundredth", "entropy", "skewness", "top z score"),
    "last share of top",
)
SPARSE_CANDIDATE: Final = ("share of best possible", "share of top", "z score", "rank", "shares a term")
SPARSE_LIST: Final = (
    *(
        "top share of best possible",
        "tenth share of top",
        "hundredth share of top",
        "log length",
        "log terms",
    ),
    *("mean idf", "highest idf", "share of unknown terms"),
)

TAILS: Final = ((5, 50), (10, 100), (50, 1000))
"""First and last rank of the parts of a list to which a line is fitted."""

LEAST_TOP: Final = 0.05
LEAST_SPREAD: Final = 1e-3


def dense_features(
    cosines: Float32Array, listed: Float32Array, size: int
) -> tuple[Float64Array, Float64Array]:
    """Candidate features (c, 9) as `DENSE_CANDIDATE` and list features (22,) as `DENSE_LIST`.

    `cosines` (c,) in any order; `listed` (l,) descending, l at least 1; `size` passages were searched.
    """
    scores, best = cosines.astype(np.float64), listed.astype(np.float64)
    top, tenth, mean = float(best[0]), at(best, 10), float(best.mean())
    centred = best - mean
    spread = max(math.sqrt(float(centred @ centred) / len(best)), LEAST_SPREAD)
    top_floor = max(top, LEAST_TOP)
    lines = [tail(best, first, last) for first, last in TAILS]
    candidate = np.empty((len(scores), len(DENSE_CANDIDATE)))
    candidate[:, 0] = scores
    candidate[:, 1] = scores / top_floor
    candidate[:, 2] = (scores - mean) / spread
    candidate[:, 3] = -np.log(places(scores, best))
    for place, (offset, slope) in enumerate(lines, 4):
        candidate[:, place] = np.clip(slope * scores - offset, -10.0, 40.0)
    candidate[:, 7] = (scores - top) / spread
    candidate[:, 8] = 10.0 * (scores - tenth)

    heights = np.exp((best[:100] - top) / 0.05)
    shares = heights / heights.sum()
    hundredth, last = at(best, 100), float(best[-1])
    whole = [
        *(value for offset, slope in lines for value in (slope * top - offset, slope / 20.0)),
        *(top, at(best, 3), tenth, hundredth, last, mean, 10.0 * spread),
        *(math.log(max(size, 1)), math.log(len(best))),
        *(10.0 * (top - at(best, 2)), 10.0 * (top - tenth), 10.0 * (tenth - hundredth)),
        float(-(shares @ np.log(shares + 1e-12))),
        float(centred @ (centred * centred)) / len(best) / spread**3,
        (top - mean) / spread,
        last / top_floor,
    ]
    return candidate, np.array(whole, np.float64)


def sparse_features(evidence: SparseEvidence) -> tuple[Float64Array, Float64Array]:
    """Candidate features (c, 5) as `SPARSE_CANDIDATE` and list features (8,) as `SPARSE_LIST`."""
    scores, idf = evidence.scores.astype(np.float64), evidence.idf.astype(np.float64)
    best = evidence.listed.astype(np.float64) if len(evidence.listed) else np.zeros(1)
    # Of a term that fills a text BM25 gives about its idf, up to a constant that is the same for all queries.
    possible = max(float(idf.sum()), LEAST_SPREAD)
    top = max(float(best[0]), LEAST_SPREAD)
    candidate = [
        scores / possible,
        scores / top,
        np.clip(zscore(scores, best, least=LEAST_SPREAD), -10.0, 40.0),
        -np.log(places(scores, best)),
        (scores > 0).astype(np.float64),
    ]
    known = idf[idf > 0]
    whole = [
        best[0] / possible,
        at(best, 10) / top,
        at(best, 100) / top,
        np.log(len(best)),
        np.log(max(len(idf), 1)),
        known.mean() if len(known) else 0.0,
        known.max() if len(known) else 0.0,
        1.0 - len(known) / max(len(idf), 1),
    ]
    return np.stack(candidate, axis=1), np.array(whole, np.float64)


def at(best: Float64Array, rank: int) -> float:
    """The score at a rank from 1, or the last one where the list is shorter."""
    return float(best[min(rank, len(best)) - 1])


def places(scores: Float64Array, best: Float64Array) -> Float64Array:
    """(c,) the rank, from 1, that each score (c,) would have in the list (l,) descending."""
    return np.searchsorted(-best, -scores, side="left").astype(np.float64) + 1.0


def tail(best: Float64Array, first: int, last: int) -> tuple[float, float]:
    """(offset, slope) of a line: slope * score - offset is minus the logarithm of the rank expected of a score.

    Fitted by least squares to the ranks `first` to `last`, or the last ones of a shorter list; the slope is never
    negative, and 0 where all scores are equal.
    """
    last = min(last, len(best))
    first = max(min(first, last - 3), 1)
    scores, logs = best[first - 1 : last], log_ranks(first, last)
    mean, height = float(scores.mean()), float(logs.mean())
    centred = scores - mean
    steepness = float(centred @ (logs - height)) / max(float(centred @ centred), 1e-6)
    slope = max(-steepness, 0.0)
    return height + slope * mean, slope


@lru_cache(maxsize=64)
def log_ranks(first: int, last: int) -> Float64Array:
    """The logarithms of the ranks `first` to `last`."""
    logs: Float64Array = np.log(np.arange(first, last + 1)).astype(np.float64)
    logs.setflags(write=False)
    return logs


LEAST_LENGTH: Final = 150
"""No list that a model learns from is shorter, but where a whole collection is smaller."""
LEAST_FALL: Final = 1e-3


def completed(listed: Float32Array, centre: Float32Array) -> Float32Array:
    """A list (l,) of cosines, descending, with as many usual ones as it lacks to `LEAST_LENGTH`.

    Among two or three passages the mean, the spread and the ranks say nothing: the best of three is the best of three
    whether it answers the query or not. The usual ones are a normal distribution's, at even shares; it is the one that
    has the hundredth and the last cosine of the mean list, which is what `centre` (22,) of a `MonotoneNetwork` tells of
    the collections that it was learned from. A list that is long enough stays as it is, and so do all where the mean
    list is itself short, or falls no further beyond its hundredth.
    """
    missing = LEAST_LENGTH - len(listed)
    usual = background(centre) if missing > 0 else None
    if usual is None:
        return listed
    shares = (np.arange(missing) + 0.5) / missing
    added = np.array([usual.inv_cdf(share) for share in shares], np.float32)
    return np.sort(np.concatenate([listed.astype(np.float32), added]))[::-1]


def background(centre: Float32Array) -> NormalDist | None:
    """The normal distribution of which the mean list's hundredth and last cosine are about the medians at their ranks;
    None where it has no such."""
    mean = dict(zip(DENSE_LIST, centre.astype(np.float64).tolist(), strict=True))
    length = float(np.exp(min(mean["log length"], 20.0)))
    fall = mean["hundredth"] - mean["last"]
    if length < LEAST_LENGTH or fall < LEAST_FALL:
        return None
    size = max(float(np.exp(min(mean["log size"], 30.0))), length)
    high, low = (NormalDist().inv_cdf(1.0 - (rank - 0.5) / size) for rank in (100.0, length))
    scale = fall / (high - low)
    return NormalDist(mean["last"] - scale * low, scale)
