"""Learned sparse search over all segments of an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from leanseek.errors import UsageError
from leanseek.indexing.learned.impact_postings import ImpactReader
from leanseek.indexing.learned.impacts import ImpactQuery
from leanseek.indexing.settings import LearnedSettings
from leanseek.indexing.sparse.base import Candidates
from leanseek.indexing.sparse.kernel import Kernel, WeightedTerms, default_kernel
from leanseek.indexing.sparse.posting_sums import PostingSums, TieKey
from leanseek.types import BoolArray, Float32Array, Int64Array


class MatchedTerm(NamedTuple):
    """A term that a query and a passage share, and what it adds to the score."""

    term: int
    score: float


class ImpactIndex:
    """The exact inner products of queries with passages, both in 8 bits a weight, over memory-mapped segments.

    `deleted` has, for each reader, (n,) bool or None where nothing is deleted. Within a segment ordinals must be in the
    order of (document id, part number). A passage's score depends on nothing but itself and the query. Thread-safe.
    """

    def __init__(
        self,
        readers: Sequence[ImpactReader],
        deleted: Sequence[BoolArray | None],
        settings: LearnedSettings,
        tie_key: TieKey,
        *,
        kernel: Kernel | None = None,
    ) -> None:
        self._readers = tuple(readers)
        kernel = default_kernel() if kernel is None else kernel
        self._sums = PostingSums(
            kernel,
            [
                kernel.prepare_impacts(reader, mask if mask is not None and mask.any() else None)
                for reader, mask in zip(readers, deleted, strict=True)
            ],
            [*map(len, readers)],
            tie_key,
        )
        # A power of two: scaling rounds nothing.
        self._scale = np.float32(settings.query_step * settings.document_step)

    @property
    def size(self) -> int:
        """Number of ordinals."""
        return self._sums.size

    def search(self, query: ImpactQuery, k: int, allowed: BoolArray | None = None) -> Candidates:
        """At most k passages that share a term with the query; `allowed` (size,) keeps those that are True."""
        if k < 0:
            raise UsageError(f"k is {k}; it must be 0 or more.")
        if allowed is not None and allowed.shape != (self.size,):
            raise UsageError(f"the mask has the shape {allowed.shape}; the index has {self.size} passages.")
        found = self._sums.search(self._weighted(query), k, allowed)
        return Candidates(found.scores * self._scale, found.ordinals)

    def search_batch(
        self, queries: Sequence[ImpactQuery], k: int, allowed: BoolArray | None = None
    ) -> list[Candidates]:
        """`search` for many queries."""
        return [self.search(query, k, allowed) for query in queries]

    def score(self, query: ImpactQuery, ordinals: Int64Array) -> Float32Array:
        """(c,) exact scores of the given passages, 0 for one that shares no term with the query."""
        return self._sums.score(self._weighted(query), ordinals) * self._scale

    def matched(self, query: ImpactQuery, ordinal: int) -> list[MatchedTerm]:
        """The terms that the query and a passage share, those that add most first; their scores add up to its own."""
        base = 0
        for reader in self._readers:
            if ordinal < base + len(reader):
                numbers = reader.find(query.terms)
                found = [
                    MatchedTerm(
                        int(term), float(weight * self._scale) * reader.impact(number, ordinal - base)
                    )
                    for term, weight, number in zip(query.terms, query.impacts, numbers.tolist(), strict=True)
                    if number >= 0
                ]
                return sorted((one for one in found if one.score), key=lambda one: (-one.score, one.term))
            base += len(reader)
        raise UsageError(f"ordinals must be from 0 to {self.size - 1}.")

    def _weighted(self, query: ImpactQuery) -> WeightedTerms | None:
        if not len(query.terms):
            return None
        return WeightedTerms(query.impacts, 0.0, tuple(reader.find(query.terms) for reader in self._readers))
