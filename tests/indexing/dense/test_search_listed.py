"""A search that also tells the best scores far below the ones it names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import HashEncoder, make_documents

from leanseek import Index
from leanseek.errors import UsageError
from leanseek.indexing.dense.base import settled
from leanseek.indexing.dense.flat import FlatIndex
from leanseek.indexing.dense.lean import LeanVecIndex
from leanseek.indexing.snapshot import Snapshot


def units(count: int, seed: int, dimensions: int = 16) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def flat(vectors: np.ndarray) -> FlatIndex:
    index = FlatIndex.empty(vectors.shape[1])
    index.add(vectors)
    return index


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 150),
    st.integers(1, 150),
    st.integers(1, 60),
    st.integers(0, 120),
    st.floats(0.0, 1.0),
)
def test_it_is_a_search_and_the_scores_of_a_deeper_one(
    seed: int, count: int, distinct: int, k: int, more: int, kept: float
) -> None:
    chance = np.random.default_rng(seed)
    vectors = units(distinct, seed)[chance.integers(0, distinct, count)]
    allowed = chance.random(count) < kept
    index, queries = flat(vectors), units(3, seed + 1)
    found = index.search_listed(queries, k, k + more, allowed)
    scores, ordinals = index.search(queries, k, allowed)
    np.testing.assert_array_equal(found.scores, scores)
    np.testing.assert_array_equal(found.ordinals, ordinals)
    deep, _ = index.search(queries, k + more, allowed)
    np.testing.assert_array_equal(np.isfinite(found.listed), np.isfinite(deep))
    for row in range(len(queries)):
        there = np.isfinite(deep[row])
        listed = settled(found.listed[row, there], found.scores[row, there[:k]])
        np.testing.assert_array_equal(listed[:k], scores[row, there[:k]])
        np.testing.assert_allclose(listed, deep[row, there], atol=1e-5)
        assert np.all(listed[:-1] >= listed[1:])


def test_what_a_query_gets_does_not_depend_on_the_others() -> None:
    index, queries = flat(units(3000, 0, 384)), units(50, 1, 384)
    together = index.search_listed(queries, 10, 1000)
    for row in range(len(queries)):
        for one, all_ in zip(index.search_listed(queries[row : row + 1], 10, 1000), together, strict=True):
            np.testing.assert_array_equal(one[0], all_[row])


def test_lists_of_parts_are_those_of_the_whole_to_the_bit() -> None:
    """Rounding is part of a score, but not where the vector is or what is beside it."""
    vectors, queries = units(4000, 5, 384), units(20, 6, 384)
    allowed = np.random.default_rng(7).random(4000) < 0.8
    for mask in (None, allowed):
        whole = flat(vectors).search_listed(queries, 100, 1000, mask)
        parts = [
            flat(vectors[there]).search_listed(queries, 100, 1000, None if mask is None else mask[there])
            for there in (np.arange(0, 700), np.arange(700, 4000, 2), np.arange(701, 4000, 2))
        ]
        for row in range(len(queries)):
            listed = np.sort(np.concatenate([part.listed[row] for part in parts]))[::-1][:1000]
            best = np.sort(np.concatenate([part.scores[row] for part in parts]))[::-1][:100]
            np.testing.assert_array_equal(
                settled(listed, best), settled(whole.listed[row], whole.scores[row])
            )


def test_a_deeper_list_keeps_what_a_search_missed() -> None:
    listed = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    exact = np.array([0.90000004, 0.7, 0.6], np.float32)
    assert settled(listed, exact).tolist() == [exact[0], *listed[1:].tolist()]
    assert settled(listed, exact[:0]).tolist() == listed.tolist()
    assert settled(listed[:1], exact).tolist() == [exact[0]]


def test_a_reduced_index_names_what_its_search_names() -> None:
    index, queries = LeanVecIndex.build(units(6000, 3, 32)), units(20, 4, 32)
    found = index.search_listed(queries, 20, 500)
    scores, ordinals = index.search(queries, 20)
    np.testing.assert_array_equal(found.ordinals, ordinals)
    np.testing.assert_array_equal(found.scores, scores)
    exact = np.sort(units(6000, 3, 32) @ queries.T, axis=0)[::-1][:500].T
    assert np.abs(found.listed - exact).mean() < 0.01


def test_queries_of_another_length_are_refused() -> None:
    with pytest.raises(UsageError, match=r"takes \(m, 16\)"):
        flat(units(5, 0)).search_listed(units(2, 0, 8), 1, 2)


@pytest.mark.parametrize("parts", [1, 3])
def test_over_segments_deletions_and_filters(tmp_path: Path, parts: int) -> None:
    documents = make_documents(300, 5)
    index = Index.create(tmp_path / "index", encoder=HashEncoder())
    for part in range(parts):
        index.add(documents[part::parts], cache=False)
    index.delete([document.id for document in documents[::4]])
    snapshot = Snapshot.open(tmp_path / "index")
    queries = HashEncoder().encode_queries(["statin trial", "wing"]).vectors
    masks = [None, np.random.default_rng(0).random(snapshot.size) < 0.5, np.zeros(snapshot.size, np.bool_)]
    if snapshot.live is not None:
        masks[1:] = [mask & snapshot.live for mask in masks[1:] if mask is not None]
    for allowed in masks:
        there = snapshot.live if allowed is None else allowed
        for (found, listed), plain, query in zip(
            snapshot.dense_search_listed(queries, 10, 150, allowed),
            snapshot.dense_search(queries, 10, allowed),
            queries,
            strict=True,
        ):
            np.testing.assert_array_equal(found.ordinals, plain.ordinals)
            np.testing.assert_array_equal(found.scores, plain.scores)
            every = snapshot.dense_score(
                query, np.arange(snapshot.size) if there is None else np.flatnonzero(there)
            )
            np.testing.assert_allclose(listed, np.sort(every)[::-1][:150], atol=1e-5)
