"""How rare a query's terms are, told alike by every back end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from leanseek.indexing.sparse import Bm25Parameters, Bm25Variant
from leanseek.indexing.sparse.base import SparseIndex
from leanseek.indexing.sparse.java import requirements
from leanseek.indexing.sparse.peers import Bm25sIndex, RankBm25Index
from leanseek.text import Analyzer, load_analyzer

TEXTS = ["cat cat dog", "dog bird", "", "cat", "fish dog", "bird bird"]
GONE = 3
LIVE = [text.split() for number, text in enumerate(TEXTS) if number != GONE]
Opened = Callable[[], SparseIndex]


def expected(terms: Sequence[str]) -> list[float]:
    counts = [sum(term in text for text in LIVE) for term in terms]
    return [math.log(1 + (len(LIVE) - n + 0.5) / (n + 0.5)) if n else 0.0 for n in counts]


def peer(kind: Any, simple: Analyzer) -> SparseIndex:
    ordinals = np.array([n for n in range(len(TEXTS)) if n != GONE])
    index: SparseIndex = kind(LIVE, ordinals, len(TEXTS), simple, Bm25Parameters())
    return index


@pytest.mark.parametrize("backend", ["bm25", "bm25s", "rank-bm25", "lucene"])
def test_idf_counts_live_passages(backend: str, indexed: Any, simple: Analyzer) -> None:
    if backend == "bm25":
        deleted = [None, np.array([True, False, False])]
        index: SparseIndex = indexed([TEXTS[:3], TEXTS[3:]], deleted=deleted)
    elif backend == "lucene":
        java, absent, complaint = requirements()
        if java is None or absent:
            pytest.skip(f"the back end lucene needs {', '.join(absent)} {complaint}".strip())
        from leanseek.indexing.sparse.lucene import LuceneIndex

        ordinals = np.array([n for n in range(len(TEXTS)) if n != GONE])
        index = LuceneIndex(map(" ".join, LIVE), ordinals, len(TEXTS), simple, Bm25Parameters())
    else:
        pytest.importorskip(backend.replace("-", "_"))
        index = peer(Bm25sIndex if backend == "bm25s" else RankBm25Index, simple)
    given = index.idf("dog unicorn cat dog bird fish")
    assert given.dtype == np.float32
    np.testing.assert_allclose(given, expected(["dog", "unicorn", "cat", "bird", "fish"]), rtol=1e-6)
    assert len(index.idf("")) == 0


def test_idf_does_not_depend_on_the_variant(indexed: Any) -> None:
    ours = [
        indexed([TEXTS], parameters=Bm25Parameters(variant)).idf("cat dog fish") for variant in Bm25Variant
    ]
    assert all(np.array_equal(ours[0], other) for other in ours[1:])


def test_idf_takes_terms_as_the_index_does(indexed: Any) -> None:
    index = indexed([TEXTS])
    assert index.idf("CAT, cat!").tolist() == index.idf("cat").tolist()
    assert load_analyzer("simple").tokens("CAT, cat!") == ["cat", "cat"]
