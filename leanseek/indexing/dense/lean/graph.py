"""A first level that is a graph: FAISS's HNSW over reduced vectors in 8 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from leanseek.errors import IndexDamagedError, StorageError
from leanseek.indexing.dense.flat import faiss, reason
from leanseek.indexing.dense.lean.engine import RESCORING, Effort, decided
from leanseek.indexing.dense.lean.files import read, write
from leanseek.indexing.dense.lean.rows import Rows
from leanseek.types import BoolArray, Float32Array, Int64Array

FILE = "graph.faiss"
_NEIGHBOURS = 32
_HOP = 500.0
"""What a step in the graph costs, in vectors scanned."""


class GraphEngine:
    """A hierarchical navigable small world (Malkov and Yashunin, PAMI 2018) of vectors (n, d).

    The reduction's data matrix has orthonormal rows: a graph connects vectors with vectors, and only such a
    matrix keeps what they have in common.
    """

    def __init__(self, index: Any, reduction: Float32Array, rows: Rows) -> None:
        self._index, self._reduction, self._rows = index, reduction, rows

    @classmethod
    def build(cls, reduced: Float32Array, reduction: Float32Array, rows: Rows) -> GraphEngine:
        """The graph of reduced vectors (n, d); `reduction` (D, d) is the queries' matrix."""
        index = faiss().IndexHNSWSQ(
            reduced.shape[1],
            faiss().ScalarQuantizer.QT_8bit,
            _NEIGHBOURS,
            faiss().METRIC_INNER_PRODUCT,
        )
        index.train(np.ascontiguousarray(reduced))
        index.add(np.ascontiguousarray(reduced))
        return cls(index, np.ascontiguousarray(reduction), rows)

    @classmethod
    def open(cls, folder: Path, rows: Rows) -> GraphEngine:
        """The graph that `save` wrote. Raises IndexDamagedError where it cannot be read."""
        reduction = read(folder, "reduction", "float32", (rows.dimensions, None))
        try:
            index = faiss().read_index(str(folder / FILE))
        except RuntimeError as error:
            raise IndexDamagedError(f"'{folder / FILE}' cannot be read: {reason(error)}") from error
        if (index.ntotal, index.d) != (rows.size, reduction.shape[1]):
            raise IndexDamagedError(f"'{folder / FILE}' does not belong to the vectors beside it")
        return cls(index, reduction, rows)

    @property
    def widest(self) -> int:
        """n: a candidate list that holds every vector."""
        return self._rows.size

    def narrowest(self, depth: int) -> int:
        """See Engine."""
        return depth

    @property
    def bytes(self) -> int:
        """The size of codes and links."""
        links = 4 * faiss().vector_to_array(self._index.hnsw.offsets)[-1]
        return int(self._index.ntotal * self._index.sa_code_size() + links)

    def cost(self, effort: Effort, size: int) -> float:
        """See Engine."""
        return _HOP * effort.breadth + RESCORING * effort.depth

    def search(
        self, queries: Float32Array, k: int, effort: Effort, allowed: BoolArray | None, threads: int
    ) -> tuple[Float32Array, Int64Array]:
        """See Engine. FAISS settles the number of threads itself."""
        reduced = np.ascontiguousarray(queries @ self._reduction, dtype=np.float32)
        depth = min(max(effort.depth, k), self._rows.size)
        available = self._rows.size if allowed is None else int(np.count_nonzero(allowed))
        breadth = max(effort.breadth, depth)
        chosen = (
            None if allowed is None else faiss().IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        )
        while True:
            parameters = faiss().SearchParametersHNSW(efSearch=breadth, sel=chosen)
            _, found = self._index.search(reduced, depth, params=parameters)
            if breadth >= self.widest or ((found >= 0).sum(axis=1) >= min(k, available)).all():
                break
            breadth = min(4 * breadth, self.widest)
        return decided(self._rows, queries, k, lambda row: np.sort(found[row, found[row] >= 0]))

    def save(self, folder: Path) -> None:
        """See Engine."""
        write(folder, "reduction", self._reduction)
        try:
            faiss().write_index(self._index, str(folder / FILE))
        except RuntimeError as error:
            raise StorageError(f"writing '{folder / FILE}' failed: {reason(error)}") from error
