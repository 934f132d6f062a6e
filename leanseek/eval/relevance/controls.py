"""What a relevance model must beat: cut-offs that need no training, and curves over the cosine alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from leanseek.errors import MissingPackageError
from leanseek.searcher.relevance.features import LEAST_SPREAD, LEAST_TOP
from leanseek.types import BoolArray, Float64Array, Int64Array

FOLDS: Final = 2
LEAST_REGULARISED: Final = 1e6


class Control(NamedTuple):
    """Scores (n,) of all pooled candidates; `probable`: they claim to be probabilities."""

    name: str
    scores: Float64Array
    probable: bool


def controls(
    lists: Sequence[Float64Array], relevant: Sequence[BoolArray], folds: Sequence[int] | None = None
) -> list[Control]:
    """Every control, for lists of scores (c,) of which `relevant` (c,) says what judges said.

    - rank: the first so many of every list;
    - score: those above one score, the same for all queries;
    - share of top: those above a share of their list's best score;
    - z score: those above so many standard deviations over their list's mean;
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
        Control("z score", np.concatenate([standardised(found) for found in lists]), False),
        Control("platt", crossed(scores, labels, owners, Platt), True),
        Control("isotonic", crossed(scores, labels, owners, Isotonic), True),
    ]


def ranks(scores: Float64Array) -> Float64Array:
    """(c,) ranks from 1; equal scores share the better one."""
    order = np.sort(-scores)
    return np.searchsorted(order, -scores, side="left").astype(np.float64) + 1.0


def shares(scores: Float64Array) -> Float64Array:
    """(c,) scores over the list's best one."""
    found: Float64Array = scores / max(float(scores.max(initial=0.0)), LEAST_TOP)
    return found


def standardised(scores: Float64Array) -> Float64Array:
    """(c,) scores less the list's mean, in standard deviations."""
    if not len(scores):
        return scores
    found: Float64Array = (scores - scores.mean()) / max(float(scores.std()), LEAST_SPREAD)
    return found


def crossed(
    scores: Float64Array, labels: BoolArray, owners: Int64Array, fit: type[Platt] | type[Isotonic]
) -> Float64Array:
    """(n,) probabilities, each fold's by a curve fitted on the others; by all of them where there is only one fold."""
    found = np.zeros(len(scores))
    for fold in np.unique(owners):
        mine = owners == fold
        others = ~mine if (~mine).any() and 0 < labels[~mine].sum() < (~mine).sum() else np.ones_like(mine)
        found[mine] = fit(scores[others], labels[others])(scores[mine])
    return found


class Platt:
    """A logistic curve from score to probability. Raises MissingPackageError without scikit-learn."""

    def __init__(self, scores: Float64Array, labels: BoolArray) -> None:
        try:
            from sklearn.linear_model import LogisticRegression
        except ImportError as error:
            raise MissingPackageError("Comparing with Platt scaling", "scikit-learn", "eval") from error
        self._constant = float(labels.mean()) if labels.all() or not labels.any() else None
        if self._constant is None:
            self._curve = LogisticRegression(C=LEAST_REGULARISED, max_iter=1000).fit(scores[:, None], labels)

    def __call__(self, scores: Float64Array) -> Float64Array:
        """(n,) probabilities."""
        if self._constant is not None:
            return np.full(len(scores), self._constant)
        chances: Float64Array = self._curve.predict_proba(scores[:, None])[:, 1]
        return chances


class Isotonic:
    """The rising step function from score to probability with the least squared error. Raises as `Platt` does."""

    def __init__(self, scores: Float64Array, labels: BoolArray) -> None:
        try:
            from sklearn.isotonic import IsotonicRegression
        except ImportError as error:
            raise MissingPackageError(
                "Comparing with isotonic calibration", "scikit-learn", "eval"
            ) from error
        self._steps = IsotonicRegression(out_of_bounds="clip").fit(scores, labels.astype(np.float64))

    def __call__(self, scores: Float64Array) -> Float64Array:
        """(n,) probabilities."""
        chances: Float64Array = self._steps.predict(scores)
        return chances
