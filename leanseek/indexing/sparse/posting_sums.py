"""The best passages of a query, and exact scores, over the postings of several segments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from leanseek.errors import UsageError
from leanseek.indexing.sparse.base import Candidates
from leanseek.indexing.sparse.kernel import Kernel, WeightedTerms
from leanseek.numbers import distinct
from leanseek.types import BoolArray, Float32Array, Int64Array

TieKey: TypeAlias = Callable[[Int64Array], Sequence[tuple[str, int]]]
"""From global ordinals (c,) to what orders equal scores: each passage's (document id, part number)."""

NOTHING = Candidates(np.empty(0, np.float32), np.empty(0, np.int64))


class PostingSums:
    """Segments that a kernel has prepared, under global ordinals.

    Within a segment ordinals must be in the order of (document id, part number); `tie_key` is called only where equal
    scores come from several segments. Thread-safe.
    """

    def __init__(
        self, kernel: Kernel, segments: Sequence[Any], sizes: Sequence[int], tie_key: TieKey
    ) -> None:
        """`sizes` are the segments' numbers of passages."""
        self._kernel = kernel
        self.segments = list(segments)
        self._bases = np.cumsum([0, *sizes])
        self._tie_key = tie_key
        self.size = int(self._bases[-1])
        """Number of ordinals."""

    def search(self, terms: WeightedTerms | None, k: int, allowed: BoolArray | None) -> Candidates:
        """The best k passages that have one of the terms; `allowed` (size,) keeps those that are True."""
        if terms is None or k == 0 or not self.segments:
            return NOTHING
        found = self._kernel.search(self.segments, terms, k, allowed)
        if len(self.segments) > 1:
            found = self._break_ties(found)
        return Candidates(found.scores[:k], found.ordinals[:k])

    def score(self, terms: WeightedTerms | None, ordinals: Int64Array) -> Float32Array:
        """(c,) exact scores of the given passages, the same bits that `search` gives; 0 without a shared term."""
        scores = np.zeros(len(ordinals), np.float32)
        if len(ordinals) and not (ordinals.min() >= 0 and ordinals.max() < self.size):
            raise UsageError(f"ordinals must be from 0 to {self.size - 1}.")
        if terms is None:
            return scores
        owners = np.searchsorted(self._bases, ordinals, side="right") - 1
        for number in distinct(owners).tolist():
            inside = owners == number
            local = ordinals[inside] - self._bases[number]
            scores[inside] = self._kernel.score(self.segments, terms, number, local)
        return scores

    def _break_ties(self, found: Candidates) -> Candidates:
        """Put equal scores that come from several segments in the order of their (id, part)."""
        scores, ordinals = found
        segments = np.searchsorted(self._bases, ordinals, side="right")
        # Ordinals ascend among equals, so equals of two segments have a boundary between them.
        meets = np.flatnonzero((scores[1:] == scores[:-1]) & (segments[1:] != segments[:-1]))
        if not len(meets):
            return found
        tied = np.flatnonzero(np.isin(scores, scores[meets]))
        keys = self._tie_key(ordinals[tied])  # one call, as each reads every segment's database
        order = sorted(range(len(tied)), key=lambda place: (-scores[tied[place]], keys[place]))
        ordinals = ordinals.copy()
        ordinals[tied] = ordinals[tied[order]]
        return Candidates(scores, ordinals)
