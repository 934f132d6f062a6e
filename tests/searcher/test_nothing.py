"""Why a search has no hit, and what of a query was not encoded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import HashEncoder

from leanseek import Document, Index, Searcher
from leanseek.records import remarks_record
from leanseek.types import Nothing

DOCUMENTS = [
    Document("a", "The pump freezes.", metadata={"year": 2001}),
    Document("b", "A valve leaks.", metadata={"year": 2002}),
]


@pytest.fixture
def sparse(tmp_path: Path) -> Iterator[Searcher]:
    Index.create(tmp_path / "sparse", encoder=None).add(DOCUMENTS)
    with Searcher.open(tmp_path / "sparse") as searcher:
        yield searcher


@pytest.fixture
def hybrid(tmp_path: Path) -> Iterator[Searcher]:
    Index.create(tmp_path / "hybrid", encoder=HashEncoder(), chunk_words=1).add(DOCUMENTS)
    with Searcher.open(tmp_path / "hybrid", encoder=HashEncoder()) as searcher:
        yield searcher


def why(searcher: Searcher, query: str, **options: object) -> Nothing:
    answer = searcher.answer(query, **options)  # type: ignore[arg-type]
    assert answer.hits == [] and answer.nothing is not None
    told = remarks_record(answer)
    assert (told["hits"], told["reason"], told["message"]) == (0, *answer.nothing)
    return answer.nothing


def test_a_query_without_words_of_the_index(sparse: Searcher) -> None:
    assert why(sparse, " \t") == ("empty_query", "the query is empty")
    reason, sentence = why(sparse, "the")
    assert reason == "no_words" and "no word of the query is searched (stop words and" in sentence
    reason, sentence = why(sparse, "Zebras and zebras, unicorns")
    assert reason == "unknown_words"
    assert sentence.startswith(
        "no word of the query is in the index (Zebras, zebras, unicorns); the index has no dense"
    )


def test_a_filter_that_leaves_nothing(sparse: Searcher, hybrid: Searcher) -> None:
    for searcher in (sparse, hybrid):
        reason, sentence = why(searcher, "pump", filter="year > 2010")
        assert reason == "filter"
        assert (
            sentence == "none of the 2 documents meets the filter; the index has the fields id, title, year"
        )
    reason, sentence = why(sparse, "pump", filter="year = 2002")
    assert reason == "filter"
    assert sentence == "1 of 2 documents meets the filter, and none of those has a word of the query (pump)"


def test_a_side_that_the_mode_leaves_out(hybrid: Searcher) -> None:
    reason, sentence = why(hybrid, "zebra", mode="sparse")
    assert reason == "unknown_words" and sentence.endswith("; the search is sparse, while mode hybrid finds documents "
                                                           "by their meaning too")  # fmt: skip
    assert hybrid.answer("zebra").nothing is None


def test_an_empty_index(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "i", encoder=None)
    index.add(DOCUMENTS)
    index.delete(["a", "b"])
    with Searcher.open(tmp_path / "i") as searcher:
        assert why(searcher, "pump").reason == "empty_index"
        assert why(searcher, "pump", filter="year = 2001").reason == "empty_index"


def words_of(count: int) -> str:
    """A query of so many different words."""
    return " ".join(["pump", *(f"w{number}" for number in range(count - 1))])


def test_an_answer_tells_how_much_of_its_query_was_cut(hybrid: Searcher, sparse: Searcher) -> None:
    limit = HashEncoder.max_tokens
    assert [hybrid.answer(words_of(words)).tokens_lost for words in (1, limit, limit + 1, 30)] == [
        0,
        0,
        1,
        18,
    ]
    assert hybrid.truncation.query_sentence() == "2 queries cut at the encoder's 12 tokens: 19 tokens lost."
    assert remarks_record(hybrid.answer(words_of(13))) == {"query_tokens_lost": 1}
    assert remarks_record(hybrid.answer("pump")) == {}
    assert sparse.answer(words_of(30)).tokens_lost == 0
