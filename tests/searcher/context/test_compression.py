"""Compressed contexts: the sentences that answer, in order, at their places, and never a citation without text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import HashEncoder

from leanseek import Document, Index, Searcher
from leanseek.errors import UsageError
from leanseek.rerank.crossencoder.extracts import DECAY, covering_order
from leanseek.searcher.context import pack
from leanseek.searcher.context.compression import LONGEST, fill, lead, neighbours, split
from leanseek.types import Hit, Passage

TOWER = (
    "The tower stands on the Champ de Mars in Paris. It is named after an engineer. Its height is 330 metres. "
    "Artists protested against it in a letter. Millions of visitors climb it every year. It is painted every "
    "seven years."
)
CODE = "def add(first, second):\n" + "\n".join(f"    total{n} = first + second * {n}" for n in range(30))
TABLE = "\n".join(f"row {n} | {n * n} metres | tower" for n in range(40))
DOCUMENTS = [
    Document("tower", TOWER, "Eiffel Tower"),
    Document("code", CODE, "add"),
    Document("table", TABLE, ""),
    Document("short", "Towers are tall.", ""),
    Document("title", "", "A title about towers alone"),
    Document("endless", "tower and metres " * 120, ""),
    Document("parts", " ".join(f"Sentence {n} is about towers of {n} metres." for n in range(60)), "Parts"),
]
TEXTS = {document.id: document.text for document in DOCUMENTS}


@pytest.fixture(scope="module")
def lexical(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compression") / "index"
    Index.create(path, encoder=None, chunk_words=80, chunk_overlap=20).add(DOCUMENTS)
    return path


def words(text: str) -> int:
    return len(text.split())


def test_the_sentence_that_answers_is_kept_and_gaps_are_marked(lexical: Path) -> None:
    with Searcher.open(lexical) as searcher:
        whole = searcher.context("height in metres of the Eiffel tower", k=1)
        half = searcher.context("height in metres of the Eiffel tower", k=1, compress=0.3)
    assert whole.passages[0].text == TOWER
    assert half.passages[0].text == (
        "The tower stands on the Champ de Mars in Paris. … Its height is 330 metres. …"
    )
    assert half.tokens < whole.tokens
    assert [TOWER[span.start : span.end] for span in half.passages[0].spans] == [
        "The tower stands on the Champ de Mars in Paris.",
        "Its height is 330 metres.",
    ]


@pytest.mark.parametrize("share", [0.01, 0.2, 1 / 3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("budget", [12, 60, 200, 4000])
def test_quotes_stand_at_their_places_and_no_citation_is_empty(
    lexical: Path, share: float, budget: int
) -> None:
    with Searcher.open(lexical) as searcher:
        context = searcher.context("towers of 330 metres", budget, compress=share)
    assert context.tokens <= budget
    for cited in context.passages:
        quotes = [TEXTS[cited.id][span.start : span.end] for span in cited.spans]
        assert " … ".join(quotes) == cited.text.removesuffix(" …")
        assert all(quotes) and (quotes or not TEXTS[cited.id])
        assert list(cited.spans) == sorted(cited.spans, key=lambda span: span.start)


def test_a_share_of_one_is_the_whole_context(lexical: Path) -> None:
    with Searcher.open(lexical) as searcher:
        assert searcher.context("towers", compress=1.0) == searcher.context("towers")
        assert searcher.context("towers", compress=1) == searcher.context("towers")


def test_more_sources_fit(lexical: Path) -> None:
    with Searcher.open(lexical) as searcher:
        whole = searcher.context("towers of metres", 150)
        third = searcher.context("towers of metres", 150, compress=0.2)
    assert len(third.passages) > len(whole.passages)


def test_without_token_vectors_words_decide_and_a_note_says_so(lexical: Path, tmp_path: Path) -> None:
    with Searcher.open(lexical) as searcher:
        [note] = searcher.context("towers", k=3, compress=0.5).notes
        assert searcher.context("zzz", compress=0.5).passages == ()
    assert note == (
        "sentences were chosen by the words that they share with the query: the index has no encoder"
    )
    own = tmp_path / "own"
    Index.create(own, encoder=HashEncoder()).add(DOCUMENTS)
    with Searcher.open(own, encoder=HashEncoder()) as searcher:
        assert (
            "'test-hash-encoder' gives no vectors of tokens"
            in searcher.context("towers", compress=0.5).notes[0]
        )
        assert "the search is sparse" in searcher.context("towers", compress=0.5, mode="sparse").notes[0]
        assert not any("sentences" in note for note in searcher.context("towers", compress=1).notes)


@pytest.mark.parametrize("share", [0, -0.5, 1.01, 2, float("nan"), float("inf"), True, "0.5"])
def test_a_share_outside_its_range_is_refused(lexical: Path, share: float) -> None:
    with (
        Searcher.open(lexical) as searcher,
        pytest.raises(
            UsageError, match=r"compress is .*; give the share of the words to keep, above 0 and at"
        ),
    ):
        searcher.context("towers", compress=share)


@given(
    st.lists(st.integers(1, 60), max_size=30).flatmap(
        lambda lengths: st.tuples(st.just(lengths), st.permutations(range(len(lengths))))
    ),
    st.floats(0.001, 1.0),
    st.floats(0.001, 1.0),
)
def test_about_the_share_is_kept_and_a_larger_one_keeps_all_of_it(
    case: tuple[list[int], list[int]], one: float, other: float
) -> None:
    lengths, order = case
    less, more = (fill(order, lengths, share) for share in sorted((one, other)))
    assert set(less) <= set(more) and less == sorted(less)
    assert bool(less) == bool(lengths)
    last = lengths[order[len(less) - 1]] if less else 0
    kept, wanted = sum(lengths[place] for place in less), min(one, other) * sum(lengths)
    assert len(less) == 1 or kept <= wanted + last / 2 + 1e-9
    assert set(less) == set(order[: len(less)])


def test_shares_worked_out_by_hand() -> None:
    # 30 words, half of them: 10, then the 10 of which 5 lie within.
    assert fill([2, 0, 1], [10, 10, 10], 0.5) == [0, 2]
    assert fill([2, 0, 1], [11, 9, 10], 0.5) == [2]
    assert fill([1, 0], [5, 95], 0.1) == [1]
    assert fill([], [], 0.5) == []
    assert neighbours([0, 1, 4, 6, 7, 8]) == [(0, 1), (4, 4), (6, 8)]


@given(st.lists(st.frozensets(st.sampled_from("abcdef")), max_size=12), st.data())
def test_the_order_by_words_takes_the_greatest_again_and_again(
    sentences: list[frozenset[str]], data: st.DataObject
) -> None:
    weights = {term: float(data.draw(st.integers(0, 4))) for term in "abcd"}
    left, wanted, rest = dict(weights), [], list(range(len(sentences)))
    while rest:
        best = max(
            rest, key=lambda place: (math.fsum(left.get(term, 0.0) for term in sentences[place]), -place)
        )
        rest.remove(best)
        wanted.append(best)
        left = {term: weight * (DECAY if term in sentences[best] else 1) for term, weight in left.items()}
    assert covering_order(sentences, weights) == wanted


@given(st.text("aB .!?\n\t\u3042。…", max_size=400))
def test_sentences_cover_a_text_in_order(text: str) -> None:
    sentences = split(text)
    ends = [0]
    for start, end in sentences:
        assert ends[-1] <= start < end and not text[ends[-1] : start].strip()
        ends.append(end)
    assert not text[ends[-1] :].strip()


def test_code_and_tables_are_taken_apart_at_their_lines() -> None:
    assert [CODE[start:end] for start, end in split(CODE)] == [line.strip() for line in CODE.splitlines()]
    assert len(split(TABLE)) == 40
    assert [words(text[start:end]) for text in ["w " * 100] for start, end in split(text)] == [
        LONGEST,
        LONGEST,
        100 - 2 * LONGEST,
    ]
    wrapped = "A sentence that goes on\nin a second line. Another one."
    assert [wrapped[start:end] for start, end in split(wrapped)] == [wrapped[:41], wrapped[42:]]


def test_the_first_sentences_of_a_document_count_more_but_not_those_of_its_later_parts() -> None:
    first, later = (Hit(1, "a", 1.0, "", "", {}, Passage(number, 3, 0)) for number in (0, 2))
    assert np.allclose(lead(first, 3), 0.04 * np.log([1, 2, 3]))
    assert lead(later, 3).tolist() == [0, 0, 0]
    assert lead(Hit(1, "a", 1.0, "", "", {}), 2)[1] > 0


SOURCE = "One two three. Four five six. Seven eight nine. Ten eleven twelve. Last of all."
ENDS = split(SOURCE)


def runs(places: Sequence[int]) -> list[tuple[int, int]]:
    return [(ENDS[first].start, ENDS[last].end) for first, last in neighbours(places)]


def test_kept_sentences_of_neighbouring_parts_join_where_nothing_is_missing() -> None:
    middle = ENDS[2].start
    hits = [
        Hit(1, "d", 1.0, "", SOURCE[:middle].rstrip(), {}, Passage(0, 2, 0)),
        Hit(2, "d", 0.5, "", SOURCE[middle:], {}, Passage(1, 2, middle)),
    ]

    def joined(first: list[int], second: list[int]) -> str:
        kept = [runs(first), [(start - middle, end - middle) for start, end in runs(second)]]
        return (
            pack(hits, 1000, words, shorten=lambda given: [kept[hits.index(hit)] for hit in given])
            .passages[0]
            .text
        )

    assert joined([0, 1], [2, 3, 4]) == SOURCE
    assert joined([1], [2]) == "Four five six. Seven eight nine. …"
    assert joined([0], [2]) == "One two three. … Seven eight nine. …"
    assert joined([1], [3, 4]) == "Four five six. … Ten eleven twelve. Last of all."


@settings(max_examples=60)
@given(st.sets(st.integers(0, 4), min_size=1), st.integers(1, 30))
def test_what_is_kept_is_shortened_at_a_kept_sentence(places: set[int], budget: int) -> None:
    hit = Hit(1, "d", 1.0, "", f"  {SOURCE}\n", {})
    kept = [(start + 2, end + 2) for start, end in runs(sorted(places))]
    context = pack([hit], budget, words, shorten=lambda hits: [kept for _ in hits])
    shown = [SOURCE[start:end] for start, end in runs(sorted(places))]
    for cited in context.passages:
        assert cited.text.rstrip(" …")
        for span in cited.spans:
            quote = hit.text[span.start : span.end]
            assert quote and any(one.startswith(quote) for one in shown) and quote in cited.text
