"""One of identical texts: the best one, with the ids of all others, and as many results as were asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import HashEncoder

from leanseek import Document, Index, Searcher

MODES = ["sparse", "dense", "hybrid"]


def searcher_over(path: Path, documents: list[Document], chunk_words: int | None = None) -> Searcher:
    index = Index.create(path, encoder=HashEncoder(), chunk_words=chunk_words)
    half = len(documents) // 2
    index.add(documents[:half], cache=False)
    index.add(documents[half:], cache=False)
    return Searcher.open(path, encoder=HashEncoder())


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    """300 copies of one text, two of another, and others of which there is one."""
    many = [
        Document(
            f"copy{number:03}",
            "The pump leaks\n oil  at the seal." if number % 2 else "The pump leaks oil at the seal.",
        )
        for number in range(300)
    ]
    others = [
        Document(f"other{number}", f"A leak at the pump's valve number {number}.") for number in range(30)
    ]
    twins = [Document("twin-a", "Pump oil.", "One title"), Document("twin-b", "Pump oil.", "Another title")]
    return searcher_over(tmp_path_factory.mktemp("copies") / "i", [*many, *others, *twins])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("k", [1, 3, 10])
def test_copies_count_once_and_are_all_named(copies: Searcher, mode: str, k: int) -> None:
    hits = copies.search("pump leaks oil", k, mode=mode, collapse=True)
    assert [hit.rank for hit in hits] == list(range(1, k + 1))
    texts = [" ".join(hit.text.split()) for hit in hits]
    assert len(set(texts)) == k
    [hit] = [hit for hit in hits if hit.id.startswith("copy")]
    assert sorted([hit.id, *hit.copies]) == [f"copy{number:03}" for number in range(300)]
    assert hit.id == "copy000"
    twins = [hit for hit in hits if hit.id.startswith("twin")]
    assert [sorted([hit.id, *hit.copies]) for hit in twins] in ([], [["twin-a", "twin-b"]])


@pytest.mark.parametrize("mode", MODES)
def test_the_others_follow_in_their_order(copies: Searcher, mode: str) -> None:
    whole = [hit.id for hit in copies.search("pump leaks oil", 400, mode=mode)]
    hits = copies.search("pump leaks oil", 40, mode=mode, collapse=True)
    places = [whole.index(hit.id) for hit in hits]
    assert places == sorted(places)
    assert [
        hit.id for hit in copies.search_batch(["x", "pump leaks oil"], 40, mode=mode, collapse=True)[1]
    ] == [hit.id for hit in hits]
    assert [one.id for one in copies.rank_batch(["pump leaks oil"], 40, mode=mode, collapse=True)[0]] == [
        hit.id for hit in hits
    ]


def test_without_it_copies_are_hits(copies: Searcher) -> None:
    hits = copies.search("pump leaks oil", 3)
    assert [hit.copies for hit in hits] == [()] * 3
    assert all(hit.id.startswith("copy") for hit in hits)


def test_case_and_titles(tmp_path: Path) -> None:
    documents = [
        Document("a", "Pump oil."),
        Document("b", "pump oil."),
        Document("c", "Pump\toil. ", "Its own title"),
        Document("d", "", "Pump oil."),
        Document("e", "", "Pump  seal."),
    ]
    searcher = searcher_over(tmp_path / "i", documents)
    found = {hit.id: hit.copies for hit in searcher.search("pump oil", 10, mode="sparse", collapse=True)}
    groups = [sorted([id, *others]) for id, others in found.items()]
    assert sorted(groups) == [["a", "c", "d"], ["b"], ["e"]]


def test_parts_of_documents(tmp_path: Path) -> None:
    text = "Pumps move oil here. Valves stop water there. Seals hold glue well."
    documents = [Document("one", text), Document("two", text), Document("three", "Pumps move oil here.")]
    searcher = searcher_over(tmp_path / "i", documents, chunk_words=4)
    [hit, *_] = searcher.search("pumps move oil", collapse=True)
    assert (hit.id, hit.copies) == ("one", ("three", "two"))
    [hit, *_] = searcher.search("seals hold glue", 1, collapse=True)
    assert (hit.id, hit.copies) == ("one", ("two",))


def test_operators_come_first(copies: Searcher) -> None:
    hits = copies.search('pump -"leaks oil"', 5, collapse=True)
    assert len(hits) == 5 and not any(hit.id.startswith("copy") for hit in hits)


@settings(max_examples=25, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 5), min_size=1, max_size=60),
    k=st.integers(1, 8),
    mode=st.sampled_from(MODES),
)
def test_any_copies(tmp_path_factory: pytest.TempPathFactory, numbers: list[int], k: int, mode: str) -> None:
    documents = [
        Document(f"d{place:02}", f"pump {'oil ' * number}".strip()) for place, number in enumerate(numbers)
    ]
    with searcher_over(tmp_path_factory.mktemp("any") / "i", documents) as searcher:
        hits = searcher.search("pump oil", k, mode=mode, depth=k, collapse=True)
    assert len(hits) == min(k, len(set(numbers)))
    text_of = {document.id: document.text for document in documents}
    for hit in hits:
        same = [id for id, text in text_of.items() if text == hit.text]
        assert [hit.id, *sorted(hit.copies)] == same
