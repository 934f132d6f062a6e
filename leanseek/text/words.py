"""Words of any script as terms: folded, stemmed, stop words left out; codes whole and by their parts."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Container, Sequence
from itertools import accumulate
from typing import TypeVar

from leanseek.text.analyzer import Span
from leanseek.text.compounds import COMPOUND, WORD, Compounds, Term
from leanseek.text.letters import CLASSES, LONGEST, Folding
from leanseek.text.unspaced import UNSPACED, Unspaced

_ASCII = "".join(chr(c) if chr(c).isalnum() or chr(c) in "-.,/_:'&+#" else " " for c in range(128))
"""A table for `str.translate`: ASCII with a space for characters of no term."""
_EDGES = "-.,/_:'" + '()[]{}"!?;*<>|~`^$%=\\@\u2018\u2019\u201c\u201d\u2026'
_WORD = re.compile(WORD)
_SIGNS = str.maketrans("-/.,:", "     ")
"""Signs that bind no words without digits."""
_NUMBER = re.compile(r"(?:[0-9]{1,3}(?:,[0-9]{3})++|[0-9]++)(?:\.[0-9]+)?")
_SPACED_CHUNK = re.compile(r"\s*\S+")
_RUN = re.compile(f"(?P<unspaced>{UNSPACED})|{COMPOUND}")
_HEBREW_QUOTE = re.compile("(?<=[\u05d0-\u05ea])[\"'](?=[\u05d0-\u05ea])")

_LETTERS = frozenset({"I", "i", "A", "A,", "A.", "A:"})
"""Chunks that are words or letters of English by what is around them."""
_BEFORE_PRONOUN = frozenset(
    "am and are as because before but can could did do does had have how if may might must or shall should since so "
    "than that then though until was were what when where whether which while who why will would".split()
)
_AFTER_PRONOUN = frozenset("am believe feel guess hope know like suppose think want wish".split())

Value = TypeVar("Value")
_SEVERAL = "\0"
"""In place of a term: the chunk may have several, or depends on its neighbours."""
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
        """`english`: leave out what is left of its contractions, and with the stop words the pronoun I."""
        self._spec = spec
        self._fold = fold
        self._words = _Words(frozenset(map(fold, stopwords)), stem)
        self._compounds = Compounds(fold, english=english)
        self._unspaced = Unspaced(fold)
        self._english = english
        self._letters = _LETTERS if english and stopwords else frozenset[str]()
        self._single = _Memo(self._single_term)
        self._several = _Memo(self._several_terms)
        self._placed = _Memo(self._chunk_spans)

    @property
    def spec(self) -> str:
        """What `load_analyzer` takes to make this analyser again."""
        return self._spec

    @property
    def cuts(self) -> str:
        """The 128 characters of ASCII, with a space for those that texts of ASCII alone are cut at."""
        return _ASCII

    @property
    def dependent(self) -> frozenset[str]:
        """The chunks whose terms depend on their neighbours."""
        return self._letters

    def chunk_tokens(self, chunks: Sequence[str], at: int) -> Sequence[str]:
        """The terms of one of a text's chunks; but for `dependent` ones, the others do not matter. Not memorised."""
        chunk = chunks[at]
        if chunk in self._letters:
            return [span.token for span in _letter(chunks, at)]
        term = self._single_term(chunk)
        if term == _SEVERAL:
            return self._several_terms(chunk)
        return [term] if term else []

    def tokens(self, text: str) -> list[str]:
        """The terms of a text, in order, repeated as often as they occur."""
        chunks = text.translate(_ASCII).split() if text.isascii() else text.split()
        found = list(map(self._single.__getitem__, chunks))
        tokens: list[str] = []
        done = 0
        # Nearly all chunks have one term or none: those are taken many at a time.
        for _ in range(found.count(_SEVERAL)):
            at = found.index(_SEVERAL, done)
            tokens += filter(None, found[done:at])
            if chunks[at] in self._letters:
                tokens += (span.token for span in _letter(chunks, at))
            else:
                tokens += self._several[chunks[at]]
            done = at + 1
        tokens += filter(None, found[done:])
        return tokens

    def spans(self, text: str, only: Container[str] | None = None) -> list[Span]:
        """The terms of `tokens(text)`, or `only` those among these, with the characters each comes from."""
        text = text.translate(_ASCII) if text.isascii() else text
        chunks = text.split()
        places = range(len(chunks)) if only is None else self._with_any(chunks, only)
        found: list[Span] = []
        if not places:
            return found
        ends = list(accumulate(map(len, _SPACED_CHUNK.findall(text))))
        for at in places:
            chunk, place = chunks[at], ends[at] - len(chunks[at])
            spans = _letter(chunks, at) if chunk in self._letters else self._placed[chunk]
            found += (
                Span(token, place + start, place + end)
                for token, start, end in spans
                if only is None or token in only
            )
        return found

    def _with_any(self, chunks: Sequence[str], terms: Container[str]) -> list[int]:
        """The places of the chunks that may give one of the terms; of most the memo knows that they do not."""
        return [
            at
            for at, term in enumerate(map(self._single.__getitem__, chunks))
            if term in terms
            or (
                term is _SEVERAL
                and (chunks[at] in self._letters or any(one in terms for one in self._several[chunks[at]]))
            )
        ]

    def _single_term(self, chunk: str) -> str:
        """The term of a text without white space, "" where it has none, `_SEVERAL` where it may have more."""
        word = chunk.strip(_EDGES)
        # What is before a word may belong to it: .NET, 's.
        if chunk[:1] == word[:1] or (len(word) > 1 and "." not in chunk[: chunk.index(word)]):
            if _is_plain(word):
                if chunk in self._letters:
                    return _SEVERAL
                return self._words[word if word.islower() else self._fold(word)]
            if _NUMBER.fullmatch(word):
                return word.replace(",", "")
        elif not word:
            return ""
        return _SEVERAL

    def _several_terms(self, chunk: str) -> tuple[str, ...]:
        """The terms of a text without white space."""
        word = chunk.strip(_EDGES)
        if chunk[0] == word[0]:
            # Most of these are words with hyphens and 's, which need no look at each character.
            if self._english and word.endswith(("'s", "\u2019s")):
                word = word[:-2]
            parts = word.translate(_SIGNS).split(" ")
            if all(len(part) > 1 and part.isalpha() and _is_plain(part) for part in parts):
                return tuple(term for part in parts if (term := self._words[self._fold(part)]))
        return tuple(span.token for span in self._chunk_spans(chunk))

    def _chunk_spans(self, chunk: str) -> tuple[Span, ...]:
        """The terms of a text without white space, with their places in it."""
        if not chunk.isascii():
            chunk = _HEBREW_QUOTE.sub("\u05f4", chunk)
        spans = []
        for term, start, end, plain in self._terms(chunk):
            token = self._words[term] if plain else term[:LONGEST]
            if token:
                spans.append(Span(token, start, end))
        return tuple(spans)

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


