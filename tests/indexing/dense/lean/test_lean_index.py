from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import clustered_vectors

from leanseek.errors import IndexDamagedError, InputError, UsageError
from leanseek.indexing import LeanVecIndex
from leanseek.indexing.dense.lean import Effort
from leanseek.indexing.dense.registry import kind_in
from leanseek.indexing.leanvec import learn_reduction, split_queries
from leanseek.types import BoolArray, Float32Array, Int64Array

DIMENSIONS = 48
KINDS = ("flat", "ivf", "hnsw")


def unit(values: Float32Array) -> Float32Array:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def asked(count: int, seed: int) -> Float32Array:
    """Queries of another kind: other directions matter to them."""
    chance = np.random.default_rng(seed)
    turned = np.random.default_rng(98).standard_normal((DIMENSIONS, DIMENSIONS)) * 0.4 + np.eye(DIMENSIONS)
    return unit(
        clustered_vectors(count, DIMENSIONS, seed) @ turned
        + 0.1 * chance.standard_normal((count, DIMENSIONS))
    )


def truth(
    vectors: Float32Array, queries: Float32Array, k: int, allowed: BoolArray | None = None
) -> Int64Array:
    scores = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    if allowed is not None:
        scores[:, ~allowed] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def recall(found: Int64Array, wanted: Int64Array) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, wanted, strict=True)]))


@pytest.fixture(scope="module")
def vectors() -> Float32Array:
    return clustered_vectors(9_000, DIMENSIONS, 1)


@pytest.fixture(scope="module")
def queries() -> Float32Array:
    return asked(200, 2)


@pytest.fixture(scope="module", params=KINDS)
def index(request: pytest.FixtureRequest, vectors: Float32Array) -> LeanVecIndex:
    return LeanVecIndex.build(vectors, asked(800, 3), kind=request.param, recall=0.95)


@pytest.fixture(scope="module")
def lists(vectors: Float32Array) -> LeanVecIndex:
    return LeanVecIndex.build(vectors, asked(800, 3), recall=0.95)


def test_calibrated_recall_holds_for_other_queries(
    index: LeanVecIndex, vectors: Float32Array, queries: Float32Array
) -> None:
    for k in (1, 10, 30, 100):
        _, found = index.search(queries, k)
        assert recall(found, truth(vectors, queries, k)) > 0.92


def test_search_leaves_most_of_the_collection_alone(lists: LeanVecIndex) -> None:
    assert lists.kind == "ivf" and lists.method == "sphering" and lists.dims < DIMENSIONS
    effort = lists.calibration.effort(10)
    assert effort.breadth < 150 and effort.depth <= 200


def test_scores_are_those_of_score_and_of_the_stored_vectors(
    index: LeanVecIndex, vectors: Float32Array, queries: Float32Array
) -> None:
    scores, found = index.search(queries, 10)
    for query, row, ordinals in zip(queries, scores, found, strict=True):
        assert np.array_equal(index.score(query, ordinals), row)
        stored = index.vectors(ordinals).astype(np.float64) @ query
        assert np.allclose(row, stored, atol=1e-5)
        assert np.allclose(row, vectors[ordinals] @ query, atol=5e-3)
        assert np.array_equal(np.lexsort((ordinals, -row)), np.arange(10))


@pytest.mark.parametrize("secondary", ["float32", "float16", "sq8"])
def test_vectors_are_kept_at_the_precision_asked_for(secondary: str, vectors: Float32Array) -> None:
    index = LeanVecIndex.build(vectors[:3000], asked(300, 3), dims=16, secondary=secondary)
    error = {"float32": 0.0, "float16": 5e-4, "sq8": 4e-3}[secondary]
    kept = index.vectors(np.arange(3000))
    assert np.abs(kept - vectors[:3000]).max() <= error
    again = LeanVecIndex.build(kept, asked(300, 3), dims=16, secondary=secondary)
    assert np.allclose(again.vectors(np.arange(3000)), kept, atol=1e-6), "merging loses nothing more"


def test_answers_do_not_depend_on_what_is_asked_together(lists: LeanVecIndex, queries: Float32Array) -> None:
    together = lists.search(queries[:50], 10, threads=2)
    for row, query in enumerate(queries[:50]):
        alone = lists.search(query[None], 10)
        assert np.array_equal(alone[0][0], together[0][row])
        assert np.array_equal(alone[1][0], together[1][row])


@pytest.mark.parametrize("share", [0.5, 0.05, 0.005])
def test_filtered_recall_holds(
    index: LeanVecIndex, vectors: Float32Array, queries: Float32Array, share: float
) -> None:
    allowed = np.random.default_rng(7).random(len(vectors)) < share
    scores, found = index.search(queries, 10, allowed)
    assert allowed[found].all() and np.isfinite(scores).all()
    assert recall(found, truth(vectors, queries, 10, allowed)) > 0.93


