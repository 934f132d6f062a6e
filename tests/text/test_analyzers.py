"""Which terms a text gives: words, languages, names and versions of analysers."""

from __future__ import annotations

import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import UsageError
from leanseek.text import Analyzer, analyzer_names, load_analyzer, newest_rules

SIMPLE = load_analyzer("simple")
ENGLISH = load_analyzer("english")
TRICKY = (
    "aBÉ1'.,-/_:&+# (\"\n\u2019\u2011é\u0301\u0316½㍿ﬁßİ东京ｶﾞ각\u1100\u1161\u11a8กำ"
    "\u200b\u00ad\u0640א\u05b8\u05f4٣٫"
)
TEXTS = st.text(max_size=60) | st.text(TRICKY, max_size=40) | st.text("ab1I'.,-_ &", max_size=40)


@pytest.mark.parametrize(
    ("analyzer", "text", "tokens"),
    [
        (ENGLISH, "The cats' naïve running, a déjà-vu!", ["cat", "naiv", "run", "deja", "vu"]),
        (ENGLISH, "the dog's bone isn't mine", ["dog", "bone", "isn", "mine"]),
        (ENGLISH, "vitamin C and B12, type 2", ["vitamin", "c", "b12", "type", "2"]),
        (SIMPLE, "The dog's\tVitamin C\x00x", ["the", "dog", "s", "vitamin", "c", "x"]),
        (SIMPLE, "Ọ̀rẹ́ mi ÀÁRỌ̀ aaro", ["ore", "mi", "aaro", "aaro"]),
        (SIMPLE, "ﬁne ＡＢＣ Straße ΟΔΟΣ ㎧", ["fine", "abc", "strasse", "οδοσ", "m", "s"]),
        (SIMPLE, "हिन्दी में நிறுவனம்", ["हिन्दी", "में", "நிறுவனம்"]),
        (SIMPLE, "🙂 🙂‍♂️ —…", []),
        (SIMPLE, "\ud800a\udfff", ["a"]),
        (SIMPLE, "", []),
        (load_analyzer("german"), "Die Straßen und Häuser", ["strass", "haus"]),
        (load_analyzer("french"), "L'été des élèves", ["élev"]),
        (load_analyzer("turkish"), "IŞIK İstanbul Diyarbakır", ["ışık", "istanbul", "diyarbakır"]),
        (load_analyzer("russian"), "Книги и книга", ["книг", "книг"]),
        (load_analyzer("english;stopwords=none"), "to be", ["to", "be"]),
    ],
)
def test_tokens(analyzer: Analyzer, text: str, tokens: list[str]) -> None:
    assert analyzer.tokens(text) == tokens
    assert [span.token for span in analyzer.spans(text)] == tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (
            "I would like what I know, i.e. what I've seen",
            ["would", "like", "what", "know", "what", "ve", "seen"],
        ),
        ("diabetes of type I or II, World War I was", ["diabet", "type", "i", "ii", "world", "war", "i"]),
        ("how do I install it?", ["how", "do", "instal"]),
        ("A cat and vitamin A, hepatitis A/B", ["cat", "vitamin", "a", "hepat", "a", "b"]),
        ("'C' and d'Artagnan", ["c", "d", "artagnan"]),
    ],
)
def test_letters_that_are_no_words_in_english(text: str, tokens: list[str]) -> None:
    assert ENGLISH.tokens(text) == tokens


def test_spans_point_into_the_text() -> None:
    text = "Ọ̀rẹ́ ﬁne 東京 Running getUser ½"
    assert [(token, text[start:end]) for token, start, end in ENGLISH.spans(text)] == [
        ("ore", "Ọ̀rẹ́"),
        ("fine", "ﬁne"),
        ("東京", "東京"),
        ("東", "東"),
        ("京", "京"),
        ("run", "Running"),
        ("getus", "getUser"),
        ("get", "get"),
        ("user", "User"),
        ("1/2", "½"),
        ("1", "½"),
        ("2", "½"),
    ]


@given(TEXTS)
@settings(max_examples=1000, deadline=None)
def test_spans_and_tokens_agree(text: str) -> None:
    for analyzer in (SIMPLE, ENGLISH, load_analyzer("turkish")):
        spans = analyzer.spans(text)
        assert [span.token for span in spans] == analyzer.tokens(text)
        assert all(0 <= span.start < span.end <= len(text) and span.token for span in spans)
        assert [span.start for span in spans] == sorted(span.start for span in spans)
        assert not any(char.isspace() for span in spans for char in text[span.start : span.end])


@given(st.text(st.characters(max_codepoint=127), max_size=60))
@settings(max_examples=500, deadline=None)
def test_ascii_texts_give_the_terms_of_any_other(text: str) -> None:
    for analyzer in (SIMPLE, load_analyzer("german")):
        assert analyzer.tokens(text) == analyzer.tokens(f"{text} 茶")[:-1]
    # English alone looks beyond white space, for I and A.
    text = text.translate(dict.fromkeys(map(ord, "IiA")))
    assert ENGLISH.tokens(text) == ENGLISH.tokens(f"{text} 茶")[:-1]


