"""The compiled first level (native/scan.cpp): both levels of a search in one call, many queries at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from leanseek.indexing.dense.lean.engine import RESCORING, Effort
from leanseek.indexing.dense.lean.lists import Lists
from leanseek.indexing.dense.lean.rows import Rows
from leanseek.types import BoolArray, Float32Array, Int64Array


class ScanEngine:
    """Scans the lists that a query's vector points to, 32 codes at a time."""

    def __init__(self, lists: Lists, rows: Rows, kernels: Any) -> None:
        """`kernels` is the module leanseek._scan, and `rows` were opened with it."""
        self._lists, self._rows, self._kernels = lists, rows, kernels
        self._native = kernels.Lists(
            lists.reduction,
            lists.centroids,
            lists.spreads,
            lists.codebooks,
            lists.starts,
            lists.codes,
            lists.ordinals,
            rows.size,
        )

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
        """See Engine."""
        found: tuple[Float32Array, Int64Array] = self._kernels.search(
            self._native,
            self._rows.native,
            np.ascontiguousarray(queries, dtype=np.float32),
            k,
            effort.breadth,
            effort.depth,
            None if allowed is None else np.ascontiguousarray(allowed),
            threads,
        )
        return found

    def save(self, folder: Path) -> None:
        """See Engine."""
        self._lists.save(folder)


def list_cost(effort: Effort, lists: int, size: int) -> float:
    """Vectors scanned, with the comparison of all centroids and the scoring of rows in the same unit."""
    return lists * 2.0 + size * min(1.0, effort.breadth / lists) + RESCORING * effort.depth
