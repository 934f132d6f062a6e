from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.indexing.leanvec import dims as exact


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 6), st.integers(1, 9), st.data())
def test_the_best_come_first_and_ties_by_ordinal(
    seed: int, count: int, asked: int, block: int, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, count))
    chance = np.random.default_rng(seed)
    # Small whole numbers have exact products and many ties.
    vectors = chance.integers(-2, 3, (count, 3)).astype(np.float32)
    queries = chance.integers(-2, 3, (asked, 3)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "_BLOCK_ROWS", block)
        scores, ordinals = exact.nearest(queries, vectors, k)
    products = queries @ vectors.T
    wanted = np.argsort(-products, axis=1, kind="stable")[:, :k]
    assert np.array_equal(ordinals, wanted)
    assert np.array_equal(scores, np.take_along_axis(products, wanted, axis=1))
