"""The contract of a sparse (lexical) index over all live passages of an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from leanseek.types import BoolArray, Float32Array, Int64Array


class Candidates(NamedTuple):
    """The best passages, best first: `scores` (c,) float32, `ordinals` (c,) int64.

    Equal scores stand in ascending order of the passages' (document id, part number).
    """

    scores: Float32Array
    ordinals: Int64Array


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

    def search(self, query: str, k: int, allowed: BoolArray | None = None) -> Candidates:
        """At most k passages that share a term with the query; `allowed` (size,) keeps those that are True.

        A query without a known term gives no candidates.
        """
        ...

    def search_batch(
        self, queries: Sequence[str], k: int, allowed: BoolArray | None = None
    ) -> list[Candidates]:
        """`search` for many queries."""
        ...

    def score(self, query: str, ordinals: Int64Array) -> Float32Array:
        """(c,) exact scores of the given passages, 0 for one that shares no term with the query."""
        ...

    def idf(self, query: str) -> Float32Array:
        """(t,) how rare each of the query's different terms is, in the order of their first occurrence.

        `parameters.inverse_document_frequency`, whatever the BM25 variant; 0 for a term that no live passage has.
        """
        ...
