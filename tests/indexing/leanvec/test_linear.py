from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.indexing.leanvec.linear import (
    Moments,
    Pair,
    eigenvector_search,
    frank_wolfe,
    gradients,
    loss,
    losses_of_cuts,
    moments,
    principal,
    shrunk,
    sphering,
)


def skewed(chance: np.random.Generator, count: int, width: int, decay: float) -> np.ndarray:
    """Vectors whose directions matter very unequally, each set in its own way."""
    mixing = np.linalg.qr(chance.standard_normal((width, width)))[0] * np.geomspace(1.0, decay, width)
    return (chance.standard_normal((count, width)) @ mixing.T).astype(np.float32)


def direct_loss(pair: Pair, vectors: np.ndarray, queries: np.ndarray) -> float:
    """The definition: all inner products, reduced and true."""
    true = queries.astype(float) @ vectors.T.astype(float)
    reduced = (queries @ pair.queries.T) @ (vectors @ pair.data.T).T
    return float(np.square(reduced - true).sum() / np.square(true).sum())


def test_moments_are_means_of_outer_products_in_blocks_of_any_rows() -> None:
    vectors = skewed(np.random.default_rng(0), 9_000, 6, 0.1)
    found = moments(vectors)
    wide = vectors.astype(np.float64)
    np.testing.assert_allclose(
        found.second, np.mean([np.outer(row, row) for row in wide], axis=0), atol=1e-12
    )
    assert found.fourth == pytest.approx(np.mean(np.linalg.norm(wide, axis=1) ** 4))
    rows = np.arange(0, 9_000, 2)
    np.testing.assert_allclose(moments(vectors, rows).second, moments(vectors[::2]).second, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.data())
def test_the_loss_from_moments_is_the_loss_from_inner_products(seed: int, width: int, draw: Any) -> None:
    dims = draw.draw(st.integers(1, width))
    chance = np.random.default_rng(seed)
    vectors, queries = skewed(chance, 40, width, 0.1), skewed(chance, 15, width, 0.2)
    pair = Pair(chance.standard_normal((dims, width)), chance.standard_normal((dims, width)))
    second = moments(vectors).second, moments(queries).second
    assert loss(pair, *second) == pytest.approx(direct_loss(pair, vectors, queries), rel=1e-5)
    cuts = losses_of_cuts(pair, *second)
    for length in range(1, dims + 1):
        cut = Pair(pair.queries[:length], pair.data[:length])
        assert cuts[length - 1] == pytest.approx(loss(cut, *second), rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 7))
def test_gradients_agree_with_finite_differences(seed: int, width: int) -> None:
    chance = np.random.default_rng(seed)
    data, queries = (moments(skewed(chance, 30, width, 0.3)).second for _ in range(2))
    scale = float(np.einsum("ij,ij->", queries, data))
    dims = max(width // 2, 1)
    pair = Pair(chance.standard_normal((dims, width)), chance.standard_normal((dims, width)))
    exact = gradients(pair, data, queries)
    step = 1e-5
    for which in range(2):
        numeric = np.empty((dims, width))
        for place in np.ndindex(dims, width):
            sides = []
            for sign in (1.0, -1.0):
                moved = [pair.queries.copy(), pair.data.copy()]
                moved[which][place] += sign * step
                sides.append(loss(Pair(*moved), data, queries) * scale)
            numeric[place] = (sides[0] - sides[1]) / (2.0 * step)
        np.testing.assert_allclose(exact[which], numeric, rtol=1e-4, atol=1e-6 * np.abs(exact[which]).max())


def assert_order_of_losses(data: np.ndarray, queries: np.ndarray, dims: int) -> None:
    """Sphering is the best of all, and the eigenvector search no worse than PCA."""
    of = {
        fit: loss(pair, data, queries)
        for fit, pair in {
            "id": principal(data, dims),
            "es": eigenvector_search(data, queries, dims),
            "fw": frank_wolfe(data, queries, dims),
            "sphering": sphering(data, queries, dims),
        }.items()
    }
    # The ridge costs sphering about a millionth.
    slack = 1.0 + 1e-4
    assert of["sphering"] <= of["fw"] * slack + 1e-9
    assert of["sphering"] <= of["es"] * slack + 1e-9
    assert of["es"] <= of["id"] * (1.0 + 1e-9) + 1e-12


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 16), st.floats(0.01, 1.0), st.floats(0.01, 1.0), st.data())
def test_order_of_losses_on_random_data(
    seed: int, width: int, of_data: float, of_queries: float, draw: Any
) -> None:
    dims = draw.draw(st.integers(1, width))
    chance = np.random.default_rng(seed)
    data = moments(skewed(chance, 60, width, of_data)).second
    assert_order_of_losses(data, moments(skewed(chance, 60, width, of_queries)).second, dims)


