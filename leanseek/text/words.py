"""Words of any script as terms: folded, stemmed, stop words left out; codes whole and by their parts."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from itertools import chain

from leanseek.text.analyzer import Span
from leanseek.text.compounds import COMPOUND, LETTER_A, WORD, Compounds, Term
from leanseek.text.letters import CLASSES, LONGEST, Folding
from leanseek.text.unspaced import UNSPACED, Unspaced

_ASCII = "".join(chr(c) if chr(c).isalnum() or chr(c) in "-.,/_:'&+#" else " " for c in range(128))
"""A table for `str.translate`: ASCII with a space for characters of no term."""
_EDGES = "-.,/_:'" + '()[]{}"!?;*<>|~`^$%=\\@\u201c\u201d\u2026'
_WORD = re.compile(WORD)
_SIGNS = str.maketrans("-/.,:", "     ")
"""Signs that bind no words without digits."""
_CHUNK = re.compile(r"\S+")
_RUN = re.compile(f"(?P<unspaced>{UNSPACED})|{COMPOUND}")
_HEBREW_QUOTE = re.compile("(?<=[\u05d0-\u05ea])[\"'](?=[\u05d0-\u05ea])")

_PRONOUN = re.compile(
    r"(^|[.!?;:,(\"\u201c]\s*+|\b(?:am|and|are|as|because|before|but|can|could|did|do|does|had|have|how|if|may|might|"
    r"must|or|shall|should|since|so|than|that|then|though|until|was|were|what|when|where|whether|which|while|who|why|"
    r"will|would)\s++)[Ii](?=\s)|\b[Ii](?=\s++(?:am|believe|feel|guess|hope|know|like|suppose|think|want|wish)\b)",
    re.IGNORECASE,
)
"""I at the start of a clause, behind a word that no numeral follows, or before a verb that has a person."""
_LETTER = re.compile(r"(?<=[a-z0-9] )A(?![^\s.,;:!?)/])")
"""A in upper case behind a word in lower case: an article would be in lower case too."""

_MEMO_CHUNKS = 1 << 19
"""Distinct chunks, or words, in a memo; past this it starts anew, which bounds each at some 100 MB."""
_MEMO_LENGTH = 40
"""Longer ones are analysed each time: they are rarely seen twice."""


class WordAnalyzer:
    """An Analyzer of words in any script.

    Words are runs of letters, digits and marks; they are folded (`letters`), stop words are left out, and the rest
    is stemmed. Numbers, codes, identifiers, initials and names with signs are terms as `compounds` says, scripts
    without spaces as `unspaced` does. No term crosses white space, so that a text is cut there, and most of its
    chunks have been seen before. Thread-safe.
    """

    def __init__(
        self,
        spec: str,
        *,
        fold: Folding,
        stopwords: frozenset[str],
        stem: Callable[[str], str] | None,
        english: bool = False,
    ) -> None:
        """`english`: leave out what is left of its contractions, and the pronoun I."""
        self._spec = spec
        self._fold = fold
        self._words = _Words(frozenset(map(fold, stopwords)), stem)
        self._compounds = Compounds(fold, english=english)
        self._unspaced = Unspaced(fold)
        self._english = english
        self._chunks = _Chunks(self)

    @property
    def spec(self) -> str:
        """What `load_analyzer` takes to make this analyser again."""
        return self._spec

    def tokens(self, text: str) -> list[str]:
        """The terms of a text, in order, repeated as often as they occur."""
        text = self._prepared(text)
        chunks = text.translate(_ASCII).split() if text.isascii() else text.split()
        return list(chain.from_iterable(map(self._chunks.__getitem__, chunks)))

    def spans(self, text: str) -> list[Span]:
        """The terms of `tokens(text)` with the characters each comes from, for highlighting and phrases."""
        return [
            Span(token, match.start() + start, match.start() + end)
            for match in _CHUNK.finditer(self._prepared(text))
            for token, start, end in self.chunk_spans(match.group())
        ]

    def _prepared(self, text: str) -> str:
        """A text of the same length: in English I and A are words or letters by what is around them.

        The pronoun I is left out, the numeral stays (type I, World War I), and so does the letter A (vitamin A).
        """
        if self._english:
            if "I " in text or "i " in text:
                text = _PRONOUN.sub(lambda match: f"{match[1] or ''} ", text)
            if " A" in text:
                text = _LETTER.sub(LETTER_A, text)
        return text

    def chunk_tokens(self, chunk: str) -> tuple[str, ...]:
        """The terms of a text without white space."""
        # Most of prose needs no more than this.
        word = chunk.strip(_EDGES)
        if word.isascii() and (len(word) > 1 or word == chunk) and "." not in chunk[: chunk.index(word)]:
            if _is_plain(word):
                term = self._words[self._fold(word)]
                return (term,) if term else ()
            parts = word.translate(_SIGNS).split(" ")
            if all(len(part) > 1 and part.isalpha() and _is_plain(part) for part in parts):
                return tuple(term for part in parts if (term := self._words[self._fold(part)]))
        return tuple(span.token for span in self.chunk_spans(chunk))

    def chunk_spans(self, chunk: str) -> list[Span]:
        """The terms of a text without white space, with their places in it."""
        if not chunk.isascii():
            chunk = _HEBREW_QUOTE.sub("\u05f4", chunk)
        spans = []
        for term, start, end, plain in self._terms(chunk):
            token = self._words[term] if plain else term[:LONGEST]
            if token:
                spans.append(Span(token, start, end))
        return spans

    def _terms(self, text: str) -> list[Term]:
        classes = text.translate(CLASSES)
        found: list[Term] = []
        for match in _RUN.finditer(classes):
            start, end = match.span()
            if match.lastgroup:
                found += self._unspaced.terms(text, classes, start, end)
                continue
            terms = self._compounds.terms(text, classes, start, end)
            if text.isascii():
                found += terms
                continue
            for term in terms:
                if not term.plain or term.text.isalnum() or _WORD.fullmatch(term.text.translate(CLASSES)):
                    found.append(term)
                else:
                    # Folding parts some words: ½ becomes 1⁄2, and ㍐ several characters.
                    found += (
                        part._replace(start=term.start, end=term.end) for part in self._terms(term.text)
                    )
        return found


def _is_plain(word: str) -> bool:
    """Whether an ASCII word has letters and digits alone, and no humps."""
    return word.isalnum() and (word.islower() or word[1:].islower() or word.isupper() or word.isdigit())


class _Chunks(dict[str, tuple[str, ...]]):
    """Memo of a text without white space -> its terms. Safe to share between threads."""

    def __init__(self, analyzer: WordAnalyzer) -> None:
        super().__init__()
        self._analyzer = analyzer

    def __missing__(self, chunk: str) -> tuple[str, ...]:
        terms = self._analyzer.chunk_tokens(chunk)
        if len(chunk) <= _MEMO_LENGTH:
            if len(self) >= _MEMO_CHUNKS:
                self.clear()
            self[chunk] = terms
        return terms


class _Words(dict[str, str]):
    """Memo of folded word -> term; "" for a word that is left out. Safe to share between threads."""

    def __init__(self, stopwords: frozenset[str], stem: Callable[[str], str] | None) -> None:
        super().__init__()
        self._stopwords = stopwords
        self._stem = stem
        # A Snowball stemmer keeps state while it works.
        self._lock = threading.Lock()

    def __missing__(self, word: str) -> str:
        term = word[:LONGEST]
        if term in self._stopwords:
            term = ""
        elif self._stem is not None:
            with self._lock:
                term = self._stem(term)
        if len(word) <= _MEMO_LENGTH:
            if len(self) >= _MEMO_CHUNKS:
                self.clear()
            self[word] = term
        return term
