"""Re-ranking by learned sparse vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leanseek import Document, Index, Searcher
from leanseek.encode.batches import Deadline
from leanseek.encode.learned_registry import load_learned_encoder
from leanseek.rerank import LearnedSparseReranker, load_reranker
from leanseek.types import Hit, content

TEXTS = {
    "statin": ("Statins", "Statins lower cholesterol and prevent heart attacks in most trials."),
    "aspirin": ("Aspirin", "Aspirin thins the blood; its use in healthy people is debated."),
    "wing": ("Wing loads", "Loads on a wing rise with the square of the speed."),
    "empty": ("", "…"),
}
QUERIES = ["do statins help?", "how fast may an aircraft fly", "blood"]
HITS = [
    Hit(rank, name, 1.0 / rank, title, text, {})
    for rank, (name, (title, text)) in enumerate(TEXTS.items(), 1)
]


@pytest.fixture(scope="module")
def reranker() -> LearnedSparseReranker:
    loaded = load_reranker("learned", cache=False)
    assert isinstance(loaded, LearnedSparseReranker)
    return loaded


def test_scores_are_inner_products(reranker: LearnedSparseReranker) -> None:
    encoder = load_learned_encoder("splade")
    found = reranker.judge(QUERIES, [HITS] * 3)
    for query, judged in zip(QUERIES, found, strict=True):
        wanted = encoder.encode_queries([query]).row(0)
        weights = dict(zip(wanted.terms.tolist(), wanted.weights.tolist(), strict=True))
        for hit, score in zip(HITS, judged.scores, strict=True):
            row = encoder.encode_documents([content(hit.title, hit.text)]).row(0)
            expected = sum(
                weights.get(term, 0.0) * weight
                for term, weight in zip(row.terms.tolist(), row.weights.tolist(), strict=True)
            )
            assert score == pytest.approx(expected, abs=1e-3)
    assert [reranker.rerank(query, HITS)[0].id for query in QUERIES] == ["statin", "wing", "aspirin"]


def test_it_orders_as_a_learned_search_does(reranker: LearnedSparseReranker, tmp_path: Path) -> None:
    with Index.create(tmp_path / "l.index", encoder=None, learned="splade") as index:
        index.add(Document(name, text, title=title) for name, (title, text) in TEXTS.items())
    with Searcher.open(tmp_path / "l.index", relevance=None) as searcher:
        for query in QUERIES:
            searched = [hit.id for hit in searcher.search(query, k=3, mode="learned")]
            ordered = [hit.id for hit in reranker.rerank(query, HITS) if hit.score > 0]
            assert ordered[: len(searched)] == searched


def test_what_is_not_read_keeps_its_place(reranker: LearnedSparseReranker) -> None:
    assert [hit.id for hit in reranker.rerank("  ", HITS)] == [hit.id for hit in HITS]
    [late] = reranker.rerank_batch(QUERIES[:1], [HITS], deadline=Deadline(0))
    assert late.reached == 0 and [hit.id for hit in late.hits] == [hit.id for hit in HITS]
    assert reranker.rerank(QUERIES[0], []) == []


CODE = """def add(self, n):
    total = self.total[n] + 1  # one more
    return {"total": total, 'n': n_of(total)}"""


@pytest.mark.parametrize(
    ("texts", "trust"),
    [
        ([text for _, text in TEXTS.values()][:3], 1.0),
        ([CODE, CODE], 0.0),
        (["", " "], 1.0),
        (["Über Köpfe, l'âme (naïve) – “ja”!"], 1.0),
        (["one two three four x=1"], 1.0),
        (["one two three x=1"], 0.5),
    ],
)
def test_it_trusts_itself_with_prose_alone(
    texts: list[str], trust: float, reranker: LearnedSparseReranker
) -> None:
    hits = [Hit(rank, str(rank), 1.0, "", text, {}) for rank, text in enumerate(texts, 1)]
    assert reranker.trust(hits) == pytest.approx(trust)


def test_equal_scores_are_ordered_by_id(reranker: LearnedSparseReranker) -> None:
    same = [Hit(rank, name, 0.5, "", "Statins lower cholesterol.", {}) for rank, name in enumerate("cab", 1)]
    assert [hit.id for hit in reranker.rerank("statins", same)] == ["a", "b", "c"]


def test_the_cache_changes_nothing(reranker: LearnedSparseReranker) -> None:
    cached = load_reranker("learned")
    for _ in range(2):
        for query in QUERIES:
            first, second = reranker.rerank(query, HITS), cached.rerank(query, HITS)
            assert [hit.id for hit in first] == [hit.id for hit in second]
            np.testing.assert_allclose([hit.score for hit in first], [hit.score for hit in second], atol=1e-4)


def test_long_passages_are_reported() -> None:
    loaded = load_reranker("learned", cache=False)
    loaded.rerank("statins", [Hit(1, "long", 1.0, "", "statins lower cholesterol " * 400, {})])
    [note] = loaded.notes
    assert note.startswith("1 of 1 passages were longer than the model's")
