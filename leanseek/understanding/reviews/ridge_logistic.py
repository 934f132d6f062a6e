"""Logistic regression with a ridge, over rows that are sparse, dense or both: no package but NumPy."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from leanseek.types import Float32Array, Float64Array, Int64Array

STEPS: Final = 20
"""Newton steps at most; about six are enough."""
CONVERGED: Final = 1e-4
"""The norm of the gradient, as a share of the one at zero, at which a fit ends."""


class SparseRows(NamedTuple):
    """`height` rows of `width` columns: entry j is `values[j]` in row `rows[j]` and column `columns[j]` (each (e,)).

    `rows` ascend.
    """

    height: int
    width: int
    rows: Int64Array
    columns: Int64Array
    values: Float64Array

    def dot(self, weights: Float64Array) -> Float64Array:
        """(n,) the inner products of the rows with weights (width,)."""
        found: Float64Array = np.bincount(self.rows, self.values * weights[self.columns], self.height).astype(
            np.float64
        )
        return found

    def mixed(self, shares: Float64Array) -> Float64Array:
        """(width,) the sum of the rows, each times its share (n,)."""
        found: Float64Array = np.bincount(self.columns, self.values * shares[self.rows], self.width).astype(
            np.float64
        )
        return found

    def take(self, places: Int64Array) -> SparseRows:
        """The rows at these places (c,), in that order."""
        ends = np.searchsorted(self.rows, np.arange(self.height + 1))
        sizes = (ends[1:] - ends[:-1])[places]
        starts = np.cumsum(sizes) - sizes
        entries = np.repeat(ends[places] - starts, sizes) + np.arange(int(sizes.sum()))
        rows = np.repeat(np.arange(len(places)), sizes)
        return SparseRows(len(places), self.width, rows, self.columns[entries], self.values[entries])


class Rows(NamedTuple):
    """n documents as a learner sees them: `sparse` rows, `dense` ones (n, D), and a 1 for the intercept."""

    sparse: SparseRows
    dense: Float32Array

    @property
    def width(self) -> int:
        """Columns of both, and one for the intercept."""
        return self.sparse.width + int(self.dense.shape[1]) + 1

    def dot(self, weights: Float64Array) -> Float64Array:
        """(n,) the inner products of the rows with weights (width,)."""
        cut = self.sparse.width
        scores: Float64Array = self.sparse.dot(weights[:cut]) + self.dense @ weights[cut:-1] + weights[-1]
        return scores

    def mixed(self, shares: Float64Array) -> Float64Array:
        """(width,) the sum of the rows, each times its share (n,)."""
        return np.concatenate([self.sparse.mixed(shares), shares @ self.dense, [shares.sum()]])

    def take(self, places: Int64Array) -> Rows:
        """The rows at these places (c,), in that order."""
        return Rows(self.sparse.take(places), self.dense[places])


def fit(
    rows: Rows,
    targets: Float64Array,
    costs: Float64Array,
    start: Float64Array | None = None,
) -> Float64Array:
    """(width,) the weights w that minimise |w|² / 2 + Σ costs · log(1 + exp(-(2 targets - 1) · w·x)).

    `targets` (n,) in [0, 1], `costs` (n,) from 0. The minimum is unique; `start` (width,) is where the search for it
    begins. Newton's method with conjugate gradients (Lin, Weng, Keerthi: "Trust Region Newton Method for Large-Scale
    Logistic Regression", JMLR 2008), with a line search in place of the trust region.
    """
    weights = np.zeros(rows.width) if start is None else start.copy()
    limit = CONVERGED * max(float(np.linalg.norm(rows.mixed(costs * (0.5 - targets)))), 1e-12)
    scores = rows.dot(weights)
    loss = _loss(weights, scores, targets, costs)
    for _ in range(STEPS):
        chances = _sigmoid(scores)
        gradient = weights + rows.mixed(costs * (chances - targets))
        if np.linalg.norm(gradient) <= limit:
            break
        step = _solved(rows, costs * chances * (1.0 - chances), gradient)
        moved, slope, share = rows.dot(step), float(gradient @ step), 1.0
        while share > 1e-6:
            tried, reached = weights - share * step, scores - share * moved
            now = _loss(tried, reached, targets, costs)
            if now <= loss - 1e-4 * share * slope:
                break
            share /= 2.0
        else:
            break
        weights, scores, loss = tried, reached, now
    return weights


def _solved(rows: Rows, curvature: Float64Array, gradient: Float64Array) -> Float64Array:
    """(width,) the x with (1 + XᵀCX) x = gradient, as near as the Newton step needs it."""
    found = np.zeros_like(gradient)
    rest = gradient.copy()
    direction = rest.copy()
    size = float(rest @ rest)
    enough = 0.01 * size
    for _ in range(len(curvature) + 1):
        turned = direction + rows.mixed(curvature * rows.dot(direction))
        length = size / float(direction @ turned)
        found += length * direction
        rest -= length * turned
        before, size = size, float(rest @ rest)
        if size <= enough:
            break
        direction = rest + (size / before) * direction
    return found


def _loss(weights: Float64Array, scores: Float64Array, targets: Float64Array, costs: Float64Array) -> float:
    return float(0.5 * weights @ weights + costs @ (np.logaddexp(0.0, scores) - targets * scores))


def _sigmoid(scores: Float64Array) -> Float64Array:
    chances: Float64Array = 0.5 * (1.0 + np.tanh(0.5 * scores))
    return chances
