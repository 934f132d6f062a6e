"""The contract of a sparse (lexical) index over all live passages of an index."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from leanseek.errors import UsageError
from leanseek.indexing.sparse.parameters import inverse_document_frequency
from leanseek.text import Analyzer
from leanseek.types import BoolArray, Float32Array, Int64Array, WeightedTerm


class Candidates(NamedTuple):
    """The best passages, best first: `scores` (c,) float32, `ordinals` (c,) int64.

    Equal scores are in ascending order of the passages' (document id, part number).
    """

    scores: Float32Array
    ordinals: Int64Array


class Totals(NamedTuple):
    """How many live passages there are, and how many terms these have together."""

    passages: int
    terms: int


class Statistics(NamedTuple):
    """What BM25 scores depend on beside a passage itself: the collection's totals, and in how many of its live passages
    each of some terms is. Whole numbers, so that they add up over the parts of a collection without rounding."""

    totals: Totals
    frequencies: Mapping[str, int]


class WeightedQuery(NamedTuple):
    """A query that is not a text: terms of the index, each once, with their weights. BM25 alone is asked such."""

    terms: tuple[WeightedTerm, ...]


SparseQuery: TypeAlias = str | WeightedQuery


def query_weights(query: SparseQuery, analyzer: Analyzer) -> Mapping[str, float]:
    """The terms of a query with their weights."""
    return dict(query.terms) if isinstance(query, WeightedQuery) else Counter(analyzer.tokens(query))


def text_of(query: SparseQuery) -> str:
    """The query of a back end that takes texts alone. Raises UsageError for one that is none."""
    if isinstance(query, WeightedQuery):
        raise UsageError(
            "only the sparse back end bm25 weighs the terms of a query; index again with --sparse bm25"
        )
    return query


class SparseIndex(Protocol):
    """Scores passages by the query terms they share.

    Ordinals are global: the segments' passages one after another, `size` in all. Deleted ones keep their
    ordinals, but are never returned nor counted in the statistics. Scores do not depend on how the passages
    are spread over segments.
    """

    @property
    def size(self) -> int:
        """Number of ordinals."""
        ...

    def search(self, query: SparseQuery, k: int, allowed: BoolArray | None = None) -> Candidates:
        """At most k passages that share a term with the query; `allowed` (size,) keeps those that are True.

        A query without a known term gives no candidates.
        """
        ...

    def search_batch(
        self, queries: Sequence[SparseQuery], k: int, allowed: BoolArray | None = None
    ) -> list[Candidates]:
        """`search` for many queries."""
        ...

    def score(self, query: SparseQuery, ordinals: Int64Array) -> Float32Array:
        """(c,) exact scores of the given passages, 0 for one that shares no term with the query."""
        ...

    def frequencies(self, terms: Sequence[str]) -> list[int]:
        """How many live passages have each of the terms."""
        ...

    def idf(self, query: str) -> Float32Array:
        """(t,) how rare each of the query's different terms is, in the order of their first occurrence.

        `parameters.inverse_document_frequency`, whatever the BM25 variant; 0 for a term that no live passage has.
        """
        ...


class CheckedSearch(ABC):
    """What all back ends share: `size`, checked arguments, and what follows from one query's search."""

    def __init__(self, size: int, live: int, analyzer: Analyzer) -> None:
        """Take the number of ordinals, that of live passages, and what makes terms of a query."""
        self.size = size
        self._live = live
        self._analyzer = analyzer

    def search(self, query: SparseQuery, k: int, allowed: BoolArray | None = None) -> Candidates:
        """See SparseIndex. Raises UsageError where k is negative or `allowed` has another shape."""
        if k < 0:
            raise UsageError(f"k is {k}; it must be 0 or more.")
        if allowed is not None and allowed.shape != (self.size,):
            raise UsageError(f"the mask has the shape {allowed.shape}; the index has {self.size} passages.")
        return self._search(query, k, allowed)

    def search_batch(
        self, queries: Sequence[SparseQuery], k: int, allowed: BoolArray | None = None
    ) -> list[Candidates]:
        """`search` for many queries."""
        return [self.search(query, k, allowed) for query in queries]

    def idf(self, query: str) -> Float32Array:
        """See SparseIndex."""
        terms = list(dict.fromkeys(self._analyzer.tokens(query)))
        return np.array(
            [inverse_document_frequency(self._live, found) for found in self._frequencies(terms)], np.float32
        )

    def frequencies(self, terms: Sequence[str]) -> list[int]:
        """See SparseIndex."""
        return self._frequencies(list(terms))

    @abstractmethod
    def _search(self, query: SparseQuery, k: int, allowed: BoolArray | None) -> Candidates: ...

    @abstractmethod
    def _frequencies(self, terms: list[str]) -> list[int]:
        """How many live passages have each of the terms."""
