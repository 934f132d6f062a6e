"""The learner of a review against scikit-learn, and its rows against dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.understanding.reviews.ridge_logistic import Rows, SparseRows, fit


def made(rng: np.random.Generator, count: int, width: int, dimensions: int) -> tuple[Rows, np.ndarray]:
    """Rows, and the same as a dense matrix with the intercept's column of ones."""
    matrix = rng.standard_normal((count, width)) * (rng.random((count, width)) < 0.3)
    rows, columns = np.nonzero(matrix)
    dense = rng.standard_normal((count, dimensions)).astype(np.float32)
    sparse = SparseRows(count, width, rows, columns, matrix[rows, columns])
    return Rows(sparse, dense), np.hstack([matrix, dense, np.ones((count, 1))])


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 12),
    width=st.integers(0, 9),
    dimensions=st.integers(0, 3),
)
def test_rows_are_a_matrix(seed: int, count: int, width: int, dimensions: int) -> None:
    rng = np.random.default_rng(seed)
    rows, matrix = made(rng, count, width, dimensions)
    weights, shares = rng.standard_normal(rows.width), rng.standard_normal(count)
    assert np.allclose(rows.dot(weights), matrix @ weights)
    assert np.allclose(rows.mixed(shares), matrix.T @ shares)
    places = rng.integers(0, count, 5)
    assert np.allclose(rows.take(places).dot(weights), (matrix @ weights)[places])


@pytest.mark.parametrize("cost", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("dimensions", [0, 4])
def test_the_weights_are_those_of_scikit_learn(cost: float, dimensions: int) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(3)
    rows, matrix = made(rng, 80, 40, dimensions)
    targets = (matrix[:, 0] + rng.standard_normal(80) > 0.5).astype(float)
    costs = cost * rng.uniform(0.2, 2.0, 80)
    model = linear_model.LogisticRegression(C=1.0, fit_intercept=False, tol=1e-10, max_iter=5000)
    expected = model.fit(matrix, targets, sample_weight=costs).coef_[0]
    weights = fit(rows, targets, costs)
    assert np.abs(weights - expected).max() < 0.01 * np.abs(expected).max()
    # Where the search begins does not matter.
    again = fit(rows, targets, costs, start=rng.standard_normal(rows.width))
    assert np.abs(again - expected).max() < 0.01 * np.abs(expected).max()
    # And it is fast: the next fit begins where the last one ended.
    assert np.array_equal(fit(rows, targets, costs, start=weights), weights)


def test_documents_that_cost_nothing_teach_nothing() -> None:
    rng = np.random.default_rng(4)
    rows, _ = made(rng, 30, 20, 2)
    targets, costs = (rng.random(30) < 0.5).astype(float), np.ones(30)
    costs[10:] = 0.0
    other = targets.copy()
    other[10:] = 1.0 - targets[10:]
    assert np.array_equal(fit(rows, targets, costs), fit(rows, other, costs))
