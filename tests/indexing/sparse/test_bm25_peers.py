"""Our scores against bm25s and rank-bm25, on every collection at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leanseek.indexing.sparse import Bm25Index, Bm25Parameters, Bm25Variant
from leanseek.text import load_analyzer

COLLECTIONS = [
    "arguana-train",
    "cisi",
    "cosqa",
    "cranfield",
    "nfcorpus-prep",
    "pubmedqa",
    "scifact",
    "selqa",
    "squad2-dev",
    "trecqa",
    "vaswani",
    "wikiqa",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("big", "medquad", "miracl-yo", "trec-dl-2019")),
]


def compare(
    texts: Any,
    segment: Any,
    name: str,
    variants: list[Bm25Variant],
    *,
    analyzer_name: str = "english",
) -> None:
    bm25s = pytest.importorskip("bm25s")
    documents, queries = texts(name)
    analyzer = load_analyzer(analyzer_name)
    reader = segment(documents, analyzer)
    numbers: dict[str, int] = {}
    ids = [[numbers.setdefault(token, len(numbers)) for token in analyzer.tokens(text)] for text in documents]
    for variant in variants:
        parameters = Bm25Parameters(variant)
        index = Bm25Index([reader], [None], analyzer, parameters, lambda _: [])
        peer = bm25s.BM25(
            k1=0.9, b=0.4, delta=0.5, method="bm25+" if variant == "bm25plus" else variant.value
        )
        peer.index((ids, numbers), show_progress=False)
        found = 0
        for query in queries:
            tokens = [token for token in analyzer.tokens(query) if token in numbers]
            if not tokens:
                continue
            expected = peer.get_scores(tokens)
            scores, ordinals = index.search(query, 100)
            found += len(ordinals)
            np.testing.assert_allclose(scores, expected[ordinals], atol=1e-4, rtol=0)
            best = -np.sort(-expected)[: len(scores)]
            np.testing.assert_allclose(scores, best, atol=1e-4, rtol=0)
            if len(scores) < 100:
                wanted = {numbers[token] for token in tokens}
                assert len(scores) == sum(not wanted.isdisjoint(row) for row in ids)
        assert found > len(queries)


@pytest.mark.parametrize("name", COLLECTIONS)
def test_scores_equal_bm25s(name: str, texts: Any, segment: Any) -> None:
    analyzer = "simple" if name == "miracl-yo" else "english"
    compare(texts, segment, name, [Bm25Variant.LUCENE], analyzer_name=analyzer)


@pytest.mark.parametrize("variant", list(Bm25Variant))
def test_every_variant_equals_bm25s(variant: Bm25Variant, texts: Any, segment: Any) -> None:
    compare(texts, segment, "cranfield", [variant])


@pytest.mark.parametrize("variant", ["lucene", "robertson", "atire", "bm25l", "bm25plus"])
@pytest.mark.parametrize(
    ("k1", "b", "delta"), [(1.5, 0.75, 1.0), (0.1, 0.4, 0.5), (1.2, 0.0, 0.0), (2.0, 1.0, 2.0)]
)
def test_parameters_equal_bm25s(variant: str, k1: float, b: float, delta: float, indexed: Any) -> None:
    bm25s = pytest.importorskip("bm25s")
    documents = ["a b b c", "a a d", "b e e e e f g h", "a", "c d e"]
    index = indexed([documents], parameters=Bm25Parameters(Bm25Variant(variant), k1, b, delta))
    peer = bm25s.BM25(k1=k1, b=b, delta=delta, method=variant.replace("bm25plus", "bm25+"))
    peer.index([text.split() for text in documents], show_progress=False)
    for query in ["a", "b c", "a e e h", "g a b c d e f"]:
        scores, ordinals = index.search(query, 10)
        np.testing.assert_allclose(scores, peer.get_scores(query.split())[ordinals], atol=1e-5)


@pytest.mark.parametrize("name", ["cisi", "cranfield"])
def test_bm25plus_equals_rank_bm25(name: str, texts: Any, segment: Any) -> None:
    """The one variant that rank-bm25 computes by the same formula."""
    rank_bm25 = pytest.importorskip("rank_bm25")
    documents, queries = texts(name, queries=8)
    analyzer = load_analyzer("english")
    peer = rank_bm25.BM25Plus([analyzer.tokens(text) for text in documents], k1=0.9, b=0.4, delta=0.5)
    parameters = Bm25Parameters(Bm25Variant.BM25PLUS)
    index = Bm25Index([segment(documents, analyzer)], [None], analyzer, parameters, lambda _: [])
    for query in queries:
        scores, ordinals = index.search(query, 100)
        expected = peer.get_scores(analyzer.tokens(query))
        np.testing.assert_allclose(scores, expected[ordinals], atol=1e-4, rtol=0)
        np.testing.assert_allclose(scores, -np.sort(-expected)[: len(scores)], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("name", "expected"), [("scifact", 0.685), ("cranfield", 0.342), ("cisi", 0.371)])
def test_ndcg_of_the_default_settings(
    name: str, expected: float, collection: Callable[[str], Path], segment: Any
) -> None:
    import json

    folder = collection(name)
    records = [json.loads(line) for line in (folder / "corpus.jsonl").open()]
    queries = {r["_id"]: r["text"] for r in map(json.loads, (folder / "queries.jsonl").open())}
    judged: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        judged.setdefault(query, {})[document] = int(grade)
    analyzer = load_analyzer("english")
    reader = segment([f"{r['title']} {r['text']}" for r in records], analyzer)
    index = Bm25Index([reader], [None], analyzer, Bm25Parameters(), lambda _: [])
    discounts = 1 / np.log2(np.arange(2, 12))
    total = 0.0
    for query, grades in judged.items():
        ranked = [grades.get(records[o]["_id"], 0) for o in index.search(queries[query], 10).ordinals]
        ideal = sorted(grades.values(), reverse=True)[:10]
        if any(ideal):
            total += np.dot(ranked, discounts[: len(ranked)]) / np.dot(ideal, discounts[: len(ideal)])
    assert total / len(judged) == pytest.approx(expected, abs=0.001)
