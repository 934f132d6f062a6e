"""Snippets show the query's terms in place, and matched terms are those of the whole text."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import UsageError
from leanseek.searcher.snippets import PIECE, matched_terms, snippet
from leanseek.text import load_analyzer
from leanseek.text.sentences import split_words
from leanseek.types import Snippet

ENGLISH = load_analyzer("english")

TEXT = """Statins lower cholesterol. In a trial by Dr. Smith et al. of 4,000 patients,  the drug cut
heart attacks by a third.

However, muscle pain was reported by one patient in ten. Nobody knows why. Older patients with heart failure \
did not profit from statins, said the authors. More trials are under way, and results are due in 2026."""


def marked(extract: Snippet) -> list[str]:
    return [extract.text[start:end] for start, end in extract.highlights]


def cut(text: str, query: str, words: int = 15, weights: dict[str, float] | None = None) -> Snippet:
    return snippet(text, ENGLISH, ENGLISH.tokens(query), words, weights)


def test_window_has_most_of_the_distinct_terms() -> None:
    extract = cut(TEXT, "statins for heart failure")
    assert extract.text == (
        "… Older patients with heart failure did not profit from statins, said the authors. …"
    )
    assert marked(extract) == ["heart", "failure", "statins"]


def test_terms_match_as_the_analyser_sees_them() -> None:
    assert marked(cut("Running a marathon: runners RAN and run.", "run")) == ["Running", "run"]


def test_heavier_terms_win() -> None:
    text = "A cat and a dog slept. " + "Nothing happened then. " * 10 + "The axolotl woke."
    query = "cat dog axolotl"
    assert marked(cut(text, query)) == ["cat", "dog"]
    assert marked(cut(text, query, weights={"cat": 0.5, "dog": 0.5, "axolotl": 3.0})) == ["axolotl"]


def test_more_occurrences_win_then_the_first() -> None:
    filler = "Nothing happened then. " * 10
    assert cut(f"One cat. {filler} Two cat cat. {filler} Three cat cat.", "cat", 8).text.startswith("… Two")
    assert cut(f"One cat. {filler} Two cat.", "cat", 8).text.startswith("One cat.")


def test_extract_begins_with_its_sentence_and_ends_with_one() -> None:
    extract = cut(TEXT, "muscle")
    assert extract.text == "… However, muscle pain was reported by one patient in ten. Nobody knows why. …"


def test_match_near_the_end_uses_the_room_before_it() -> None:
    extract = cut(TEXT, "trials due", words=26)
    assert extract.text.startswith("… Older patients")
    assert extract.text.endswith("are due in 2026.")


def test_long_sentence_is_cut_between_words() -> None:
    text = " ".join(f"word{number}" for number in range(100))
    extract = cut(text, "word50", words=11)
    assert extract.text == "… " + " ".join(f"word{number}" for number in range(45, 56)) + " …"
    assert marked(extract) == ["word50"]
    assert cut(text, "word99", words=5).text == "… word95 word96 word97 word98 word99"


def test_text_without_the_terms_gives_its_beginning() -> None:
    extract = cut(TEXT, "zebra", words=4)
    assert extract == Snippet("Statins lower cholesterol. …")
    assert snippet(TEXT, ENGLISH, []).text.startswith("Statins lower cholesterol. In a trial")


def test_short_text_is_whole_and_white_space_is_collapsed() -> None:
    extract = cut("  A\u00a0 small\n\n\tcat  sat. ", "cat")
    assert extract.text == "A small cat sat."
    assert marked(extract) == ["cat"]


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_blank_text(text: str) -> None:
    assert cut(text, "cat") == Snippet("")
    assert matched_terms(text, ENGLISH, ["cat"]) == ()


def test_bigrams_of_chinese_are_merged_where_they_overlap() -> None:
    analyzer = load_analyzer("simple")
    text = "我们在北京大学学习。" * 20 + "他喜欢人工智能研究。" + "我们在北京大学学习。" * 20
    extract = snippet(text, analyzer, analyzer.tokens("人工智能"), words=12)
    assert marked(extract) == ["人工智能"]
    assert len(extract.text) < 50


@pytest.mark.parametrize("words", [0, -3])
def test_fewer_than_one_word_is_refused(words: int) -> None:
    with pytest.raises(UsageError, match=str(words)):
        snippet(TEXT, ENGLISH, ["cat"], words)


def test_match_deep_in_a_huge_text_is_shown() -> None:
    text = "lorem ipsum dolor. " * (3 * PIECE // 19) + "Here sleeps the axolotl. " + "sit amet. " * PIECE
    extract = cut(text, "axolotl", words=10)
    assert marked(extract) == ["axolotl"]
    assert extract.text.startswith("… ") and extract.text.endswith(" …")
    assert matched_terms(text, ENGLISH, ["zebra", "axolotl", "lorem"]) == ("axolotl", "lorem")


def test_text_without_white_space_stays_short() -> None:
    extract = cut("x" * 1_000_000, "y", words=10)
    assert len(extract.text) <= 10 * 31 + 4


def test_matched_terms_keep_the_order_of_the_query() -> None:
    terms = ENGLISH.tokens("patients with statins, zebra, patients")
    assert matched_terms(TEXT, ENGLISH, terms) == ("patient", "statin")


PIECES = st.sampled_from(
    [
        "a",
        "ran",
        "Run",
        "running",
        "cat",
        "cats.",
        "Dr. ",
        "the",
        "\n\n",
        "…",
        "日本語",
        "日本",
        "語。",
        "½",
        "İ",
        "ß",
    ]
)
TEXTS = st.one_of(
    st.lists(PIECES, max_size=60).map(" ".join),
    st.lists(PIECES, max_size=30).map("".join),
    st.text(max_size=80),
)
ANALYZERS = st.sampled_from(["english", "simple", "german"]).map(load_analyzer)


@settings(max_examples=300, deadline=None)
@given(TEXTS, ANALYZERS, st.integers(1, 20), st.data())
def test_highlights_are_terms_inside_a_short_text(
    text: str, analyzer, words: int, data: st.DataObject
) -> None:
    found = sorted(set(analyzer.tokens(text)))
    terms = data.draw(st.lists(st.sampled_from([*found, "zebra"]), max_size=4))
    extract = snippet(text, analyzer, terms, words)
    assert len(split_words(extract.text)) <= words + 2
    assert len(extract.text) <= words * 31 + 4
    for (_, end), (start, _) in itertools.pairwise(extract.highlights):
        assert end <= start
    for start, end in extract.highlights:
        assert 0 <= start < end <= len(extract.text)
        assert set(analyzer.tokens(extract.text[start:end])) & set(terms)
    inner = extract.text.removeprefix("… ").removesuffix(" …")
    assert inner in " ".join(text.split())
    assert extract.text.strip() == extract.text


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(["alpha", "beta", "gamma", "filler", "filler", "filler."]), min_size=1, max_size=80
    ),
    st.integers(1, 12),
    st.fixed_dictionaries({"alpha": st.floats(0, 5), "beta": st.floats(0, 5), "gamma": st.floats(0, 5)}),
)
def test_window_is_the_best_of_all(tokens: list[str], words: int, weights: dict[str, float]) -> None:
    analyzer = load_analyzer("simple")
    extract = snippet(" ".join(tokens), analyzer, list(weights), words, weights)

    def weight(some: list[str]) -> float:
        return sum(round(weights[term] * 10**6) for term in set(some) & set(weights))

    best = max(weight(tokens[start : start + words]) for start in range(len(tokens)))
    assert weight(marked(extract)) == best


def test_snippets_of_a_real_collection(collection: Callable[[str], Path]) -> None:
    folder = collection("scifact")
    with (folder / "queries.jsonl").open(encoding="utf-8") as lines:
        queries = [json.loads(line)["text"] for line in itertools.islice(lines, 30)]
    with (folder / "corpus.jsonl").open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in itertools.islice(lines, 30)]
    for query, text in zip(queries, texts, strict=True):
        terms = ENGLISH.tokens(query)
        extract = snippet(text, ENGLISH, terms)
        matched = matched_terms(text, ENGLISH, terms)
        assert set(matched) == set(terms) & set(ENGLISH.tokens(text))
        assert bool(extract.highlights) == bool(matched)
        for piece in marked(extract):
            assert set(ENGLISH.tokens(piece)) <= set(terms)


@pytest.mark.parametrize(
    "run", ["茶", "ก", "a-", "1.1.", "aA", "a\u0301", "(", "a. ", "end ", "end-1/", "e&"]
)
def test_repetition_takes_linear_time(run: str) -> None:
    analyzer = load_analyzer("english")
    text = f"{run * (100_000 // len(run))} end"
    started = time.process_time()
    shown = snippet(text, analyzer, ["end"])
    assert matched_terms(text, analyzer, ["end"]) == ("end",)
    assert any(shown.text[start:end] == "end" for start, end in shown.highlights)
    # A quadratic step takes minutes.
    assert time.process_time() - started < 15
