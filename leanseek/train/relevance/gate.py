"""Telling lists in which something is to be found from those of foreign queries."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from leanseek.types import Float32Array, Float64Array

RIDGE: Final = 1.0
ROUNDS: Final = 30


class Gate(NamedTuple):
    """Log odds that something is to be found, of scaled list features u (g,): u . weights + u . pairs . u + bias."""

    weights: Float64Array
    pairs: Float64Array
    bias: float

    def log_odds(self, scaled: Float64Array) -> Float64Array:
        """(n,) of scaled list features (n, g)."""
        found: Float64Array = (
            scaled @ self.weights + np.einsum("ng,gh,nh->n", scaled, self.pairs, scaled) + self.bias
        )
        return found


def fit_gate(own: Float32Array, foreign: Float32Array, weights: Float64Array, used: tuple[int, ...]) -> Gate:
    """Logistic regression of own (n, g) against foreign (m, g) lists by the scaled features `used` and their products.

    How high a cosine must be for something to be found depends on how many passages there are, and how they lie: hence
    the products, which halve what a straight line loses, on collections that it has not seen too.

    `weights` (n + m,) are the lists', and sum to their number. Ridge regularised, by Newton's method.
    """
    inputs = np.concatenate([own, foreign]).astype(np.float64)[:, used]
    centre, scale = inputs.mean(0), inputs.std(0) + 1e-6
    left, right = np.triu_indices(len(used))
    even = (inputs - centre) / scale
    design = np.column_stack([even, even[:, left] * even[:, right], np.ones(len(inputs))])
    found = regression(design, np.repeat([1.0, 0.0], [len(own), len(foreign)]), weights)

    flat = found[: len(used)] / scale
    square = np.zeros((len(used), len(used)))
    square[left, right] = found[len(used) : -1] / scale[left] / scale[right]
    square = (square + square.T) / 2
    places = list(used)
    whole, pairs = np.zeros(own.shape[1]), np.zeros((own.shape[1], own.shape[1]))
    whole[places] = flat - 2 * square @ centre
    pairs[np.ix_(places, places)] = square
    return Gate(whole, pairs, float(found[-1] - flat @ centre + centre @ square @ centre))


def regression(design: Float64Array, labels: Float64Array, weights: Float64Array) -> Float64Array:
    """Coefficients (p,) of a weighted logistic regression on a design (n, p) whose last column is the constant."""
    ridge = np.diag([*([RIDGE] * (design.shape[1] - 1)), 1e-6])
    found = np.zeros(design.shape[1])
    for _ in range(ROUNDS):
        chance = 1.0 / (1.0 + np.exp(-np.clip(design @ found, -30.0, 30.0)))
        slope = design.T @ (weights * (labels - chance)) - ridge @ found
        curvature = (design * (weights * chance * (1.0 - chance))[:, None]).T @ design + ridge
        step = np.linalg.solve(curvature, slope)
        # Where classes are far apart a whole step may overshoot.
        found = found + step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    return found
