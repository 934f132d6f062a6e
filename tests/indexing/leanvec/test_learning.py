from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from leanseek.errors import InputError, UsageError
from leanseek.indexing.leanvec import Reduction, learn_reduction, split_queries
from leanseek.indexing.leanvec.reduction import REDUCTIONS
from leanseek.indexing.settings import Method
from leanseek.indexing.vectors import SAMPLE_ROWS, sample

METHODS = ["id", "ood-fw", "ood-es", "sphering"]


def made(seed: int = 0, count: int = 600, asked: int = 300, width: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Data and queries that favour opposite directions, so that PCA is far from the best."""
    chance = np.random.default_rng(seed)
    basis = np.linalg.qr(chance.standard_normal((width, width)))[0]
    vectors = (chance.standard_normal((count, width)) * np.geomspace(1, 0.1, width)) @ basis
    queries = (chance.standard_normal((asked, width)) * np.geomspace(0.05, 1, width)) @ basis
    return vectors.astype(np.float32), queries.astype(np.float32)


def relative_loss(reduction: Reduction, vectors: np.ndarray, queries: np.ndarray) -> float:
    true = queries @ vectors.T
    error = reduction.reduce_queries(queries) @ reduction.reduce_data(vectors).T - true
    return float(np.square(error).sum() / np.square(true).sum())


def test_every_method_that_can_be_asked_for_is_in_the_table() -> None:
    assert ("auto", *REDUCTIONS) == get_args(Method)
    assert sorted(REDUCTIONS) == sorted(METHODS)


@pytest.mark.parametrize("method", [*METHODS, "auto"])
def test_the_loss_reported_is_that_on_the_queries_held_out(method: Any) -> None:
    vectors, queries = made()
    reduction = learn_reduction(vectors, queries, 8, method, seed=3)
    assert reduction.queries.shape == reduction.data.shape == (8, 24)
    assert reduction.queries.dtype == reduction.data.dtype == np.float32
    _, aside = split_queries(queries, 0.2, 3)
    assert reduction.loss == pytest.approx(relative_loss(reduction, vectors, aside), rel=1e-4)
    given = learn_reduction(vectors, queries[:200], 8, method, held_out=queries[200:])
    assert given.loss == pytest.approx(relative_loss(given, vectors, queries[200:]), rel=1e-4)


@pytest.mark.parametrize("method", [*METHODS, "auto"])
def test_the_same_input_gives_the_same_bits(method: Any) -> None:
    vectors, queries = made()
    one, other = (learn_reduction(vectors, queries, 8, method) for _ in range(2))
    assert np.array_equal(one.queries, other.queries) and np.array_equal(one.data, other.data)
    assert (one.loss, one.notes) == (other.loss, other.notes)


def test_auto_keeps_what_wins_on_held_out_queries_and_says_so() -> None:
    vectors, queries = made()
    kept = learn_reduction(vectors, queries, 8)
    plain = learn_reduction(vectors, queries, 8, "id")
    assert kept.method == "sphering" and kept.loss < plain.loss
    assert "kept sphering" in kept.notes[0] and f"{plain.loss:.4g}" in kept.notes[0]
    # Queries to learn from that are nothing like those to come must not be followed.
    misled = learn_reduction(vectors, queries[:250], 8, held_out=vectors[:100])
    assert misled.method == "id" and "kept id" in misled.notes[0]
    assert np.array_equal(misled.data, plain.data)


@pytest.mark.parametrize("method", ["id", "sphering"])
def test_cutting_is_learning_with_fewer_dimensions(method: Any) -> None:
    vectors, queries = made()
    whole = learn_reduction(vectors, queries, 20, method)
    for dims in (1, 8, 20):
        cut, learned = whole.cut(dims), learn_reduction(vectors, queries, dims, method)
        np.testing.assert_allclose(cut.queries, learned.queries, atol=1e-5)
        np.testing.assert_allclose(cut.data, learned.data, atol=1e-5)
        assert cut.loss == pytest.approx(learned.loss, rel=1e-6) and len(cut.losses) == dims


def test_what_is_not_nested_refuses_to_be_cut() -> None:
    vectors, queries = made()
    for reduction in (
        learn_reduction(vectors, queries, 8, "ood-fw"),
        learn_reduction(vectors, queries, 8, "ood-es"),
        learn_reduction(vectors, queries, 8, "sphering").orthonormal(),
    ):
        assert not reduction.nested
        with pytest.raises(UsageError, match="not nested"):
            reduction.cut(4)
    with pytest.raises(UsageError, match="1 to 8"):
        learn_reduction(vectors, queries, 8, "sphering").cut(9)


@pytest.mark.parametrize("method", METHODS)
def test_scores_survive_any_change_of_basis(method: Any) -> None:
    vectors, queries = made()
    reduction = learn_reduction(vectors, queries, 8, method)
    scores = reduction.reduce_queries(queries) @ reduction.reduce_data(vectors).T
    basis = np.random.default_rng(1).standard_normal((8, 8))
    turned = (queries @ (basis @ reduction.queries).T) @ (
        vectors @ (np.linalg.inv(basis).T @ reduction.data).T
    ).T
    np.testing.assert_allclose(turned, scores, atol=1e-4 * np.abs(scores).max())
    level = reduction.orthonormal()
    np.testing.assert_allclose(level.data @ level.data.T, np.eye(8), atol=1e-6)
    same = level.reduce_queries(queries) @ level.reduce_data(vectors).T
    np.testing.assert_allclose(same, scores, atol=1e-5 * np.abs(scores).max())
    assert (level.method, level.loss) == (reduction.method, reduction.loss)


@pytest.mark.parametrize("scale", [1e-15, 1e12])
def test_the_scale_of_the_vectors_does_not_matter(scale: float) -> None:
    vectors, queries = made()
    for method in METHODS:
        plain = learn_reduction(vectors, queries, 8, method)  # type: ignore[arg-type]
        scaled = learn_reduction(vectors * np.float32(scale), queries, 8, method)  # type: ignore[arg-type]
        assert scaled.loss == pytest.approx(plain.loss, rel=1e-3)


def test_many_vectors_are_sampled_from_the_disk(tmp_path: Path) -> None:
    vectors, queries = made(count=SAMPLE_ROWS + 5_000, width=8)
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    rows = sample(len(vectors), 0)
    assert rows is not None and len(np.unique(rows)) == SAMPLE_ROWS
    one, other = learn_reduction(mapped, queries, 4), learn_reduction(vectors, queries, 4)
    assert np.array_equal(one.data, other.data)
    assert one.loss == pytest.approx(relative_loss(one, vectors, split_queries(queries)[1]), rel=0.05)


def test_splitting_keeps_copies_together_and_gives_each_side_some() -> None:
    queries = np.repeat(np.arange(10, dtype=np.float32)[:, None] + [0.0, 1.0], 3, axis=0).astype(np.float32)
    learning, aside = split_queries(queries, 0.3, 1)
    assert len(learning) == 21 and len(aside) == 9
    assert not {row.tobytes() for row in learning} & {row.tobytes() for row in aside}
    assert [len(side) for side in split_queries(queries[:1])] == [1, 0]
    assert [len(side) for side in split_queries(queries[:0])] == [0, 0]
    assert [len(side) for side in split_queries(queries[[0, 3]], 0.01)] == [1, 1]


def test_fewer_queries_than_dimensions_are_shrunk_and_said() -> None:
    vectors, queries = made(width=48)
    few = learn_reduction(vectors, queries[:10], 12, "sphering", held_out=queries[100:])
    assert np.isfinite(few.queries).all() and np.isfinite(few.data).all()
    assert any("drawn" in note and "10 learning queries for 48 dimensions" in note for note in few.notes)


def test_one_query_and_none() -> None:
    vectors, queries = made()
    for asked in (None, queries[:0], queries[:1]):
        kept = learn_reduction(vectors, asked, 8)
        assert kept.method == "id" and "too few queries" in kept.notes[0] and np.isfinite(kept.loss)
    alone = learn_reduction(vectors, queries[:1], 8, "sphering")
    assert np.isfinite(alone.data).all() and any("held out" in note for note in alone.notes)
    with pytest.raises(UsageError, match="'sphering' learns from queries"):
        learn_reduction(vectors, None, 8, "sphering")


@pytest.mark.parametrize("method", METHODS)
def test_degenerate_vectors_are_reduced_all_the_same(method: Any) -> None:
    vectors, queries = made()
    copies = np.repeat(vectors[:3], 50, axis=0)
    copies[10:20] = 0.0
    reduction = learn_reduction(copies, queries, 8, method)
    assert np.isfinite(reduction.queries).all() and np.isfinite(reduction.data).all()
    if method in ("id", "sphering"):
        assert reduction.loss < 1e-5
    level = reduction.orthonormal()
    assert relative_loss(level, copies, queries) == pytest.approx(
        relative_loss(reduction, copies, queries), abs=1e-4
    )
    assert np.isfinite(learn_reduction(vectors[:1], queries, 8, method).data).all()


def test_all_dimensions_lose_nothing() -> None:
    vectors, queries = made()
    for method in ("id", "sphering"):
        assert relative_loss(learn_reduction(vectors, queries, 24, method), vectors, queries) < 1e-6  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(bad: float) -> None:
    vectors, queries = made()
    for spoilt in (0, 1):
        pair = [vectors.copy(), queries.copy()]
        pair[spoilt][5, 3] = bad
        with pytest.raises(InputError, match=r"1 of \d+ vectors hold NaN or infinite"):
            learn_reduction(pair[0], pair[1], 8)


def test_bad_arguments_are_told() -> None:
    vectors, queries = made()
    with pytest.raises(UsageError, match=r"dims is 25; .* 1 to 24"):
        learn_reduction(vectors, queries, 25)
    with pytest.raises(UsageError, match="dims is 0"):
        learn_reduction(vectors, queries, 0)
    with pytest.raises(UsageError, match=r"\(300, 20\).*\(m, 24\)"):
        learn_reduction(vectors, queries[:, :20], 8)
    with pytest.raises(UsageError, match=r"\(24,\)"):
        learn_reduction(vectors[0], queries, 8)
    with pytest.raises(UsageError, match="'pca'; choose one of auto, sphering, ood-es, ood-fw, id"):
        learn_reduction(vectors, queries, 8, "pca")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"held_out is 1\.5"):
        learn_reduction(vectors, queries, 8, held_out=1.5)
    with pytest.raises(UsageError, match=r"\(300, 9\)"):
        learn_reduction(vectors, queries, 8, held_out=queries[:, :9])
    with pytest.raises(InputError, match="no vectors"):
        learn_reduction(vectors[:0], queries, 8)
    with pytest.raises(InputError, match="every vector is a zero"):
        learn_reduction(np.zeros_like(vectors), queries, 8)
    with pytest.raises(InputError, match="every query"):
        learn_reduction(vectors, np.zeros_like(queries), 8)
    reduction = learn_reduction(vectors, queries, 8)
    for reduce in (reduction.reduce_data, reduction.reduce_queries):
        with pytest.raises(UsageError, match=r"\(600, 5\).*\(n, 24\)"):
            reduce(vectors[:, :5])
