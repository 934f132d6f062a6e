"""Version 1 of the analysers, for indexes that were made with it: a word is a run of letters and digits.

English leaves out words of one character here, and marks, strokes and digits of other scripts stay as they are.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Callable, Container, Iterator
from functools import cache
from typing import NamedTuple

from leanseek.text.analyzer import Span

ASCII_WORDS = "".join(chr(c).lower() if chr(c).isalnum() else " " for c in range(128))
"""A table for `str.translate`: ASCII letters in lower case, digits as they are, all else a space."""

LONGEST = 255
"""Characters of a word; the rest is cut off, so that a megabyte of base64 is one short term."""

# Han, kana, bopomofo and Hangul, with the iteration and prolonged sound marks that belong to their words.
_CJK = (
    "\u1100-\u11ff\u3005-\u3007\u3031-\u3035\u303b\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa"
    "\u30fc-\u30ff\u3105-\u312f\u3131-\u318e\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U000323af"
)
_CJK_RUN = re.compile(f"[{_CJK}]+")
_PIECE = re.compile(f"[{_CJK}]+|[^{_CJK}]+")
_COMBINING_ACCENT = re.compile("[\u0300-\u036f]")

_MEMO_WORDS = 1 << 19
"""Distinct words in a memo; past this it starts anew, which bounds it at some 100 MB."""
_MEMO_LENGTH = 40
"""Longer words are analysed each time: they are rarely seen twice."""


class FormerAnalyzer:
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

    def spans(self, text: str, only: Container[str] | None = None) -> list[Span]:
        """The terms of `tokens(text)`, or `only` those among these, with the characters each comes from.

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
        return spans if only is None else [span for span in spans if span.token in only]

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


@cache
def word_pattern() -> re.Pattern[str]:
    """A word: letters and digits of any script, and the combining marks after them, without the underscore.

    Python's `\\w` leaves out combining marks, which would cut Hindi or Tamil words at every vowel sign.
    """
    marks: list[str] = []
    start = previous = -2
    # Past this range lie only variation selectors, which decorate symbols.
    for code in (*range(0x300, 0x20000), -2):
        if code >= 0 and unicodedata.category(chr(code)) not in ("Mn", "Mc"):
            continue
        if code != previous + 1:
            if start >= 0:
                marks.append(f"{chr(start)}-{chr(previous)}")
            start = code
        previous = code
    return re.compile(rf"[^\W_]+(?:[{''.join(marks)}]+[^\W_]*)*")


def fold(word: str, *, accents: bool) -> str:
    """Compatibility forms unified (NFKC), case removed; with `accents`, European accents removed as well."""
    folded = unicodedata.normalize("NFKC", word).casefold()
    if accents:
        folded = _COMBINING_ACCENT.sub("", unicodedata.normalize("NFKD", folded))
    return unicodedata.normalize("NFKC", folded)


class Piece(NamedTuple):
    """A part [start, end) of a folded word; `cjk`: it is one or two Chinese, Japanese or Korean characters."""

    text: str
    start: int
    end: int
    cjk: bool


def pieces(word: str) -> Iterator[Piece]:
    """The bigrams of a folded word's CJK runs, and the text between them as it is.

    A run of one CJK character is a piece by itself.
    """
    if not _CJK_RUN.search(word):
        yield Piece(word, 0, len(word), False)
        return
    for match in _PIECE.finditer(word):
        run, start = match.group(), match.start()
        cjk = _CJK_RUN.match(run) is not None
        if len(run) == 1 or not cjk:
            yield Piece(run, start, match.end(), cjk)
        else:
            for at in range(start, start + len(run) - 1):
                yield Piece(word[at : at + 2], at, at + 2, True)


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
