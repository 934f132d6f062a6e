"""Second moments of vectors: all that learning a linear reduction needs to know of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from leanseek.errors import InputError, UsageError
from leanseek.types import Float32Array, Int64Array

Float64Array: TypeAlias = NDArray[np.float64]

SAMPLE_ROWS: Final = 32_768
"""Vectors that are read at most: thirty for each dimension at D = 1,024; more changes nothing measurable."""
_BLOCK_ROWS: Final = 4_096


@dataclass(frozen=True, eq=False)
class Moments:
    """What is known of a set of `count` vectors.

    `second` (D, D) is the mean of x xᵀ, uncentred, and `fourth` the mean of |x|⁴.
    """

    second: Float64Array
    fourth: float
    count: int

    @property
    def dimensions(self) -> int:
        """D, the length of a vector."""
        return len(self.second)


def moments(vectors: Float32Array, rows: Int64Array | None = None) -> Moments:
    """The moments of vectors (n, D), or of the given rows (c,), read in blocks and summed in float64.

    The vectors may be memory-mapped. Raises InputError where a vector read has a NaN or an infinite value.
    """
    count = len(vectors) if rows is None else len(rows)
    second: Float64Array = np.zeros((vectors.shape[1], vectors.shape[1]))
    fourth = 0.0
    for start in range(0, count, _BLOCK_ROWS):
        stop = min(start + _BLOCK_ROWS, count)
        block = vectors[start:stop] if rows is None else vectors[rows[start:stop]]
        wide = finite(block).astype(np.float64)
        second += wide.T @ wide
        fourth += float(np.square(np.einsum("nd,nd->n", wide, wide)).sum())
    return Moments(second / max(count, 1), fourth / max(count, 1), count)


def sample(count: int, seed: int, rows: int = SAMPLE_ROWS) -> Int64Array | None:
    """The rows (rows,) to read of `count` vectors, ascending, drawn by the seed; None for all of them."""
    if count <= rows:
        return None
    chosen: Int64Array = np.sort(np.random.default_rng(seed).choice(count, rows, replace=False))
    return chosen


def finite(vectors: Float32Array, name: str = "vectors") -> Float32Array:
    """The vectors (n, D) themselves. Raises InputError where one has a NaN or an infinite value."""
    good = np.isfinite(vectors).all(axis=1)
    if not good.all():
        raise InputError(
            f"{int((~good).sum())} of {len(vectors)} {name} hold NaN or infinite values, which have no inner "
            "product; leave them out, or encode their texts again"
        )
    return vectors


def checked_queries(vectors: Float32Array, queries: Float32Array | None, dims: int) -> Float32Array:
    """The queries (m, D), of which there may be none, once they and `dims` are seen to fit vectors (n, D).

    Raises UsageError for shapes or `dims` that do not fit, InputError where there is no vector.
    """
    if vectors.ndim != 2:
        raise UsageError(f"vectors have shape {vectors.shape}; learning takes (n, D) float32")
    if len(vectors) == 0:
        raise InputError("there are no vectors to learn a reduction from; add documents first")
    width = vectors.shape[1]
    if queries is None:
        queries = np.zeros((0, width), dtype=np.float32)
    if queries.ndim != 2 or queries.shape[1] != width:
        raise UsageError(
            f"queries have shape {queries.shape} and vectors {vectors.shape}; queries take (m, {width}) "
            "float32, encoded by the same model as the vectors"
        )
    if not 1 <= dims <= width:
        raise UsageError(f"dims is {dims}; it must be from 1 to {width}, the length of the vectors")
    return queries


def split_queries(
    queries: Float32Array, fraction: float = 0.2, seed: int = 0
) -> tuple[Float32Array, Float32Array]:
    """Queries (m, D) to learn from, and queries held out for measuring: about that fraction of them, seeded.

    Each side gets at least one where there are two or more; a single query is learned from. Equal queries
    stay on the same side. Raises UsageError unless 0 < fraction < 1.
    """
    if not 0.0 < fraction < 1.0:
        raise UsageError(f"held_out is {fraction}; it must lie between 0 and 1 (0.2 is usual)")
    distinct, group = np.unique(queries, axis=0, return_inverse=True)
    count = min(max(round(fraction * len(distinct)), 1), len(distinct) - 1)
    aside = np.zeros(len(distinct), dtype=np.bool_)
    if count > 0:
        aside[np.random.default_rng(seed).choice(len(distinct), count, replace=False)] = True
    chosen = aside[group.reshape(-1)]
    return queries[~chosen], queries[chosen]