def test_order_of_losses_on_a_real_collection(scifact: Any) -> None:
    assert_order_of_losses(moments(scifact.vectors).second, moments(scifact.queries).second, 24)


def test_frank_wolfe_comes_near_the_optimum_of_its_constraint_and_keeps_it() -> None:
    chance = np.random.default_rng(4)
    data, queries = (moments(skewed(chance, 500, 32, 0.05)).second for _ in range(2))
    pair = frank_wolfe(data, queries, 8)
    best, plain = (loss(fit, data, queries) for fit in (sphering(data, queries, 8), principal(data, 8)))
    assert loss(pair, data, queries) - best < 0.5 * (plain - best)
    for matrix in pair:
        assert np.linalg.norm(matrix, 2) <= 1.0 + 1e-9


@pytest.mark.parametrize("fit", [lambda x, q, d: principal(x, d), sphering])
def test_leading_rows_are_the_shorter_reduction(fit: Callable[..., Pair]) -> None:
    chance = np.random.default_rng(2)
    data, queries = (moments(skewed(chance, 200, 20, 0.1)).second for _ in range(2))
    whole = fit(data, queries, 20)
    for dims in (1, 7, 19):
        cut = fit(data, queries, dims)
        np.testing.assert_allclose(whole.queries[:dims], cut.queries, atol=1e-9)
        np.testing.assert_allclose(whole.data[:dims], cut.data, atol=1e-9)
    assert loss(whole, data, queries) < 1e-9


def test_shrinking_follows_the_number_of_queries_and_comes_nearer_the_truth() -> None:
    chance = np.random.default_rng(3)
    width = 24
    data = moments(skewed(chance, 4_000, width, 0.1))
    queries = skewed(chance, 20_000, width, 0.1)
    truth = moments(queries).second
    shares = []
    for count in (5, 20, 100, 2_000):
        drawn, as_it_is, share = np.zeros(3)
        for few in (moments(queries[start : start + count]) for start in range(0, 10 * count, count)):
            second, by = shrunk(few, data)
            assert np.trace(second) == pytest.approx(np.trace(few.second))
            drawn += np.square(second - truth).sum()
            as_it_is += np.square(few.second - truth).sum()
            share += by / 10
        assert drawn < as_it_is
        shares.append(share)
    assert shares == sorted(shares, reverse=True) and shares[0] > 0.2 and shares[-1] < 0.02


def test_queries_drawn_all_the_way_to_the_data_give_pca() -> None:
    data = moments(skewed(np.random.default_rng(3), 4_000, 24, 0.1)).second
    same, plain = sphering(data, data, 6), principal(data, 6)
    np.testing.assert_allclose(same.queries.T @ same.data, plain.queries.T @ plain.data, atol=1e-4)


def test_no_vectors_shrink_to_the_target() -> None:
    target = moments(np.eye(3, dtype=np.float32))
    second, share = shrunk(Moments(np.zeros((3, 3)), 0.0, 0), target)
    assert share == 1.0 and np.array_equal(second, target.second)
