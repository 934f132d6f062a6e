from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from leanseek.indexing.dense.lean.engine import Effort, ScanEngine
from leanseek.indexing.dense.lean.faiss_engines import FaissEngine
from leanseek.indexing.dense.lean.lists import Lists, build_lists
from leanseek.indexing.dense.lean.lvq import LvqEngine, LvqLists
from leanseek.indexing.dense.lean.rows import Rows, native

scan = native()
pytestmark = pytest.mark.skipif(scan is None, reason="leanseek._scan was not compiled here")

DIMS, WIDTH, COUNT = 24, 40, 3000


@pytest.fixture(params=["plain", "avx2", "avx512"])
def kernels(request: pytest.FixtureRequest) -> Iterator[str]:
    assert scan is not None
    try:
        scan.use(request.param)
    except ValueError:
        pytest.skip(f"this processor has no {request.param}")
    yield request.param
    scan.use("best")


def made(precision: str = "float32") -> tuple[Lists, Rows, np.ndarray]:
    chance = np.random.default_rng(0)
    vectors = (chance.standard_normal((COUNT, WIDTH)) * 0.9 ** np.arange(WIDTH)).astype(np.float32)
    reduction = np.linalg.qr(chance.standard_normal((WIDTH, DIMS)))[0].astype(np.float32)
    lists = build_lists(vectors @ reduction, reduction, 37, 2, 0)
    queries = chance.standard_normal((21, WIDTH)).astype(np.float32)
    return lists, Rows.encode(vectors, precision), queries  # type: ignore[arg-type]


def decoded(lists: Lists) -> np.ndarray:
    """The reduced vectors (n, d) that the codes stand for, one vector at a time."""
    out = np.zeros((COUNT, lists.centroids.shape[1]))
    for number, centroid in enumerate(lists.centroids):
        for place in range(lists.starts[number] * 32, lists.starts[number + 1] * 32):
            ordinal = lists.ordinals[place]
            if ordinal < 0:
                continue
            packed = lists.codes[place // 32, :, place % 32]
            numbers = np.stack([packed & 15, packed >> 4], axis=1).ravel()
            residual = [book[:, code] for book, code in zip(lists.codebooks, numbers, strict=True)]
            out[ordinal] = centroid + np.concatenate(residual)
    return out


def test_codes_stand_for_the_nearest_codewords() -> None:
    lists, rows, _ = made()
    reduced = rows.vectors(np.arange(COUNT)) @ lists.reduction
    kept = decoded(lists)
    assert np.square(reduced - kept).sum() < 0.25 * np.square(reduced - reduced.mean(0)).sum()
    assert sorted(lists.ordinals[lists.ordinals >= 0]) == list(range(COUNT))


def test_candidates_are_the_best_by_their_codes(kernels: str) -> None:
    """A search whose depth is k returns what the codes alone rank first, up to the tables' rounding."""
    lists, rows, queries = made()
    approximate = (queries @ lists.reduction) @ decoded(lists).T
    _, found = ScanEngine(lists, rows, scan).search(queries, 40, Effort(37, 40), None, 1)
    best = np.sort(approximate, axis=1)[:, -40:]
    chosen = np.sort(np.take_along_axis(approximate, found, axis=1), axis=1)
    spread = approximate.std(axis=1, keepdims=True)
    assert (np.abs(best - chosen) / spread).max() < 0.15


def test_depth_n_is_exact_whatever_the_processor(kernels: str) -> None:
    lists, rows, queries = made()
    scores, found = ScanEngine(lists, rows, scan).search(queries, 15, Effort(37, COUNT), None, 2)
    exact = queries.astype(np.float64) @ rows.vectors(np.arange(COUNT)).T
    assert np.array_equal(found, np.argsort(-exact, axis=1, kind="stable")[:, :15])
    assert np.allclose(scores, np.take_along_axis(exact, found, axis=1), atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "float16", "sq8"])
def test_rows_are_scored_alike(kernels: str, precision: str) -> None:
    _, rows, queries = made(precision)
    ordinals = np.arange(0, COUNT, 7)
    expected = rows.vectors(ordinals).astype(np.float64) @ queries[0]
    assert np.allclose(rows.score(queries[0], ordinals), expected, atol=2e-5)
    portable = Rows(rows.data, rows._lows, rows._steps, portable=True)
    assert np.allclose(portable.score(queries[0], ordinals), expected, atol=2e-5)


@pytest.mark.parametrize("dims", [2, 6, 16, 24, 32, 96, 160])
def test_four_bit_codes_are_scored_as_what_they_stand_for(kernels: str, dims: int) -> None:
    chance = np.random.default_rng(dims)
    reduced = chance.standard_normal((400, dims)).astype(np.float32)
    lists = LvqLists.build(reduced, np.eye(dims, dtype=np.float32), 5, 4, 0)
    query = chance.standard_normal(dims).astype(np.float32)
    engine = LvqEngine(lists, Rows.encode(reduced, "float32"), portable=False)
    levels = np.concatenate([lists.codes & 15, lists.codes >> 4], axis=1).astype(np.float64)
    expected = (lists.lows[:, None] + lists.steps[:, None] * levels) @ query
    places = chance.permutation(400)[:123]
    assert np.allclose(engine.score(query, places), expected[places], atol=2e-5)


def test_all_processors_choose_the_same() -> None:
    assert scan is not None
    lists, rows, queries = made("sq8")
    answers = []
    for name in ("plain", "avx2", "avx512"):
        try:
            scan.use(name)
        except ValueError:
            continue
        answers.append(ScanEngine(lists, rows, scan).search(queries, 10, Effort(9, 60), None, 1)[1])
    scan.use("best")
    for answer in answers[1:]:
        assert (answer == answers[0]).mean() > 0.97, "rounding alone differs"


def test_halves_are_read_as_numpy_reads_them(kernels: str) -> None:
    values = np.arange(65536, dtype=np.uint16).view(np.float16)
    values = values[np.isfinite(values)].astype(np.float32)
    rows = Rows.encode(values.reshape(-1, 8), "float16")
    for place in range(8):
        query = np.eye(8, dtype=np.float32)[place]
        got = rows.score(query, np.arange(rows.size))
        assert np.array_equal(got, values.reshape(-1, 8)[:, place])


def test_faiss_finds_what_the_kernels_find() -> None:
    lists, rows, queries = made()
    allowed = np.random.default_rng(1).random(COUNT) < 0.4
    portable = Rows(rows.data, portable=True)
    for mask in (None, allowed):
        one = ScanEngine(lists, rows, scan).search(queries, 10, Effort(12, 100), mask, 1)
        other = FaissEngine(lists, portable).search(queries, 10, Effort(12, 100), mask, 1)
        assert (one[1] == other[1]).mean() > 0.8
        exact = queries @ rows.vectors(np.arange(COUNT)).T
        if mask is not None:
            exact[:, ~mask] = -np.inf
        least = np.sort(exact, axis=1)[:, -10:-9] - 1e-5
        good = [(np.take_along_axis(exact, found[1], axis=1) >= least).mean() for found in (one, other)]
        assert abs(good[0] - good[1]) < 0.03
        if mask is not None:
            assert mask[other[1]].all()


def test_faiss_goes_on_until_k_are_found() -> None:
    lists, rows, queries = made()
    _, found = FaissEngine(lists, Rows(rows.data, portable=True)).search(
        queries, 400, Effort(1, 400), None, 1
    )
    assert (found >= 0).all()
