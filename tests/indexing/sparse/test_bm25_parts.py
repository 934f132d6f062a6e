"""Parts of a collection, each told the statistics of the whole, score as one index of it does, to the bit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import UsageError
from leanseek.indexing.sparse import Bm25Index, Bm25Parameters, Bm25Variant, Statistics, Totals
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


def whole_statistics(parts: list[Bm25Index], terms: list[str]) -> Statistics:
    frequencies = np.sum([part.frequencies(terms) for part in parts], axis=0)
    return Statistics(
        Totals(sum(part.totals.passages for part in parts), sum(part.totals.terms for part in parts)),
        dict(zip(terms, frequencies.tolist(), strict=True)),
    )


@pytest.mark.parametrize("kernel", KERNELS)
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_parts_score_as_the_whole_does(kernel: Any, indexed: Any, data: st.DataObject) -> None:
    parameters = Bm25Parameters(
        data.draw(st.sampled_from(Bm25Variant)),
        data.draw(st.sampled_from([0.0, 0.9, 2.0])),
        data.draw(st.sampled_from([0.0, 0.4, 1.0])),
    )
    texts = data.draw(passages)
    homes = [data.draw(st.integers(0, 2)) for _ in texts]
    gone = [data.draw(st.booleans()) for _ in texts]
    rows = [[row for row in range(len(texts)) if homes[row] == home] for home in range(3)]

    def index(these: list[int]) -> Bm25Index:
        made: Bm25Index = indexed(
            [[texts[row] for row in these]],
            deleted=[np.array([gone[row] for row in these], np.bool_)],
            parameters=parameters,
            kernel=kernel,
        )
        return made

    whole, parts = index(list(range(len(texts)))), [index(these) for these in rows]
    words = data.draw(st.lists(st.sampled_from(WORDS + "z"), max_size=6))
    query = " ".join(words)
    statistics = whole_statistics(parts, sorted(set(words)))
    assert statistics.totals == whole.totals

    expected = whole.score(query, np.arange(len(texts)))
    for these, part in zip(rows, parts, strict=True):
        view = part.under(statistics)
        assert view.score(query, np.arange(len(these))).tobytes() == expected[these].tobytes()
        assert view.idf(query).tobytes() == whole.idf(query).tobytes()
        found = view.search(query, len(texts))
        assert found.scores.tobytes() == expected[np.array(these, np.int64)[found.ordinals]].tobytes()
        # The part itself is as it was.
        assert part.totals.passages == sum(not gone[row] for row in these)

    # Two parts as one, which is a part as well.
    both = [*rows[2], *rows[0]]
    joined = Bm25Index.joined(
        [parts[2], parts[0]], lambda asked: [(f"{both[place]:04}", place) for place in asked]
    )
    assert joined.frequencies(words) == [
        sum(counts) for counts in zip(parts[2].frequencies(words), parts[0].frequencies(words), strict=True)
    ]
    found = joined.under(statistics).search(query, len(texts))
    mine = [row for row in whole.search(query, len(texts)).ordinals.tolist() if row in both]
    assert [both[place] for place in found.ordinals.tolist()] == mine
    assert found.scores.tobytes() == expected[np.array(mine, np.int64)].tobytes()


@pytest.mark.parametrize("kernel", KERNELS)
def test_views_with_other_statistics_do_not_disturb_each_other(kernel: Any, indexed: Any) -> None:
    """In many threads, while every view has another average length, so that none finds its own still prepared."""
    part: Bm25Index = indexed([["a a b", "b c", "a"], ["c c c a"]], kernel=kernel)
    views = [
        Statistics(Totals(100 + extra, 300 + 7 * extra), {"a": 5 + extra, "b": 3, "c": 40})
        for extra in range(6)
    ]

    def scores(number: int) -> bytes:
        found = part.under(views[number % 6]).search("a b c", 9)
        return found.scores.tobytes() + found.ordinals.tobytes()

    alone = [scores(number) for number in range(6)]
    assert len(set(alone)) == 6
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(scores, range(600))) == [alone[number % 6] for number in range(600)]


def test_parts_that_are_joined_share_what_they_have_prepared(indexed: Any) -> None:
    parts = [indexed([["a b", "b c"]]), indexed([["c c c a"], ["b"]])]
    joined = Bm25Index.joined(parts, lambda asked: [("", int(place)) for place in asked])
    statistics = whole_statistics(parts, ["a", "b", "c"])
    prepared = joined.under(statistics)._sums.segments
    assert len(prepared) == 3
    each = [segment for part in parts for segment in part.under(statistics)._sums.segments]
    assert all(one is other for one, other in zip(prepared, each, strict=True))


def test_a_term_without_a_frequency_is_refused(indexed: Any) -> None:
    view = indexed([["a b"]]).under(Statistics(Totals(9, 30), {"a": 2}))
    assert len(view.search("a", 3).ordinals) == 1
    for ask in (lambda: view.search("a b", 3), lambda: view.score("b", np.arange(1)), lambda: view.idf("b")):
        with pytest.raises(UsageError, match="'b'"):
            ask()
