"""Chunking: passages cover the text, stay within their size, overlap, and begin and end with sentences."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import UsageError
from leanseek.text.chunking import Chunk, Chunking

ALPHABET = st.sampled_from(
    [*"abcXYZ019", *" \n\t", *".!?,;:\"'()", *"猫名前。！「」", "é", "ไ", "\u00a0", "😀"]
)
TEXTS = st.one_of(st.text(ALPHABET, max_size=300), st.text(max_size=200))


@st.composite
def chunkings(draw: st.DrawFn) -> Chunking:
    words = draw(st.integers(1, 30))
    return Chunking(words, draw(st.integers(0, words - 1)))


def sentences(text: str) -> list[str]:
    """The sentences that the splitter sees: passages of so few words that no two share one."""
    return [chunk.text for chunk in Chunking(12).split(text)]


@settings(max_examples=400, deadline=None)
@given(TEXTS, chunkings())
def test_passages_are_extracts_that_cover_everything_but_white_space(text: str, chunking: Chunking) -> None:
    chunks = chunking.split(text)
    covered = set()
    for chunk in chunks:
        assert chunk.text == text[chunk.start : chunk.start + len(chunk.text)]
        assert chunk.text and chunk.text == chunk.text.strip()
        covered.update(range(chunk.start, chunk.start + len(chunk.text)))
    assert all(char.isspace() for number, char in enumerate(text) if number not in covered)
    assert chunks == chunking.split(text)


@settings(max_examples=400, deadline=None)
@given(TEXTS, chunkings())
def test_each_passage_begins_and_ends_after_the_one_before(text: str, chunking: Chunking) -> None:
    chunks = chunking.split(text)
    ends = [chunk.start + len(chunk.text) for chunk in chunks]
    assert all(left.start < right.start for left, right in pairwise(chunks))
    assert all(left < right for left, right in pairwise(ends))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["one", "two.", "Three", "four!", "Five", "(six)"]), max_size=200), chunkings()
)
def test_no_passage_has_more_words_than_asked_for(words: list[str], chunking: Chunking) -> None:
    for chunk in chunking.split(" ".join(words)):
        assert len(chunk.text.split()) <= chunking.words


def test_a_short_text_is_one_passage() -> None:
    assert Chunking(10, 3).split("  Two sentences. Few words. \n") == [Chunk(2, "Two sentences. Few words.")]


@pytest.mark.parametrize("blank", ["", " ", "\n\t \u3000"])
def test_a_blank_text_has_no_passage(blank: str) -> None:
    assert Chunking(10).split(blank) == []


def test_passages_are_whole_sentences_and_share_whole_sentences() -> None:
    text = " ".join(f"Sentence number {number} has seven words here." for number in range(10))
    chunks = Chunking(21, 7).split(text)
    assert [chunk.text.count("Sentence") for chunk in chunks] == [3, 3, 3, 3, 2]
    assert all(chunk.text.startswith("Sentence") and chunk.text.endswith("here.") for chunk in chunks)
    for left, right in pairwise(chunks):
        shared = text[right.start : left.start + len(left.text)]
        assert len(shared.split()) == 7


def test_without_overlap_no_character_is_in_two_passages() -> None:
    text = "A b c. D e f g h. I j. " * 20
    chunks = Chunking(9).split(text)
    assert all(left.start + len(left.text) <= right.start for left, right in pairwise(chunks))


def test_a_sentence_longer_than_a_passage_is_cut_between_words_with_the_overlap_asked_for() -> None:
    words = [f"w{number}" for number in range(100)]
    chunks = [chunk.text.split() for chunk in Chunking(10, 4).split(" ".join(words))]
    assert all(len(chunk) <= 10 for chunk in chunks)
    assert all(left[-4:] == right[:4] for left, right in pairwise(chunks))
    assert chunks[-1][-1] == "w99"


@pytest.mark.parametrize(
    "text",
    [
        "Dr. Smith and Mrs. Jones paid 3.14 dollars to J. R. Tolkien of the U.S. Navy.",
        "It rose, e.g. Fig. 3 and No. 5 of Vol. 2 show it, by 2.5 percent vs. Last year.",
        'He said "Why? because of it." and left. so it goes on in lower case.',
        "See www.example.org or version 3.11.2 of file.name.txt for more. and so on.",
    ],
)
def test_abbreviations_decimals_and_initials_end_no_sentence(text: str) -> None:
    assert Chunking(20).split(text) == [Chunk(0, text)]
    padding = " ".join(["Padding"] * 19) + ". "
    assert text in [chunk.text for chunk in Chunking(20).split(padding + text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is so. Is it? Yes! " + "Word " * 10, ["It is so. Is it? Yes!", ("Word " * 10).strip()]),
        (
            'She said "No." Then she went. ' + "Word " * 10,
            ['She said "No." Then she went.', ("Word " * 10).strip()],
        ),
        ("A heading\n\n" + "Word " * 11, ["A heading", ("Word " * 11).strip()]),
        ("In the year 1999. " + "Word " * 10, ["In the year 1999.", ("Word " * 10).strip()]),
        ("यह एक वाक्य है। " + "शब्द " * 10, ["यह एक वाक्य है।", ("शब्द " * 10).strip()]),
    ],
)
def test_where_sentences_end(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_text_without_spaces_is_measured_in_characters_and_cut_at_its_own_full_stops() -> None:
    text = "吾輩は猫である。名前はまだ無い。「どこで生れたか。」とんと見当がつかぬ！"
    chunks = Chunking(9).split(text)
    assert [chunk.text for chunk in chunks] == [
        "吾輩は猫である。名前はまだ無い。",
        "「どこで生れたか。」",
        "とんと見当がつかぬ！",
    ]
    assert len(Chunking(100).split("猫" * 1000)) == 5


def test_a_list_number_stays_with_its_item() -> None:
    assert sentences("Say what there is to do. 1. Buy a loaf of good bread now.")[-1].startswith("1. Buy")


def test_a_text_that_is_one_endless_word_is_split_too() -> None:
    chunks = Chunking(10).split("x" * 1_000_000)
    assert len(chunks) == 1000 and all(len(chunk.text) == 1000 for chunk in chunks)


@pytest.mark.parametrize(("words", "overlap"), [(0, 0), (-1, 0), (10, 10), (10, 11), (10, -1)])
def test_impossible_sizes_are_refused(words: int, overlap: int) -> None:
    with pytest.raises(UsageError, match=r"--(chunk|overlap) is"):
        Chunking(words, overlap)


def test_real_abstracts_are_cut_at_sentence_ends(collection: Callable[[str], Path]) -> None:
    with (collection("scifact") / "corpus.jsonl").open(encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file][:1000]
    inner = [chunk.text for text in texts for chunk in Chunking(100, 20).split(text)[:-1]]
    assert len(inner) > 1000
    at_ends = sum(text.rstrip("\"')]").endswith((".", "?", "!", "…")) for text in inner)
    assert at_ends / len(inner) > 0.97
    assert sum(len(text.split()) for text in inner) / len(inner) > 70
