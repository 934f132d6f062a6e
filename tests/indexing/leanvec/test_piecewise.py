from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leanseek.errors import InputError, UsageError
from leanseek.indexing.leanvec import learn_piecewise, learn_reduction, split_queries
from leanseek.indexing.vectors import SAMPLE_ROWS


def bundles(seed: int = 0, count: int = 900) -> tuple[np.ndarray, np.ndarray]:
    """Data in three bundles, each spread in a plane of its own, and queries that look everywhere."""
    chance = np.random.default_rng(seed)
    basis = np.linalg.qr(chance.standard_normal((12, 12)))[0]
    parts = []
    for number in range(3):
        centre, plane = basis[number], basis[3 + 3 * number : 6 + 3 * number]
        parts.append(centre + 0.4 * chance.standard_normal((count // 3, 3)) @ plane)
    vectors = np.concatenate(parts)[chance.permutation(count)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), chance.standard_normal((300, 12)).astype(np.float32)


def test_one_pair_for_each_bundle_loses_less_than_one_pair_for_all() -> None:
    vectors, queries = bundles()
    pieces = learn_piecewise(vectors, queries, 4, clusters=3)
    assert pieces.loss < 0.2 * learn_reduction(vectors, queries, 4, "sphering").loss
    assert (pieces.clusters, pieces.dims) == (3, 4)
    np.testing.assert_allclose(np.linalg.norm(pieces.centroids, axis=1), 1.0, atol=1e-5)


def test_the_loss_is_that_of_the_scores_on_held_out_queries() -> None:
    vectors, queries = bundles()
    pieces = learn_piecewise(vectors, queries, 4, clusters=5, seed=2)
    _, aside = split_queries(queries, 0.2, 2)
    nearest = pieces.assign(vectors)
    assert np.array_equal(nearest, (vectors @ pieces.centroids.T).argmax(axis=1))
    reduced, asked = pieces.reduce_data(vectors), pieces.reduce_queries(aside)
    assert asked.shape == (len(aside), 5, 4) and asked.dtype == reduced.dtype == np.float32
    assert np.array_equal(reduced, pieces.reduce_data(vectors, nearest))
    true = aside @ vectors.T
    scores = np.stack(
        [[asked[q, c] @ x for c, x in zip(nearest, reduced, strict=True)] for q in range(len(aside))]
    )
    assert pieces.loss == pytest.approx(np.square(scores - true).sum() / np.square(true).sum(), rel=1e-3)


def test_orthonormal_rows_give_the_same_scores() -> None:
    vectors, queries = bundles()
    pieces = learn_piecewise(vectors, queries, 4, clusters=5)
    level = pieces.orthonormal()
    for rows in level.data:
        np.testing.assert_allclose(rows @ rows.T, np.eye(4), atol=1e-6)
    nearest = pieces.assign(vectors)
    scores = [
        np.einsum("mnd,nd->mn", one.reduce_queries(queries)[:, nearest], one.reduce_data(vectors))
        for one in (pieces, level)
    ]
    np.testing.assert_allclose(*scores, atol=1e-4)


def test_the_same_input_gives_the_same_bits() -> None:
    vectors, queries = bundles()
    one, other = (learn_piecewise(vectors, queries, 4, clusters=6, seed=7) for _ in range(2))
    for name in ("centroids", "queries", "data"):
        assert np.array_equal(getattr(one, name), getattr(other, name))


def test_all_dimensions_lose_nothing_however_small_the_clusters() -> None:
    vectors, queries = bundles()
    few = np.concatenate([np.repeat(vectors[:2], 30, axis=0), vectors[2:6], np.zeros((1, 12), np.float32)])
    pieces = learn_piecewise(few, queries, 12, clusters=6)
    assert np.isfinite(pieces.data).all() and pieces.loss < 1e-6


def test_bad_input_is_told() -> None:
    vectors, queries = bundles()
    with pytest.raises(UsageError, match=r"clusters is 4; .* 1 to 3"):
        learn_piecewise(vectors[:3], queries, 2, clusters=4)
    with pytest.raises(UsageError, match="clusters is 0"):
        learn_piecewise(vectors, queries, 2, clusters=0)
    with pytest.raises(UsageError, match="learns from queries"):
        learn_piecewise(vectors, queries[:0], 2)
    with pytest.raises(UsageError, match=r"dims is 13"):
        learn_piecewise(vectors, queries, 13)
    spoilt = vectors.copy()
    spoilt[1, 1] = np.nan
    with pytest.raises(InputError, match="NaN"):
        learn_piecewise(spoilt, queries, 4)
    pieces = learn_piecewise(vectors, queries, 4, clusters=2)
    for call in (pieces.assign, pieces.reduce_data, pieces.reduce_queries):
        with pytest.raises(UsageError, match=r"\(900, 5\).*\(n, 12\)"):
            call(vectors[:, :5])
    assert "held out" in learn_piecewise(vectors, queries[:1], 4, clusters=2).notes[0]


def test_a_sample_of_vectors_on_disk_stands_for_all(tmp_path: Path) -> None:
    vectors, queries = bundles(count=3 * 12_000)
    np.save(tmp_path / "vectors.npy", vectors)
    pieces = learn_piecewise(np.load(tmp_path / "vectors.npy", mmap_mode="r"), queries, 3, clusters=8)
    assert len(vectors) > SAMPLE_ROWS
    nearest, reduced = pieces.assign(vectors), pieces.reduce_data(vectors)
    _, aside = split_queries(queries)
    true, asked = aside @ vectors.T, pieces.reduce_queries(aside)
    scores = np.einsum("mnd,nd->mn", asked[:5][:, nearest], reduced)
    assert np.square(scores - true[:5]).sum() / np.square(true[:5]).sum() < 0.1
