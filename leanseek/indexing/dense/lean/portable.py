"""The first level where nothing could be compiled: the same lists, searched by FAISS."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from leanseek.indexing.dense.flat import faiss
from leanseek.indexing.dense.lean.engine import Effort, decided
from leanseek.indexing.dense.lean.lists import Lists
from leanseek.indexing.dense.lean.rows import Rows
from leanseek.indexing.dense.lean.scanning import list_cost
from leanseek.types import BoolArray, Float32Array, Int64Array


class FaissEngine:
    """FAISS's IndexIVFPQFastScan over the arrays of `Lists`; a filtered search takes its IndexIVFPQ."""

    def __init__(self, lists: Lists, rows: Rows) -> None:
        self._lists, self._rows = lists, rows

    @property
    def widest(self) -> int:
        """The number of lists."""
        return self._lists.count

    def narrowest(self, depth: int) -> int:
        """See Engine."""
        return 1

    @property
    def bytes(self) -> int:
        """The size of the lists."""
        return self._lists.bytes

    def cost(self, effort: Effort, size: int) -> float:
        """See Engine."""
        return list_cost(effort, self._lists.count, size)

    def search(
        self, queries: Float32Array, k: int, effort: Effort, allowed: BoolArray | None, threads: int
    ) -> tuple[Float32Array, Int64Array]:
        """See Engine. FAISS settles the number of threads itself."""
        reduced = np.ascontiguousarray(queries @ self._lists.reduction, dtype=np.float32)
        scores = reduced @ self._lists.centroids.T
        priority = scores + np.linalg.norm(reduced, axis=1, keepdims=True) * self._lists.spreads
        depth = min(max(effort.depth, k), self._rows.size)
        breadth = min(effort.breadth, self.widest)
        wanted = min(k, self._rows.size if allowed is None else int(np.count_nonzero(allowed)))
        while True:
            probes = np.argsort(-priority, axis=1, kind="stable")[:, :breadth]
            offsets = np.ascontiguousarray(np.take_along_axis(scores, probes, axis=1), dtype=np.float32)
            found = self._candidates(reduced, depth, probes, offsets, allowed)
            if breadth == self.widest or ((found >= 0).sum(axis=1) >= wanted).all():
                break
            breadth = min(4 * breadth, self.widest)
        return decided(self._rows, queries, k, lambda row: np.sort(found[row, found[row] >= 0]))

    def save(self, folder: Path) -> None:
        """See Engine."""
        self._lists.save(folder)

    def _candidates(
        self,
        reduced: Float32Array,
        depth: int,
        probes: Int64Array,
        offsets: Float32Array,
        allowed: BoolArray | None,
    ) -> Int64Array:
        if allowed is None:
            self._fast.nprobe = probes.shape[1]
            _, fast = self._fast.search_preassigned(reduced, depth, probes, offsets)
            found: Int64Array = fast
            return found
        # FAISS's Python wrapper takes no filter here; what it wraps does.
        chosen = faiss().IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        parameters = faiss().SearchParametersIVF(sel=chosen, nprobe=probes.shape[1])
        distances = np.empty((len(reduced), depth), dtype=np.float32)
        found = np.empty((len(reduced), depth), dtype=np.int64)
        probes = np.ascontiguousarray(probes)
        pointers = [faiss().swig_ptr(each) for each in (probes, offsets, distances, found)]
        self._plain.search_preassigned_c(
            len(reduced), faiss().swig_ptr(reduced), depth, *pointers, False, parameters
        )
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
                index.invlists.add_entries(
                    number,
                    used,
                    faiss().swig_ptr(np.ascontiguousarray(ordinals[:used], dtype=np.int64)),
                    faiss().swig_ptr(blocks[start : start + used]),
                )
        index.ntotal = self._rows.size
        return index
