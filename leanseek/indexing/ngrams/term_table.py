"""What the numbers of words in an n-gram index stand for: the terms of each, and the words with each term.

A word is what stands at one place of a text (see `leanseek.indexing.occurrence`): mostly one term; a word and its parts
where the analyser divides it; a word that it leaves out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leanseek.indexing.array_columns import ColumnReader, ColumnWriter, ascends
from leanseek.types import Int32Array

PREFIX = "terms"


def write_terms(folder: Path, words: Sequence[frozenset[str]]) -> None:
    """Write the terms of each word, numbered in the order given."""
    having: dict[bytes, list[int]] = {}
    for number, word in enumerate(words):
        for term in word:
            having.setdefault(term.encode("utf-8", "surrogatepass"), []).append(number)
    terms = sorted(having)
    numbers = [number for term in terms for number in having[term]]
    ColumnWriter(folder, PREFIX, {}).finish(
        {
            "terms": np.frombuffer(b"".join(terms), np.uint8),
            "term_ends": ends_of(map(len, terms), len(terms)),
            "word_ends": ends_of((len(having[term]) for term in terms), len(terms)),
            "words": np.array(numbers, np.int32),
        }
    )


def ends_of(lengths: Iterable[int], count: int) -> NDArray[np.int32]:
    """(count + 1,) 0, and where each of the consecutive parts ends."""
    ends = np.zeros(count + 1, np.int32)
    np.cumsum(np.fromiter(lengths, np.int32, count), out=ends[1:])
    return ends


class TermTable:
    """The terms of a segment's words, memory-mapped. Raises IndexDamagedError where files do not fit together."""

    def __init__(self, folder: Path) -> None:
        columns = ColumnReader(folder, PREFIX, "words")
        self._term_ends = columns.open("term_ends", np.int32)
        columns.check("term_ends", ascends(self._term_ends.astype(np.int64)))
        self._terms = columns.open("terms", np.uint8, int(self._term_ends[-1])).data
        self._word_ends = columns.open("word_ends", np.int32, len(self._term_ends))
        columns.check("word_ends", ascends(self._word_ends.astype(np.int64)))
        self._words = columns.open("words", np.int32, int(self._word_ends[-1]))

    def __len__(self) -> int:
        """How many terms there are."""
        return len(self._term_ends) - 1

    def words_with(self, terms: Iterable[str]) -> Int32Array:
        """(w,) the numbers of the words that have one of the terms, ascending."""
        found = [
            self._words[self._word_ends[place] : self._word_ends[place + 1]] for place in self._find(terms)
        ]
        return np.unique(np.concatenate([np.zeros(0, np.int32), *found]))

    @cached_property
    def words(self) -> list[frozenset[str]]:
        """The terms of each word."""
        terms = [self._term(place).decode("utf-8", "surrogatepass") for place in range(len(self))]
        owners = np.repeat(np.arange(len(self)), np.diff(self._word_ends))
        found: list[list[str]] = [[] for _ in range(int(self._words.max(initial=-1)) + 1)]
        for word, term in zip(self._words.tolist(), owners.tolist(), strict=True):
            found[word].append(terms[term])
        return [frozenset(one) for one in found]

    def _term(self, place: int) -> bytes:
        return bytes(self._terms[self._term_ends[place] : self._term_ends[place + 1]])

    def _find(self, terms: Iterable[str]) -> Iterable[int]:
        for term in terms:
            wanted = term.encode("utf-8", "surrogatepass")
            low, high = 0, len(self)
            while low < high:
                middle = (low + high) // 2
                low, high = (middle + 1, high) if self._term(middle) < wanted else (low, middle)
            if low < len(self) and self._term(low) == wanted:
                yield low
