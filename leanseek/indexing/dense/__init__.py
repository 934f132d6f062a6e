"""Dense indexes: one table of kinds, each a `DenseIndex` over the vectors of one segment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from leanseek.errors import UsageError
from leanseek.indexing.dense.base import DenseIndex
from leanseek.types import Float32Array

__all__ = ["DENSE_KINDS", "DenseIndex", "build_dense", "check_dense_kind", "open_dense"]


def build_flat(blocks: Iterable[Float32Array], dimensions: int) -> DenseIndex:
    from leanseek.indexing.dense.flat import FlatIndex

    index = FlatIndex.empty(dimensions)
    for block in blocks:
        index.add(block)
    return index


def open_flat(folder: Path) -> DenseIndex:
    from leanseek.indexing.dense.flat import FlatIndex

    return FlatIndex.open(folder)


def build_lean(blocks: Iterable[Float32Array], dimensions: int) -> DenseIndex:
    import numpy as np

    from leanseek.indexing.dense.lean import LeanVecIndex

    return LeanVecIndex.build(np.concatenate([np.zeros((0, dimensions), np.float32), *blocks]))


def open_lean(folder: Path) -> DenseIndex:
    from leanseek.indexing.dense.lean import LeanVecIndex

    return LeanVecIndex.open(folder)


BUILDERS: dict[str, Callable[[Iterable[Float32Array], int], DenseIndex]] = {
    "flat": build_flat,
    "lean": build_lean,
}
OPENERS: dict[str, Callable[[Path], DenseIndex]] = {"flat": open_flat, "lean": open_lean}

DENSE_KINDS = tuple(BUILDERS)


def check_dense_kind(kind: str) -> str:
    """`kind` itself. Raises UsageError where there is no such dense index."""
    if kind not in BUILDERS:
        raise UsageError(f"'{kind}' is not a dense index. Choose from: {', '.join(DENSE_KINDS)}, none")
    return kind


def build_dense(kind: str, blocks: Iterable[Float32Array], dimensions: int) -> DenseIndex:
    """An index of the given kind over blocks of vectors (c, D) float32, in the order of their ordinals."""
    return BUILDERS[check_dense_kind(kind)](blocks, dimensions)


def open_dense(kind: str, folder: Path) -> DenseIndex:
    """The index of that kind saved in `folder`. Raises IndexDamagedError where it cannot be read."""
    return OPENERS[check_dense_kind(kind)](folder)
