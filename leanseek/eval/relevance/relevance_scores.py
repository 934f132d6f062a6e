"""Measures of a relevance model on pooled candidates: one threshold, calibration, and the control methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from leanseek.errors import InputError, MissingPackageError
from leanseek.eval.measures import average_precision
from leanseek.numbers import zscore
from leanseek.searcher.relevance.features import LEAST_SPREAD, LEAST_TOP
from leanseek.types import BoolArray, Float64Array, Int64Array

RECALL: Final = 0.95
BINS: Final = 15
FOLDS: Final = 2
LEAST_REGULARISED: Final = 1e6

Curve: TypeAlias = Callable[[Float64Array], Float64Array]
"""Scores (n,) → probabilities (n,)."""


@dataclass(frozen=True, slots=True)
class RelevanceScores:
    """The quality of one way of scoring on the pooled candidates of all queries.

    `pr_auc`: area under the precision-recall curve, a step curve as scikit-learn's average precision.
    `threshold`: the highest score at which 95 % of the relevant candidates are kept; ties with it are kept too.
    `p_at_r95`: precision there. `dropped_at_r95`: share of all candidates that fall below it. `kept_per_query`: how
    many candidates of a query stay, in the mean. `ece`: expected calibration error, the mean distance between
    probability and share of relevant candidates over 15 bins of equal width, weighted by their candidates;
    `ece_top10`: the same for the first ten candidates of each query; None where scores are no probabilities.
    """

    pr_auc: float
    p_at_r95: float
    dropped_at_r95: float
    ece: float | None
    ece_top10: float | None
    kept_per_query: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Bin:
    """Candidates whose probability is in one bin: how many, their mean probability, the share that is relevant."""

    count: int
    probability: float
    relevant: float


def measure(
    scores: Float64Array, relevant: BoolArray, places: Int64Array, queries: int, probable: bool
) -> RelevanceScores:
    """Measure scores (n,) of pooled candidates; `places` (n,) are their ranks, from 0, in their own lists.

    Raises InputError where no candidate is relevant, MissingPackageError without scikit-learn.
    """
    if not relevant.any():
        raise InputError("none of the candidates is relevant: there is no recall to measure")
    least = recall_threshold(scores, relevant)
    kept = scores >= least
    first = places < 10
    return RelevanceScores(
        pr_auc=average_precision(relevant, scores),
        p_at_r95=float(relevant[kept].mean()),
        dropped_at_r95=float(1.0 - kept.mean()),
        ece=calibration_error(scores, relevant) if probable else None,
        ece_top10=calibration_error(scores[first], relevant[first]) if probable else None,
        kept_per_query=float(kept.sum() / queries),
        threshold=least,
    )


def recall_threshold(scores: Float64Array, relevant: BoolArray, recall: float = RECALL) -> float:
    """The highest threshold that this share of the relevant candidates reach."""
    found = np.sort(scores[relevant])[::-1]
    return float(found[int(np.ceil(recall * len(found) - 1e-9)) - 1])


def reliability(probabilities: Float64Array, relevant: BoolArray, bins: int = BINS) -> list[Bin]:
    """The bins, of equal width, that hold any candidate, by rising probability."""
    places = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    found = []
    for place in np.unique(places):
        mine = places == place
        found.append(Bin(int(mine.sum()), float(probabilities[mine].mean()), float(relevant[mine].mean())))
    return found


def calibration_error(probabilities: Float64Array, relevant: BoolArray) -> float:
    """Expected calibration error. Naeini, Cooper, Hauskrecht: "Obtaining Well Calibrated Probabilities Using Bayesian
    Binning", AAAI 2015."""
    if not len(probabilities):
        return 0.0
    bins = reliability(probabilities, relevant)
    return sum(one.count * abs(one.probability - one.relevant) for one in bins) / len(probabilities)


def empty_share(best: Sequence[float], threshold: float) -> float:
    """Share of queries whose best score is below the threshold, so that no hit is left."""
    return float(np.mean(np.array(best) < threshold)) if len(best) else 1.0


class Control(NamedTuple):
    """Scores (n,) of all pooled candidates; `probable`: they are meant as probabilities."""

    name: str
    scores: Float64Array
    probable: bool


def controls(
    lists: Sequence[Float64Array], relevant: Sequence[BoolArray], folds: Sequence[int] | None = None
) -> list[Control]:
    """Every control, for lists of scores (c,) with the candidates that are `relevant` (c,).

    - rank: the same number of the first of every list;
    - score: those above one score, the same for all queries;
    - share of top: those above a share of their list's best score;
    - z score: those above a number of standard deviations over their list's mean;
    - platt, isotonic: a logistic curve, and a rising step function, from score to probability, each fitted on half of
      the queries and applied to the other half.

    Raises MissingPackageError without scikit-learn.
    """
    halves = np.array(folds if folds is not None else [row % FOLDS for row in range(len(lists))], np.int64)
    scores, labels = np.concatenate(lists), np.concatenate(relevant)
    owners = np.repeat(halves, [len(scores) for scores in lists])
    return [
        Control("rank", np.concatenate([-ranks(found) for found in lists]), False),
        Control("score", scores, False),
        Control("share of top", np.concatenate([shares(found) for found in lists]), False),
        Control("z score", np.concatenate([zscore(found, least=LEAST_SPREAD) for found in lists]), False),
        Control("platt", crossed(scores, labels, owners, platt), True),
        Control("isotonic", crossed(scores, labels, owners, isotonic), True),
    ]


def ranks(scores: Float64Array) -> Float64Array:
    """(c,) ranks from 1; equal scores share the better one."""
    order = np.sort(-scores)
    return np.searchsorted(order, -scores, side="left").astype(np.float64) + 1.0


def shares(scores: Float64Array) -> Float64Array:
    """(c,) scores over the list's best one."""
    found: Float64Array = scores / max(float(scores.max(initial=0.0)), LEAST_TOP)
    return found


def crossed(
    scores: Float64Array,
    labels: BoolArray,
    owners: Int64Array,
    fit: Callable[[Float64Array, BoolArray], Curve],
) -> Float64Array:
    """(n,) probabilities, each fold's by a curve fitted on the others; by all of them where there is only one fold."""
    found = np.zeros(len(scores))
    for fold in np.unique(owners):
        mine = owners == fold
        others = ~mine if (~mine).any() and 0 < labels[~mine].sum() < (~mine).sum() else np.ones_like(mine)
        found[mine] = fit(scores[others], labels[others])(scores[mine])
    return found


def platt(scores: Float64Array, labels: BoolArray) -> Curve:
    """A logistic curve from score to probability. Raises MissingPackageError without scikit-learn."""
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise MissingPackageError("Comparing with Platt scaling", "scikit-learn", "eval") from error
    if labels.all() or not labels.any():
        constant = float(labels.mean())
        return lambda scores: np.full(len(scores), constant)
    fitted = LogisticRegression(C=LEAST_REGULARISED, max_iter=1000).fit(scores[:, None], labels)
    return lambda scores: np.asarray(fitted.predict_proba(scores[:, None])[:, 1])


def isotonic(scores: Float64Array, labels: BoolArray) -> Curve:
    """The rising step function from score to probability with the least squared error. Raises as `platt` does."""
    try:
        from sklearn.isotonic import IsotonicRegression
    except ImportError as error:
        raise MissingPackageError("Comparing with isotonic calibration", "scikit-learn", "eval") from error
    fitted = IsotonicRegression(out_of_bounds="clip").fit(scores, labels.astype(np.float64))
    return lambda scores: np.asarray(fitted.predict(scores))
