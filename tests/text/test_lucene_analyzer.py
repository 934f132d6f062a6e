"""Lucene's terms: a stored sample of what Lucene gave, and whole collections where Pyserini is installed."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.indexing.sparse.java import java_class, requirements
from leanseek.text import load_analyzer
from leanseek.text.lucene_terms import porter_stem

LUCENE = load_analyzer("lucene")
SAMPLE = [
    json.loads(line)
    for line in Path(__file__).with_name("lucene_terms.jsonl").read_text(encoding="utf-8").splitlines()
]
MIXED = "aSé1_:.,;'\"’אבカ漢ก\u0e31\u0301\u200d\ufe0f\ufe0e👩☝🏻ℹ🇦#\u20e3 -\n"


@pytest.mark.parametrize("case", SAMPLE, ids=range(len(SAMPLE)))
def test_terms_are_those_that_lucene_gave(case: Any) -> None:
    assert LUCENE.tokens(case["text"]) == case["terms"]


@given(st.text(max_size=80) | st.text(MIXED, max_size=30) | st.text("ab_", max_size=700))
@settings(max_examples=400, deadline=None)
def test_spans_are_the_tokens_in_the_text(text: str) -> None:
    spans = LUCENE.spans(text)
    assert [span.token for span in spans] == LUCENE.tokens(text)
    ends = [0, *(span.end for span in spans)]
    assert all(end <= span.start < span.end <= len(text) for end, span in zip(ends, spans, strict=False))


@given(st.text(st.characters(max_codepoint=127), max_size=80) | st.text("ab_1.:,;'S ", max_size=400))
@settings(max_examples=400, deadline=None)
def test_ascii_texts_are_cut_as_any_other(text: str) -> None:
    assert LUCENE.tokens(text) == LUCENE.tokens(f"{text} 茶")[:-1]


@given(st.text("abceilnostuyzdg1", max_size=16))
def test_stems_are_fixed_by_their_letters(word: str) -> None:
    stem = porter_stem(word)
    assert len(stem) <= len(word) + 1 and stem[:1] == word[:1]
    assert len(word) > 2 or stem == word


def test_long_runs_take_linear_time() -> None:
    for run in ("_", "\u200d", "a", "_\u0301", "👩\u200d", "a."):
        assert len(LUCENE.tokens(run * 100_000 + " end")) <= 100_001


def test_stop_words_can_stay() -> None:
    assert LUCENE.tokens("to be or not to be") == []
    assert load_analyzer("lucene;stopwords=none").tokens("To be's") == ["to", "be"]
    assert load_analyzer(" Lucene ").spec == "lucene"


def pyserini() -> Callable[[str], list[str]]:
    """Pyserini's default analyser; the test is skipped where it cannot run."""
    java, absent, complaint = requirements()
    if absent or java is None:
        pytest.skip(f"comparing with Pyserini needs {', '.join(absent)} {complaint}".strip())
    analyzer = java_class("io.anserini.analysis.DefaultEnglishAnalyzer").newStemmingInstance("porter")
    tools = java_class("io.anserini.analysis.AnalyzerUtils")
    return lambda text: list(tools.analyze(analyzer, text).toArray() or ())


STEPS = {"big": 200, "miracl-yo": 16, "medquad": 16, "cosqa": 8, "scifact": 4, "vaswani": 8}


@pytest.mark.parametrize(
    "name", ["scifact", "vaswani", "cisi", "cosqa", "cranfield", "miracl-yo", "medquad", "big"]
)
def test_every_document_has_the_terms_that_pyserini_gives(
    name: str, collection: Callable[[str], Path]
) -> None:
    """All documents of small collections, some hundreds of larger ones."""
    theirs, folder = pyserini(), collection(name)
    plain, packed = folder / "corpus.jsonl", folder / "corpus.jsonl.gz"
    with plain.open("rb") if plain.exists() else gzip.open(packed) as file:
        for line in islice(file, 0, None, STEPS.get(name, 1)):
            record = json.loads(line)
            text = f"{record['title']} {record['text']}".strip()
            assert LUCENE.tokens(text) == theirs(text), record["_id"]


def test_any_characters_have_the_terms_that_pyserini_gives() -> None:
    theirs, choose = pyserini(), random.Random(3)
    every = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    for start in range(0, len(every), 500):
        text = "a".join(every[start : start + 500])
        assert LUCENE.tokens(text) == theirs(text), hex(start)
    for _ in range(4000):
        text = "".join(choose.choices(MIXED, k=choose.choice([4, 8, 16, 30])))
        assert LUCENE.tokens(text) == theirs(text), ascii(text)
    for _ in range(300):
        text = "".join(choose.choices("aaaaaa1_.:'é𝐀\u0301", k=choose.randrange(240, 1200)))
        assert LUCENE.tokens(text) == theirs(text), ascii(text)
