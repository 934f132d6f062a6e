"""Products in 8 bits: no sum of two neighbouring products leaves 16 bits, on which processors without VNNI depend."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

pytest.importorskip("onnx")

from leanseek.encode.int8 import _LEVELS, _WEIGHT_LEVELS, _ZERO, column_scales


@given(
    arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 4)), elements=st.floats(-8, 8, width=32))
)
def test_no_pair_of_products_leaves_16_bits(matrix: np.ndarray) -> None:
    scales = column_scales(matrix)
    levels = np.rint(matrix / scales)
    assert np.abs(levels).max() <= _WEIGHT_LEVELS
    largest = _ZERO + _LEVELS
    padded = np.concatenate([levels, np.zeros((len(levels) % 2, levels.shape[1]))]).reshape(
        -1, 2, levels.shape[1]
    )
    for signed in (np.maximum(padded, 0), np.maximum(-padded, 0)):
        assert largest * signed.sum(axis=1).max() <= np.iinfo(np.int16).max


def test_matrices_without_large_pairs_keep_all_levels() -> None:
    matrix = np.zeros((6, 2), np.float32)
    matrix[::2] = [[1.0, -2.0], [0.5, 1.0], [-0.25, 0.1]]
    np.testing.assert_allclose(column_scales(matrix), np.array([1.0, 2.0]) / 127, rtol=1e-6)
