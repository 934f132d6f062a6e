"""How well one threshold over pooled scores keeps the relevant and drops the rest; how true probabilities are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from leanseek.errors import InputError, MissingPackageError
from leanseek.types import BoolArray, Float64Array, Int64Array

RECALL: Final = 0.95
BINS: Final = 15


@dataclass(frozen=True, slots=True)
class RelevanceScores:
    """What one way of scoring achieves on the pooled candidates of all queries.

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
    try:
        from sklearn.metrics import average_precision_score
    except ImportError as error:
        raise MissingPackageError("PR-AUC", "scikit-learn", "eval") from error
    if not relevant.any():
        raise InputError("none of the candidates is relevant: there is no recall to measure")
    least = recall_threshold(scores, relevant)
    kept = scores >= least
    first = places < 10
    return RelevanceScores(
        pr_auc=float(average_precision_score(relevant, scores)),
        p_at_r95=float(relevant[kept].mean()),
        dropped_at_r95=float(1.0 - kept.mean()),
        ece=calibration_error(scores, relevant) if probable else None,
        ece_top10=calibration_error(scores[first], relevant[first]) if probable else None,
        kept_per_query=float(kept.sum() / queries),
        threshold=least,
    )


def recall_threshold(scores: Float64Array, relevant: BoolArray, recall: float = RECALL) -> float:
    """The highest threshold at which the kept, those that score at least as much, hold that share of the relevant."""
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
    """Share of queries whose best score is below the threshold: nothing is kept of them."""
    return float(np.mean(np.array(best) < threshold)) if len(best) else 1.0
