"""N-grams of a segment and of all of an index's: how often they occur in its passages, where, and what follows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from leanseek.errors import UsageError
from leanseek.indexing.ngrams.fm_index import FMIndex, Range, TokenPlaces
from leanseek.indexing.ngrams.term_table import TermTable
from leanseek.indexing.occurrence import LEFT_OUT, Places, Sequences
from leanseek.types import BoolArray, Int64Array

WORDS: Final = "words"
TOKENS: Final = "tokens"

Found: TypeAlias = tuple[tuple[Range, ...], ...]
"""The n-grams found in each segment: one, or several where words with the same terms count as one."""


class SegmentNGrams:
    """What `write_ngrams` wrote into a segment's folder: `words`, numbered as in `terms`, and a decoder's `tokens`.

    Immutable, so safe to share between threads.

    Raises IndexDamagedError, FileNotFoundError or MissingPackageError.
    """

    def __init__(self, folder: Path, has_tokens: bool) -> None:
        """`has_tokens`: there are n-grams of a decoder's tokens too."""
        self.words = FMIndex(folder, WORDS)
        self.terms = TermTable(folder)
        self.tokens = FMIndex(folder, TOKENS) if has_tokens else None

    def phrase(self, places: Iterable[Iterable[str]]) -> list[Range]:
        """Where words with any of the first place's terms, of the second's and so on stand one after the other.

        The n-grams are different ones, so that their counts add up.
        """
        found = [self.words.everything]
        for terms in places:
            numbers = self.terms.words_with(terms).tolist()
            extended = (self.words.extend(one, number) for one in found for number in numbers)
            found = [one for one in extended if one.times]
            if not found:
                break
        return found


class Part(NamedTuple):
    """The n-grams of a segment, which passages of it are deleted (None: none), and its first global ordinal."""

    ngrams: FMIndex
    deleted: BoolArray | None
    base: int


class TokenNGrams:
    """The n-grams of all segments, by tokens' ids; passages that are deleted do not count. Thread-safe."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = tuple(parts)

    @cached_property
    def total(self) -> int:
        """How many tokens there are."""
        return sum(
            int(part.ngrams.lengths[slice(None) if part.deleted is None else ~part.deleted].sum())
            for part in self._parts
        )

    @property
    def everything(self) -> Found:
        """The n-gram of no tokens."""
        return tuple((part.ngrams.everything,) for part in self._parts)

    def find(self, tokens: Sequence[int]) -> Found:
        """The n-gram of these tokens."""
        found = self.everything
        for token in tokens:
            found = self.extend(found, token)
        return found

    def extend(self, found: Found, token: int) -> Found:
        """An n-gram with one more token behind it."""
        return tuple(
            tuple(longer for one in ranges if (longer := part.ngrams.extend(one, token)).times)
            for part, ranges in zip(self._parts, found, strict=True)
        )

    def count(self, found: Found) -> int:
        """How often an n-gram occurs."""
        return sum(
            sum(one.times for one in ranges)
            if part.deleted is None
            else len(live_places(part, ranges).passages)
            for part, ranges in zip(self._parts, found, strict=True)
        )

    def locate(self, found: Found) -> TokenPlaces:
        """Where an n-gram occurs, in the order of passages (by global ordinals) and tokens."""
        each = [live_places(part, ranges) for part, ranges in zip(self._parts, found, strict=True)]
        none = np.zeros(0, np.int64)
        return TokenPlaces(
            np.concatenate(
                [none, *(places.passages + part.base for part, places in zip(self._parts, each, strict=True))]
            ),
            np.concatenate([none, *(places.tokens for places in each)]),
        )

    def next_tokens(self, found: Found) -> tuple[Int64Array, Int64Array]:
        """(t,) the tokens that follow an n-gram, ascending, and (t,) how often each does."""
        counts: Counter[int] = Counter()
        for part, ranges in zip(self._parts, found, strict=True):
            counts.update(following(part, ranges))
        tokens = sorted(counts)
        return np.array(tokens, np.int64), np.array([counts[token] for token in tokens], np.int64)

    def may_follow(self, found: Found) -> Int64Array:
        """(t,) the tokens that follow an n-gram, ascending; those in deleted passages too. Sooner known."""
        each = [
            part.ngrams.next_tokens(one)[0]
            for part, ranges in zip(self._parts, found, strict=True)
            for one in ranges
        ]
        return np.unique(np.concatenate([np.zeros(0, np.int64), *each]))


def live_places(part: Part, ranges: Sequence[Range]) -> TokenPlaces:
    """Where a segment's n-grams occur in passages that are not deleted, ordered."""
    none = np.zeros(0, np.int64)
    each = [part.ngrams.locate(one) for one in ranges]
    passages = np.concatenate([none, *(places.passages for places in each)])
    tokens = np.concatenate([none, *(places.tokens for places in each)])
    order = np.lexsort((tokens, passages))
    if part.deleted is not None:
        order = order[~part.deleted[passages[order]]]
    return TokenPlaces(passages[order], tokens[order])


