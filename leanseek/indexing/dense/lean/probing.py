"""What all first levels share that look into some lists and leave the scan to others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from leanseek.indexing.dense.lean.engine import Effort, decided
from leanseek.indexing.dense.lean.files import read, write
from leanseek.indexing.dense.lean.rows import Rows
from leanseek.indexing.dense.lean.scanning import list_cost
from leanseek.types import BoolArray, Float32Array, Int64Array


class Routes(Protocol):
    """What it takes to find the c lists that a query's answers are in."""

    @property
    def reduction(self) -> Float32Array:
        """(D, d): queries are multiplied by it."""
        ...

    @property
    def centroids(self) -> Float32Array:
        """(c, d)"""
        ...

    @property
    def spreads(self) -> Float32Array:
        """(c,): a list comes into question by <q, centroid> + |q| * spread."""
        ...


@dataclass(frozen=True, eq=False)
class StoredRoutes:
    """Routes for codes that are kept elsewhere."""

    reduction: Float32Array
    centroids: Float32Array
    spreads: Float32Array

    @property
    def bytes(self) -> int:
        """The size of all arrays."""
        return self.reduction.nbytes + self.centroids.nbytes + self.spreads.nbytes

    def save(self, folder: Path) -> None:
        """Write the arrays into an existing folder."""
        for name in ("reduction", "centroids", "spreads"):
            write(folder, name, getattr(self, name))

    @classmethod
    def open(cls, folder: Path, dimensions: int) -> StoredRoutes:
        """The arrays that `save` wrote, memory-mapped. Raises IndexDamagedError where they cannot be read."""
        reduction = read(folder, "reduction", "float32", (dimensions, None))
        centroids = read(folder, "centroids", "float32", (None, reduction.shape[1]))
        return cls(reduction, centroids, read(folder, "spreads", "float32", (len(centroids),)))


class ProbingEngine(ABC):
    """Ranks the lists for each query, has the best of them scanned, and lets the vectors in full decide."""

    def __init__(self, routes: Routes, rows: Rows) -> None:
        self._routes, self._rows = routes, rows

    @property
    def widest(self) -> int:
        """The number of lists."""
        return len(self._routes.centroids)

    def narrowest(self, depth: int) -> int:
        """See Engine."""
        return 1

    def cost(self, effort: Effort, size: int) -> float:
        """See Engine."""
        return list_cost(effort, self.widest, size)

    def search(
        self, queries: Float32Array, k: int, effort: Effort, allowed: BoolArray | None, threads: int
    ) -> tuple[Float32Array, Int64Array]:
        """See Engine. The number of threads is settled by what scans the lists."""
        routes = self._routes
        reduced = np.ascontiguousarray(queries @ routes.reduction, dtype=np.float32)
        scores = reduced @ routes.centroids.T
        priority = scores + np.linalg.norm(reduced, axis=1, keepdims=True) * routes.spreads
        depth = min(max(effort.depth, k), self._rows.size)
        breadth = min(effort.breadth, self.widest)
        wanted = min(k, self._rows.size if allowed is None else int(np.count_nonzero(allowed)))
        while True:
            probes = np.ascontiguousarray(np.argsort(-priority, axis=1, kind="stable")[:, :breadth])
            offsets = np.ascontiguousarray(np.take_along_axis(scores, probes, axis=1), dtype=np.float32)
            found = self._candidates(reduced, depth, probes, offsets, allowed)
            if breadth == self.widest or ((found >= 0).sum(axis=1) >= wanted).all():
                break
            breadth = min(4 * breadth, self.widest)
        return decided(self._rows, queries, k, lambda row: np.sort(found[row, found[row] >= 0]))

    @property
    @abstractmethod
    def bytes(self) -> int:
        """The size of the first level in memory."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the first level's files."""

    @abstractmethod
    def _candidates(
        self,
        reduced: Float32Array,
        depth: int,
        probes: Int64Array,
        offsets: Float32Array,
        allowed: BoolArray | None,
    ) -> Int64Array:
        """(m, depth) the ordinals that score best by their codes in the lists (m, p), -1 where there are too few.

        `offsets` (m, p) are the inner products of reduced queries (m, d) with the lists' centroids.
        """
