"""Scores on a common scale."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.preprocessing import minmax_scale

from leanseek.numbers import alike, distinct, minmax, zscore

varied = st.lists(st.integers(-1000, 1000), min_size=2, max_size=20).filter(
    lambda values: len(set(values)) > 1
)


@given(varied)
def test_scales_equal_those_of_other_packages(values: list[int]) -> None:
    scores = np.array(values) / 8
    np.testing.assert_allclose(zscore(scores), stats.zscore(scores), atol=1e-12)
    np.testing.assert_allclose(minmax(scores), minmax_scale(scores), atol=1e-12)


def test_z_scores() -> None:
    found = zscore(np.array([1.0, 2.0, 6.0]))
    assert found.mean() == pytest.approx(0) and found.std() == pytest.approx(1)
    assert list(zscore(np.array([0.1, 0.1, 0.1]))) == [0, 0, 0]


@pytest.mark.parametrize("scale", [zscore, minmax])
@given(st.floats(-1e6, 1e6, allow_subnormal=False), st.integers(1, 20), st.integers(0, 2))
def test_scores_equal_up_to_rounding_are_all_0(scale, value: float, count: int, ulps: int) -> None:
    scores = np.full(count, value)
    for _ in range(ulps):
        scores[-1] = math.nextafter(scores[-1], math.inf)
    assert alike(scores) or value == 0
    assert scale(scores).tolist() == [0.0] * count or value == 0


@pytest.mark.parametrize("value", [0.0, 1e-30, 1.0, 1e6])
def test_neighbouring_float32_numbers_are_different_scores(value: float) -> None:
    first = np.float32(value)
    scores = np.array([first, np.nextafter(first, np.float32(np.inf))])
    assert not alike(scores)
    assert minmax(scores).tolist() == [0, 1]
    assert zscore(scores).tolist() == [-1, 1]


def test_differences_too_small_for_a_deviation_count_for_nothing() -> None:
    assert zscore(np.array([0.0, 5e-324])).tolist() == [0, 0]


def test_z_scores_by_another_list() -> None:
    scores, whole = np.array([3.0, 7.0]), np.array([1.0, 3.0])
    assert zscore(scores, whole).tolist() == [1, 5]
    assert zscore(scores, np.array([0.1, 0.1, 0.1])).tolist() == [0, 0]


def test_a_least_deviation_leaves_small_differences_small() -> None:
    scores = np.array([0.5, 0.5 + 1e-6])
    np.testing.assert_allclose(zscore(scores), [-1, 1])
    np.testing.assert_allclose(zscore(scores, least=1e-3), [-5e-4, 5e-4])
    np.testing.assert_allclose(zscore(np.array([2.0]), np.array([1.0, 1.0]), least=0.5), [2.0])


def test_no_scores_give_none() -> None:
    empty = np.zeros(0, np.float32)
    for found in (zscore(empty), zscore(empty, least=1.0), minmax(empty)):
        assert found.dtype == np.float64 and found.shape == (0,)


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_different_numbers_are_those_of_numpy(numbers: list[int]) -> None:
    given_numbers = np.array(numbers, dtype=np.int64)
    found = distinct(given_numbers)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, np.unique(given_numbers))
    np.testing.assert_array_equal(given_numbers, numbers)
