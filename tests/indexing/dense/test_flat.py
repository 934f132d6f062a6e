from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import IndexDamagedError, UsageError
from leanseek.indexing.dense.base import FLAT_FILE
from leanseek.indexing.dense.flat import FlatIndex
from leanseek.indexing.dense.registry import check_dense, kind_in
from leanseek.indexing.settings import LeanSettings


def made(vectors: np.ndarray) -> FlatIndex:
    index = FlatIndex.empty(vectors.shape[1])
    index.add(vectors)
    return index


def brute_force(vectors: np.ndarray, query: np.ndarray, k: int, allowed: np.ndarray) -> list[int]:
    scores = np.einsum("cd,d->c", vectors, query)
    order = np.lexsort((np.arange(len(vectors)), -scores))
    return [int(ordinal) for ordinal in order if allowed[ordinal]][:k]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 200),
    st.integers(1, 12),
    st.integers(1, 220),
    st.floats(0.0, 1.0),
)
def test_search_is_exact_with_repeated_vectors_and_filters(
    seed: int, count: int, distinct: int, k: int, kept: float
) -> None:
    chance = np.random.default_rng(seed)
    pool = chance.standard_normal((distinct, 8)).astype(np.float32)
    pool /= np.linalg.norm(pool, axis=1, keepdims=True)
    vectors = pool[chance.integers(0, distinct, count)]
    allowed = chance.random(count) < kept
    queries = np.concatenate([pool[:1], chance.standard_normal((2, 8)).astype(np.float32)])
    scores, ordinals = made(vectors).search(queries, k, allowed)
    assert scores.shape == ordinals.shape == (3, k)
    for row, query in enumerate(queries):
        expected = brute_force(vectors, query, k, allowed)
        assert ordinals[row, : len(expected)].tolist() == expected
        assert (ordinals[row, len(expected) :] == -1).all()
        assert np.isneginf(scores[row, len(expected) :]).all()


def test_scores_do_not_depend_on_what_is_asked_together() -> None:
    chance = np.random.default_rng(0)
    vectors = chance.standard_normal((500, 384)).astype(np.float32)
    index = made(vectors)
    queries = chance.standard_normal((40, 384)).astype(np.float32)
    together, ordinals = index.search(queries, 7)
    for row, query in enumerate(queries):
        alone, same = index.search(query[None], 7)
        assert np.array_equal(alone[0], together[row]) and np.array_equal(same[0], ordinals[row])
        assert np.array_equal(index.score(query, ordinals[row]), together[row])
        assert index.score(query, ordinals[row, 3:4])[0] == together[row, 3]


@pytest.mark.parametrize("kept", [1.0, 0.6])
def test_thousands_of_equal_vectors_come_in_the_order_of_their_ordinals(kept: float) -> None:
    chance = np.random.default_rng(2)
    pool = chance.standard_normal((3, 8)).astype(np.float32)
    vectors = pool[chance.integers(0, 3, 20_000)]
    allowed = chance.random(len(vectors)) < kept
    queries = np.concatenate([pool, chance.standard_normal((3, 8)).astype(np.float32)])
    for k in (1, 50, 9_000):
        scores, ordinals = made(vectors).search(queries, k, allowed)
        for row, query in enumerate(queries):
            assert ordinals[row].tolist() == brute_force(vectors, query, k, allowed)
            assert np.array_equal(scores[row], np.einsum("cd,d->c", vectors[ordinals[row]], query))


def test_reopening_gives_the_same(tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).standard_normal((50, 16)).astype(np.float32)
    built = FlatIndex.empty(16)
    built.add(vectors[:20])
    built.add(vectors[20:])
    built.save(tmp_path)
    opened = kind_in(tmp_path).open(tmp_path)
    assert (opened.size, opened.dimensions) == (50, 16)
    for one, other in zip(built.search(vectors[:3], 5), opened.search(vectors[:3], 5), strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(opened.vectors(np.array([4, 2, 4])), vectors[[4, 2, 4]])


def test_empty_index(tmp_path: Path) -> None:
    FlatIndex.empty(4).save(tmp_path)
    scores, ordinals = kind_in(tmp_path).open(tmp_path).search(np.ones((2, 4), np.float32), 3)
    assert (ordinals == -1).all() and np.isneginf(scores).all()


def test_wrong_shapes_and_files_are_told(tmp_path: Path) -> None:
    index = made(np.ones((3, 4), np.float32))
    with pytest.raises(UsageError, match=r"\(1, 5\).*\(m, 4\)"):
        index.search(np.ones((1, 5), np.float32), 2)
    with pytest.raises(UsageError, match="flat"):
        check_dense("pyramid", LeanSettings())
    (tmp_path / FLAT_FILE).write_bytes(b"not an index at all")
    with pytest.raises(IndexDamagedError, match=FLAT_FILE):
        kind_in(tmp_path).open(tmp_path)
