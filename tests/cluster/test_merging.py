"""What the lists of several shards come to."""

from __future__ import annotations

import numpy as np
import pytest

from leanseek.cluster.merging import merged_lists
from leanseek.cluster.questions import Found
from leanseek.searcher.ranking import Lists


def found(dense: list[float], sparse: list[float] | None) -> Found:
    lists = Lists(np.array(dense, np.float32), None if sparse is None else np.array(sparse, np.float32))
    return Found(np.zeros(0, np.int64), [], None, None, None, lists)


@pytest.mark.parametrize("listed", [1, 3, 4, 9])
def test_lists_are_the_best_of_all_shards(listed: int) -> None:
    shards = [found([0.9, 0.5, 0.1], [7, 2]), found([0.8, 0.6], [9, 8, 1])]
    merged = merged_lists(shards, listed)
    assert merged is not None and merged.sparse is not None
    assert merged.dense.tolist() == pytest.approx([0.9, 0.8, 0.6, 0.5, 0.1][:listed])
    assert merged.sparse.tolist() == [9, 8, 7, 2, 1][:listed]


def test_sides_that_are_not_there_have_no_list() -> None:
    merged = merged_lists([found([0.9], None), found([0.8], None)], 2)
    assert merged is not None and merged.sparse is None
    assert merged_lists([Found(np.zeros(0, np.int64), [], None, None, None, None)], 2) is None
