"""Vectors that are read as they are needed, so that a collection of them need not be held."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from leanseek.errors import InputError, UsageError
from leanseek.types import Float32Array, Int64Array

BLOCK_ROWS: Final = 16_384
"""Vectors that are held at a time."""

SAMPLE_ROWS: Final = 32_768
"""Vectors that are learned from at most: thirty for each dimension at D = 1,024; more changes nothing measurable."""


class VectorSource(Protocol):
    """Vectors (n, D): an array, a memory map, or an object that reads or makes the rows it is asked for.

    It is read several times, from front to back and at drawn rows, and must give the same values each time.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, D)"""
        ...

    def __len__(self) -> int:
        """n"""
        ...

    def __getitem__(self, rows: slice | Int64Array, /) -> NDArray[Any]:
        """(c, D) the vectors of a slice, or at row numbers (c,)."""
        ...


class Vectors:
    """The vectors (n, D) of a source as float32, each block checked as it is read.

    Reading raises InputError where a vector has NaN or infinite values. `change` makes other vectors, (c, d), of each
    block (c, D) that is read; d is then `width`.
    """

    def __init__(
        self,
        source: VectorSource,
        change: Callable[[Float32Array], Float32Array] | None = None,
        width: int | None = None,
    ) -> None:
        """Raises UsageError where the source does not have two dimensions."""
        # What is no source may still be an array's nested lists.
        self._source = source if hasattr(source, "shape") else np.asarray(source)
        shape = self._source.shape
        if len(shape) != 2 or shape[1] == 0:
            raise UsageError(f"vectors have shape {tuple(shape)}; an index takes (n, D) float32")
        self._change = change
        self._checked = True
        self.shape: tuple[int, ...] = (int(shape[0]), int(shape[1] if width is None else width))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Int64Array, /) -> Float32Array:
        block = np.ascontiguousarray(self._source[rows], dtype=np.float32)
        if self._checked:
            finite(block)
        return block if self._change is None else self._change(block)

    def unchecked(self) -> Vectors:
        """The same vectors without the check, for many small reads of what has been checked once."""
        others = copy(self)
        others._checked = False
        return others


def blocks(vectors: VectorSource) -> Iterator[tuple[slice, NDArray[Any]]]:
    """The vectors (n, D) from front to back: the rows of a block, and the block (c, D)."""
    for start in range(0, len(vectors), BLOCK_ROWS):
        rows = slice(start, min(start + BLOCK_ROWS, len(vectors)))
        yield rows, vectors[rows]


def drawn(vectors: VectorSource, most: int, seed: int) -> Float32Array:
    """At most so many of the vectors (n, D), drawn by the seed, in their order; (c, D) in memory."""
    rows = sample(len(vectors), seed, most)
    if rows is None:
        return gathered(vectors)
    parts = np.empty((len(rows), vectors.shape[1]), dtype=np.float32)
    for start in range(0, len(rows), BLOCK_ROWS):
        parts[start : start + BLOCK_ROWS] = vectors[rows[start : start + BLOCK_ROWS]]
    return parts


def gathered(vectors: VectorSource) -> Float32Array:
    """All vectors (n, D) in memory."""
    whole = np.empty(vectors.shape, dtype=np.float32)
    for rows, block in blocks(vectors):
        whole[rows] = block
    return whole


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
