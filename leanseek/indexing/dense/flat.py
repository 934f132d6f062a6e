"""The exact dense index: every vector is compared, through FAISS."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from leanseek.errors import IndexDamagedError, UsageError
from leanseek.indexing.dense.base import FLAT_FILE, ROUNDING, Listed, Stored
from leanseek.indexing.faiss_library import faiss, read_index, selector, write_index
from leanseek.types import BoolArray, Float32Array, Int64Array

SCORE_BLOCK = 8192
"""Vectors copied at a time where all are scored."""


class FlatIndex:
    """All vectors (n, D) float32, compared by inner product. Opened memory-mapped."""

    def __init__(self, index: Any) -> None:
        self._index = index
        self._vectors: Float32Array = np.zeros((0, int(index.d)), dtype=np.float32)

    @classmethod
    def empty(cls, dimensions: int) -> FlatIndex:
        """An index to be filled by `add`."""
        return cls(faiss().IndexFlatIP(dimensions))

    @classmethod
    def open(cls, folder: Path) -> FlatIndex:
        """The index that `save` wrote, memory-mapped. Raises IndexDamagedError where it cannot be read."""
        index = read_index(folder / FLAT_FILE, faiss().IO_FLAG_MMAP_IFC)
        if not isinstance(index, faiss().IndexFlatIP):
            raise IndexDamagedError(
                f"'{folder / FLAT_FILE}' holds a {type(index).__name__}, not a flat index"
            )
        return cls(index)

    @property
    def size(self) -> int:
        """n, the number of vectors."""
        return int(self._index.ntotal)

    @property
    def dimensions(self) -> int:
        """D, the length of a vector."""
        return int(self._index.d)

    @property
    def stored(self) -> Stored:
        """See DenseIndex."""
        return Stored(self._stored())

    def add(self, vectors: Float32Array) -> None:
        """Append vectors (c, D)."""
        self._index.add(np.ascontiguousarray(vectors, dtype=np.float32))

    def search(
        self, queries: Float32Array, k: int, allowed: BoolArray | None = None
    ) -> tuple[Float32Array, Int64Array]:
        """See DenseIndex. Equal vectors come in the order of their ordinals, however many there are."""
        self._check(queries)
        available = self.size if allowed is None else int(np.count_nonzero(allowed))
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        ordinals = np.full((len(queries), k), -1, dtype=np.int64)
        k = min(k, available)
        if k == 0:
            return scores, ordinals
        pending = np.arange(len(queries))
        for depth in (min(k + 16, available), min(4 * (k + 16), available)):
            if not len(pending):
                break
            rough, found = self._candidates(queries[pending], depth, allowed)
            # Candidates left out score at most the last one found: while that one may still tie with the
            # k-th, a smaller ordinal may be among those left out.
            unsettled = open_ended(rough, k) & (depth < available)
            for row in np.flatnonzero(~unsettled):
                query = pending[row]
                scores[query, :k], ordinals[query, :k] = self._best_of(queries[query], found[row], k)
            pending = pending[unsettled]
        for query in pending:
            scores[query, :k], ordinals[query, :k] = self._best_of_all(queries[query], k, allowed)
        return scores, ordinals

    def search_listed(
        self, queries: Float32Array, k: int, depth: int, allowed: BoolArray | None = None
    ) -> Listed:
        """See DenseIndex. Only the k best are looked at again; the list is as FAISS sums it."""
        self._check(queries)
        available = self.size if allowed is None else int(np.count_nonzero(allowed))
        scores, listed = (np.full((len(queries), width), -np.inf, np.float32) for width in (k, depth))
        ordinals = np.full((len(queries), k), -1, dtype=np.int64)
        near, far = min(k, available), min(depth, available)
        head = min(k + 16, available)
        for row, query in enumerate(queries if near else ()):
            # One at a time: FAISS may sum in another order where it is given many.
            [rough], [found] = self._candidates(query[None], max(head, far), allowed)
            if open_ended(rough[None, :head], near)[0] and head < available:
                scores[row : row + 1, :near], ordinals[row : row + 1, :near] = self.search(
                    query[None], near, allowed
                )
            else:
                scores[row, :near], ordinals[row, :near] = self._best_of(query, found[:head], near)
            listed[row, :far] = rough[:far]
        return Listed(scores, ordinals, listed)

    def score(self, query: Float32Array, ordinals: Int64Array) -> Float32Array:
        """(c,) exact inner products; each is summed in the same order whatever the others are."""
        unit = np.ascontiguousarray(query, dtype=np.float32)
        scores: Float32Array = np.einsum("cd,d->c", self._stored()[ordinals], unit)
        return scores

    def vectors(self, ordinals: Int64Array) -> Float32Array:
        """(c, D) the stored vectors at the given ordinals, a copy."""
        return self._stored()[ordinals]

    def save(self, folder: Path) -> None:
        """Write the index into an existing folder. Raises StorageError where the disk refuses."""
        write_index(self._index, folder / FLAT_FILE)

    def _check(self, queries: Float32Array) -> None:
        if queries.ndim != 2 or queries.shape[1] != self.dimensions:
            raise UsageError(
                f"queries have shape {queries.shape}; this index takes (m, {self.dimensions}) float32"
            )

    def _best_of(self, query: Float32Array, ordinals: Int64Array, k: int) -> tuple[Float32Array, Int64Array]:
        """Scores and ordinals (k,) of the best of the given vectors."""
        exact = self.score(query, ordinals)
        best = np.lexsort((ordinals, -exact))[:k]
        return exact[best], ordinals[best]

    def _best_of_all(
        self, query: Float32Array, k: int, allowed: BoolArray | None
    ) -> tuple[Float32Array, Int64Array]:
        """Scores and ordinals (k,) of the best vectors, every one scored exactly: for very many that are equal."""
        ordinals = np.arange(self.size) if allowed is None else np.flatnonzero(allowed)
        starts = range(0, len(ordinals), SCORE_BLOCK)
        exact = np.concatenate([self.score(query, ordinals[start : start + SCORE_BLOCK]) for start in starts])
        places = np.flatnonzero(exact >= np.partition(exact, len(exact) - k)[len(exact) - k])
        best = places[np.lexsort((places, -exact[places]))[:k]]
        return exact[best], ordinals[best]

    def _candidates(
        self, queries: Float32Array, depth: int, allowed: BoolArray | None
    ) -> tuple[Float32Array, Int64Array]:
        parameters = None if allowed is None else faiss().SearchParameters(sel=selector(allowed))
        scores, ordinals = self._index.search(
            np.ascontiguousarray(queries, dtype=np.float32), depth, params=parameters
        )
        return scores, ordinals

    def _stored(self) -> Float32Array:
        """(n, D) the vectors themselves, where FAISS holds them; it moves them when others are added."""
        if len(self._vectors) != self.size:
            count = math.prod((self.size, self.dimensions))
            view: Float32Array = faiss().rev_swig_ptr(self._index.get_xb(), count)
            self._vectors = view.reshape(self.size, self.dimensions)
        return self._vectors


def open_ended(rough: Float32Array, k: int) -> BoolArray:
    """(m,) whether a vector after the last of FAISS's scores (m, c), descending, may yet tie with the k-th."""
    open_: BoolArray = rough[:, -1] >= rough[:, k - 1] - ROUNDING
    return open_
