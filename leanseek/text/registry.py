"""Analysers by name."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from leanseek.errors import UsageError
from leanseek.text.analyzer import Analyzer, WordAnalyzer

_SIMPLE = "simple"
_LUCENE = "lucene"


def analyzer_names() -> list[str]:
    """The names that `load_analyzer` takes: `simple`, `lucene`, and a language for each Snowball stemmer."""
    import Stemmer

    return [_SIMPLE, _LUCENE, *Stemmer.algorithms()]


def load_analyzer(spec: str) -> Analyzer:
    """The analyser that `spec` names.

    `"english"`, `"german"` … stem with that language's Snowball stemmer and leave out its stop words, where
    there is a list (Snowball's; for English the 33 of Lucene). `"simple"` does neither, for text of any
    language. `"lucene"` gives the terms of Lucene's English analyser as Anserini and Pyserini use it, for scores
    that compare with theirs. `";stopwords=none"` behind a name keeps the stop words.

    English leaves out words of one character, which scores higher on Cranfield, CISI, Vaswani and CoSQA than
    keeping them (nDCG@10 .343, .372, .445, .362 against .342, .361, .441, .361; SciFact .676 against .680),
    and so drops the possessive 's. English and simple drop accents: MIRACL Yoruba .727 against .599.

    Raises UsageError for an unknown name or option.
    """
    name, *options = spec.strip().lower().split(";")
    name = name.strip()
    if name not in analyzer_names():
        raise UsageError(
            f"unknown analyser {name!r}. Known: {', '.join(analyzer_names())}. "
            "Take 'simple' for any other language (Chinese, Japanese and Korean included)."
        )
    keep_stopwords = False
    for option in options:
        if option.replace(" ", "") != "stopwords=none":
            raise UsageError(
                f"unknown analyser option {option!r} in {spec!r}. "
                f"Known: stopwords=none, as in '{name};stopwords=none'."
            )
        keep_stopwords = True

    canonical = f"{name};stopwords=none" if keep_stopwords else name
    if name == _LUCENE:
        from leanseek.text.lucene_terms import LuceneAnalyzer

        return LuceneAnalyzer(canonical, stopwords=frozenset() if keep_stopwords else _stopwords("english"))
    if name == _SIMPLE:
        return WordAnalyzer(canonical, stopwords=frozenset(), stem=None, shortest=1, fold_accents=True)

    import Stemmer

    english = name in ("english", "porter")
    return WordAnalyzer(
        canonical,
        stopwords=frozenset() if keep_stopwords else _stopwords("english" if english else name),
        # The analyser's own memo takes the place of the stemmer's.
        stem=Stemmer.Stemmer(name, 0).stemWord,
        shortest=2 if english else 1,
        fold_accents=english,
        dotted_i=name == "turkish",
    )


@cache
def _stopwords(language: str) -> frozenset[str]:
    """The stop words of a language; none where there is no list."""
    path = Path(__file__).with_name("stopwords") / f"{language}.txt"
    return frozenset(path.read_text(encoding="utf-8").split()) if path.is_file() else frozenset()
