"""What the lists of several shards come to."""

from __future__ import annotations

import numpy as np
import pytest

from leanseek.cluster.merging import merge, merged_lists
from leanseek.cluster.questions import Found
from leanseek.searcher.ranking import Lists, SideView


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


def test_shards_that_are_empty_leave_the_order_of_the_one_that_is_not() -> None:
    """Asked for one side alone, what has all of the collection tells no ids, and is in order already."""
    places = np.array([3, 5, 8], np.int64)
    whole = Found(
        places, [], SideView(np.array([2, 1, 3]), np.array([4, 9, 4], np.float32)), None, None, None
    )
    empty = Found(
        np.zeros(0, np.int64), [], SideView(np.zeros(0, np.int64), np.zeros(0, np.float32)), None, None, None
    )
    alone = merge([places], [whole], 2, 0)
    for ordinals, shards in (
        ([places, empty.ordinals], [whole, empty]),
        ([empty.ordinals, places], [empty, whole]),
    ):
        merged = merge(ordinals, shards, 2, 0)
        assert merged.sides.sparse is not None and alone.sides.sparse is not None
        assert merged.sides.sparse.ordinals.tolist() == alone.sides.sparse.ordinals.tolist() == [5, 3]
        assert merged.sides.sparse.scores.tolist() == [9, 4]
