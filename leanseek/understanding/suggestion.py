"""Suggestions while a query is typed, and after it: completions and next questions that the index can answer.

The candidates are `answerable_queries`: each was searched for when they were collected, so that a suggestion costs no
search. Those with all words typed, of which the last may be unfinished, complete the text; others that share words
with it come after them as next questions. The order is by

    log(1 + asked) + FOUND · log(1 + found) + STARTS · [begins with the text] + ALIKE · cos + profile

where `asked` and `found` are how often the log and the documents have the candidate, cos is that of its words and the
text's, weighted by how rare they are among the candidates, and profile is LIKED · log(1 + w) for the entities that its
document has in the profile, each with its decayed count times how rare it is.
"""

from __future__ import annotations

import math
import os
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

from leanseek.errors import UsageError
from leanseek.indexing.search_source import SearchSource
from leanseek.text import Analyzer
from leanseek.types import BoolArray, Float64Array, Int64Array, Progress
from leanseek.understanding.answerable import AnswerableQuery, answerable_queries
from leanseek.understanding.profile import Entity, Profile
from leanseek.understanding.spelling import corrected

if TYPE_CHECKING:
    from leanseek.searcher import Generation

FOUND: Final = 0.25
STARTS: Final = 3.0
ALIKE: Final = 2.0
LIKED: Final = 2.0
MOST: Final = 100
"""Suggestions that can be asked for."""
_WORDS: Final = re.compile(r"\w+")
_END: Final = "\U0010ffff"
"""After every text that begins alike."""


class Suggestion(NamedTuple):
    """A query to suggest: it has a hit, which `document` is the id of.

    `kind`: completion, what the text may become; question, what may come after it. `source` is where it is from: log,
    title, question or phrase. `score` orders the suggestions of a kind.
    """

    text: str
    kind: Literal["completion", "question"]
    source: str
    document: str
    score: float


class Suggestions(NamedTuple):
    """The suggestions for a text, and the text that they are for where its typing mistakes were corrected."""

    found: list[Suggestion]
    corrected: str | None = None


class Suggester:
    """Suggests some queries, for one generation of an index. Thread-safe."""

    def __init__(self, queries: Sequence[AnswerableQuery], analyzer: Analyzer) -> None:
        """`queries` in order of text, as `answerable_queries` gives them; the index's analyser."""
        self._queries = tuple(queries)
        self._analyzer = analyzer
        self._words = Postings([words(one.text) for one in queries])
        self._terms = Postings([self._analyzer.tokens(one.text) for one in queries])
        self._entities = Postings([[entity_key(one) for one in query.entities] for query in queries])
        self._plain = [" ".join(words(one.text)) for one in queries]
        self._sorted = sorted((plain, place) for place, plain in enumerate(self._plain))
        self._prior = np.array([math.log1p(one.asked) + FOUND * math.log1p(one.found) for one in queries])
        self._phrases = np.array([one.source == "phrase" for one in queries], np.bool_)

    @classmethod
    def of(
        cls,
        generation: Generation,
        log: str | os.PathLike[str] | None = None,
        progress: Progress | None = None,
    ) -> Suggester:
        """One with all that the index and a log give. Raises InputError for a log that cannot be read."""
        return cls(answerable_queries(generation, log, progress), generation.snapshot.passages.analyzer)

    def suggest(
        self, text: str, k: int = 8, profile: Profile | None = None, source: SearchSource | None = None
    ) -> Suggestions:
        """At most k suggestions for a text: completions first, then next questions, each best first, ties by text.

        Where nothing completes the text, its typing mistakes are corrected by the words of `source`, the index (see
        `corrected`). A blank text gives the candidates that are best by themselves. Raises UsageError for a k outside 1
        to 100.
        """
        check_count(k)
        matching = self._matching(text)
        better = None if source is None or matching.any() else corrected(source, text)
        if better is not None:
            text, matching = better, self._matching(better)
        alike = self._alike(text)
        scores = self._prior + ALIKE * alike
        if profile is not None:
            scores += self._liked(profile.weights())
        plain = " ".join(words(text))
        begins = np.array(self._beginning(plain), np.int64)
        scores[begins] += STARTS
        same = np.zeros(len(self._queries), np.bool_)
        same[[place for place in begins.tolist() if self._plain[place] == plain]] = True
        rest = (alike > 0) & ~matching & ~same
        found = self._best("completion", scores, matching & ~same, k)
        for some in (rest & ~self._phrases, rest & self._phrases):
            found += self._best("question", scores, some, k - len(found))
        return Suggestions(found, better)

    def _best(
        self, kind: Literal["completion", "question"], scores: Float64Array, among: BoolArray, k: int
    ) -> list[Suggestion]:
        """The k best of those that are True in `among` (n,)."""
        places = np.flatnonzero(among)
        order = places[np.lexsort((places, -scores[places]))][:k]
        return [
            Suggestion(one.text, kind, one.source, one.document, float(scores[place]))
            for place, one in ((place, self._queries[place]) for place in order.tolist())
        ]

    def _matching(self, text: str) -> BoolArray:
        """(n,) True for the candidates with all words of a text; its last one may be the beginning of one of theirs."""
        found = np.ones(len(self._queries), np.bool_)
        typed = words(text)
        for place, word in enumerate(typed, 1):
            unfinished = place == len(typed) and text[-1].isalnum()
            here = np.zeros(len(self._queries), np.bool_)
            here[self._words.beginning(word) if unfinished else self._words.having(word)] = True
            found &= here
        return found

    def _beginning(self, plain: str) -> list[int]:
        """The places of the candidates that begin with a text that is not blank."""
        first, last = bisect_left(self._sorted, (plain, -1)), bisect_left(self._sorted, (plain + _END, -1))
        return [place for _, place in self._sorted[first:last]] if plain else []

    def _alike(self, text: str) -> Float64Array:
        """(n,) cosines of the candidates' terms with a text's, weighted by how rare they are among the candidates."""
        products, squares = np.zeros(len(self._queries)), 0.0
        for term in dict.fromkeys(self._analyzer.tokens(text)):
            weight = self._terms.rarity(term) ** 2
            squares += weight
            products[self._terms.having(term)] += weight
        return products / np.maximum(self._terms.lengths * math.sqrt(squares), 1e-12)

    def _liked(self, weights: Mapping[Entity, float]) -> Float64Array:
        """(n,) what a profile adds to the candidates' scores."""
        found = np.zeros(len(self._queries))
        for entity, weight in weights.items():
            key = entity_key(entity)
            found[self._entities.having(key)] += weight * self._entities.rarity(key)
        return LIKED * np.log1p(found)


