"""Which terms a text gives."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import UsageError
from leanseek.text import Analyzer, analyzer_names, load_analyzer
from leanseek.text.analyzer import ASCII_WORDS, word_pattern

SIMPLE = load_analyzer("simple")
ENGLISH = load_analyzer("english")


@pytest.mark.parametrize(
    ("analyzer", "text", "tokens"),
    [
        (ENGLISH, "The cats' naïve running, a déjà-vu!", ["cat", "naiv", "run", "deja", "vu"]),
        (ENGLISH, "the dog's bone isn't snake_case", ["dog", "bone", "isn", "snake", "case"]),
        (ENGLISH, "vitamin C and B12", ["vitamin", "b12"]),
        (SIMPLE, "The dog's\tVitamin C\x00x", ["the", "dog", "s", "vitamin", "c", "x"]),
        (SIMPLE, "Ọ̀rẹ́ mi ÀÁRỌ̀ aaro", ["ore", "mi", "aaro", "aaro"]),
        (SIMPLE, "ﬁne ½ ＡＢＣ Straße ΟΔΟΣ", ["fine", "1", "2", "abc", "strasse", "οδοσ"]),
        (SIMPLE, "हिन्दी में நிறுவனம்", ["हिन्दी", "में", "நிறுவனம்"]),
        (SIMPLE, "東京都に行くABC茶 茶", ["東京", "京都", "都に", "に行", "行く", "abc", "茶", "茶"]),
        (SIMPLE, "한국어 문장 ｶﾞｷﾞｸﾞ", ["한국", "국어", "문장", "ガギ", "ギグ"]),
        (ENGLISH, "学校 is 茶", ["学校", "茶"]),
        (SIMPLE, "🙂 🙂‍♂️ —…", []),
        (SIMPLE, "\ud800a\udfff", ["a"]),
        (SIMPLE, "", []),
        (load_analyzer("german"), "Die Straßen und Häuser", ["strass", "haus"]),
        (load_analyzer("french"), "L'été des élèves", ["élev"]),
        (load_analyzer("turkish"), "IŞIK İstanbul", ["ışık", "istanbul"]),
        (load_analyzer("russian"), "Книги и книга", ["книг", "книг"]),
        (load_analyzer("english;stopwords=none"), "to be", ["to", "be"]),
    ],
)
def test_tokens(analyzer: Analyzer, text: str, tokens: list[str]) -> None:
    assert analyzer.tokens(text) == tokens
    assert [span.token for span in analyzer.spans(text)] == tokens


def test_spans_point_into_the_text() -> None:
    text = "Ọ̀rẹ́ ﬁne 東京都 Running"
    assert [text[start:end] for _, start, end in ENGLISH.spans(text)] == [
        "Ọ̀rẹ́",
        "ﬁne",
        "東京",
        "京都",
        "Running",
    ]


@given(st.text(max_size=60) | st.text("aB_é'ﬁ東京ｶﾞ\u0301½İ ", max_size=30))
@settings(max_examples=500, deadline=None)
def test_spans_and_tokens_agree(text: str) -> None:
    for analyzer in (SIMPLE, ENGLISH, load_analyzer("turkish")):
        spans = analyzer.spans(text)
        assert [span.token for span in spans] == analyzer.tokens(text)
        assert all(0 <= span.start < span.end <= len(text) and span.token for span in spans)
        assert [span.start for span in spans] == sorted(span.start for span in spans)


@given(st.text(st.characters(max_codepoint=127), max_size=60))
def test_the_ascii_table_is_the_pattern(text: str) -> None:
    assert text.translate(ASCII_WORDS).split() == word_pattern().findall(text.lower())


@given(st.text(max_size=40))
def test_case_and_compatibility_forms_do_not_matter(text: str) -> None:
    import unicodedata

    assert SIMPLE.tokens(unicodedata.normalize("NFD", text)) == SIMPLE.tokens(
        unicodedata.normalize("NFC", text)
    )


def test_every_language_loads_and_names_itself() -> None:
    for name in analyzer_names():
        analyzer = load_analyzer(name)
        assert analyzer.spec == name
        assert load_analyzer(analyzer.spec).tokens("alpha beta 12") == analyzer.tokens("alpha beta 12")
    assert load_analyzer(" German ; stopwords = none").spec == "german;stopwords=none"


def test_stop_words_are_left_out_in_every_language_that_has_them() -> None:
    samples = {
        "danish": "og", "dutch": "het", "english": "the", "finnish": "että", "french": "les", "german": "über",
        "hungarian": "ők", "italian": "della", "norwegian": "ikke", "portuguese": "não", "russian": "что",
        "spanish": "también", "swedish": "och", "turkish": "için",
    }  # fmt: skip
    for language, word in samples.items():
        assert load_analyzer(language).tokens(word) == []
        assert load_analyzer(f"{language};stopwords=none").tokens(word) != []


def test_unknown_names_and_options() -> None:
    with pytest.raises(
        UsageError, match=r"unknown analyser 'klingon'. Known: simple, lucene, arabic.*Take 'simple'"
    ):
        load_analyzer("klingon")
    with pytest.raises(UsageError, match="Known: stopwords=none"):
        load_analyzer("english;stem=no")


def test_a_huge_word_is_cut() -> None:
    assert SIMPLE.tokens("A" * 1_000_000) == ["a" * 255]


def test_threads_agree() -> None:
    words = [f"running{n} cats{n} naïve{n}" for n in range(3000)]
    expected = [load_analyzer("english").tokens(text) for text in words]
    shared = load_analyzer("english")
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(shared.tokens, words)) == expected
