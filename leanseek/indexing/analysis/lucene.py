"""Lucene's English analyser as Anserini and Pyserini set it up, term by term the same."""

from __future__ import annotations

from collections.abc import Callable

from leanseek.indexing.analysis.base import Span
from leanseek.indexing.analysis.porter import porter_stem
from leanseek.indexing.analysis.standard import ascii_words, word_bounds

_MEMO_WORDS = 1 << 19
"""Distinct words remembered; past this the memo starts anew, which bounds it at some 100 MB."""
_MEMO_LENGTH = 40
"""Longer words are analysed each time: they are rarely seen twice."""
_APOSTROPHES = "'\u2019\uff07"


class _Terms(dict[str, str]):
    """Memo of a word as it stands -> term; "" for a word that is left out. Safe to share between threads."""

    def __init__(self, analyse: Callable[[str], str]) -> None:
        super().__init__()
        self._analyse = analyse

    def __missing__(self, word: str) -> str:
        term = self._analyse(word)
        if len(word) <= _MEMO_LENGTH:
            if len(self) >= _MEMO_WORDS:
                self.clear()
            self[word] = term
        return term


class LuceneAnalyzer:
    """An Analyzer that gives the terms of Anserini's DefaultEnglishAnalyzer, Pyserini's default.

    Its steps, in order: StandardTokenizer, possessive 's removed, lower case (each character by itself), Lucene's
    33 English stop words left out, Porter's stemmer. Accents stay, `don't` and `3.14` are one term each, and
    Chinese and Japanese characters are a term each. Thread-safe.
    """

    def __init__(self, spec: str, *, stopwords: frozenset[str]) -> None:
        self._spec = spec
        self._stopwords = stopwords
        self._terms = _Terms(self._analyse)

    @property
    def spec(self) -> str:
        """What `load_analyzer` takes to make this analyser again."""
        return self._spec

    def tokens(self, text: str) -> list[str]:
        """The terms of a text, in order, repeated as often as they occur."""
        terms = self._terms
        if text.isascii():
            return [term for word in ascii_words(text.lower()) if (term := terms[word])]
        return [term for start, end in word_bounds(text) if (term := terms[text[start:end]])]

    def spans(self, text: str) -> list[Span]:
        """The terms of `tokens(text)` with the characters each comes from, for highlighting."""
        terms = self._terms
        return [
            Span(term, start, end) for start, end in word_bounds(text) if (term := terms[text[start:end]])
        ]

    def _analyse(self, word: str) -> str:
        if not word.strip("_"):
            return ""
        if len(word) > 1 and word[-1] in "sS" and word[-2] in _APOSTROPHES:
            word = word[:-2]
        term = word.lower() if word.isascii() else "".join(map(_lower, word))
        return "" if term in self._stopwords else porter_stem(term)


def _lower(char: str) -> str:
    """Java's lower case, which is one character for one: only İ has two in Python."""
    return char.lower()[0]
