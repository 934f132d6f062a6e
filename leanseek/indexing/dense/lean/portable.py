"""The first level where nothing could be compiled: the same lists, searched by FAISS."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from leanseek.indexing.dense.flat import faiss
from leanseek.indexing.dense.lean.faiss_codes import preassigned
from leanseek.indexing.dense.lean.lists import Lists
from leanseek.indexing.dense.lean.probing import ProbingEngine
from leanseek.indexing.dense.lean.rows import Rows
from leanseek.types import BoolArray, Float32Array, Int64Array


class FaissEngine(ProbingEngine):
    """FAISS's IndexIVFPQFastScan over the arrays of `Lists`; a filtered search takes its IndexIVFPQ."""

    def __init__(self, lists: Lists, rows: Rows) -> None:
        super().__init__(lists, rows)
        self._lists = lists

    @property
    def bytes(self) -> int:
        """The size of the lists."""
        return self._lists.bytes

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
        return preassigned(self._plain, reduced, depth, probes, offsets, allowed)

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
