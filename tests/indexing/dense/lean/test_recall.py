"""The recall that unseen queries find is the one asked for, and it takes few trials to get there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import clustered_vectors

from leanseek.indexing import LeanVecIndex
from leanseek.indexing.dense.lean import construction
from leanseek.indexing.dense.lean.recall import Truth, calibrate, least
from leanseek.types import Float32Array

DIMENSIONS = 32
CLOSE = 0.0005


@given(
    recalls=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=300).map(sorted),
    wanted=st.floats(0.01, 1.0),
    near=st.none() | st.integers(1, 300),
)
def test_the_least_that_suffices_is_found_for_any_growing_recall(
    recalls: list[float], wanted: float, near: int | None
) -> None:
    asked: list[int] = []

    def recall(number: int) -> float:
        asked.append(number)
        return recalls[number - 1]

    found = least(recall, wanted, (1, len(recalls)), CLOSE, near)
    assert len(asked) == len(set(asked)) <= 40
    if found is None:
        assert recalls[-1] < wanted
        return
    assert recalls[found - 1] >= wanted
    assert recalls[found - 1] <= wanted + CLOSE or found == 1 or recalls[found - 2] < wanted


def test_the_guesses_are_few_where_the_misses_fall_as_a_power() -> None:
    asked: list[int] = []

    def recall(number: int) -> float:
        asked.append(number)
        return 1.0 - 0.5 * math.pow(number, -0.7)

    found = least(recall, 0.97, (1, 2000), CLOSE)
    assert found is not None and 0.97 <= recall(found) <= 0.97 + CLOSE
    assert len(asked) < 10


@pytest.fixture(scope="module")
def data() -> Float32Array:
    return clustered_vectors(6_000, DIMENSIONS, 1, falling=0.93)


@pytest.mark.parametrize("asked", [0.9, 0.97])
def test_unseen_queries_find_the_recall_asked_for_and_no_more(data: Float32Array, asked: float) -> None:
    index = LeanVecIndex.build(data, clustered_vectors(1_500, DIMENSIONS, 2, falling=0.93), recall=asked)
    truth = Truth(data, clustered_vectors(2_000, DIMENSIONS, 3, falling=0.93))
    assert index.kind == "ivf"
    for point in index.calibration.points:
        assert asked <= point.recall <= asked + 0.005
        assert truth.recall(index._engine, point.k, point.effort) == pytest.approx(asked, abs=0.01)


def test_queries_that_pca_did_not_learn_from_are_all_measured_with(
    data: Float32Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: dict[str, int] = {}

    def counted(engine: Any, truth: Truth, size: int, recall: float) -> Any:
        measured[method] = len(truth.queries)
        return calibrate(engine, truth, size, recall)

    monkeypatch.setattr(construction, "calibrate", counted)
    turned = np.random.default_rng(5).standard_normal((DIMENSIONS, DIMENSIONS)).astype(np.float32)
    by_method: dict[str, Float32Array] = {
        # Where queries go in all directions alike, nothing is better than PCA.
        "id": np.random.default_rng(2).standard_normal((400, DIMENSIONS)).astype(np.float32),
        "sphering": np.dot(clustered_vectors(400, DIMENSIONS, 2, falling=0.93), turned[:, :3] @ turned[:3]),
    }
    for method, queries in by_method.items():
        index = LeanVecIndex.build(data[:2_000], queries, dims=8, recall=0.8)
        assert index.method == method
    assert measured == {"id": 400, "sphering": 200}
