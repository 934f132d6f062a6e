"""Lucene's English analyser as Anserini and Pyserini set it up, term by term the same."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

from leanseek.indexing.analysis.base import Span
from leanseek.indexing.analysis.porter import porter_stem
from leanseek.indexing.analysis.standard import ASCII_PARTS, word_bounds

_MEMO_PARTS = 1 << 19
"""Distinct parts of texts remembered; past this the memo starts anew, which bounds it at some 150 MB."""
_MEMO_LENGTH = 40
"""Longer ones are analysed each time: they are rarely seen twice."""
_APOSTROPHES = "'\u2019\uff07"


class _Terms(dict[str, tuple[str, ...]]):
    """Memo of what stands between two spaces -> its terms. Safe to share between threads."""

    def __init__(self, analyse: Callable[[str], list[Span]]) -> None:
        super().__init__()
        self._analyse = analyse

    def __missing__(self, part: str) -> tuple[str, ...]:
        terms = tuple(span.token for span in self._analyse(part))
        if len(part) <= _MEMO_LENGTH:
            if len(self) >= _MEMO_PARTS:
                self.clear()
            self[part] = terms
        return terms


class LuceneAnalyzer:
    """An Analyzer that gives the terms of Anserini's DefaultEnglishAnalyzer, Pyserini's default.

    Its steps, in order: StandardTokenizer, possessive 's removed, lower case (each character by itself), Lucene's
    33 English stop words left out, Porter's stemmer. Accents stay, `don't` and `3.14` are one term each, and
    Chinese and Japanese characters are a term each. Thread-safe.
    """

    def __init__(self, spec: str, *, stopwords: frozenset[str]) -> None:
        self._spec = spec
        self._stopwords = stopwords
        self._terms = _Terms(self.spans)

    @property
    def spec(self) -> str:
        """What `load_analyzer` takes to make this analyser again."""
        return self._spec

    def tokens(self, text: str) -> list[str]:
        """The terms of a text, in order, repeated as often as they occur."""
        # No word crosses a space, and what stands between two is mostly known already.
        parts = text.translate(ASCII_PARTS).split() if text.isascii() else text.split(" ")
        return list(chain.from_iterable(map(self._terms.__getitem__, parts)))

    def spans(self, text: str) -> list[Span]:
        """The terms of `tokens(text)` with the characters each comes from, for highlighting."""
        return [
            Span(term, start, end)
            for start, end in word_bounds(text)
            if (term := self._term(text[start:end]))
        ]

    def _term(self, word: str) -> str:
        """The term of one word; "" for one that is left out."""
        if len(word) > 1 and word[-1] in "sS" and word[-2] in _APOSTROPHES:
            word = word[:-2]
        term = word.lower() if word.isascii() else "".join(map(_lower, word))
        return "" if term in self._stopwords else porter_stem(term)


def _lower(char: str) -> str:
    """Java's lower case, which is one character for one: only İ has two in Python."""
    return char.lower()[0]
