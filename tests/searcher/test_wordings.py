"""Several wordings of one question: one ranking, in which every passage is scored by each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import HashEncoder, HashExpander, make_documents

from leanseek import Document, Index, Searcher
from leanseek.encode.base import Encoded
from leanseek.errors import UsageError
from leanseek.searcher.wordings import combined

DOCUMENTS = make_documents(300, 5)
WORDINGS = ["statin trial", "wing slipstream layer", "glucose insulin"]
MODES = ["hybrid", "dense", "sparse", "learned"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wordings") / "index"
    index = Index.create(folder, encoder=HashEncoder(), learned=HashExpander())
    index.add(DOCUMENTS[:120], cache=False)
    index.add(DOCUMENTS[120:], cache=False)
    return folder


@pytest.fixture
def searcher(path: Path) -> Searcher:
    return Searcher.open(path, encoder=HashEncoder(), learned=HashExpander())


def scaled(scores: dict[str, float], ids: Sequence[str]) -> dict[str, float]:
    """Scores from the least to the best of the passages, 0 to 1; what was not found has 0 of the raw score."""
    given = [scores.get(one, 0.0) for one in ids]
    return {
        one: (score - min(given)) / (max(given) - min(given)) for one, score in zip(ids, given, strict=True)
    }


@pytest.mark.parametrize("mode", MODES)
def test_every_wording_scores_what_any_has_found(searcher: Searcher, mode: str) -> None:
    """Halfway between the best and the mean, computed here from a search for each wording over everything."""
    alone = [
        {hit.id: hit.score for hit in searcher.search(one, 300, mode=mode, depth=300)} for one in WORDINGS
    ]
    found = sorted({one for scores in alone for one in scores})
    assert mode in ("sparse", "learned") or all(set(scores) == set(found) for scores in alone)
    every = [scaled(scores, found) for scores in alone]
    expected = {one: (max(s[one] for s in every) + sum(s[one] for s in every) / 3) / 2 for one in found}
    hits = searcher.search(queries=WORDINGS, k=300, mode=mode, depth=300)
    assert {hit.id: hit.score for hit in hits} == pytest.approx(expected, abs=1e-5)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    ties = [(-hit.score, hit.id) for hit in hits]
    assert ties == sorted(ties)


def test_what_only_another_wording_finds_is_found(searcher: Searcher) -> None:
    first = {hit.id for hit in searcher.search("statin", 300, mode="sparse")}
    other = {hit.id for hit in searcher.search("orbit", 300, mode="sparse")}
    both = [hit.id for hit in searcher.search("statin", 300, queries=["orbit"], mode="sparse", depth=300)]
    assert set(both) == first | other
    assert len(searcher.search("statin", 5, queries=["orbit"], depth=5)) == 5


def test_one_wording_is_a_plain_search_however_it_is_given(searcher: Searcher) -> None:
    plain = searcher.search("statin trial", explain=True)
    for given in (
        {"queries": ["statin trial"]},
        {"query": "statin trial", "queries": []},
        {"query": "statin trial", "queries": ["statin trial", "", "  "]},
        {"query": " ", "queries": ["statin trial"]},
    ):
        assert searcher.search(**given, explain=True) == plain


def test_a_query_is_the_first_of_its_wordings(searcher: Searcher) -> None:
    query, *others = WORDINGS
    hits = searcher.search(query, queries=others, explain=True)
    assert hits == searcher.search(queries=WORDINGS, explain=True)
    assert hits == asyncio.run(searcher.asearch(query, queries=others, explain=True))
    alone = {hit.id: hit.explanation for hit in searcher.search(query, 300, depth=300, explain=True)}
    for hit in hits:
        assert hit.explanation is not None and len(hit.explanation.wordings) == 3
        assert hit.explanation.dense is not None and hit.explanation.dense.score == pytest.approx(
            alone[hit.id].dense.score, abs=1e-6
        )
    for place, wording in enumerate(WORDINGS):
        best = searcher.search(wording, 1)[0].id
        ranks = {
            hit.id: hit.explanation.wordings[place].rank
            for hit in searcher.search(queries=WORDINGS, k=300, explain=True)
        }
        assert ranks[best] == 1


def test_the_first_wordings_operators_hold_for_all_and_the_others_are_text(searcher: Searcher) -> None:
    texts = {one.id: f"{one.title} {one.text}".lower().split() for one in DOCUMENTS}
    answer = searcher.answer("statin -wing", 50, queries=["wing slipstream", "-orbit rocket"])
    assert len(answer.hits) == 50 and not any("wing" in texts[hit.id] for hit in answer.hits)
    assert any("orbit" in texts[hit.id] for hit in answer.hits)
    assert [one.written for one in answer.operators] == ["-wing"]
    literal = searcher.search("statin -wing", 50, queries=["wing slipstream"], literal=True)
    assert any("wing" in texts[hit.id] for hit in literal)


def test_the_encoder_gets_all_wordings_at_once(path: Path) -> None:
    class Counting(HashEncoder):
        batches: list[list[str]] = []  # noqa: RUF012

        def encode_queries(self, texts: Sequence[str]) -> Encoded:
            self.batches.append(list(texts))
            return super().encode_queries(texts)

    encoder = Counting()
    searcher = Searcher.open(path, encoder=encoder, learned=HashExpander())
    searcher.search(queries=[*WORDINGS, WORDINGS[0]])
    assert encoder.batches == [WORDINGS]


@pytest.mark.parametrize("mode", ["hybrid", "sparse"])
def test_parts_of_documents_and_copies_count_once(tmp_path: Path, mode: str) -> None:
    index = Index.create(tmp_path / "i", encoder=HashEncoder(), chunk_words=4)
    index.add([Document("long", "statin heart trial " * 200), *make_documents(60, 2)], cache=False)
    index.add([Document(f"copy{place:02}", "statin orbit") for place in range(40)], cache=False)
    searcher = Searcher.open(tmp_path / "i", encoder=HashEncoder())
    hits = searcher.search("statin", 10, queries=["heart trial"], mode=mode, depth=10)
    assert len({hit.id for hit in hits}) == 10
    merged = searcher.search("statin orbit", 10, queries=["statin"], mode=mode, depth=10, collapse=True)
    assert len(merged) == 10
    [copied] = [hit for hit in merged if hit.id.startswith("copy")]
    assert copied.id == "copy00" and len(copied.copies) == 39


def test_a_context_takes_wordings_too(searcher: Searcher) -> None:
    ids = {one.id for one in searcher.context("statin", 2000, queries=["orbit rocket"], k=8).passages}
    hits = searcher.search("statin", 8, queries=["orbit rocket"], literal=True)
    assert ids == {hit.id for hit in hits}
    assert searcher.context(queries=["statin"], k=3) == searcher.context("statin", k=3)


def test_what_cannot_be_searched(searcher: Searcher) -> None:
    for given in ({}, {"queries": []}, {"query": None}):
        with pytest.raises(UsageError, match="give a query"):
            searcher.search(**given)
    for queries in ("heart", ["heart", 3]):
        with pytest.raises(UsageError, match="list of strings"):
            searcher.search("x", queries=queries)
    answer = searcher.answer(queries=["", " "])
    assert not answer.hits and answer.nothing is not None and answer.nothing.reason == "empty_query"


@pytest.mark.parametrize("mode", MODES)
def test_where_no_wording_finds_anything(searcher: Searcher, mode: str) -> None:
    options: dict[str, Any] = {"mode": mode, "queries": ["wing", "orbit"]}
    assert searcher.search("statin", filter="year > 3000", recency="year:3y", diversity=0.5, **options) == []
    answer = searcher.answer("statin +zebra", **options)
    assert answer.hits == [] and answer.nothing is not None and answer.nothing.reason == "operators"


def test_equal_scores_of_a_wording_are_all_its_best() -> None:
    found = combined(np.array([[0.5, 0.5, 0.5], [0.0, 1.0, 3.0]]))
    assert found == pytest.approx([(1 + 1 / 2) / 2, (1 + 2 / 3) / 2, 1.0])
