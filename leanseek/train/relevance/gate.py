"""Telling lists in which something is to be found from those of foreign queries."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from leanseek.types import Float32Array, Float64Array

RIDGE: Final = 1.0
ROUNDS: Final = 30


class Gate(NamedTuple):
    """Log odds that something is to be found: `weights` (g,) times the scaled list features, plus `bias`."""

    weights: Float64Array
    bias: float


def fit_gate(own: Float32Array, foreign: Float32Array, weights: Float64Array, used: tuple[int, ...]) -> Gate:
    """Logistic regression of own (n, g) against foreign (m, g) lists by their scaled features, those `used` alone.

    `weights` (n + m,) are the lists', and sum to their number. Ridge regularised, by Newton's method.
    """
    inputs = np.concatenate([own, foreign]).astype(np.float64)[:, used]
    centre, scale = inputs.mean(0), inputs.std(0) + 1e-6
    design = np.column_stack([(inputs - centre) / scale, np.ones(len(inputs))])
    labels = np.concatenate([np.ones(len(own)), np.zeros(len(foreign))])
    ridge = np.diag([*([RIDGE] * len(used)), 1e-6])
    found = np.zeros(design.shape[1])
    for _ in range(ROUNDS):
        chance = 1.0 / (1.0 + np.exp(-np.clip(design @ found, -30.0, 30.0)))
        slope = design.T @ (weights * (labels - chance)) - ridge @ found
        curvature = (design * (weights * chance * (1.0 - chance))[:, None]).T @ design + ridge
        step = np.linalg.solve(curvature, slope)
        found = found + step
        if np.abs(step).max() < 1e-9:
            break
    whole = np.zeros(own.shape[1])
    whole[list(used)] = found[:-1] / scale
    return Gate(whole, float(found[-1] - (found[:-1] * centre / scale).sum()))
