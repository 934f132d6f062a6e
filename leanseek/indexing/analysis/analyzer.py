"""The analyser of the Snowball languages, and of any other."""

from __future__ import annotations

import threading
from collections.abc import Callable

from leanseek.indexing.analysis.base import Span
from leanseek.indexing.analysis.words import ASCII_WORDS, LONGEST, fold, pieces, word_pattern

_MEMO_WORDS = 1 << 19
"""Distinct words remembered; past this the memo starts anew, which bounds it at some 100 MB."""
_MEMO_LENGTH = 40
"""Longer words are analysed each time: they are rarely seen twice."""


class _Terms(dict[str, str]):
    """Memo of folded word -> term; "" for a word that is left out. Safe to share between threads."""

    def __init__(self, stopwords: frozenset[str], stem: Callable[[str], str] | None, shortest: int) -> None:
        super().__init__()
        self._stopwords = stopwords
        self._stem = stem
        self._shortest = shortest
        # A Snowball stemmer keeps state while it works.
        self._lock = threading.Lock()

    def __missing__(self, word: str) -> str:
        term = word[:LONGEST]
        if term in self._stopwords or len(term) < self._shortest:
            term = ""
        elif self._stem is not None:
            with self._lock:
                term = self._stem(term)
        if len(word) <= _MEMO_LENGTH:
            if len(self) >= _MEMO_WORDS:
                self.clear()
            self[word] = term
        return term


class WordAnalyzer:
    """An Analyzer of words in any script.

    Words are runs of letters, digits and combining marks of any script, so `don't` and `snake_case` are two
    words each. They are folded (NFKC, no case; with `fold_accents` no accents), stop words and words
    under `shortest` characters are left out, and the rest is stemmed. Runs of Chinese, Japanese and Korean
    become overlapping bigrams, which are neither stop words nor stemmed nor too short. Thread-safe.
    """

    def __init__(
        self,
        spec: str,
        *,
        stopwords: frozenset[str],
        stem: Callable[[str], str] | None,
        shortest: int,
        fold_accents: bool,
        dotted_i: bool = False,
    ) -> None:
        self._spec = spec
        self._terms = _Terms(
            frozenset(fold(word, accents=fold_accents) for word in stopwords), stem, shortest
        )
        self._fold_accents = fold_accents
        self._dotted_i = dotted_i
        self._memo: dict[str, tuple[str, ...]] = {}

    @property
    def spec(self) -> str:
        """What `load_analyzer` takes to make this analyser again."""
        return self._spec

    def tokens(self, text: str) -> list[str]:
        """The terms of a text, in order, repeated as often as they occur."""
        if text.isascii() and not self._dotted_i:
            terms = self._terms
            return [term for word in text.translate(ASCII_WORDS).split() if (term := terms[word])]
        memo = self._memo
        found: list[str] = []
        for word in word_pattern().findall(text):
            tokens = memo.get(word)
            if tokens is None:
                tokens = tuple(span.token for span in self._analyse(word))
                if len(word) <= _MEMO_LENGTH:
                    if len(memo) >= _MEMO_WORDS:
                        memo.clear()
                    memo[word] = tokens
            found.extend(tokens)
        return found

    def spans(self, text: str) -> list[Span]:
        """The terms of `tokens(text)` with the characters each comes from, for highlighting.

        A word whose length changes in folding gives its whole extent to each of its terms.
        """
        spans = []
        for match in word_pattern().finditer(text):
            word, at = match.group(), match.start()
            if word.isascii() and not self._dotted_i:
                if token := self._terms[word.lower()]:
                    spans.append(Span(token, at, match.end()))
            else:
                spans.extend(Span(token, at + start, at + end) for token, start, end in self._analyse(word))
        return spans

    def _analyse(self, word: str) -> list[Span]:
        """The terms of one word of a text, with their places in it."""
        if self._dotted_i:
            word = word.replace("I", "ı").replace("İ", "i")
        folded = word.lower() if word.isascii() else fold(word, accents=self._fold_accents)
        aligned = len(folded) == len(word)
        spans = []
        # Folding may part a word: ½ becomes 1⁄2, whose stroke is no letter.
        for match in word_pattern().finditer(folded):
            for piece in pieces(match.group()):
                token = piece.text if piece.cjk else self._terms[piece.text]
                if token:
                    at = match.start()
                    start, end = (at + piece.start, at + piece.end) if aligned else (0, len(word))
                    spans.append(Span(token, start, end))
        return spans
