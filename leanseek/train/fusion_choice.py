"""Which of the fusions tried to take, given how few queries speak for it.

The best of hundreds on a handful of queries is mostly the luckiest. So a fusion is chosen by a Gibbs posterior,

    p(scales, share) ∝ exp(Σ over queries of (nDCG@10 - the default's)) · exp(-(share - 0.8)² / 2τ²) · (1 or 1/e)

(1/e for scales other than the default's), whose prior stands on the default and is overcome in proportion to what is
summed up over queries: the scales that have the most of it are taken, and the mean of their shares. That way of
choosing is then put to the test by repeated k-fold cross-validation; the default is left only where the gain on the
held-out queries exceeds its standard error.

The posterior: Olivier Catoni, PAC-Bayesian Supervised Classification, IMS Lecture Notes 56, 2007. The rule of one
standard error: Breiman, Friedman, Olshen, Stone, Classification and Regression Trees, 1984.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from leanseek.searcher.fusion.scaled import Float64Array
from leanseek.train.fusion_grid import DEFAULT_PLACE, DEFAULT_SHARE, SHARES

SPREAD: Final = 0.1
"""τ: how far from the default's share the best is expected."""
OTHER_SCALES: Final = -1.0
"""The log of how much less probable another pair of scales is: scales matter far less than the weight."""
FOLDS: Final = 5
REPEATS: Final = 5
FEWEST: Final = 5
"""Judged queries below which nothing can be told."""
USUAL_DEVIATION: Final = 0.1
USUAL_WEIGHT: Final = 5
"""The gains' variance on few queries is mixed with a usual one, as of so many more: five equal gains are no proof."""


class Place(NamedTuple):
    """A fusion of the grid: its pair of scales and its share."""

    pair: int
    share: int


DEFAULT: Final = Place(0, DEFAULT_PLACE)


class Choice(NamedTuple):
    """The fusion to take. `gain` is that of choosing so, on held-out queries, over the default; `error` its
    standard error. `candidate` is what would have been taken if the gain had sufficed."""

    taken: Place
    candidate: Place
    gain: float
    error: float


def choose(ndcg: Float64Array) -> Choice:
    """What the nDCG@10 of n queries, (n, p, s) with every pair of scales and share, speaks for."""
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
    # By masses rounded: scales that rank alike must not be told apart by the last bit.
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
