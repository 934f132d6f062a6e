"""Groups of near-duplicates."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek import Document, Index
from leanseek.errors import FilterError, IndexNotFoundError, UsageError
from leanseek.understanding import Duplicate, DuplicateGroup, duplicates, find_duplicates
from leanseek.understanding.duplicates import likeness_of, shingles_of, signature

VOCABULARY = [f"w{number}" for number in range(400)]


def text_of(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(VOCABULARY, k=words))


def changed(rng: random.Random, text: str, changes: int) -> str:
    words = text.split()
    for place in rng.sample(range(len(words)), changes):
        words[place] = rng.choice(VOCABULARY)
    return " ".join(words)


def runs(text: str) -> set[tuple[str, ...]]:
    """The definition of shingles, as sets of words."""
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[at : at + 5]) for at in range(max(len(words) - 5, 0) + 1)}


def jaccard(one: str, other: str) -> float:
    return len(runs(one) & runs(other)) / len(runs(one) | runs(other))


def indexed(path: Path, documents: list[Document], chunk: int | None = None) -> Path:
    with Index.create(path, encoder=None, chunk_words=chunk) as index:
        half = len(documents) // 2
        for part in (documents[half:], documents[:half]):
            index.add(part)
    return path


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=30), st.lists(st.sampled_from("abcd"), min_size=1)
)
def test_likeness_is_that_of_sets_of_words(one: list[str], other: list[str]) -> None:
    exact = jaccard(" ".join(one), " ".join(other))
    assert likeness_of(shingles_of(one), shingles_of(other)) == pytest.approx(exact)


def test_signatures_agree_as_often_as_texts_are_alike() -> None:
    rng = random.Random(1)
    for changes in (0, 5, 20, 60):
        gaps = []
        for _ in range(30):
            one = text_of(rng, 300)
            pair = [shingles_of(text.split()) for text in (one, changed(rng, one, changes))]
            gaps.append((signature(pair[0]) == signature(pair[1])).mean() - likeness_of(*pair))
        # The standard error of the mean is at most 0.5 / sqrt(128 * 30).
        assert abs(np.mean(gaps)) < 4 * 0.5 / np.sqrt(128 * 30)
    assert len(signature(shingles_of(text_of(rng, 20_000).split()))) == 128


def star_by_hand(documents: list[Document], least: float) -> list[DuplicateGroup]:
    """The definition, comparing every pair."""
    firsts: dict[str, list[Duplicate]] = {}
    texts = {one.id: one.text for one in documents}
    for one in sorted(texts):
        near = [(-jaccard(texts[first], texts[one]), first) for first in firsts]
        near = [pair for pair in near if -pair[0] >= least]
        if near:
            firsts[min(near)[1]].append(Duplicate(one, -min(near)[0]))
        else:
            firsts[one] = []
    return [
        DuplicateGroup(first, "", tuple(sorted(found, key=lambda two: (-two.likeness, two.id))))
        for first, found in firsts.items()
        if found
    ]


@pytest.mark.parametrize("chunk", [None, 40])
def test_groups_are_those_of_comparing_every_pair(tmp_path: Path, chunk: int | None) -> None:
    rng = random.Random(2)
    documents = [Document(f"d{number:02}", text_of(rng, rng.randint(30, 200))) for number in range(40)]
    for number in range(60):
        source = rng.choice(documents)
        words = len(source.text.split())
        text = changed(rng, source.text, rng.randint(0, words // 40))
        documents.append(Document(f"e{number:02}", text))
    found = find_duplicates(indexed(tmp_path / "i", documents, chunk), 0.75)
    expected = star_by_hand(documents, 0.75)
    assert len(expected) > 10
    assert [(one.id, [two.id for two in one.duplicates]) for one in found] == [
        (one.id, [two.id for two in one.duplicates]) for one in expected
    ]
    for one, other in zip(found, expected, strict=True):
        assert [two.likeness for two in one.duplicates] == pytest.approx(
            [two.likeness for two in other.duplicates]
        )


def test_case_signs_and_breaks_do_not_count_and_titles_stand_in(tmp_path: Path) -> None:
    documents = [
        Document("1", "The pump leaks oil at its seal, always.", "One"),
        Document("2", "the PUMP\n\nleaks oil -- at its seal always", "Two"),
        Document("3", "", "A title alone"),
        Document("4", " ", "A title, alone"),
        Document("5", ""),
        Document("6", ""),
        Document("7", "short text"),
        Document("8", "short texts"),
    ]
    found = find_duplicates(indexed(tmp_path / "i", documents))
    assert found == [
        DuplicateGroup("1", "One", (Duplicate("2", 1.0),)),
        DuplicateGroup("3", "A title alone", (Duplicate("4", 1.0),)),
    ]


def test_a_chain_is_no_group(tmp_path: Path) -> None:
    """b is like a and c is like b, but c is not like a."""
    rng = random.Random(3)
    words = text_of(rng, 140).split()
    documents = [
        Document(name, " ".join(words[at : at + 110])) for name, at in (("a", 0), ("b", 11), ("c", 22))
    ]
    assert (
        jaccard(documents[0].text, documents[1].text) > 0.75 > jaccard(documents[0].text, documents[2].text)
    )
    [group] = find_duplicates(indexed(tmp_path / "i", documents), 0.75)
    assert (group.id, [one.id for one in group.duplicates]) == ("a", ["b"])


def test_of_many_copies_each_is_compared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    exact = likeness_of
    monkeypatch.setattr(duplicates, "likeness_of", lambda *pair: calls.append(pair) or exact(*pair))
    text = text_of(random.Random(4), 50)
    path = indexed(tmp_path / "i", [Document(f"{number:03}", text) for number in range(300)])
    [group] = find_duplicates(path)
    assert (group.id, len(group.duplicates), len(calls)) == ("000", 299, 299)


def test_deleted_and_filtered_documents_are_left_out(tmp_path: Path) -> None:
    text = text_of(random.Random(5), 50)
    documents = [Document(str(year), text, metadata={"year": year}) for year in range(2000, 2006)]
    path = indexed(tmp_path / "i", documents)
    with Index.open(path) as index:
        index.delete(["2000"])
    [group] = find_duplicates(path, filter="year != 2003")
    assert (group.id, [one.id for one in group.duplicates]) == ("2001", ["2002", "2004", "2005"])
    assert find_duplicates(indexed(tmp_path / "empty", [])) == []


@pytest.mark.parametrize("least", [0.4, 1.1, "0.8", True, float("nan")])
def test_what_is_refused(tmp_path: Path, least: float) -> None:
    with pytest.raises(UsageError, match=r"from 0\.5"):
        find_duplicates(tmp_path, least)


def test_errors_name_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(IndexNotFoundError):
        find_duplicates(tmp_path / "nowhere")
    with pytest.raises(FilterError):
        find_duplicates(indexed(tmp_path / "i", [Document("1", "a")]), filter="year ==")
