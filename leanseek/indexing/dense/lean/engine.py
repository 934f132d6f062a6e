"""The contract of a first level, and what all first levels share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

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


def decided(
    rows: Rows, queries: Float32Array, k: int, candidates: Callable[[int], Int64Array]
) -> tuple[Float32Array, Int64Array]:
    """The best k of each query's candidates by the vectors in full: scores and ordinals (m, k)."""
    scores = np.empty((len(queries), k), dtype=np.float32)
    ordinals = np.empty((len(queries), k), dtype=np.int64)
    for number, query in enumerate(queries):
        found = candidates(number)
        scores[number], ordinals[number] = ranked(rows.score(query, found), found, k)
    return scores, ordinals
