"""Impacts: exact sums, whatever adds them up and however passages are spread over segments."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.encode.learned_vectors import LearnedVector, LearnedVectors
from leanseek.errors import IndexDamagedError, UsageError
from leanseek.indexing import array_columns
from leanseek.indexing.learned import (
    ImpactIndex,
    ImpactQuery,
    ImpactReader,
    impact_query,
    merge_impacts,
    write_impacts,
)
from leanseek.indexing.learned.impact_builder import ImpactBlock
from leanseek.indexing.settings import LearnedSettings
from leanseek.indexing.sparse.kernel import Kernel, NativeKernel, NumpyKernel

V = 500
WHOLE = LearnedSettings("test", "f", V, None, None, 1 / 64, 1 / 64)


def kernels() -> list[Kernel]:
    try:
        return [NumpyKernel(), NativeKernel()]
    except ImportError:
        return [NumpyKernel()]


def vectors(chance: np.random.Generator, count: int, terms: int = 20) -> LearnedVectors:
    """Texts with some terms, the frequent ones in most."""
    rows = []
    for _ in range(count):
        chosen = np.unique((V * chance.random(chance.integers(0, terms)) ** 2).astype(np.int32))
        rows.append(LearnedVector(chosen, (0.01 + 5 * chance.random(len(chosen)) ** 2).astype(np.float32), 3))
    return LearnedVectors.of(rows)


def segment(folder: Path, given: LearnedVectors, how: LearnedSettings = WHOLE) -> ImpactReader:
    folder.mkdir()
    rows = [given.row(row) for row in range(len(given.tokens))]
    blocks = [LearnedVectors.of(rows[start : start + 9000]) for start in range(0, max(len(rows), 1), 9000)]
    write_impacts(folder, blocks, how)
    return ImpactReader(folder)


def dense(given: LearnedVectors, step: float) -> np.ndarray:
    """(n, V) int64 impacts, by the formula."""
    matrix = np.zeros((len(given.tokens), V), np.int64)
    for row in range(len(matrix)):
        one = given.row(row)
        matrix[row, one.terms] = np.minimum(np.rint(one.weights / np.float32(step)), 255)
    return matrix


def key(ordinals: np.ndarray) -> list[tuple[str, int]]:
    return [(f"{ordinal:09}", 0) for ordinal in ordinals.tolist()]


@pytest.mark.parametrize("kernel", kernels(), ids=lambda kernel: type(kernel).__name__)
def test_scores_are_the_whole_number_sums(kernel: Kernel, tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    given, queries = vectors(chance, 70_000), vectors(chance, 25, 60)  # two windows
    index = ImpactIndex([segment(tmp_path / "s", given)], [None], WHOLE, key, kernel=kernel)
    matrix = dense(given, WHOLE.document_step)
    for row, asked in enumerate(dense(queries, WHOLE.query_step)):
        query = impact_query(queries.row(row), WHOLE)
        sums = (matrix @ asked) / 64**2
        for k in (1, 10, 100, 100_000):
            found = index.search(query, k)
            order = np.lexsort((np.arange(len(sums)), -sums))
            expected = order[sums[order] > 0][:k]
            assert found.ordinals.tolist() == expected.tolist()
            assert (found.scores == sums[expected]).all()
        chosen = chance.integers(0, len(sums), 50)
        assert (index.score(query, chosen) == sums[chosen]).all()
        matched = index.matched(query, int(chosen[0]))
        assert sum(one.score for one in matched) == sums[chosen[0]]


def test_the_kernels_give_the_same_bits_however_passages_are_spread(tmp_path: Path) -> None:
    chance = np.random.default_rng(2)
    given, queries = vectors(chance, 3000), vectors(chance, 20, 60)
    cuts = [0, 7, 1000, 1001, 3000]
    rows = [given.row(row) for row in range(3000)]
    parts = [
        segment(tmp_path / str(start), LearnedVectors.of(rows[start:stop])) for start, stop in pairwise(cuts)
    ]
    deleted = chance.random(3000) < 0.2
    masks = [deleted[start:stop] for start, stop in pairwise(cuts)]
    allowed = chance.random(3000) < 0.7
    whole = segment(tmp_path / "whole", given)
    indexes = [
        ImpactIndex(readers, gone, WHOLE, key, kernel=kernel)
        for kernel in kernels()
        for readers, gone in (([whole], [deleted]), (parts, masks))
    ]
    for row in range(20):
        query = impact_query(queries.row(row), WHOLE)
        for mask in (None, allowed):
            first, *others = (index.search(query, 50, mask) for index in indexes)
            assert not deleted[first.ordinals].any()
            assert mask is None or mask[first.ordinals].all()
            for other in others:
                assert other.ordinals.tolist() == first.ordinals.tolist()
                assert other.scores.tobytes() == first.scores.tobytes()


def test_merging_gives_the_files_of_building(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(3)
    given = vectors(chance, 2000)
    rows = [given.row(row) for row in range(2000)]
    origin, ordinals = chance.integers(0, 2, 2000), np.zeros(2000, np.int64)
    sources: list[list[LearnedVector]] = [[], []]
    for place, part in enumerate(origin.tolist()):
        sources[part].append(
            LearnedVector(np.array([1], np.int32), np.array([1.0], np.float32), 1)
        )  # left out
        ordinals[place] = len(sources[part])
        sources[part].append(rows[place])
    readers = [segment(tmp_path / f"{n}", LearnedVectors.of(rows)) for n, rows in enumerate(sources)]
    for together in (1 << 20, 0):
        monkeypatch.setattr(array_columns, "TOGETHER", together)
        built, merged = tmp_path / f"built{together}", tmp_path / f"merged{together}"
        built.mkdir()
        merged.mkdir()
        write_impacts(built, [LearnedVectors.of(rows[:700]), LearnedVectors.of(rows[700:])], WHOLE)
        merge_impacts(readers, origin, ordinals, merged)
        names = sorted(path.name for path in built.iterdir())
        assert names == sorted(path.name for path in merged.iterdir())
        assert all((built / name).read_bytes() == (merged / name).read_bytes() for name in names)


def test_a_posting_takes_little_more_than_three_bytes(tmp_path: Path) -> None:
    reader = segment(tmp_path / "s", vectors(np.random.default_rng(4), 20_000, 100))
    size = sum(path.stat().st_size for path in (tmp_path / "s").iterdir())
    assert size / len(reader.impacts) <= 3.2


def test_the_heaviest_terms_are_kept(tmp_path: Path) -> None:
    how = LearnedSettings("test", "f", V, None, 3, 1 / 64, 1 / 64)
    terms = np.array([2, 5, 9, 11, 40], np.int32)
    weights = np.array([1.0, 0.5, 2.0, 0.5, 0.001], np.float32)
    reader = segment(tmp_path / "s", LearnedVectors.of([LearnedVector(terms, weights, 5)]), how)
    # Of equals the smaller number is kept.
    assert reader.terms.tolist() == [2, 5, 9]
    assert reader.postings(0, 3).impacts.tolist() == [64, 32, 128]


def test_weights_are_rounded_and_cut_at_255(tmp_path: Path) -> None:
    terms = np.array([1, 2, 3, 4], np.int32)
    given = LearnedVector(terms, np.array([0.007, 0.008, 1.0, 100.0], np.float32), 4)
    reader = segment(tmp_path / "s", LearnedVectors.of([given]))
    assert reader.terms.tolist() == [2, 3, 4]
    assert reader.impacts.tolist() == [1, 64, 255]
    assert impact_query(given, WHOLE).terms.tolist() == [4, 3, 2]
    assert impact_query(given, WHOLE).impacts.tolist() == [255, 64, 1]


def test_the_longest_query_of_the_heaviest_terms_is_still_exact(tmp_path: Path) -> None:
    terms = np.arange(400, dtype=np.int32)
    heavy = LearnedVector(terms, np.full(400, 10.0, np.float32), 400)
    reader = segment(tmp_path / "s", LearnedVectors.of([heavy]))
    query = impact_query(heavy, WHOLE)
    assert query.terms.tolist() == list(range(255))
    for kernel in kernels():
        index = ImpactIndex([reader], [None], WHOLE, key, kernel=kernel)
        assert index.search(query, 1).scores.tolist() == [255**3 / 64**2]


def test_nothing_finds_nothing(tmp_path: Path) -> None:
    empty = LearnedVectors.of([])
    query = ImpactQuery(np.array([3], np.int32), np.array([9.0], np.float32))
    blank = ImpactQuery(np.zeros(0, np.int32), np.zeros(0, np.float32))
    for kernel in kernels():
        none = ImpactIndex([], [], WHOLE, key, kernel=kernel)
        assert not len(none.search(query, 5).scores)
        assert not len(none.search(blank, 5).scores)
    reader = segment(tmp_path / "s", LearnedVectors.of([LearnedVector(*given_terms(7), 1)]))
    index = ImpactIndex([reader], [None], WHOLE, key)
    assert not len(index.search(query, 5).scores)
    assert index.score(query, np.array([0])).tolist() == [0.0]
    assert index.matched(query, 0) == []
    assert len(ImpactBlock(empty, WHOLE)) == 0
    with pytest.raises(UsageError, match="k is -1"):
        index.search(query, -1)
    with pytest.raises(UsageError, match="mask"):
        index.search(query, 1, np.ones(5, np.bool_))


def given_terms(term: int) -> tuple[np.ndarray, np.ndarray]:
    return np.array([term], np.int32), np.array([1.0], np.float32)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("terms", np.array([3, 3, 5], np.int32)),
        ("term_runs", np.array([0, 2, 1, 3], np.int64)),
        ("run_starts", np.array([0, 2, 9, 3], np.int64)),
        ("run_windows", np.array([0, 9, 0], np.uint16)),
        ("impacts", np.array([1], np.uint8)),
        ("passages", np.array([-1], np.int64)),
    ],
)
def test_files_that_do_not_fit_are_damaged(
    name: str, values: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(array_columns, "TOGETHER", 0)
    segment(tmp_path / "s", LearnedVectors.of([LearnedVector(*given_terms(term), 1) for term in (3, 4, 5)]))
    np.save(tmp_path / "s" / f"learned.{name}.npy", values)
    with pytest.raises(IndexDamagedError):
        ImpactReader(tmp_path / "s")


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 60), k=st.integers(1, 8))
def test_pruning_never_loses_a_passage(
    seed: int, count: int, k: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chance = np.random.default_rng(seed)
    given, query = vectors(chance, count, 40), impact_query(vectors(chance, 1, 80).row(0), WHOLE)
    reader = segment(tmp_path_factory.mktemp("p") / "s", given)
    first, *others = (
        ImpactIndex([reader], [None], WHOLE, key, kernel=kernel).search(query, k) for kernel in kernels()
    )
    for other in others:
        assert other.ordinals.tolist() == first.ordinals.tolist()
        assert other.scores.tobytes() == first.scores.tobytes()
