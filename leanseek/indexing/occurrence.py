"""Which passages have a word or a phrase: by the postings where one term decides, else by checking texts.

A text is a sequence of places. Terms that begin at the same character share one: a word and its first part, or the
word alone. A word that the analyser leaves out has a place too, so that a phrase with stop words is found as it is
written and `vitamin D` is not `vitamin C`. A phrase occurs where each of its places shares a term with one of the
text, one after the other.

No positions are stored: the postings of a phrase's terms leave few candidates, whose texts are read and checked
(docs/operators.md has the measurements). An index with n-grams (docs/ngrams.md) locates the phrase in these instead.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Container
from functools import reduce
from itertools import accumulate
from operator import or_
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from leanseek.indexing.segment import Segment
from leanseek.indexing.sparse.postings import PostingsReader
from leanseek.text import Analyzer
from leanseek.types import BoolArray, Int64Array

if TYPE_CHECKING:
    from leanseek.indexing.ngrams.ngram_index import SegmentNGrams

Places: TypeAlias = tuple[frozenset[str], ...]
"""What stands at each place of a text: terms, or a word without terms behind `LEFT_OUT`."""

LEFT_OUT = "\0"
"""Before a word that is no term: no term begins with it."""

LOCATED = 5_000
"""Occurrences of a phrase that are located one by one where an index has n-grams; of more the texts are checked."""

BLOCK = 2048
"""Texts that are read at a time."""
REMEMBERED = 1 << 18
"""Distinct chunks of texts in a memo; past this it starts anew."""
REMEMBERED_LENGTH = 40
"""Longer chunks are analysed each time: they are rarely seen twice."""


class Sequences:
    """The places of texts, as an analyser gives them. Thread-safe.

    No word crosses a space, and most of what lies between two has been seen before.
    """

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer
        self._memo: dict[str, Places] = {}

    def places(self, text: str) -> Places:
        """The places of a text."""
        return tuple(place for chunk in chunks(text) for place in self.of_chunk(chunk))

    def of_chunk(self, chunk: str) -> Places:
        """The places of what lies between two spaces."""
        known = self._memo.get(chunk)
        if known is None:
            known = self._analysed(chunk)
            if len(chunk) <= REMEMBERED_LENGTH:
                if len(self._memo) >= REMEMBERED:
                    self._memo.clear()
                self._memo[chunk] = known
        return known

    def lacks(self, chunk: str, terms: Container[str]) -> bool:
        """Whether a chunk has terms, none of them of these; sooner known than where they stand."""
        found = self._analyzer.tokens(chunk)
        return bool(found) and not any(term in terms for term in found)

    def _analysed(self, chunk: str) -> Places:
        from leanseek.text.former_words import word_pattern

        found: dict[int, set[str]] = {}
        edges = [0] * (len(chunk) + 1)
        for span in self._analyzer.spans(chunk):
            found.setdefault(span.start, set()).add(span.token)
            edges[span.start] += 1
            edges[span.end] -= 1
        covered = list(accumulate(edges))
        for word in word_pattern().finditer(chunk):
            if not any(covered[word.start() : word.end()]):
                found.setdefault(word.start(), set()).add(LEFT_OUT + folded(word.group()))
        return tuple(frozenset(found[start]) for start in sorted(found))


def folded(text: str) -> str:
    """A text without differences of case and of compatibility forms."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def chunks(text: str) -> list[str]:
    """A text cut at spaces and line ends."""
    return text.replace("\n", " ").split(" ")


