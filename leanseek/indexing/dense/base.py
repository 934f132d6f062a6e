"""The contract of a dense (vector) index over the passages of one segment."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from leanseek.types import BoolArray, Float32Array, Int64Array

FLAT_FILE: Final = "flat.faiss"
LEAN_FILE: Final = "lean.json"
"""By these files a saved index is recognised."""


ROUNDING: Final = 1e-5
"""FAISS sums in another order than `score`; scores of unit vectors differ by far less than this."""


class Listed(NamedTuple):
    """What `search` gives, (m, k) each, and `listed` (m, l): the best scores of each query, descending, l >= k.

    These may differ from `score` in rounding, by at most 1e-5, but what a vector scores depends on nothing but itself
    and the query, so that lists of several indexes make one; `settled` does the rest. Rows end in -inf as there.
    """

    scores: Float32Array
    ordinals: Int64Array
    listed: Float32Array


class Stored(NamedTuple):
    """Vectors as an index keeps them: `data` (n, D) float32 or float16, or bytes, x[i] = low + step * byte[i].

    `lows` and `steps` (n,) float32 belong to bytes alone.
    """

    data: NDArray[Any]
    lows: Float32Array | None = None
    steps: Float32Array | None = None

    @property
    def bytes(self) -> int:
        """The size of all."""
        return sum(part.nbytes for part in self if part is not None)


class DenseIndex(Protocol):
    """Finds the passages whose vectors have the largest inner product with a query's.

    Ordinals number the vectors of this index from 0.
    """

    @property
    def size(self) -> int:
        """n, the number of vectors."""
        ...

    @property
    def dimensions(self) -> int:
        """D, the length of a vector."""
        ...

    @property
    def stored(self) -> Stored:
        """The vectors as they are kept, a view."""
        ...

    def search(
        self, queries: Float32Array, k: int, allowed: BoolArray | None = None
    ) -> tuple[Float32Array, Int64Array]:
        """Scores (m, k) float32 and ordinals (m, k) int64 for queries (m, D), best first, ties by ordinal.

        `allowed` (n,) keeps the vectors that are True. Rows with fewer than k answers end in score -inf and
        ordinal -1. The scores equal those of `score`.
        """
        ...

    def search_listed(
        self, queries: Float32Array, k: int, depth: int, allowed: BoolArray | None = None
    ) -> Listed:
        """`search`, and the `depth` >= k best scores of each query: for less than a search so deep would take.

        What a query gets does not depend on the others.
        """
        ...

    def score(self, query: Float32Array, ordinals: Int64Array) -> Float32Array:
        """(c,) exact inner products of one query (D,) with the given vectors (c,)."""
        ...

    def vectors(self, ordinals: Int64Array) -> Float32Array:
        """(c, D) the stored vectors at the given ordinals, for merging segments."""
        ...

    def save(self, folder: Path) -> None:
        """Write the index's files into an existing folder."""
        ...


def settled(listed: Float32Array, best: Float32Array) -> Float32Array:
    """(l,) the list (l,), descending, that begins with exact scores where `best` (k,) has them for its first k.

    A list that a deeper search has filled may name other vectors there, and keeps them.
    """
    exact = best[: len(listed)]
    head = listed[: len(exact)]
    found = listed.copy()
    found[: len(exact)] = np.where(np.abs(head - exact) <= ROUNDING, exact, head)
    return np.minimum.accumulate(found)