def following(part: Part, ranges: Sequence[Range]) -> Counter[int]:
    """What follows n-grams in a segment's passages that are not deleted, and how often."""
    counts: Counter[int] = Counter()
    for one in ranges:
        tokens, times = part.ngrams.next_tokens(one)
        for token, count in zip(tokens.tolist(), times.tolist(), strict=True):
            if part.deleted is not None:
                count = len(live_places(part, [part.ngrams.extend(one, token)]).passages)
            counts[token] += count
    return +counts


class Occurrence(NamedTuple):
    """Where an n-gram occurs: the document's id, which part of it, and how many of its words stand before."""

    id: str
    part: int
    word: int


class NGrams:
    """The n-grams of an index: phrases of its passages, of any length.

    Words are compared as the analyser writes them, and words that it leaves out by their letters: what is counted is
    what a phrase in quotation marks finds. `tokens` has those of the decoder that the index names, None where it names
    none. Passages that are deleted do not count. Thread-safe.

    >>> index.ngrams.count("heat transfer")
    412
    """

    def __init__(
        self,
        parts: Sequence[SegmentNGrams],
        deleted: Sequence[BoolArray | None],
        bases: Sequence[int],
        sequences: Sequences,
        keys: Callable[[Int64Array], Sequence[tuple[str, int]]],
    ) -> None:
        """`keys` gives the id and the part number of passages by global ordinals."""
        self._parts = tuple(parts)
        self._sequences = sequences
        self._keys = keys
        masks = [mask if mask is not None and mask.any() else None for mask in deleted]
        self.words = TokenNGrams(
            [Part(one.words, mask, base) for one, mask, base in zip(parts, masks, bases, strict=True)]
        )
        tokens = [one.tokens for one in parts if one.tokens is not None]
        self.tokens = (
            TokenNGrams([Part(one, mask, base) for one, mask, base in zip(tokens, masks, bases, strict=True)])
            if len(tokens) == len(parts) and parts
            else None
        )

    def find(self, text: str) -> Found:
        """The n-gram of a text's words, by the numbers that each segment has for them.

        Raises UsageError for a text without words.
        """
        places = self._sequences.places(text)
        if not places:
            raise UsageError(f"{text!r} has no words; give one or more")
        return self.find_places(places)

    def find_places(self, places: Places) -> Found:
        """The n-gram of words that share a term with each of the places; see `Sequences`."""
        return tuple(tuple(part.phrase(places)) for part in self._parts)

    def count(self, text: str) -> int:
        """How often a text's words stand one after the other. Raises UsageError for a text without words."""
        return self.words.count(self.find(text))

    def locate(self, text: str) -> list[Occurrence]:
        """Where a text's words stand one after the other, by ids. Raises UsageError for a text without words."""
        passages, words = self.words.locate(self.find(text))
        keys = self._keys(passages)
        return sorted(Occurrence(*key, word) for key, word in zip(keys, words.tolist(), strict=True))

    def next_tokens(self, text: str = "") -> list[tuple[str, int]]:
        """What follows a text's words, as the analyser writes it, and how often: the most frequent first.

        Of a word with several terms the first in the alphabet. Without a text every word, and how often it occurs.
        """
        found = self.find(text) if text else self.words.everything
        counts: Counter[str] = Counter()
        for part, label, ranges in self._labelled(found):
            for word, count in following(part, ranges).items():
                counts[label(word)] += count
        return sorted(counts.items(), key=lambda one: (-one[1], one[0]))

    def _labelled(self, found: Found) -> Iterator[tuple[Part, Callable[[int], str], Sequence[Range]]]:
        for part, of_words, ranges in zip(self._parts, self.words._parts, found, strict=True):
            terms = part.terms.words
            yield of_words, lambda word, terms=terms: min(terms[word]).removeprefix(LEFT_OUT), ranges  # type: ignore[misc]
