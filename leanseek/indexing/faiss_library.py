"""FAISS, imported when it is first needed: its files with the package's errors, filters, k-means."""

from __future__ import annotations

import errno
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from leanseek.errors import IndexDamagedError, StorageError
from leanseek.types import BoolArray, Float32Array


def faiss() -> Any:
    """The module."""
    return import_module("faiss")


def read_index(path: Path, flags: int = 0) -> Any:
    """The index in a file. Raises IndexDamagedError where it cannot be read, FileNotFoundError for no file."""
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
    try:
        return faiss().read_index(str(path), flags)
    except RuntimeError as error:
        raise IndexDamagedError(f"'{path}' cannot be read: {_reason(error)}") from error


def write_index(index: Any, path: Path) -> None:
    """Write an index. Raises StorageError where the disk refuses."""
    try:
        faiss().write_index(index, str(path))
    except RuntimeError as error:
        raise StorageError(f"writing '{path}' failed: {_reason(error)}") from error


def selector(allowed: BoolArray) -> Any:
    """What makes a search skip the vectors that are False in `allowed` (n,)."""
    return faiss().IDSelectorBitmap(np.packbits(allowed, bitorder="little"))


def kmeans(vectors: Float32Array, count: int, rounds: int, seed: int, **options: Any) -> Float32Array:
    """(count, d) centroids of vectors (n, d); `options` are those of faiss.Kmeans."""
    found = faiss().Kmeans(
        vectors.shape[1],
        count,
        niter=rounds,
        seed=seed,
        # With fewer vectors a cluster FAISS writes to standard error.
        min_points_per_centroid=1,
        **options,
    )
    found.train(np.ascontiguousarray(vectors))
    centroids: Float32Array = found.centroids.reshape(count, -1)
    return centroids


def _reason(error: RuntimeError) -> str:
    """FAISS's own words, without its source file and signature."""
    return str(error).rsplit("Error: ", 1)[-1].strip()