class Phrase:
    """A word or several, and which of an index's passages have it."""

    def __init__(self, words: str, sequences: Sequences) -> None:
        self._sequences = sequences
        self._places = sequences.places(words)

    def mask(self, segment: Segment) -> BoolArray:
        """(n,) True for the live passages of a segment that have it; none have a phrase without words."""
        found = np.zeros(segment.size, np.bool_)
        if not self._places:
            return found
        if segment.ngrams is not None and (passages := self._located(segment, segment.ngrams)) is not None:
            found[passages] = True
            return found
        ordinals = self._candidates(segment)
        if segment.postings is None or self._needs_texts:
            ordinals = self._checked(segment, ordinals)
        found[ordinals] = True
        return found

    @property
    def _needs_texts(self) -> bool:
        """Whether the postings alone cannot tell: there is an order, or a word that is no term."""
        return len(self._places) > 1 or any(term.startswith(LEFT_OUT) for term in self._places[0])

    def _candidates(self, segment: Segment) -> Int64Array:
        """(c,) ascending: the passages of a segment that have, as far as its postings tell, a term of every place."""
        live, postings = segment.live, segment.postings
        if postings is None:
            return live
        known = [
            [number for term in place if (number := postings.find(term.encode())) >= 0]
            for place in set(self._places)
            if not any(term.startswith(LEFT_OUT) for term in place)
        ]
        # The rarest first: there is little left to look up in the long lists.
        known.sort(key=lambda numbers: sum(map(postings.frequency, numbers)))
        found = live
        for numbers in known:
            if not len(found):
                break
            found = np.intersect1d(found, having(postings, numbers), assume_unique=True)
        return found

    def _located(self, segment: Segment, ngrams: SegmentNGrams) -> Int64Array | None:
        """The passages of a segment that its n-grams have the phrase in; None where texts are sooner checked."""
        if not self._needs_texts:
            return None
        ranges = ngrams.phrase(self._places)
        if sum(one.times for one in ranges) > LOCATED:
            return None
        passages = np.concatenate(
            [np.zeros(0, np.int64), *(ngrams.words.locate(one).passages for one in ranges)]
        )
        return passages if segment.deleted is None else passages[~segment.deleted[passages]]

    def _checked(self, segment: Segment, ordinals: Int64Array) -> Int64Array:
        """(c,) those of the passages whose texts have the phrase."""
        exact = PhraseMatcher(self._places, self._sequences).occurs
        plain = plain_matcher(self._places)
        # The plain one, which is sooner done, also finds what stands in a longer word, such as `the` in `the_valve`.
        occurs = exact if plain is None else lambda text: plain(text) and exact(text)
        kept = [
            block[[occurs(text) for text in segment.passages.contents(block)]]
            for block in (ordinals[start : start + BLOCK] for start in range(0, len(ordinals), BLOCK))
        ]
        return np.concatenate([ordinals[:0], *kept])


def plain_matcher(places: Places) -> Callable[[str], bool] | None:
    """What finds a phrase of words that are no terms, of which every text has some; None for any other phrase."""
    if any(len(place) > 1 or not min(place).startswith(LEFT_OUT) for place in places):
        return None
    words = r"[\W_]+".join(re.escape(word[len(LEFT_OUT) :]) for place in places for word in place)
    pattern = re.compile(rf"(?<![^\W_]){words}(?![^\W_])")
    return lambda text: pattern.search(folded(text)) is not None


class PhraseMatcher(dict[str, tuple[int, ...]]):
    """Finds a phrase in texts, by bit-parallel shifting: linear in a text, whatever repeats in it or in the phrase.

    It remembers of every chunk of a text the phrase's places that each of its own has a term of, as bits of an integer.
    Baeza-Yates and Gonnet: A new approach to text searching (CACM 35(10), 1992).
    """

    def __init__(self, places: Places, sequences: Sequences) -> None:
        super().__init__()
        self._sequences = sequences
        self._last = 1 << (len(places) - 1)
        self._bits: dict[str, int] = {}
        self._of_terms = not any(term.startswith(LEFT_OUT) for place in places for term in place)
        for number, place in enumerate(places):
            for term in place:
                self._bits[term] = self._bits.get(term, 0) | 1 << number

    def __missing__(self, chunk: str) -> tuple[int, ...]:
        # A chunk of terms may also have a word that is none, but one of letters and digits alone is a single word.
        whole = self._of_terms or (chunk.isascii() and chunk.isalnum())
        if whole and self._sequences.lacks(chunk, self._bits):
            found: tuple[int, ...] = (0,)
        else:
            places = self._sequences.of_chunk(chunk)
            found = tuple(reduce(or_, (self._bits.get(term, 0) for term in place)) for place in places)
        if len(chunk) <= REMEMBERED_LENGTH:
            if len(self) >= REMEMBERED:
                self.clear()
            self[chunk] = found
        return found

    def occurs(self, text: str) -> bool:
        """Whether a text has the phrase."""
        state, last = 0, self._last
        for chunk in chunks(text):
            for here in self[chunk]:
                state = (state << 1 | 1) & here
                if state & last:
                    return True
        return False


def having(postings: PostingsReader, numbers: list[int]) -> Int64Array:
    """(c,) ascending: the ordinals of the passages that have one of the terms with these numbers."""
    found = [postings.postings(number, number + 1).ordinals for number in numbers]
    return found[0] if len(found) == 1 else np.unique(np.concatenate([np.zeros(0, np.int64), *found]))
