"""Neighbours of found passages: which come along, in which order, and never over the budget."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from leanseek import Document, Index, Searcher
from leanseek.errors import UsageError
from leanseek.searcher.context import Context, expanded, parse_expansion

PARTS = 30


def text_of(name: str, parts: int = PARTS) -> str:
    return " ".join(f"Part {name}{number} is here." for number in range(parts))


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher]:
    index = Index.create(tmp_path_factory.mktemp("expansion") / "i", encoder=None, chunk_words=4)
    index.add([Document(name, text_of(name), "", {"page_starts": [0, 150]}) for name in "ab"])
    index.add([Document("c", text_of("c", 2)), Document("whole", "a single passage")])
    with Searcher.open(index.path) as opened:
        yield opened


def numbers(context: Context, id: str) -> list[int]:
    """The parts of a document that a context has."""
    texts = [one.text for one in context.passages if one.id == id]
    return [int(word[1:]) for text in texts for word in text.split() if word[:1] == id and word[1:].isdigit()]


def by_words(text: str) -> int:
    return len(text.split())


def test_a_window_and_the_whole_document(searcher: Searcher) -> None:
    assert numbers(searcher.context("a7"), "a") == [7]
    assert numbers(searcher.context("a7", expand="passage"), "a") == [7]
    assert numbers(searcher.context("a7", expand="window:2"), "a") == [5, 6, 7, 8, 9]
    assert numbers(searcher.context("a0 a29", expand="window:1"), "a") == [0, 1, 28, 29]
    assert numbers(searcher.context("a7", expand="window:999999999"), "a") == list(range(PARTS))
    whole = searcher.context("a7", expand="document")
    assert whole.passages[0].text == text_of("a") and whole.notes == ()
    [span] = whole.passages[0].spans
    assert (span.start, span.end, span.page) == (0, len(text_of("a")), 1)


def test_the_budget_goes_to_the_nearest_and_best_first(searcher: Searcher) -> None:
    # Both rank equal; a, the first by its id, is the better one.
    for budget, a, b in (
        (6, [5], []),
        (10, [5, 6], []),
        (14, [4, 5, 6], []),
        (20, [4, 5, 6], [5]),
        (24, [4, 5, 6], [5, 6]),
        (28, [4, 5, 6], [4, 5, 6]),
    ):
        context = searcher.context("a5 b5", budget, count_tokens=by_words, expand="window:1")
        assert numbers(context, "a") == a, budget
        assert numbers(context, "b") == b, budget
        assert (context.left_out, context.notes) == (int(not b), ())
    context = searcher.context("a5 b5", 60, count_tokens=by_words, expand="document")
    assert len(context.passages) == 1 and sorted(numbers(context, "a")) == numbers(context, "a")
    assert context.left_out == 1
    assert context.notes == (f"of 'a' only a part fits: 14 of its {PARTS} passages",)


def test_what_was_found_is_left_out_only_for_what_is_ranked_better(searcher: Searcher) -> None:
    """Random searches: the hits that are ranked above a neighbour's own hit come before it, whatever the budget."""
    chosen = random.Random(3)
    for _ in range(150):
        query = " ".join(
            f"{chosen.choice('ab')}{chosen.randrange(PARTS)}" for _ in range(chosen.randint(1, 5))
        )
        k, way = chosen.randint(1, 12), chosen.choice(["window:1", "window:2", "document"])
        request_hits = searcher.context(query, 10**6, k=k)
        found = {
            (one.id, number) for one in request_hits.passages for number in numbers(request_hits, one.id)
        }
        budget = chosen.randint(5, 120)
        context = searcher.context(query, budget, k=k, count_tokens=by_words, expand=way)
        assert context.tokens <= budget
        shown = {(one.id, number) for one in context.passages for number in numbers(context, one.id)}
        assert context.left_out == len(found - shown)
        # The best hit is there before any neighbour.
        best = searcher.context(query, budget, k=1, count_tokens=by_words)
        assert {(one.id, number) for one in best.passages for number in numbers(best, one.id)} <= shown


def test_order_of_packing(searcher: Searcher) -> None:
    with Searcher.open(searcher.path) as other:
        hits = [hit for query in ("a5", "b9", "a6") for hit in other.search(query, 1)]
        snapshot = other._generation.snapshot

        def order(way: str, most: int = 1000) -> list[tuple[str, int]]:
            found = expanded(hits, parse_expansion(way), snapshot, most)
            return [(hit.id, hit.passage.number) for hit in found if hit.passage]

        assert order("passage") == [("a", 5), ("b", 9), ("a", 6)]
        assert order("window:1") == [
            *(("a", 5), ("a", 6), ("a", 4)),
            *(("b", 9), ("b", 10), ("b", 8)),
            ("a", 7),
        ]
        # What is two passages away comes after the next hit, and before its neighbours.
        assert order("window:2")[3:6] == [("b", 9), ("a", 7), ("a", 3)]
        assert order("window:1", 2) == [("a", 5), ("a", 6), ("b", 9)]
        whole = order("document")
        assert whole[:4] == [("a", 5), ("a", 6), ("a", 4), ("a", 7)]
        assert len(set(whole)) == len(whole) == 2 * PARTS and whole[PARTS] == ("b", 9)


def test_nothing_to_expand_is_said(searcher: Searcher) -> None:
    context = searcher.context("single", expand="window:2")
    assert context.text == "[1] whole\na single passage"
    assert context.notes == ("no document that was found is split into passages: there is nothing to expand",)
    assert searcher.context("single", expand="document").notes == ()


def test_notes_say_why_there_is_nothing(searcher: Searcher) -> None:
    [note] = searcher.context("unheard").notes
    assert note.startswith("nothing was found: no word of the query is in the index (unheard)")
    [note] = searcher.context("a5", filter='id = "none"').notes
    assert note.startswith("nothing was found: none of the 4 documents meets the filter")
    [note] = searcher.context("a5", 1).notes
    assert note == "nothing fits: the citation of 'a' with one word takes 3 tokens, and max_tokens is 1"


@pytest.mark.parametrize(
    "given", ["", "window", "window:0", "window:-1", "window:1.5", "Document", "window: 1", [None]]
)
def test_other_ways_are_refused(searcher: Searcher, given: str) -> None:
    with pytest.raises(UsageError, match=r"passage, window:N .* or document"):
        searcher.context("a5", expand=given)
