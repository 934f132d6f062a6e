"""From the scores of a few items to an estimate of all: a vector whose inner products with items are their scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from leanseek.errors import UsageError
from leanseek.types import Float64Array

_NOTHING = 1e-6
"""A singular value so small beside the largest is taken for rounding."""


class Fit(Protocol):
    """Estimates a query's vector from the items scored so far."""

    def __call__(self, items: Float64Array, scores: Float64Array, query: Float64Array) -> Float64Array:
        """(D,) a vector u whose products with `items` (c, D) are about `scores` (c,), up to scale and shift, so that
        it ranks other items; `query` (D,) is the query's own vector."""
        ...


@dataclass(frozen=True, slots=True)
class LeastSquares:
    """u = (1 - weight) * V⁺a + weight * q: the shortest vector that explains the scores, drawn toward the query's.

    The published way (Yadav, Monath, Zaheer, Fergus, McCallum: "Adaptive Retrieval and Scalable Indexing for k-NN
    Search with Cross-Encoders", ICLR 2024). The scores a are first brought to the scale of the products with q.
    """

    weight: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise UsageError(f"the weight is {self.weight}; it must be from 0 to 1")

    def __call__(self, items: Float64Array, scores: Float64Array, query: Float64Array) -> Float64Array:
        """See Fit."""
        found = pseudo_inverse(items) @ scaled(scores, items @ query)
        u: Float64Array = (1.0 - self.weight) * found + self.weight * query
        return u


@dataclass(frozen=True, slots=True)
class Ridge:
    """u = argmin |Vu - a|² + strength * |u - q|²: the query's own vector, moved as far as the scores ask for.

    With few scores it stays near q, so that it ranks no worse than the dense search; with more it follows them. The
    scores a are first brought to the scale of the products with q, so that `strength` means the same for every
    scorer.
    """

    strength: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.strength < float("inf"):
            raise UsageError(f"the strength is {self.strength}; it must be more than 0")

    def __call__(self, items: Float64Array, scores: Float64Array, query: Float64Array) -> Float64Array:
        """See Fit."""
        own = items @ query
        # The dual form: as many unknowns as there are scores, which are fewer than dimensions.
        gram = items @ items.T + self.strength * np.eye(len(items))
        u: Float64Array = query + items.T @ np.linalg.solve(gram, scaled(scores, own) - own)
        return u


def scaled(scores: Float64Array, own: Float64Array) -> Float64Array:
    """(c,) the scores shifted and stretched to the mean and the spread of `own` (c,).

    All of them its mean where they do not differ.
    """
    spread = float(scores.std())
    # Equal scores may differ in their last bits.
    if spread <= 1e-9 * max(1.0, float(np.abs(scores).max())):
        return np.full(len(scores), own.mean())
    found: Float64Array = (scores - scores.mean()) * (own.std() / spread) + own.mean()
    return found


def pseudo_inverse(matrix: Float64Array, ridge: float = 0.0) -> Float64Array:
    """(b, a) the pseudo-inverse of a matrix (a, b), without the directions that are rounding alone.

    With `ridge` each singular value s counts as s / (s² + ridge * s₁²), s₁ being the largest: what the matrix hardly
    knows of is damped rather than blown up.
    """
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    most = values.max(initial=0.0)
    kept = values > _NOTHING * most
    inverted = np.zeros_like(values)
    inverted[kept] = values[kept] / (values[kept] ** 2 + ridge * most**2)
    inverse: Float64Array = (right.T * inverted) @ left.T
    return inverse
