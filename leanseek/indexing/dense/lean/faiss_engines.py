"""First levels that FAISS searches: its codes, its graph, and our lists where no kernel was compiled."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from leanseek.errors import IndexDamagedError
from leanseek.indexing.arrays import open_array, write_array
from leanseek.indexing.dense.lean.engine import RESCORING, Effort, Probing, ProbingEngine, rescored
from leanseek.indexing.dense.lean.lists import Lists, Routes, cluster
from leanseek.indexing.dense.lean.rows import Rows
from leanseek.indexing.faiss_library import faiss, read_index, selector, write_index
from leanseek.types import BoolArray, Float32Array, Int64Array

FaissCodes: TypeAlias = Literal["sq8", "rabitq"]

CODES_FILE: Final = "codes.faiss"
GRAPH_FILE: Final = "graph.faiss"
_NEIGHBOURS: Final = 32
_HOP: Final = 500.0
"""What a step in the graph costs, in vectors scanned."""


class FaissCodesEngine(ProbingEngine):
    """Residuals from the lists' centroids, d dimensions each, as FAISS encodes them.

    `sq8` takes a byte a dimension, `rabitq` a bit (Gao and Long, "RaBitQ: Quantizing high-dimensional vectors
    with a theoretical error bound", SIGMOD 2024).
    """

    def __init__(self, index: Any, routes: Routes, rows: Rows) -> None:
        super().__init__(routes, rows)
        self._index = index

    @classmethod
    def build(
        cls,
        reduced: Float32Array,
        reduction: Float32Array,
        count: int,
        codes: FaissCodes,
        rows: Rows,
        seed: int,
    ) -> FaissCodesEngine:
        """About `count` lists of reduced vectors (n, d); `reduction` (D, d) is the queries' matrix."""
        dims = reduced.shape[1]
        if codes == "rabitq":
            # The signs of all dimensions are equally informative only where none is wider than the others.
            turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((dims, dims)))[0]
            reduced, reduction = reduced @ turn.astype(np.float32), reduction @ turn.astype(np.float32)
        reduced = np.ascontiguousarray(reduced, dtype=np.float32)
        clusters = cluster(reduced, count, seed)
        # By distance, as the clusters are made; for a search the lists are chosen by inner product beforehand.
        quantizer = faiss().IndexFlatL2(dims)
        quantizer.add(np.ascontiguousarray(clusters.centroids))
        metric = faiss().METRIC_INNER_PRODUCT
        lists = len(clusters.centroids)
        if codes == "rabitq":
            index = faiss().IndexIVFRaBitQ(quantizer, dims, lists, metric)
        else:
            index = faiss().IndexIVFScalarQuantizer(
                quantizer, dims, lists, faiss().ScalarQuantizer.QT_8bit, metric, True
            )
        # The index owns it, as one that is read from a file does.
        quantizer.this.disown()
        index.own_fields = True
        index.train(reduced)
        index.add(reduced)
        routes = Routes(np.ascontiguousarray(reduction), clusters.centroids, clusters.spreads)
        return cls(index, routes, rows)

    @classmethod
    def open(cls, folder: Path, rows: Rows) -> FaissCodesEngine:
        """What `save` wrote. Raises IndexDamagedError where it cannot be read."""
        routes = Routes(*Routes.read(folder, rows.dimensions))
        index = read_index(folder / CODES_FILE)
        if (index.ntotal, index.d, index.nlist) != (rows.size, *routes.centroids.shape[::-1]):
            raise IndexDamagedError(f"'{folder / CODES_FILE}' does not belong to the vectors beside it")
        return cls(index, routes, rows)

    @property
    def bytes(self) -> int:
        """The size of codes, their ordinals and the routes."""
        return int(self._index.ntotal * (self._index.code_size + 8)) + super().bytes

    def save(self, folder: Path) -> None:
        """See Engine."""
        super().save(folder)
        write_index(self._index, folder / CODES_FILE)

    def _candidates(self, probing: Probing) -> Int64Array:
        return preassigned(self._index, probing)


