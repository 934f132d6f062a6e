from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from leanseek.errors import InputError, UsageError
from leanseek.indexing.leanvec import choose_dims, learn_reduction, split_queries


def recall_of(reduction: Any, vectors: np.ndarray, queries: np.ndarray, k: int, depth: int) -> float:
    true = np.argsort(-(queries @ vectors.T), axis=1)[:, :k]
    scores = reduction.reduce_queries(queries) @ reduction.reduce_data(vectors).T
    found = np.argsort(-scores, axis=1)[:, :depth]
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(true, found, strict=True)]))


def test_the_choice_on_a_real_collection_is_the_smallest_that_reaches_the_target(scifact: Any) -> None:
    learning, test = scifact.queries[:800], scifact.queries[800:]
    choice = choose_dims(scifact.vectors, learning, 0.9, multiple=8, held_out=test)
    assert choice.dims % 8 == 0 and choice.recall >= 0.9
    assert [point.dims for point in choice.curve] == sorted({point.dims for point in choice.curve})
    for point in choice.curve:
        reduction = learn_reduction(scifact.vectors, learning, point.dims, held_out=test)
        assert point.recall == pytest.approx(recall_of(reduction, scifact.vectors, test, 10, 50), abs=0.003)
        if point.dims == choice.dims:
            np.testing.assert_allclose(reduction.data, choice.reduction.data, atol=1e-5)
            assert reduction.notes == choice.reduction.notes
    below = next(point for point in choice.curve if point.dims == choice.dims - 8)
    assert below.recall < 0.9
    assert choose_dims(scifact.vectors, learning, 0.98, multiple=8, held_out=test).dims > choice.dims


def made() -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(0)
    return (
        (chance.standard_normal((700, 40)) * np.geomspace(1, 0.02, 40)).astype(np.float32),
        chance.standard_normal((200, 40)).astype(np.float32),
    )


def test_queries_are_held_out_by_share_or_as_given() -> None:
    vectors, queries = made()
    learning, aside = split_queries(queries, 0.25, 5)
    one = choose_dims(vectors, queries, 0.9, held_out=0.25, seed=5)
    other = choose_dims(vectors, learning, 0.9, held_out=aside, seed=5)
    assert (one.dims, one.curve) == (other.dims, other.curve)


def test_full_recall_is_reached_by_all_dimensions_at_the_latest() -> None:
    vectors, queries = made()
    choice = choose_dims(vectors, queries, 1.0, k=10, depth=10, multiple=16)
    assert choice.dims in (16, 32, 40) and choice.recall == 1.0
    assert choose_dims(vectors, queries, 1.0, k=10, depth=10, multiple=64).dims == 40


def test_copies_count_for_each_other() -> None:
    vectors, queries = made()
    copies = np.repeat(vectors[:20], 100, axis=0)
    choice = choose_dims(copies, queries, 0.99, k=10, depth=100, multiple=40)
    assert choice.recall == 1.0


@pytest.mark.parametrize("method", ["id", "ood-es", "sphering"])
def test_one_method_can_be_asked_for(method: Any) -> None:
    vectors, queries = made()
    choice = choose_dims(vectors, queries, 0.9, method=method, multiple=8)
    assert choice.reduction.method == method and choice.reduction.dims == choice.dims
    _, aside = split_queries(queries)
    assert choice.recall == pytest.approx(recall_of(choice.reduction, vectors, aside, 10, 50), abs=0.003)


def test_small_collections_and_bad_arguments() -> None:
    vectors, queries = made()
    assert choose_dims(vectors[:5], queries, 0.95, multiple=8).dims == 8
    with pytest.raises(InputError, match="1 queries are too few"):
        choose_dims(vectors, queries[:1])
    with pytest.raises(UsageError, match="recall is 0"):
        choose_dims(vectors, queries, 0.0)
    with pytest.raises(UsageError, match="depth at least k"):
        choose_dims(vectors, queries, k=20, depth=10)
    with pytest.raises(UsageError, match=r"\(200, 7\)"):
        choose_dims(vectors, queries[:, :7])
    spoilt = queries.copy()
    spoilt[3] = np.inf
    with pytest.raises(InputError, match="infinite"):
        choose_dims(vectors, spoilt)
