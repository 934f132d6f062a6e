"""Lucene's English terms: its analyser, and Porter's stemmer as Lucene has it, with its author's two later changes.

Porter: An algorithm for suffix stripping (Program 14(3), 1980). The changes are his, made in the versions in
other languages that he published: step 2 turns `bli` (not `abli`) into `ble`, and `logi` into `log`. Words of one
or two letters stay as they are. Snowball's `porter` has neither the changes nor that limit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from itertools import chain

from leanseek.text.analyzer import Span
from leanseek.text.word_bounds import ASCII_PARTS, word_bounds

_STEP_2 = (
    ("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize"), ("bli", "ble"),
    ("alli", "al"), ("entli", "ent"), ("eli", "e"), ("ousli", "ous"), ("ization", "ize"), ("ation", "ate"),
    ("ator", "ate"), ("alism", "al"), ("iveness", "ive"), ("fulness", "ful"), ("ousness", "ous"),
    ("aliti", "al"), ("iviti", "ive"), ("biliti", "ble"), ("logi", "log"),
)  # fmt: skip
_STEP_3 = (
    ("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""), ("ness", ""),
)  # fmt: skip
_STEP_4 = (
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism", "ate",
    "iti", "ous", "ive", "ize",
)  # fmt: skip
_NOT_VOWEL = re.compile("[^aeiouy]")

_MEMO_PARTS = 1 << 19
"""Distinct parts of texts in the memo; past this it starts anew, which bounds it at some 150 MB."""
_MEMO_LENGTH = 40
"""Longer parts are analysed each time: they are rarely seen twice."""
_APOSTROPHES = "'\u2019\uff07"


class _Terms(dict[str, tuple[str, ...]]):
    """Memo of the text between two spaces -> its terms. Safe to share between threads."""

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
        # No word crosses a space, and most text between two is in the memo already.
        parts = text.translate(ASCII_PARTS).split() if text.isascii() else text.split(" ")
        return list(chain.from_iterable(map(self._terms.__getitem__, parts)))

    def spans(self, text: str, only: Container[str] | None = None) -> list[Span]:
        """The terms of `tokens(text)`, or `only` those among these, with the characters each comes from."""
        return [
            Span(term, start, end)
            for start, end in word_bounds(text)
            if (term := self._term(text[start:end])) and (only is None or term in only)
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


def porter_stem(word: str) -> str:
    """The stem of a word in lower case. Any character but a, e, i, o, u, and y after a consonant, is a consonant."""
    if len(word) + sum(char > "\uffff" for char in word) <= 2:  # in UTF-16, as Java counts
        return word
    word = _step_1(word)
    if len(word) > 1:
        word = _replaced(word, _STEP_2)
        word = _replaced(word, _STEP_3)
        word = _step_4(word)
    return _step_5(word)


def _shape(word: str) -> str:
    """`c` for each consonant and `v` for each vowel."""
    shape = _NOT_VOWEL.sub("c", word)
    for vowel in "aeiou":
        shape = shape.replace(vowel, "v")
    while (at := shape.find("y")) >= 0:
        shape = shape[:at] + ("v" if at and shape[at - 1] == "c" else "c") + shape[at + 1 :]
    return shape


def _measure(stem: str) -> int:
    """Porter's m: how often a run of vowels is followed by one of consonants."""
    return _shape(stem).count("vc")


def _ends_double(word: str) -> bool:
    """Porter's *d: the word ends with a double consonant."""
    return len(word) > 1 and word[-1] == word[-2] and _shape(word)[-1] == "c"


def _ends_short(word: str) -> bool:
    """Porter's *o: consonant, vowel, consonant at the end, the last not w, x or y."""
    return word[-1:] not in ("w", "x", "y") and _shape(word).endswith("cvc")


def _step_1(word: str) -> str:
    """Plurals, -ed, -ing, and y after a vowel elsewhere."""
    if word.endswith(("sses", "ies")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]

    if word.endswith("eed"):
        if _measure(word[:-3]) > 0:
            word = word[:-1]
    else:
        for suffix in ("ed", "ing"):
            if word.endswith(suffix) and "v" in _shape(word[: -len(suffix)]):
                word = _restored(word[: -len(suffix)])
                break

    if word.endswith("y") and "v" in _shape(word[:-1]):
        word = word[:-1] + "i"
    return word


def _restored(stem: str) -> str:
    """The stem before -ed or -ing, with the e that it lost or without its doubled letter."""
    if stem.endswith(("at", "bl", "iz")):
        return stem + "e"
    if _ends_double(stem):
        return stem if stem[-1] in "lsz" else stem[:-1]
    return stem + "e" if _measure(stem) == 1 and _ends_short(stem) else stem


def _replaced(word: str, suffixes: tuple[tuple[str, str], ...]) -> str:
    """The word with its first matching suffix replaced, if the rest has a measure above 0; no other is tried."""
    for suffix, replacement in suffixes:
        if word.endswith(suffix):
            stem = word[: -len(suffix)]
            return stem + replacement if _measure(stem) > 0 else word
    return word


def _step_4(word: str) -> str:
    """Suffixes dropped where the rest has a measure above 1."""
    for suffix in _STEP_4:
        if word.endswith(suffix):
            stem = word[: -len(suffix)]
            if suffix == "ion" and not stem.endswith(("s", "t")):
                return word
            return stem if _measure(stem) > 1 else word
    return word


def _step_5(word: str) -> str:
    """A final e, and one of two final l."""
    if word.endswith("e"):
        m = _measure(word[:-1])
        if m > 1 or (m == 1 and not _ends_short(word[:-1])):
            word = word[:-1]
    if word.endswith("ll") and _measure(word) > 1:
        word = word[:-1]
    return word
