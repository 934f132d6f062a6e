"""The contract of a first level, and what all first levels share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from leanseek.indexing.dense.lean.lists import Lists, Routes
from leanseek.indexing.dense.lean.rows import Rows
from leanseek.types import BoolArray, Float32Array, Int64Array


class Effort(NamedTuple):
    """How far a search goes."""

    breadth: int
    """Lists that are scanned; in a graph, the size of the candidate list (ef)."""
    depth: int
    """Candidates that are scored again from the vectors in full; at least k always are."""


class Engine(Protocol):
    """Finds candidates by reduced and quantised vectors, and lets the vectors in full decide."""

    @property
    def widest(self) -> int:
        """The breadth at which nothing is left out."""
        ...

    def narrowest(self, depth: int) -> int:
        """The least breadth that makes a difference when so many candidates are wanted."""
        ...

    @property
    def bytes(self) -> int:
        """The size of the first level in memory."""
        ...

    def cost(self, effort: Effort, size: int) -> float:
        """The expected work of one query, in vectors scanned."""
        ...

    def search(
        self, queries: Float32Array, k: int, effort: Effort, allowed: BoolArray | None, threads: int
    ) -> tuple[Float32Array, Int64Array]:
        """Scores (m, k) float32 and ordinals (m, k) int64, best first, ties by ordinal, -inf and -1 at the end."""
        ...

    def save(self, folder: Path) -> None:
        """Write the first level's files."""
        ...


RESCORING = 30.0
"""Scoring one row again, far away in memory, takes as long as scanning this many codes."""


def ranked(scores: Float32Array, ordinals: Int64Array, k: int) -> tuple[Float32Array, Int64Array]:
    """The best k (k,) of candidates (c,), ties by ordinal, filled up with -inf and -1."""
    best = np.lexsort((ordinals, -scores))[:k]
    top = np.full(k, -np.inf, dtype=np.float32)
    found = np.full(k, -1, dtype=np.int64)
    top[: len(best)], found[: len(best)] = scores[best], ordinals[best]
    return top, found


def rescored(
    rows: Rows, queries: Float32Array, k: int, candidates: Callable[[int], Int64Array]
) -> tuple[Float32Array, Int64Array]:
    """The best k of each query's candidates by the vectors in full: scores and ordinals (m, k)."""
    scores = np.empty((len(queries), k), dtype=np.float32)
    ordinals = np.empty((len(queries), k), dtype=np.int64)
    for number, query in enumerate(queries):
        found = candidates(number)
        scores[number], ordinals[number] = ranked(rows.score(query, found), found, k)
    return scores, ordinals


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


class Probing(NamedTuple):
    """A batch of queries and the lists to scan for each.

    `reduced` (m, d) are the reduced queries, `probes` (m, p) the lists' numbers, `offsets` (m, p) the inner products
    with their centroids. `depth` candidates are wanted for each query; `allowed` (n,) keeps those that are True.
    """

    reduced: Float32Array
    depth: int
    probes: Int64Array
    offsets: Float32Array
    allowed: BoolArray | None


class ProbingEngine(ABC):
    """Ranks the lists for each query, has the best of them scanned, and lets the vectors in full decide."""

    def __init__(self, routes: Routes, rows: Rows) -> None:
        self._routes, self._rows = routes, rows

    @property
    def widest(self) -> int:
        """The number of lists."""
        return self._routes.count

    @property
    def bytes(self) -> int:
        """The size of the lists."""
        return self._routes.bytes

    def narrowest(self, depth: int) -> int:
        """See Engine."""
        return 1

    def cost(self, effort: Effort, size: int) -> float:
        """See Engine."""
        return list_cost(effort, self.widest, size)

    def search(
        self, queries: Float32Array, k: int, effort: Effort, allowed: BoolArray | None, threads: int
    ) -> tuple[Float32Array, Int64Array]:
        """See Engine. What scans the lists chooses the number of threads."""
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
            found = self._candidates(Probing(reduced, depth, probes, offsets, allowed))
            if breadth == self.widest or ((found >= 0).sum(axis=1) >= wanted).all():
                break
            breadth = min(4 * breadth, self.widest)
        return rescored(self._rows, queries, k, lambda row: np.sort(found[row, found[row] >= 0]))

    def save(self, folder: Path) -> None:
        """See Engine."""
        self._routes.save(folder)

    @abstractmethod
    def _candidates(self, probing: Probing) -> Int64Array:
        """(m, depth) the ordinals that score best by their codes, -1 where there are too few."""
