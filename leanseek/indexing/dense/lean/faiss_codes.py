"""First levels whose codes are FAISS's: 8-bit scalar quantisation and RaBitQ."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from leanseek.errors import IndexDamagedError, StorageError
from leanseek.indexing.dense.flat import faiss, reason
from leanseek.indexing.dense.lean.clustering import cluster
from leanseek.indexing.dense.lean.probing import ProbingEngine, StoredRoutes
from leanseek.indexing.dense.lean.rows import Rows
from leanseek.types import BoolArray, Float32Array, Int64Array

FaissCodes: TypeAlias = Literal["sq8", "rabitq"]

FILE: Final = "codes.faiss"


class FaissCodesEngine(ProbingEngine):
    """Residuals from the lists' centroids, d dimensions each, as FAISS encodes them.

    `sq8` takes a byte a dimension, `rabitq` a bit (Gao and Long, "RaBitQ: Quantizing high-dimensional vectors
    with a theoretical error bound", SIGMOD 2024).
    """

    def __init__(self, index: Any, routes: StoredRoutes, rows: Rows) -> None:
        super().__init__(routes, rows)
        self._index, self._stored = index, routes

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
            # A sign says as much in each dimension only where none is wider than the others.
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
        # The index frees it, so that it needs no other owner; what is read from a file does likewise.
        quantizer.this.disown()
        index.own_fields = True
        index.train(reduced)
        index.add(reduced)
        routes = StoredRoutes(np.ascontiguousarray(reduction), clusters.centroids, clusters.spreads)
        return cls(index, routes, rows)

    @classmethod
    def open(cls, folder: Path, rows: Rows) -> FaissCodesEngine:
        """What `save` wrote. Raises IndexDamagedError where it cannot be read."""
        routes = StoredRoutes.open(folder, rows.dimensions)
        try:
            index = faiss().read_index(str(folder / FILE))
        except RuntimeError as error:
            raise IndexDamagedError(f"'{folder / FILE}' cannot be read: {reason(error)}") from error
        if (index.ntotal, index.d, index.nlist) != (rows.size, *routes.centroids.shape[::-1]):
            raise IndexDamagedError(f"'{folder / FILE}' does not belong to the vectors beside it")
        return cls(index, routes, rows)

    @property
    def bytes(self) -> int:
        """The size of codes, their ordinals and the routes."""
        return int(self._index.ntotal * (self._index.code_size + 8)) + self._stored.bytes

    def save(self, folder: Path) -> None:
        """See Engine."""
        self._stored.save(folder)
        try:
            faiss().write_index(self._index, str(folder / FILE))
        except RuntimeError as error:
            raise StorageError(f"writing '{folder / FILE}' failed: {reason(error)}") from error

    def _candidates(
        self,
        reduced: Float32Array,
        depth: int,
        probes: Int64Array,
        offsets: Float32Array,
        allowed: BoolArray | None,
    ) -> Int64Array:
        return preassigned(self._index, reduced, depth, probes, offsets, allowed)


def preassigned(
    index: Any,
    reduced: Float32Array,
    depth: int,
    probes: Int64Array,
    offsets: Float32Array,
    allowed: BoolArray | None,
) -> Int64Array:
    """See ProbingEngine._candidates; `index` is one of FAISS's with lists."""
    # FAISS's Python wrapper takes no filter here; what it wraps does.
    parameters = faiss().SearchParametersIVF(nprobe=probes.shape[1])
    if allowed is not None:
        chosen = faiss().IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        parameters = faiss().SearchParametersIVF(sel=chosen, nprobe=probes.shape[1])
    distances = np.empty((len(reduced), depth), dtype=np.float32)
    found = np.empty((len(reduced), depth), dtype=np.int64)
    pointers = [faiss().swig_ptr(each) for each in (probes, offsets, distances, found)]
    index.search_preassigned_c(len(reduced), faiss().swig_ptr(reduced), depth, *pointers, False, parameters)
    return found
