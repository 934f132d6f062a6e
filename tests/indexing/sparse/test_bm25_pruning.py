"""Pruning loses nothing: the compiled kernel against NumPy, which visits every posting."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from leanseek.indexing.sparse import Bm25Index, Bm25Parameters, Bm25Variant, PostingsReader
from leanseek.indexing.sparse.kernel import NativeKernel, NumpyKernel, kernel_name

pytestmark = pytest.mark.skipif(kernel_name() == "numpy", reason="the kernel is not compiled")


@pytest.fixture(scope="module")
def large(many_texts: list[str], segment: Any) -> list[PostingsReader]:
    """The 150,000 texts in two segments, the first of three windows."""
    return [segment(many_texts[:140_000]), segment(many_texts[140_000:])]


@pytest.fixture(scope="module")
def masks(many_texts: list[str]) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(2)
    some = generator.random(len(many_texts))
    return {"half": some < 0.5, "few": some < 0.001}


def pair(readers: list[PostingsReader], simple: Any, deleted: Any, variant: Bm25Variant) -> tuple[Any, Any]:
    parameters = Bm25Parameters(variant)
    return tuple(
        Bm25Index(
            readers,
            deleted,
            simple,
            parameters,
            lambda o: [(f"{i:09}", 0) for i in o.tolist()],
            kernel=kernel,
        )
        for kernel in (NativeKernel(), NumpyKernel())
    )


def same(native: Bm25Index, numpy: Bm25Index, query: str, k: int, allowed: Any = None) -> None:
    found, expected = native.search(query, k, allowed), numpy.search(query, k, allowed)
    assert found.ordinals.tolist() == expected.ordinals.tolist(), (query, k)
    assert found.scores.tobytes() == expected.scores.tobytes(), (query, k)


@pytest.mark.parametrize("k", [1, 10, 100, 1000])
def test_pruned_equals_exhaustive(large: Any, simple: Any, many_queries: list[str], k: int) -> None:
    native, numpy = pair(large, simple, [None, None], Bm25Variant.LUCENE)
    for query in many_queries:
        same(native, numpy, query, k)


@pytest.mark.parametrize("variant", list(Bm25Variant))
def test_under_every_variant(large: Any, simple: Any, many_queries: list[str], variant: Bm25Variant) -> None:
    native, numpy = pair(large, simple, [None, None], variant)
    for query in many_queries[::3]:
        same(native, numpy, query, 20)


def test_with_masks_and_deletions(large: Any, simple: Any, many_queries: list[str], masks: Any) -> None:
    deleted = [masks["half"][:140_000], masks["half"][140_000:]]
    native, numpy = pair(large, simple, deleted, Bm25Variant.LUCENE)
    for query in many_queries[::4]:
        for allowed in (None, masks["few"]):
            same(native, numpy, query, 15, allowed)


def test_on_real_text(texts: Any, segment: Any) -> None:
    from leanseek.text import load_analyzer

    documents, queries = texts("scifact", queries=100)
    analyzer = load_analyzer("english")
    native, numpy = pair([segment(documents, analyzer)], analyzer, [None], Bm25Variant.LUCENE)
    for query in [*queries, *documents[:40]]:
        for k in (1, 10, 100):
            same(native, numpy, query, k)


def test_exact_scores_of_any_passage(large: Any, simple: Any, many_queries: list[str]) -> None:
    native, numpy = pair(large, simple, [None, None], Bm25Variant.BM25PLUS)
    ordinals = np.random.default_rng(4).integers(0, native.size, 500)
    for query in many_queries[::5]:
        assert native.score(query, ordinals).tobytes() == numpy.score(query, ordinals).tobytes()
        found = native.search(query, 50)
        assert native.score(query, found.ordinals).tobytes() == found.scores.tobytes()


def test_threads_get_what_one_gets(large: Any, simple: Any, many_queries: list[str]) -> None:
    native, _ = pair(large, simple, [None, None], Bm25Variant.LUCENE)
    alone = [native.search(query, 50) for query in many_queries]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda query: native.search(query, 50), many_queries * 4))
    for number, found in enumerate(together):
        expected = alone[number % len(alone)]
        assert found.ordinals.tolist() == expected.ordinals.tolist()
        assert found.scores.tobytes() == expected.scores.tobytes()
    batch = native.search_batch(many_queries, 50)
    assert all(a.scores.tobytes() == b.scores.tobytes() for a, b in zip(batch, alone, strict=True))


@pytest.mark.parametrize("long_ones", [20, 400])
def test_long_passages_and_large_frequencies(segment: Any, simple: Any, long_ones: int) -> None:
    """Few long passages among short ones, and many: the kernel has another path for each."""
    generator = np.random.default_rng(5)
    words = np.array(["a", "b", "c", "d", "e", "f"])
    lengths = [*generator.integers(0, 40, 800), *generator.integers(200, 700, long_ones)]
    texts = [
        " ".join(generator.choice(words, length, p=[0.5, 0.2, 0.15, 0.1, 0.04, 0.01])) for length in lengths
    ]
    native, numpy = pair([segment(texts)], simple, [None], Bm25Variant.LUCENE)
    for query in ("a", "f", "e f", "a b c d e f", "b b f"):
        for k in (1, 10, 2000):
            same(native, numpy, query, k)
        every = np.arange(len(texts))
        assert native.score(query, every).tobytes() == numpy.score(query, every).tobytes()
