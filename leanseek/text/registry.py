"""Analysers by name, and the versions of their rules."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from leanseek.errors import UsageError
from leanseek.text.analyzer import Analyzer

_SIMPLE = "simple"
_LUCENE = "lucene"

VERSIONS = (1, 2)
"""Of the rules of all analysers but `lucene`; indexes keep the version that they were made with."""


def analyzer_names() -> list[str]:
    """The names that `load_analyzer` takes: `simple`, `lucene`, and a language for each Snowball stemmer."""
    import Stemmer

    return [_SIMPLE, _LUCENE, *Stemmer.algorithms()]


def versioned(spec: str, version: int = VERSIONS[-1]) -> str:
    """The spec with the version of its rules, `english@2`, which is `version` where it has none; lucene has none."""
    name, *options = (part.strip() for part in spec.strip().lower().split(";"))
    if "@" not in name and name != _LUCENE:
        name = f"{name}@{version}"
    return ";".join([name, *(option.replace(" ", "") for option in options)])


def newest_rules(spec: str) -> str:
    """The spec of the analyser of that name and options by the newest rules."""
    name, *options = versioned(spec).split(";")
    return versioned(";".join([name.split("@")[0], *options]))


def load_analyzer(spec: str) -> Analyzer:
    """The analyser that `spec` names.

    `"english"`, `"german"` … stem with that language's Snowball stemmer and leave out its stop words, where
    there is a list (Snowball's; for English the 33 of Lucene). `"simple"` does neither, for text of any
    language. `"lucene"` gives the terms of Lucene's English analyser as Anserini and Pyserini use it, for scores
    that compare with theirs. `";stopwords=none"` behind a name keeps the stop words.

    `"english@1"` has the rules of version 1, by which indexes of earlier releases were made; without a version a
    name means the newest rules (`VERSIONS`).

    Raises UsageError for an unknown name, version or option.
    """
    spec = versioned(spec)
    name, *options = spec.split(";")
    name, _, version = name.partition("@")
    if name not in analyzer_names():
        raise UsageError(
            f"unknown analyser {name!r}. Known: {', '.join(analyzer_names())}. "
            "Take 'simple' for any other language (Chinese, Japanese and Korean included)."
        )
    if name == _LUCENE and version:
        raise UsageError(f"the analyser 'lucene' has no versions; name it without '@{version}'")
    if name != _LUCENE and version not in map(str, VERSIONS):
        raise UsageError(
            f"unknown version {version!r} of the analyser {name!r}. Known: {', '.join(map(str, VERSIONS))}, as in "
            f"'{name}@{VERSIONS[-1]}'; a newer one needs a newer leanseek: pip install --upgrade leanseek"
        )
    keep_stopwords = False
    for option in options:
        if option != "stopwords=none":
            raise UsageError(
                f"unknown analyser option {option!r} in {spec!r}. "
                f"Known: stopwords=none, as in '{name};stopwords=none'."
            )
        keep_stopwords = True
    stopwords = frozenset[str]() if keep_stopwords or name == _SIMPLE else _stopwords(name)
    if name == _LUCENE:
        from leanseek.text.lucene_terms import LuceneAnalyzer

        return LuceneAnalyzer(spec, stopwords=stopwords)

    import Stemmer

    # The analyser's own memo takes the place of the stemmer's.
    stem = None if name == _SIMPLE else Stemmer.Stemmer(name, 0).stemWord
    english = name in ("english", "porter")
    if version == "1":
        from leanseek.text.former_words import FormerAnalyzer

        return FormerAnalyzer(
            spec,
            stopwords=stopwords,
            stem=stem,
            shortest=2 if english else 1,
            fold_accents=english or name == _SIMPLE,
            dotted_i=name == "turkish",
        )
    from leanseek.text.letters import Folding
    from leanseek.text.words import WordAnalyzer

    return WordAnalyzer(spec, fold=Folding(name), stopwords=stopwords, stem=stem, english=english)


@cache
def _stopwords(name: str) -> frozenset[str]:
    """The stop words of an analyser's language; none where there is no list."""
    language = "english" if name in (_LUCENE, "porter") else name
    path = Path(__file__).with_name("stopwords") / f"{language}.txt"
    return frozenset(path.read_text(encoding="utf-8").split()) if path.is_file() else frozenset()
