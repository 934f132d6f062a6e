"""Searching an index: modes, fusion, filters, roll-up to documents, and the Python API's promises."""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from support import HashEncoder, make_documents

from leanseek import Document, Hit, Index, Searcher, SparseSettings
from leanseek.errors import FilterError, UsageError
from leanseek.searcher.fusion.registry import load_fusion

DOCUMENTS = make_documents(400, 11)
QUERIES = ["statin trial", "wing slipstream layer", "kinase receptor", "matrix", "glucose insulin query"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searcher") / "index"
    index = Index.create(folder, encoder=HashEncoder())
    index.add(DOCUMENTS[:150], cache=False)
    index.add(DOCUMENTS[150:], cache=False)
    return folder


@pytest.fixture
def searcher(path: Path) -> Searcher:
    return Searcher.open(path, encoder=HashEncoder())


def dense_scores(query: str) -> dict[str, float]:
    encoder = HashEncoder()
    vectors = encoder.encode_documents([f"{d.title} {d.text}".strip() for d in DOCUMENTS]).vectors
    scores = vectors @ encoder.encode_queries([query]).vectors[0]
    return {document.id: float(score) for document, score in zip(DOCUMENTS, scores, strict=True)}


def test_dense_mode_is_exact(searcher: Searcher) -> None:
    for query in QUERIES:
        expected = dense_scores(query)
        hits = searcher.search(query, 30, mode="dense")
        assert [hit.score for hit in hits] == pytest.approx(
            sorted(expected.values(), reverse=True)[:30], abs=1e-5
        )
        assert all(hit.score == pytest.approx(expected[hit.id], abs=1e-5) for hit in hits)


def test_hybrid_scores_every_candidate_exactly_on_both_sides(searcher: Searcher) -> None:
    for query in QUERIES:
        sparse = {hit.id: hit.score for hit in searcher.search(query, 400, mode="sparse")}
        dense = dense_scores(query)
        # A depth at which each side misses much of what the other finds.
        hits = searcher.search(query, 5, depth=8, explain=True)
        for hit in hits:
            assert hit.explanation is not None
            assert hit.explanation.sparse is not None and hit.explanation.dense is not None
            assert hit.explanation.sparse.score == sparse.get(hit.id, 0.0)
            assert hit.explanation.dense.score == pytest.approx(dense[hit.id], abs=1e-5)


def test_the_default_is_convex_combination_with_theoretical_minima(searcher: Searcher) -> None:
    query = QUERIES[0]
    sparse = {hit.id: hit.score for hit in searcher.search(query, 400, mode="sparse")}
    dense = dense_scores(query)
    most_sparse, most_dense = max(sparse.values()), max(dense.values())
    expected = {
        id: 0.8 * (dense[id] + 1) / (most_dense + 1) + 0.2 * sparse.get(id, 0.0) / most_sparse for id in dense
    }
    ranking = sorted(expected, key=lambda id: (-round(expected[id], 6), id))[:10]
    hits = searcher.search(query, 10)
    assert [hit.score for hit in hits] == pytest.approx([expected[id] for id in ranking], abs=1e-5)


def test_equal_scores_stand_in_order_of_ids(searcher: Searcher) -> None:
    for mode in ("sparse", "dense", "hybrid"):
        for query in QUERIES:
            for one, other in zip(hits := searcher.search(query, 200, mode=mode), hits[1:], strict=False):
                assert (one.score, other.id) > (other.score, one.id) or one.score > other.score


@pytest.mark.parametrize("mode", ["sparse", "dense", "hybrid"])
@pytest.mark.parametrize(
    ("condition", "keep"),
    [
        ("year >= 2015", lambda m: m["year"] >= 2015),
        ('tags = "a" and not year < 2000', lambda m: "a" in m["tags"] and m["year"] >= 2000),
        ("year = 1993", lambda m: m["year"] == 1993),
        ("year > 3000", lambda m: False),
    ],
)
def test_filters_are_applied_inside_both_searches(searcher: Searcher, mode: str, condition, keep) -> None:  # type: ignore[no-untyped-def]
    matching = {document.id for document in DOCUMENTS if keep(document.metadata)}
    for query in QUERIES:
        everything = [hit for hit in searcher.search(query, 400, mode=mode) if hit.id in matching]
        hits = searcher.search(query, 10, mode=mode, filter=condition, depth=10)
        assert len(hits) == min(10, len(everything))
        assert {hit.id for hit in hits} <= matching
        if mode != "hybrid":  # whose scores depend on the best of the candidates
            assert [hit.id for hit in hits] == [hit.id for hit in everything[:10]]


@pytest.mark.parametrize("mode", [None, "sparse", "dense"])
def test_one_at_a_time_equals_a_batch_equals_threads(searcher: Searcher, mode: str | None) -> None:
    queries = [" ".join(random.Random(n).choices(QUERIES, k=2)) for n in range(300)] + ["", "  "]
    batch = searcher.search_batch(queries, 5, mode=mode, filter="year > 1995")
    assert batch == [searcher.search(query, 5, mode=mode, filter="year > 1995") for query in queries]
    with ThreadPoolExecutor(8) as pool:
        threads = pool.map(lambda query: searcher.search(query, 5, mode=mode, filter="year > 1995"), queries)
        assert list(threads) == batch
    assert batch[-1] == batch[-2] == []


def test_async_search_gives_the_same(searcher: Searcher) -> None:
    async def ask() -> list[list[Hit]]:
        return await asyncio.gather(*(searcher.asearch(query, 3, explain=True) for query in QUERIES))

    assert asyncio.run(ask()) == [searcher.search(query, 3, explain=True) for query in QUERIES]


@pytest.mark.parametrize("fusion", ["convex", "minmax", "zscore", "dbsf", "rrf", "rrf(k=5)"])
def test_every_fusion_searches(path: Path, fusion: str) -> None:
    named = Searcher.open(path, encoder=HashEncoder(), fusion=fusion, dense_weight=0.7)
    given = Searcher.open(path, encoder=HashEncoder(), fusion=load_fusion(fusion, 0.7))
    for query in (*QUERIES, "nothingknown"):
        hits = named.search(query, 10)
        assert len(hits) == 10 and np.isfinite([hit.score for hit in hits]).all()
        assert hits == given.search(query, 10)


def test_dense_weight_one_orders_like_dense_and_zero_like_sparse(path: Path, searcher: Searcher) -> None:
    for query in QUERIES:
        all_dense = Searcher.open(path, encoder=HashEncoder(), dense_weight=1.0).search(query, 10)
        all_sparse = Searcher.open(path, encoder=HashEncoder(), dense_weight=0.0).search(query, 10)
        assert [h.id for h in all_dense] == [h.id for h in searcher.search(query, 10, mode="dense")]
        assert [h.id for h in all_sparse] == [h.id for h in searcher.search(query, 10, mode="sparse")]


def test_wrong_arguments(path: Path, searcher: Searcher) -> None:
    for k in (0, -1):
        with pytest.raises(UsageError, match="at least 1"):
            searcher.search("statin", k)
    with pytest.raises(UsageError, match="depth"):
        searcher.search("statin", 20, depth=10)
    with pytest.raises(UsageError, match="hybrid, dense, sparse"):
        searcher.search("statin", mode="magic")
    with pytest.raises(FilterError):
        searcher.search("statin", filter="year >=")
    with pytest.raises(UsageError, match="dense weight"):
        Searcher.open(path, dense_weight=1.5)
    only_sparse = Searcher.open(path, mode="sparse")
    assert only_sparse.search("statin")
    with pytest.raises(UsageError, match="mode='sparse'"):
        only_sparse.search("statin", mode="dense")


def test_an_empty_index_answers_nothing(tmp_path: Path) -> None:
    Index.create(tmp_path / "empty", encoder=HashEncoder())
    searcher = Searcher.open(tmp_path / "empty", encoder=HashEncoder())
    for mode in ("hybrid", "dense", "sparse"):
        assert searcher.search("statin", mode=mode) == []


LONG = Document(
    "long",
    " ".join(f"Sentence {n} is about the {word}." for n, word in enumerate(["wing"] * 60 + ["enzyme"] * 3)),
    "A long report",
    {"year": 2000},
)


def chunked(path: Path) -> Path:
    index = Index.create(path, encoder=HashEncoder(), chunk_words=12, chunk_overlap=6)
    index.add([LONG, *(Document(f"short{n}", f"The wing number {n}.") for n in range(5))], cache=False)
    return path


@pytest.mark.parametrize("mode", ["hybrid", "dense", "sparse"])
def test_passages_roll_up_to_documents(tmp_path: Path, mode: str) -> None:
    searcher = Searcher.open(chunked(tmp_path / "index"), encoder=HashEncoder())
    # At depth 6 the long document's parts crowd the others out: it must look deeper by itself.
    hits = searcher.search("wing", 6, mode=mode, depth=6)
    assert len(hits) == 6 and {hit.id for hit in hits} == {"long", *(f"short{n}" for n in range(5))}
    best = next(hit for hit in searcher.search("enzyme", 6, mode=mode) if hit.id == "long")
    assert best.passage is not None and best.passage.count > 10
    assert "enzyme" in best.text or mode == "dense"  # the test's encoder knows nothing of words
    assert LONG.text[best.passage.start : best.passage.start + len(best.text)] == best.text
    assert next(hit for hit in hits if hit.id == "short1").passage is None


def test_context_is_packed_in_order_within_its_budget(tmp_path: Path) -> None:
    searcher = Searcher.open(chunked(tmp_path / "index"), encoder=HashEncoder())
    context = searcher.context("wing enzyme", max_tokens=200)
    assert 0 < context.tokens <= 200
    assert context.text.count("[1]") == 1
    long = next(cited for cited in context.passages if cited.id == "long")
    numbers = [int(word) for word in long.text.split() if word.isdigit()]
    assert numbers == sorted(numbers) and len(set(numbers)) == len(numbers)
    counted = searcher.context("wing enzyme", max_tokens=60, count_tokens=lambda text: len(text.split()))
    assert counted.tokens == len(counted.text.split()) <= 60
    assert searcher.context("", max_tokens=100).passages == ()
    with pytest.raises(UsageError):
        searcher.context("wing", max_tokens=0)


def test_a_sparse_only_index_needs_no_encoder(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=None, sparse=SparseSettings(variant="bm25plus"))
    index.add(DOCUMENTS)
    searcher = Searcher.open(tmp_path / "index")
    assert searcher.mode == "sparse"
    assert searcher.search("statin trial")
    with pytest.raises(UsageError, match="--mode sparse"):
        searcher.search("statin", mode="hybrid")


def test_a_dense_only_index_needs_no_analyser(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=HashEncoder(), sparse=None)
    index.add(DOCUMENTS, cache=False)
    searcher = Searcher.open(tmp_path / "index", encoder=HashEncoder())
    assert searcher.mode == "dense"
    (hit,) = searcher.search("statin trial", 1, explain=True)
    assert hit.explanation is not None and hit.explanation.sparse is None
    with pytest.raises(UsageError, match="--mode dense"):
        searcher.search("statin", mode="sparse")


def test_an_unknown_option_is_an_error_that_lists_the_known_ones(searcher: Searcher) -> None:
    for call in (searcher.search, searcher.answer, searcher.context):
        with pytest.raises(TypeError, match="'filters'; a search takes filter, mode, depth"):
            call("wing", filters="year > 1990")  # type: ignore[call-arg]