def test_a_filter_on_one_corner_of_the_space_still_finds_k(
    index: LeanVecIndex, vectors: Float32Array, queries: Float32Array
) -> None:
    allowed = vectors @ queries[0] > np.quantile(vectors @ queries[0], 0.8)
    _, found = index.search(-queries[:1], 20, allowed)
    assert (found >= 0).all() and allowed[found].all()


def test_fewer_matches_than_k_leave_places_empty(index: LeanVecIndex, queries: Float32Array) -> None:
    allowed = np.zeros(index.size, dtype=np.bool_)
    allowed[[5, 700, 8000]] = True
    scores, found = index.search(queries[:3], 6, allowed)
    assert set(found[0, :3]) == {5, 700, 8000}
    assert (found[:, 3:] == -1).all() and np.isneginf(scores[:, 3:]).all()
    _, none = index.search(queries[:3], 2, np.zeros(index.size, dtype=np.bool_))
    assert (none == -1).all()


def test_k_beyond_n_gives_every_vector_once(lists: LeanVecIndex, queries: Float32Array) -> None:
    _, found = lists.search(queries[:1], lists.size + 7)
    assert sorted(found[0, : lists.size]) == list(range(lists.size))
    assert (found[0, lists.size :] == -1).all()


def test_narrow_searches_still_fill_k(lists: LeanVecIndex, queries: Float32Array) -> None:
    _, found = lists.search(queries, 500, effort=Effort(1, 500))
    assert (found >= 0).all()


def test_reopening_gives_the_same(index: LeanVecIndex, queries: Float32Array, tmp_path: Path) -> None:
    index.save(tmp_path / "new")
    opened = LeanVecIndex.open(tmp_path / "new")
    for one, other in zip(index.search(queries, 10), opened.search(queries, 10), strict=True):
        assert np.array_equal(one, other)
    assert opened.calibration == index.calibration and opened.notes == index.notes
    assert (opened.size, opened.dimensions, opened.dims, opened.kind) == (
        index.size,
        index.dimensions,
        index.dims,
        index.kind,
    )


def test_building_twice_gives_the_same_files(vectors: Float32Array, tmp_path: Path) -> None:
    for name in ("one", "two"):
        LeanVecIndex.build(vectors, asked(300, 3), dims=16).save(tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


@settings(max_examples=8, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 90), st.integers(1, 20), st.integers(1, 9), st.integers(1, 40)
)
def test_small_collections_are_searched_whole(
    seed: int, count: int, distinct: int, width: int, k: int
) -> None:
    chance = np.random.default_rng(seed)
    pool = chance.standard_normal((distinct, width)).astype(np.float32)
    stored = pool[chance.integers(0, distinct, count)]
    index = LeanVecIndex.build(stored, secondary="float32", recall=1.0)
    asks = chance.standard_normal((3, width)).astype(np.float32)
    scores, found = index.search(asks, k, effort=Effort(1000, count))
    exact = asks.astype(np.float64) @ stored.T
    for row in range(3):
        best = np.sort(exact[row])[::-1][:k]
        assert np.allclose(scores[row, : len(best)], best, atol=1e-4)
        assert len(set(found[row, : len(best)])) == len(best)


def test_copies_come_in_the_order_of_their_ordinals(vectors: Float32Array) -> None:
    repeated = np.concatenate([vectors[:6000], np.repeat(vectors[:1], 400, axis=0)])
    index = LeanVecIndex.build(repeated, asked(300, 3), dims=16)
    _, found = index.search(vectors[:1], 50)
    assert found[0].tolist() == [0, *range(6000, 6049)]


def test_bad_input_is_told(vectors: Float32Array, lists: LeanVecIndex) -> None:
    spoilt = vectors[:100].copy()
    spoilt[3, 4] = np.nan
    with pytest.raises(InputError, match="1 of 100 vectors"):
        LeanVecIndex.build(spoilt)
    spoilt[3, 4] = np.inf
    with pytest.raises(InputError, match="1 of 100 queries"):
        LeanVecIndex.build(vectors, spoilt)
    with pytest.raises(InputError, match="encode it again"):
        lists.search(spoilt[3:4], 5)
    with pytest.raises(InputError, match="no vectors"):
        LeanVecIndex.build(vectors[:0])
    with pytest.raises(UsageError, match="48"):
        lists.search(vectors[:1, :40], 5)
    with pytest.raises(UsageError, match="40 dimensions"):
        LeanVecIndex.build(vectors, vectors[:50, :40])
    with pytest.raises(UsageError, match="k is 0; it must be at least 1"):
        lists.search(vectors[:1], 0)
    with pytest.raises(UsageError, match="allowed"):
        lists.search(vectors[:1], 5, np.ones(3, dtype=np.bool_))
    for wrong in ({"kind": "tree"}, {"dims": 49}, {"dims": "many"}, {"recall": 1.2}, {"secondary": "int4"}):
        with pytest.raises(UsageError):
            LeanVecIndex.build(vectors, **wrong)


