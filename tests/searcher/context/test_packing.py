"""Packing hits into a prompt: the budget holds, citations are whole, nothing is said twice."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import UsageError
from leanseek.searcher.context import Context, pack
from leanseek.text.chunking import Chunking
from leanseek.types import Hit, Passage


def by_words(text: str) -> int:
    return len(text.split())


def by_characters(text: str) -> int:
    return -(-len(text) // 4)


def with_specials(text: str) -> int:
    """Like a tokenizer that frames every text with two special tokens, and splits off punctuation."""
    return 2 + len(re.findall(r"\w+|[^\w\s]|\n+", text))


def hit(rank: int, id: str, text: str, title: str = "", passage: Passage | None = None) -> Hit:
    return Hit(rank, id, 1.0 / rank, title, text, {}, passage)


def parts(id: str, chunks: list[tuple[int, str]], order: list[int]) -> list[Hit]:
    """Hits for the numbered chunks of one document, in the order of their ranks."""
    return [
        hit(rank, id, chunks[number][1], "Title", Passage(number, len(chunks), chunks[number][0]))
        for rank, number in enumerate(order, 1)
    ]


WHALES = "Blue whales are the largest animals known to have ever lived. They eat krill. They sing."
BEES = "Honey bees dance to tell where flowers are. The angle shows the direction. Karl von Frisch read it."


def test_entries_are_numbered_and_cited() -> None:
    context = pack([hit(1, "w 1", WHALES, "Whales,\n\tblue"), hit(2, "b", BEES)], 100, by_words)
    assert context.text == f"[1] Whales, blue (w 1)\n{WHALES}\n\n[2] b\n{BEES}"
    assert [(one.number, one.id, one.text, one.score) for one in context.passages] == [
        (1, "w 1", WHALES, 1.0),
        (2, "b", BEES, 0.5),
    ]
    assert context.tokens == by_words(context.text)
    assert context.left_out == 0


def test_last_passage_is_shortened_at_a_sentence_end() -> None:
    hits = [hit(1, "w", WHALES), hit(2, "b", BEES), hit(3, "c", "Short.")]
    whole = by_words(pack(hits[:2], 100, by_words).text)
    context = pack(hits, whole - 1, by_words)
    assert context.text.endswith(
        "[2] b\nHoney bees dance to tell where flowers are. The angle shows the direction. …"
    )
    assert context.left_out == 1
    assert context.tokens <= whole - 1


def test_passage_without_room_for_a_sentence_is_left_out_with_its_header() -> None:
    hits = [hit(1, "w", WHALES, "Whales"), hit(2, "b", BEES, "Bees")]
    room = by_words(pack(hits[:1], 100, by_words).text)
    for budget in range(room, room + 11):
        context = pack(hits, budget, by_words)
        assert context.text == f"[1] Whales (w)\n{WHALES}"
        assert context.left_out == 1
    assert "[2]" in pack(hits, room + 12, by_words).text


def test_abbreviations_do_not_end_sentences() -> None:
    text = "The trial was led by Dr. Smith et al. in the U.S. and in Norway. It ended early."
    context = pack([hit(1, "a", text)], by_words("[1] a") + 16, by_words)
    assert context.text == "[1] a\nThe trial was led by Dr. Smith et al. in the U.S. and in Norway. …"
    shorter = pack([hit(1, "b", BEES), hit(2, "a", text)], by_words(f"[1] b {BEES} [2] a") + 13, by_words)
    assert shorter.left_out == 1


def test_mark_before_a_small_letter_does_not_end_a_sentence() -> None:
    text = "He asked why? and left the room at once without a word. She stayed."
    context = pack([hit(1, "b", BEES), hit(2, "a", text)], by_words(f"[1] b {BEES} [2] a") + 10, by_words)
    assert context.left_out == 1


def test_first_passage_is_cut_after_a_word_rather_than_nothing() -> None:
    text = "one endless sentence that goes on and on and never comes to any end at all"
    context = pack([hit(1, "a", text)], 7, by_words)
    assert context.text == "[1] a\none endless sentence that …"
    assert context.left_out == 0


def test_budget_too_small_for_anything() -> None:
    note = "nothing fits: the citation of 'a' with one word takes 4 tokens, and max_tokens is 2"
    assert pack([hit(1, "a", WHALES), hit(2, "b", BEES)], 2, by_words) == Context("", (), 0, 2, (note,))
    assert pack([hit(1, "a", WHALES)], 4, by_words).text == "[1] a\nBlue …"


def test_no_hits() -> None:
    assert pack([], 10, by_words) == Context("", (), 0, 0)


@pytest.mark.parametrize("budget", [0, -1])
def test_budget_below_one_is_refused(budget: int) -> None:
    with pytest.raises(UsageError, match=f"max_tokens is {budget}"):
        pack([hit(1, "a", WHALES)], budget, by_words)


def test_near_duplicates_are_removed_but_not_texts_that_add_something() -> None:
    copy = WHALES.upper().replace("THEY SING", "They  sing loudly")
    longer = f"{WHALES} {BEES}"
    context = pack([hit(1, "a", WHALES), hit(2, "b", copy), hit(3, "c", longer)], 1000, by_words)
    assert [one.id for one in context.passages] == ["a", "c"]
    assert context.left_out == 0


def test_contained_passage_is_removed() -> None:
    context = pack([hit(1, "a", f"{BEES} {WHALES}"), hit(2, "b", WHALES)], 1000, by_words)
    assert [one.id for one in context.passages] == ["a"]


def test_short_duplicates_and_documents_of_a_title_alone() -> None:
    hits = [hit(1, "a", "Yes."), hit(2, "b", "yes"), hit(3, "c", "No."), hit(4, "d", "", "Bees")]
    context = pack([*hits, hit(5, "e", " ", "Bees"), hit(6, "f", "???"), hit(7, "g", "")], 1000, by_words)
    assert [one.id for one in context.passages] == ["a", "c", "d", "f"]
    assert "[3] Bees (d)\n\n[4]" in context.text


SOURCE = "Alpha beta gamma. Delta epsilon zeta eta.  Theta iota kappa lambda mu. Nu xi omicron pi rho."


def test_overlapping_parts_are_joined_in_document_order() -> None:
    chunks = [(0, SOURCE[:41]), (18, SOURCE[18:70]), (43, SOURCE[43:])]
    assert all(SOURCE[start : start + len(text)] == text for start, text in chunks)
    context = pack(parts("d", chunks, order=[2, 0, 1]), 1000, by_words)
    assert context.passages[0].text == SOURCE
    assert context.passages[0].score == 1.0


def test_adjacent_parts_are_joined_and_gaps_are_marked() -> None:
    chunks = [(0, SOURCE[:17]), (18, SOURCE[18:41]), (43, SOURCE[43:70]), (71, SOURCE[71:])]
    adjacent = pack(parts("d", chunks, order=[1, 0]), 1000, by_words)
    assert adjacent.passages[0].text == SOURCE[:41]
    apart = pack(parts("d", chunks, order=[3, 0]), 1000, by_words)
    assert apart.passages[0].text == f"{SOURCE[:17]} … {SOURCE[71:]}"


def test_sources_stand_in_the_order_of_their_best_hits() -> None:
    chunks = [(0, SOURCE[:17]), (18, SOURCE[18:41]), (43, SOURCE[43:70])]
    second, first = parts("d", chunks, order=[2, 0])
    context = pack([second, hit(2, "w", WHALES), first], 1000, by_words)
    assert [one.id for one in context.passages] == ["d", "w"]
    assert context.passages[0].text == f"{SOURCE[:17]} … {SOURCE[43:70]}"


def test_part_shortened_before_another_part_marks_the_gap() -> None:
    chunks = [(0, SOURCE[:41]), (43, SOURCE[43:])]
    context = pack(parts("d", chunks, order=[1, 0]), 17, by_words)
    assert context.text == f"[1] Title (d)\nAlpha beta gamma. … {SOURCE[43:]}"
    assert context.left_out == 0


def test_wrong_positions_lose_no_text() -> None:
    chunks = [(0, "Alpha beta gamma."), (5, "Delta epsilon.")]
    context = pack(parts("d", chunks, order=[0, 1]), 1000, by_words)
    assert context.passages[0].text == "Alpha beta gamma. … Delta epsilon."


COUNTERS: list[Callable[[str], int]] = [
    by_words,
    by_characters,
    with_specials,
    lambda text: len(text.encode()),
]
SENTENCES = st.lists(
    st.lists(st.sampled_from(["ab", "cd", "efg", "hijk日本", "Dr.", "é."]), min_size=1, max_size=8).map(
        lambda words: " ".join(words) + "."
    ),
    max_size=8,
).map(" ".join)
FREE = st.text(st.characters(codec="utf-8"), max_size=60)


@st.composite
def some_hits(draw: st.DrawFn) -> list[Hit]:
    """Whole documents and parts of split ones, mixed."""
    found: list[tuple[str, str, str, Passage | None]] = []
    for number in range(draw(st.integers(0, 4))):
        text, title = draw(st.one_of(SENTENCES, FREE)), draw(st.sampled_from(["", "A title", "Two\nlines"]))
        words = draw(st.integers(1, 12))
        chunks = Chunking(words, draw(st.integers(0, words - 1))).split(text)
        if len(chunks) < 2:
            found.append((f"d{number}", title, text, None))
        for part, chunk in enumerate(chunks if len(chunks) > 1 else []):
            found.append((f"d{number}", title, chunk.text, Passage(part, len(chunks), chunk.start)))
    ranked = draw(st.permutations(found))
    return [hit(rank, id, text, title, part) for rank, (id, title, text, part) in enumerate(ranked, 1)]


@settings(max_examples=300, deadline=None)
@given(some_hits(), st.integers(1, 120), st.sampled_from(COUNTERS))
def test_budget_holds_and_citations_are_whole(
    hits: list[Hit], budget: int, count_tokens: Callable[[str], int]
) -> None:
    context = pack(hits, budget, count_tokens)
    assert context.tokens <= budget
    assert context.tokens == (count_tokens(context.text) if context.text else 0)
    headers = []
    for number, one in enumerate(context.passages, 1):
        title = " ".join(one.title.split())
        headers.append(f"[{number}] {title} ({one.id})" if title else f"[{number}] {one.id}")
    blocks = [f"{head}\n{one.text}".rstrip() for head, one in zip(headers, context.passages, strict=True)]
    assert context.text == "\n\n".join(blocks)
    first_ranks = {one.id: one.rank for one in reversed(hits)}
    ids = [one.id for one in context.passages]
    assert len(set(ids)) == len(ids)
    assert [first_ranks[id] for id in ids] == sorted(first_ranks[id] for id in ids)
    assert 0 <= context.left_out <= len(hits)


@settings(deadline=None)
@given(some_hits())
def test_enough_room_leaves_nothing_out_and_repeats_nothing(hits: list[Hit]) -> None:
    context = pack(hits, 10**9, by_words)
    assert context.left_out == 0
    # Until all parts are in, each may bring marks of gaps: two words at most.
    assert pack(hits, context.tokens + 2 * len(hits) + 1, by_words) == context


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 12), st.data())
def test_all_parts_of_a_document_give_it_back(words: int, data: st.DataObject) -> None:
    # Distinct words, so that no part is a near-duplicate of another.
    count = data.draw(st.integers(2, 60))
    text = " ".join(f"w{number}{'.' if number % 5 == 4 else ''}" for number in range(count))
    chunks = Chunking(words, data.draw(st.integers(0, words - 1))).split(text)
    order = data.draw(st.permutations(range(len(chunks))))
    hits = [
        hit(rank, "d", chunks[number].text, "", Passage(number, len(chunks), chunks[number].start))
        for rank, number in enumerate(order, 1)
    ]
    assert pack(hits, 10**6, by_words).passages[0].text == text