def _letter(chunks: Sequence[str], at: int) -> list[Span]:
    """An I or A of English as a letter or numeral (type I, vitamin A), with its place; nothing where it is a word."""
    before = chunks[at - 1] if at else ""
    if chunks[at][0] == "A":
        # An article would be in lower case there.
        stays = before[-1:].islower() or before[-1:].isdigit()
    else:
        # At the start of a clause, behind words that no numeral follows, or before a verb that persons have.
        after = chunks[at + 1].strip(_EDGES) if at + 1 < len(chunks) else ""
        stays = len(chunks) == 1 or not (
            not before
            or before[-1] in ".!?;:,(\u201c"
            or before.strip(_EDGES).lower() in _BEFORE_PRONOUN
            or after in _AFTER_PRONOUN
        )
    return [Span(chunks[at][0].lower(), 0, 1)] if stays else []


def _is_plain(word: str) -> bool:
    """Whether a word has ASCII letters and digits alone, and no humps."""
    return (
        word.isalnum()
        and word.isascii()
        and (word.islower() or word[1:].islower() or word.isupper() or word.isdigit())
    )


class _Memo(dict[str, Value]):
    """Memo of a text without white space -> what is made of it. Safe to share between threads."""

    def __init__(self, make: Callable[[str], Value]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, chunk: str) -> Value:
        value = self._make(chunk)
        if len(chunk) <= _MEMO_LENGTH:
            if len(self) >= _MEMO_CHUNKS:
                self.clear()
            self[chunk] = value
        return value


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
