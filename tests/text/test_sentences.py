"""Sentences: where they end, by either set of rules, and how long ones are cut."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanseek.text.sentences import EXTRACT, PASSAGE, Rules, split_sentences, split_words

TEXTS = st.text(
    st.sampled_from([*"abX01", *" \n\t", *'.!?,;"()', *"猫前。！「」", "ไ", "\u00a0"]), max_size=120
)


def test_sentences_end_where_they_end_and_long_ones_are_split() -> None:
    text = "Statins help. Dr. Smith said so!  " + " ".join(["Word"] * 60) + ". End"
    parts = [text[start:end] for start, end in split_sentences(text, longest=24)]
    assert parts[:2] == ["Statins help.", "Dr. Smith said so!"]
    assert [len(part.split()) for part in parts[2:]] == [24, 24, 12, 1]
    assert split_sentences("  ") == []


@given(TEXTS, st.sampled_from([EXTRACT, PASSAGE]), st.one_of(st.none(), st.integers(1, 6)))
def test_sentences_hold_every_word_once_and_in_order(text: str, rules: Rules, longest: int | None) -> None:
    words = split_words(text, rules)
    sentences = split_sentences(text, rules, longest)
    inside = [[word for word in words if start <= word.start and word.end <= end] for start, end in sentences]
    assert [word for part in inside for word in part] == words
    assert all(part and (longest is None or len(part) <= longest) for part in inside)


def test_passages_know_more_abbreviations_than_extracts() -> None:
    text = "See sect. 3 and 4. Then stop."
    assert [text[start:end] for start, end in split_sentences(text, PASSAGE)] == [
        "See sect. 3 and 4.",
        "Then stop.",
    ]
    assert next(text[start:end] for start, end in split_sentences(text)) == "See sect."


@pytest.mark.parametrize("rules", [EXTRACT, PASSAGE])
@pytest.mark.parametrize(
    "run", ["。", "茶。", "a. ", "A.", "(", '"', "1. ", "\n", ". ", "a", "ก", "!?", "e.g. "]
)
def test_repetition_takes_linear_time(run: str, rules: Rules) -> None:
    for tail in (" End", "，茶", "x y"):
        text = f"茶{run * (100_000 // len(run))}{tail}"
        started = time.process_time()
        assert split_sentences(text, rules)[-1].end == len(text)
        # A quadratic step takes a minute.
        assert time.process_time() - started < 10
