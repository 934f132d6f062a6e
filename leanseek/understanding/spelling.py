"""Typing mistakes: words that the index does not have, one edit away from a word that it has.

The dictionary is that of the sparse side, so that it speaks the language of the documents, names and codes included. It
holds stems, not words: an edit is made to the word as it was typed, and counts where the analyser makes of it a term
that a passage has. An edit inserts, drops or replaces one letter, or swaps two neighbours (Damerau 1964), which is what
four of five typing mistakes are. Of several words the one that most passages have is taken, those with the
same first letter before all others: people rarely miss the first.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Final

from leanseek.indexing.search_source import SearchSource
from leanseek.text import Span

SHORTEST: Final = 4
"""Letters of a word that is corrected: a shorter one has too many neighbours."""
LONGEST: Final = 40
_BEFORE: Final = re.compile(r"(?:^|\s)[^\w\s@/\\#]*$")
_AFTER: Final = re.compile(r"[^\w\s@/\\#]*(?:\s|$)")
"""What stands around a word by itself: white space, and marks between that and the word."""
_LATIN: Final = "abcdefghijklmnopqrstuvwxyz"
_ALPHABETS: Final = {"CYRILLIC": (0x430, 0x45F), "GREEK": (0x3AC, 0x3CE), "ARMENIAN": (0x561, 0x586)}
"""The small letters of scripts with case, by the script's name in Unicode: first and last."""


def corrected(source: SearchSource, query: str) -> str | None:
    """The query with each word that the index does not have replaced by the nearest that it has, one edit away.

    None where there is nothing to correct: the index has every word, has no sparse side, or no word that near. A word
    that the index has is never changed, however rare it is, nor is one with digits or signs, of fewer than four letters
    or of a script without small letters.
    """
    if source.state.settings.sparse is None:
        return None
    tokens = source.passages.analyzer.tokens(query)
    if not tokens or source.sparse.idf(query).all():
        return None
    unknown = set(tokens) - known(source, query)
    changed, last = [], 0
    for span in source.passages.analyzer.spans(query, only=unknown):
        word = query[span.start : span.end]
        if span.start < last or not correctable(query, span):
            continue
        if (better := nearest(source, word.lower())) is not None:
            changed += [query[last : span.start], in_case_of(word, better)]
            last = span.end
    return "".join([*changed, query[last:]]) if changed else None


def known(source: SearchSource, text: str) -> set[str]:
    """The terms of a text that a live passage has."""
    terms = dict.fromkeys(source.passages.analyzer.tokens(text))
    return {term for term, idf in zip(terms, source.sparse.idf(text).tolist(), strict=True) if idf > 0}


def correctable(query: str, span: Span) -> bool:
    """Whether a span is a word of letters by itself, and not a part of an address, a code or a compound."""
    word = query[span.start : span.end]
    whole = _BEFORE.search(query[: span.start]) and _AFTER.match(query, span.end)
    return bool(whole) and SHORTEST <= len(word) <= LONGEST and word.isalpha()


def nearest(source: SearchSource, word: str) -> str | None:
    """The word, one edit from a word in small letters, that most passages have; None where no passage has any."""
    analyzer = source.passages.analyzer
    terms = {}
    for edit in edits(word):
        found = analyzer.tokens(edit)
        if len(found) == 1:
            terms[edit] = found[0]
    if not terms:
        return None
    idf = source.sparse.idf(" ".join(terms))
    rarity = dict(zip(dict.fromkeys(terms.values()), idf.tolist(), strict=True))
    near = [(edit[0] != word[0], rarity[term], edit) for edit, term in terms.items() if rarity[term] > 0]
    return min(near)[2] if near else None


def edits(word: str) -> Iterator[str]:
    """The texts that are one edit from a word, some of them twice."""
    letters = alphabet(word)
    for at in range(len(word) + 1):
        before, here, after = word[:at], word[at : at + 1], word[at + 1 :]
        if here:
            yield before + after
            if after and after[0] != here:
                yield before + after[0] + here + after[1:]
        for letter in letters:
            yield before + letter + here + after
            if here and letter != here:
                yield before + letter + after


def alphabet(word: str) -> str:
    """The letters that may have been meant in a word: those of its script's alphabet, and its own."""
    scripts = {unicodedata.name(letter, "").partition(" ")[0] for letter in word}
    if len(scripts) != 1:
        return ""
    return "".join(sorted({*letters_of(scripts.pop()), *word}))


@cache
def letters_of(script: str) -> str:
    """The small letters of a script; none where it is not one of those with case."""
    if script == "LATIN":
        return _LATIN
    first, last = _ALPHABETS.get(script, (1, 0))
    return "".join(char for char in map(chr, range(first, last + 1)) if char.islower())


def in_case_of(word: str, better: str) -> str:
    """The better word in the case of the word: NORMNA, Normna, normna."""
    if word.isupper():
        return better.upper()
    return better[:1].upper() + better[1:] if word[:1].isupper() else better
