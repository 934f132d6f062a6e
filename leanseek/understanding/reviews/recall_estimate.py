"""How much of what is relevant has been read, and how sure that is: an estimate from scores and labels."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from leanseek.errors import UsageError
from leanseek.numbers import zscore
from leanseek.types import BoolArray, Float64Array

CONFIDENCE: Final = 0.9
"""At which reading ends: the least at which nine runs in ten were right (docs/reviews.md)."""
SLOPE: Final = (1.0, 1.0)
OFFSET: Final = (-3.0, 3.0)
"""Mean and deviation of what is believed of the line of the log odds before anything is read."""
NODES: Final = 9
"""Of the quadrature over each of the line's two numbers."""


class RecallEstimate(NamedTuple):
    """What is known of the recall once some of the candidates have been read.

    `read` of `candidates` were read, `found` of which are relevant; `unread` is how many relevant ones are to be
    expected among the others. `recall` is found / (found + unread), 0 where none is found. `confidence` is the
    probability that the recall is at least `target`.
    """

    candidates: int
    read: int
    found: int
    unread: float
    target: float
    confidence: float

    @property
    def recall(self) -> float:
        """The share of what is relevant that was read, as far as it can be told."""
        return self.found / (self.found + self.unread) if self.found else 0.0

    def reached(self, confidence: float = CONFIDENCE) -> bool:
        """Whether the target is reached with at least this confidence, so that reading can end."""
        return self.read == self.candidates or self.confidence >= confidence


def estimate_recall(
    scores: Float64Array, relevant: BoolArray, unread: Float64Array, target: float = 0.95
) -> RecallEstimate:
    """What the labels say of the unread documents.

    `scores` (r,) are those of the documents read, which must come from a model that has not seen their own labels;
    `relevant` (r,) are the labels, and `unread` (u,) the scores of the others. The log odds of being relevant are
    taken as a line of the score. How far the labels leave the line open is a normal distribution around the likeliest
    one (Laplace's approximation), over which the number of relevant unread documents, a Poisson variable whose mean is
    the sum of their probabilities, is averaged.

    Raises UsageError for a target that is not above 0 and at most 1.
    """
    check_shares(target)
    found, count = int(relevant.sum()), len(scores) + len(unread)
    if not len(unread):
        return RecallEstimate(count, count, found, 0.0, target, 1.0)
    scaled = zscore(np.concatenate([scores, unread]))
    line, spread = likeliest(scaled[: len(scores)], relevant.astype(np.float64))
    points, shares = quadrature(line, spread)
    logits = scaled[len(scores) :, None] * points[0] + points[1]
    means = (0.5 * (1.0 + np.tanh(0.5 * logits))).sum(axis=0)
    missed = int(found * (1.0 - target) / target + 1e-9)
    confidence = float(shares @ at_most(missed, means)) if found else 0.0
    return RecallEstimate(count, len(scores), found, float(shares @ means), target, min(confidence, 1.0))


def check_shares(target: float, confidence: float = CONFIDENCE) -> None:
    """Raises UsageError for a recall to reach, or a confidence, that is not above 0 and at most 1."""
    for what, share in (("recall to reach", target), ("confidence", confidence)):
        if not 0.0 < share <= 1.0:
            raise UsageError(f"the {what} is {share}; it must be above 0 and at most 1, such as 0.95")


def likeliest(scores: Float64Array, relevant: Float64Array) -> tuple[Float64Array, Float64Array]:
    """(2,) slope and offset of the log odds that are likeliest after the labels, and (2, 2) their covariance."""
    believed, precision = np.array([SLOPE[0], OFFSET[0]]), np.diag([SLOPE[1] ** -2.0, OFFSET[1] ** -2.0])
    inputs = np.stack([scores, np.ones_like(scores)], axis=1)
    line = believed.copy()
    while True:
        chances = 0.5 * (1.0 + np.tanh(0.5 * (inputs @ line)))
        curvature = (inputs * (chances * (1.0 - chances))[:, None]).T @ inputs + precision
        gradient = inputs.T @ (chances - relevant) + precision @ (line - believed)
        step = np.linalg.solve(curvature, gradient)
        # Longer steps could leave the region where the curvature says something.
        line = line - step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-6:
            return line, np.linalg.inv(curvature)


def quadrature(line: Float64Array, spread: Float64Array) -> tuple[Float64Array, Float64Array]:
    """(2, p) lines around the likeliest, and (p,) their weights, which add up to 1."""
    nodes, shares = np.polynomial.hermite_e.hermegauss(NODES)
    shares = shares / shares.sum()
    grid = np.stack([np.repeat(nodes, NODES), np.tile(nodes, NODES)])
    points: Float64Array = line[:, None] + np.linalg.cholesky(spread) @ grid
    return points, np.outer(shares, shares).ravel()


def at_most(count: int, means: Float64Array) -> Float64Array:
    """(p,) the probability that Poisson variables with these means (p,) are no more than `count`."""
    numbers = np.arange(count + 1.0)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(numbers[1:]))])
    logs = numbers * np.log(np.maximum(means, 1e-300))[:, None] - means[:, None] - factorials
    chances: Float64Array = np.exp(logs).sum(axis=1)
    return chances