class Postings:
    """The places (p,) of the lists that have each key, ascending, and how rare the key is among them.

    `lengths` (n,): the Euclidean length of each list, its keys weighted by their rarity.
    """

    def __init__(self, lists: Sequence[Sequence[str]]) -> None:
        pairs = sorted({(key, place) for place, keys in enumerate(lists) for key in keys})
        self._count = len(lists)
        self._keys = list(dict.fromkeys(key for key, _ in pairs))
        self._places = np.array([place for _, place in pairs], np.int64)
        self._numbers = {key: number for number, key in enumerate(self._keys)}
        owners = np.array([self._numbers[key] for key, _ in pairs], np.int64)
        self._starts = np.searchsorted(owners, np.arange(len(self._keys) + 1))
        squares = np.log((1 + self._count) / np.maximum(np.diff(self._starts), 1)) ** 2
        self.lengths = np.sqrt(np.bincount(self._places, squares[owners], minlength=self._count))

    def having(self, key: str) -> Int64Array:
        """The places of the lists that have a key."""
        number = self._numbers.get(key)
        return self._range(0, 0) if number is None else self._range(number, number + 1)

    def beginning(self, start: str) -> Int64Array:
        """The places of the lists with a key that begins so, some of them twice."""
        return self._range(bisect_left(self._keys, start), bisect_left(self._keys, start + _END))

    def rarity(self, key: str) -> float:
        """ln((1 + lists) / lists that have the key); 0 for a key that none has."""
        having = len(self.having(key))
        return math.log((1 + self._count) / having) if having else 0.0

    def _range(self, first: int, last: int) -> Int64Array:
        return self._places[self._starts[first] : self._starts[last]]


def check_count(k: int) -> None:
    """Raise UsageError where so many suggestions cannot be asked for."""
    if not isinstance(k, int) or not 1 <= k <= MOST:
        raise UsageError(f"k is {k!r}; 1 to {MOST} suggestions can be asked for")


def words(text: str) -> list[str]:
    """The words of a text as they are compared: without case and punctuation."""
    return _WORDS.findall(text.casefold())


def entity_key(entity: Entity) -> str:
    """An entity as one text."""
    field, value = entity
    return f"{field}\0{value}"