def test_zero_vectors_and_few_queries_are_served(vectors: Float32Array) -> None:
    some = vectors[:500].copy()
    some[10:20] = 0
    index = LeanVecIndex.build(some, asked(5, 3))
    assert any("5 learning queries" in note for note in index.notes)
    _, found = index.search(some[:10], 1)
    assert found[:, 0].tolist() == list(range(10))
    nothing = LeanVecIndex.build(np.zeros((40, 8), np.float32))
    scores, found = nothing.search(np.ones((1, 8), np.float32), 5)
    assert found[0].tolist() == [0, 1, 2, 3, 4] and (scores == 0).all()


def test_fewer_vectors_than_lists(vectors: Float32Array, queries: Float32Array) -> None:
    index = LeanVecIndex.build(vectors[:30], kind="ivf", lists=500, recall=1.0)
    _, found = index.search(queries[:20], 5)
    assert recall(found, truth(vectors[:30], queries[:20], 5)) > 0.9


def test_damage_is_told(lists: LeanVecIndex, tmp_path: Path) -> None:
    lists.save(tmp_path)
    for name in ("codes.npy", "rows.npy", "starts.npy", "lean.json"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(IndexDamagedError, match=name):
            LeanVecIndex.open(tmp_path)
        (tmp_path / name).write_bytes(whole)
    starts = np.load(tmp_path / "starts.npy")
    np.save(tmp_path / "starts.npy", starts[::-1].copy())
    with pytest.raises(IndexDamagedError):
        LeanVecIndex.open(tmp_path)
    (tmp_path / "rows.npy").unlink()
    with pytest.raises(FileNotFoundError):
        LeanVecIndex.open(tmp_path)


def test_it_is_a_kind_of_dense_index(vectors: Float32Array, queries: Float32Array, tmp_path: Path) -> None:
    LeanVecIndex.build(vectors[:6000]).save(tmp_path)
    opened = kind_in(tmp_path).open(tmp_path)
    _, found = opened.search(queries, 10)
    assert recall(found, truth(vectors[:6000], queries, 10)) > 0.8


def test_what_was_learned_is_passed_on(vectors: Float32Array, queries: Float32Array, tmp_path: Path) -> None:
    first = LeanVecIndex.build(vectors[:4000], queries, dims=32)
    first.save(tmp_path)
    known = LeanVecIndex.open(tmp_path).learned
    assert np.array_equal(known.queries, queries)
    assert known.source == "given"
    second = LeanVecIndex.build(vectors, known)
    assert second.dims == 32
    assert np.array_equal(second.learned.reduction.data, first.learned.reduction.data)
    assert second.drift == pytest.approx(1.0, abs=0.2)


def test_vectors_of_another_kind_are_noticed(queries: Float32Array) -> None:
    chance = np.random.default_rng(5)
    known, other = np.zeros((2, 3000, DIMENSIONS), np.float32)
    known[:, :16] = chance.standard_normal((3000, 16))
    other[:, 16:] = chance.standard_normal((3000, DIMENSIONS - 16))
    learned = LeanVecIndex.build(known, queries, dims=32).learned
    assert learned.drift(known) == pytest.approx(1.0, abs=0.1)
    assert learned.drift(other) > 2
    assert LeanVecIndex.build(other, learned).drift > 2
    assert LeanVecIndex.build(other, queries, dims=32).drift == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("method", ["sphering", "ood-es", "ood-fw", "id"])
def test_a_reduction_is_found_as_asked_for(method: Any, tmp_path: Path) -> None:
    vectors, queries = clustered_vectors(400, DIMENSIONS, 1), asked(300, 2)
    LeanVecIndex.build(vectors, queries, dims=8, reduction=method).save(tmp_path)
    index = LeanVecIndex.open(tmp_path)
    assert index.method == method
    learning, aside = split_queries(queries, 0.5, 0)
    expected = learn_reduction(vectors, learning, 8, method, held_out=aside)
    np.testing.assert_allclose(index.learned.reduction.data, expected.data, atol=1e-6)


def test_without_queries_a_reduction_is_pca_whatever_was_asked_for() -> None:
    vectors = clustered_vectors(200, DIMENSIONS, 1)
    index = LeanVecIndex.build(vectors, dims=8, reduction="ood-es")
    assert index.method == "id"
    assert any("the vectors were taken instead" in note for note in index.notes)
    with pytest.raises(
        UsageError, match=r"reduction .* is 'pca'; choose one of auto, sphering, ood-es, ood-fw, id"
    ):
        LeanVecIndex.build(vectors, dims=8, reduction="pca")  # type: ignore[arg-type]