def preassigned(index: Any, probing: Probing) -> Int64Array:
    """See ProbingEngine._candidates; `index` is one of FAISS's with lists."""
    reduced, depth, probes, offsets, allowed = probing
    # FAISS's Python wrapper takes no filter here; what it wraps does.
    chosen = None if allowed is None else selector(allowed)
    parameters = faiss().SearchParametersIVF(sel=chosen, nprobe=probes.shape[1])
    distances = np.empty((len(reduced), depth), dtype=np.float32)
    found = np.empty((len(reduced), depth), dtype=np.int64)
    pointers = [faiss().swig_ptr(each) for each in (probes, offsets, distances, found)]
    index.search_preassigned_c(len(reduced), faiss().swig_ptr(reduced), depth, *pointers, False, parameters)
    return found


class FaissEngine(ProbingEngine):
    """FAISS's IndexIVFPQFastScan over the arrays of `Lists`; a filtered search takes its IndexIVFPQ."""

    def __init__(self, lists: Lists, rows: Rows) -> None:
        super().__init__(lists, rows)
        self._lists = lists

    def _candidates(self, probing: Probing) -> Int64Array:
        if probing.allowed is not None:
            return preassigned(self._plain, probing)
        self._fast.nprobe = probing.probes.shape[1]
        found: Int64Array = self._fast.search_preassigned(*probing[:4])[1]
        return found

    @cached_property
    def _fast(self) -> Any:
        return faiss().IndexIVFPQFastScan(self._plain)

    @cached_property
    def _plain(self) -> Any:
        lists = self._lists
        parts, length, _ = lists.codebooks.shape
        quantizer = faiss().IndexFlatIP(parts * length)
        quantizer.add(np.ascontiguousarray(lists.centroids))
        index = faiss().IndexIVFPQ(
            quantizer, parts * length, lists.count, parts, 4, faiss().METRIC_INNER_PRODUCT
        )
        # The index only borrows the quantizer, which has to live as long.
        self._quantizer = quantizer
        index.by_residual = True
        faiss().copy_array_to_vector(
            np.ascontiguousarray(lists.codebooks.transpose(0, 2, 1)).ravel(), index.pq.centroids
        )
        index.is_trained = True
        blocks = np.ascontiguousarray(lists.codes.transpose(0, 2, 1)).reshape(-1, parts // 2)
        for number in range(lists.count):
            start, end = lists.starts[number : number + 2] * 32
            ordinals = lists.ordinals[start:end]
            used = int(np.count_nonzero(ordinals >= 0))
            if used:
                # A pointer keeps no array alive.
                names = ordinals[:used].astype(np.int64)
                index.invlists.add_entries(
                    number, used, faiss().swig_ptr(names), faiss().swig_ptr(blocks[start : start + used])
                )
        index.ntotal = self._rows.size
        return index


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
        reduction = open_array(folder / "reduction.npy", "float32", (rows.dimensions, None))
        index = read_index(folder / GRAPH_FILE)
        if (index.ntotal, index.d) != (rows.size, reduction.shape[1]):
            raise IndexDamagedError(f"'{folder / GRAPH_FILE}' does not belong to the vectors beside it")
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
        codes = faiss().downcast_index(self._index.storage).code_size
        return int(self._index.ntotal * codes + links)

    def cost(self, effort: Effort, size: int) -> float:
        """See Engine."""
        return _HOP * effort.breadth + RESCORING * effort.depth

    def search(
        self, queries: Float32Array, k: int, effort: Effort, allowed: BoolArray | None, threads: int
    ) -> tuple[Float32Array, Int64Array]:
        """See Engine. FAISS chooses the number of threads."""
        reduced = np.ascontiguousarray(queries @ self._reduction, dtype=np.float32)
        depth = min(max(effort.depth, k), self._rows.size)
        available = self._rows.size if allowed is None else int(np.count_nonzero(allowed))
        breadth = max(effort.breadth, depth)
        chosen = None if allowed is None else selector(allowed)
        while True:
            parameters = faiss().SearchParametersHNSW(efSearch=breadth, sel=chosen)
            _, found = self._index.search(reduced, depth, params=parameters)
            if breadth >= self.widest or ((found >= 0).sum(axis=1) >= min(k, available)).all():
                break
            breadth = min(4 * breadth, self.widest)
        return rescored(self._rows, queries, k, lambda row: np.sort(found[row, found[row] >= 0]))

    def save(self, folder: Path) -> None:
        """See Engine."""
        write_array(folder / "reduction.npy", self._reduction)
        write_index(self._index, folder / GRAPH_FILE)
