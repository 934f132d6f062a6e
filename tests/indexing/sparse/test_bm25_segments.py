"""However passages are spread over segments and whatever is deleted, scores are those of one index, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import UsageError
from leanseek.indexing.sparse import Bm25Parameters, Bm25Variant
from leanseek.indexing.sparse.kernel import NativeKernel, NumpyKernel, kernel_name

WORDS = "abcdefgh"
passages = st.lists(st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join), max_size=14)
KERNELS = [
    pytest.param(
        NativeKernel(),
        marks=pytest.mark.skipif(kernel_name() == "numpy", reason="the kernel is not compiled"),
    ),
    NumpyKernel(),
]


@pytest.mark.parametrize("kernel", KERNELS)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_split_with_any_deletions_equals_one_segment(
    kernel: Any, indexed: Any, data: st.DataObject
) -> None:
    parameters = Bm25Parameters(
        data.draw(st.sampled_from(Bm25Variant)),
        data.draw(st.sampled_from([0.0, 0.9, 2.0])),
        data.draw(st.sampled_from([0.0, 0.4, 1.0])),
    )
    texts = data.draw(passages)
    names = [f"{number:03}" for number in range(len(texts))]
    homes = [data.draw(st.integers(0, 3)) for _ in texts]
    gone = [data.draw(st.booleans()) for _ in texts]
    rows = [[row for row in range(len(texts)) if homes[row] == home] for home in range(4)]
    spread = [row for part in rows for row in part]
    index = indexed(
        [[texts[row] for row in part] for part in rows],
        deleted=[np.array([gone[row] for row in part], np.bool_) for part in rows],
        ids=[names[row] for row in spread],
        parameters=parameters,
        kernel=kernel,
    )
    live = [row for row in range(len(texts)) if not gone[row]]
    whole = indexed([[texts[row] for row in live]], parameters=parameters, kernel=kernel)

    query = data.draw(st.lists(st.sampled_from(WORDS + "z"), max_size=6).map(" ".join))
    k = data.draw(st.integers(0, 16))
    found, expected = index.search(query, k), whole.search(query, k)
    assert found.scores.tobytes() == expected.scores.tobytes()
    assert [names[spread[o]] for o in found.ordinals] == [names[live[o]] for o in expected.ordinals]
    assert index.score(query, found.ordinals).tobytes() == found.scores.tobytes()


@pytest.mark.parametrize("kernel", KERNELS)
def test_equal_scores_go_by_id_across_segments(kernel: Any, indexed: Any) -> None:
    """Also where they end the list: the third best is in the segment read last."""
    index = indexed([["x", "x", "x y"], ["x"], ["x", "x"]], ids=["c", "e", "z", "b", "a", "d"], kernel=kernel)
    assert index.search("x", 10).ordinals.tolist() == [4, 3, 0, 5, 1, 2]
    assert index.search("x", 3).ordinals.tolist() == [4, 3, 0]
    assert index.search("x", 1).ordinals.tolist() == [4]


@pytest.mark.parametrize("kernel", KERNELS)
def test_masks_are_applied_inside(kernel: Any, indexed: Any) -> None:
    index = indexed(
        [["a a a", "a a", "a"], ["a b", "b"]], deleted=[np.array([True, False, False]), None], kernel=kernel
    )
    assert index.search("a", 9).ordinals.tolist() == [1, 2, 3]
    allowed = np.array([True, False, True, True, True])
    assert index.search("a", 1, allowed).ordinals.tolist() == [2]
    assert index.search("a b", 9, allowed).ordinals.tolist() == [3, 4, 2]
    assert not len(index.search("a", 9, np.zeros(5, np.bool_)).ordinals)


@pytest.mark.parametrize("kernel", KERNELS)
def test_queries_without_a_known_term_find_nothing(kernel: Any, indexed: Any) -> None:
    index = indexed([["a", "", "b"], []], deleted=[np.array([False, False, True]), None], kernel=kernel)
    for query in ["", "   ", "zebra", "b", "!?", "\x00"]:
        assert index.search(query, 5).ordinals.tolist() == []
        assert index.score(query, np.arange(3)).tolist() == [0, 0, 0]
    assert indexed([], kernel=kernel).search("a", 5).ordinals.tolist() == []
    assert indexed([["", ""]], kernel=kernel).search("a", 5).ordinals.tolist() == []


@pytest.mark.parametrize("kernel", KERNELS)
def test_zero_scores_count_as_found(kernel: Any, indexed: Any) -> None:
    """Under robertson a term that most passages have weighs nothing; they share it all the same."""
    index = indexed([["a b", "a", "a"]], parameters=Bm25Parameters(Bm25Variant.ROBERTSON), kernel=kernel)
    scores, ordinals = index.search("a", 5)
    assert ordinals.tolist() == [0, 1, 2] and scores.tolist() == [0, 0, 0]


@pytest.mark.parametrize("kernel", KERNELS)
def test_any_term_frequency_is_exact(kernel: Any, indexed: Any) -> None:
    texts = ["a " * n for n in (1, 254, 255, 256, 300, 70_000)]
    parameters = Bm25Parameters(k1=50.0, b=0.0)
    index = indexed([texts, ["b", "a " * 1000]], parameters=parameters, kernel=kernel)
    scores, ordinals = index.search("a", 9)
    assert ordinals.tolist() == [5, 7, 4, 3, 2, 1, 0]
    frequency = np.array([70_000, 1000, 300, 256, 255, 254, 1])
    np.testing.assert_allclose(scores, np.log(1 + 1.5 / 7.5) * frequency / (frequency + 50), rtol=1e-6)


def test_repeated_query_terms_count_as_often(indexed: Any) -> None:
    index = indexed([["a b", "b", "c"]])
    once, twice = index.search("a", 1).scores[0], index.search("a a", 1).scores[0]
    assert twice == 2 * once


def test_wrong_arguments(indexed: Any) -> None:
    index = indexed([["a", "b"]])
    assert index.search("a", 0).ordinals.tolist() == []
    assert index.search("a", 10**9).ordinals.tolist() == [0]
    with pytest.raises(UsageError, match="k is -1"):
        index.search("a", -1)
    with pytest.raises(UsageError, match=r"\(3,\).*2 passages"):
        index.search("a", 1, np.ones(3, np.bool_))
    with pytest.raises(UsageError, match="from 0 to 1"):
        index.score("a", np.array([2]))
    with pytest.raises(UsageError, match=r"b is 1\.5; it must be from 0 to 1"):
        Bm25Parameters(b=1.5)
    with pytest.raises(UsageError, match="k1 is nan"):
        Bm25Parameters(k1=float("nan"))