@given(st.text(max_size=40) | st.text(TRICKY, max_size=20))
@settings(deadline=None)
def test_composed_and_decomposed_text_have_the_same_terms(text: str) -> None:
    assert SIMPLE.tokens(unicodedata.normalize("NFD", text)) == SIMPLE.tokens(
        unicodedata.normalize("NFC", text)
    )


@pytest.mark.parametrize(
    "run",
    [
        "\u0301", "\u0301\u0316", "a\u0301\u0316", "a.", ".", "..", "-", "a-", "1-", "1,", "1,000,", "1.1.", "&", "a&",
        "_", "a_", "aA", "Aa", "AAa", "a", "A", "1", "1a", "+", "a++", "#", "'", "a'", "I ", "i", " ", ". ", "茶",
        "\u1100", "\u1161", "가\u11a8", "ก", "กำ", "\u0e31", "\u200b", "ก\u200b", "\u200d", "a\u00ad", "\u0640", "א\"",
        "½", "㍿", "ﷺ",
    ],
)  # fmt: skip
def test_repetition_of_anything_takes_linear_time(run: str) -> None:
    text = f"{run * (100_000 // len(run.encode()))} end"
    started = time.process_time()
    tokens = ENGLISH.tokens(text)
    assert tokens[-1] == "end"
    assert len(ENGLISH.spans(text)) == len(tokens)
    # A quadratic step takes minutes.
    assert time.process_time() - started < 15


def test_every_language_loads_and_names_itself() -> None:
    for name in analyzer_names():
        analyzer = load_analyzer(name)
        assert analyzer.spec == (name if name == "lucene" else f"{name}@2")
        assert load_analyzer(analyzer.spec).tokens("alpha beta 12") == analyzer.tokens("alpha beta 12")
    assert load_analyzer(" German ; stopwords = none").spec == "german@2;stopwords=none"


def test_a_name_means_the_newest_rules() -> None:
    assert (
        load_analyzer("english").tokens("type 2")
        == load_analyzer("english@2").tokens("type 2")
        == ["type", "2"]
    )
    assert load_analyzer("english@1").tokens("type 2") == ["type"]
    assert load_analyzer("english@1;stopwords=none").spec == "english@1;stopwords=none"
    assert newest_rules("english@1;stopwords=none") == "english@2;stopwords=none"
    assert newest_rules("lucene") == "lucene"


def test_stop_words_are_left_out_in_every_language_that_has_them() -> None:
    samples = {
        "danish": "og", "dutch": "het", "english": "the", "finnish": "että", "french": "les", "german": "über",
        "hungarian": "ők", "italian": "della", "norwegian": "ikke", "portuguese": "não", "russian": "что",
        "spanish": "también", "swedish": "och", "turkish": "için",
    }  # fmt: skip
    for language, word in samples.items():
        assert load_analyzer(language).tokens(word) == []
        assert load_analyzer(f"{language};stopwords=none").tokens(word) != []


def test_unknown_names_versions_and_options() -> None:
    with pytest.raises(
        UsageError, match=r"unknown analyser 'klingon'. Known: simple, lucene, arabic.*Take 'simple'"
    ):
        load_analyzer("klingon")
    with pytest.raises(UsageError, match="Known: stopwords=none"):
        load_analyzer("english;stem=no")
    with pytest.raises(
        UsageError, match=r"unknown version '3' of the analyser 'english'. Known: 1, 2, as in"
    ):
        load_analyzer("english@3")
    with pytest.raises(UsageError, match="'lucene' has no versions"):
        load_analyzer("lucene@2")


def test_a_huge_word_is_cut() -> None:
    assert SIMPLE.tokens("A" * 1_000_000) == ["a" * 255]


def test_threads_agree() -> None:
    words = [f"running{n} cats{n} naïve{n} AB-{n}/5" for n in range(3000)]
    expected = [load_analyzer("english").tokens(text) for text in words]
    shared = load_analyzer("english")
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(shared.tokens, words)) == expected


@given(st.lists(TEXTS | st.sampled_from(["I", "A.", "vitamin A", "e.g.", "getUserById", "it's"]), max_size=6))
@settings(deadline=None)
def test_spans_of_some_terms_are_those_among_all(words: list[str]) -> None:
    text = " ".join(words)
    for name in ("english", "simple", "lucene", "german"):
        analyzer = load_analyzer(name)
        spans = analyzer.spans(text)
        for wanted in ({span.token for span in spans[::3]}, {"a", "i", "user"}, set[str]()):
            assert analyzer.spans(text, wanted) == [span for span in spans if span.token in wanted]
