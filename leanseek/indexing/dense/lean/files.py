"""The index's arrays on disk: NumPy files, opened memory-mapped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leanseek.errors import IndexDamagedError, StorageError


def write(folder: Path, name: str, values: NDArray[Any]) -> None:
    """Write `name`.npy. Raises StorageError where the disk refuses."""
    path = folder / f"{name}.npy"
    try:
        np.save(path, values, allow_pickle=False)
    except OSError as error:
        raise StorageError(f"writing '{path}' failed: {error.strerror or error}") from error


def read(folder: Path, name: str, dtype: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """A read-only memory map of `name`.npy; None in `shape` stands for any length.

    Raises IndexDamagedError where the file holds anything else, FileNotFoundError where there is none.
    """
    path = folder / f"{name}.npy"
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, EOFError) as error:
        raise IndexDamagedError(f"'{path}' cannot be read: {error}") from error
    fits = len(shape) == values.ndim and all(
        want in (None, have) for want, have in zip(shape, values.shape, strict=False)
    )
    if not fits or values.dtype != np.dtype(dtype) or not values.flags.c_contiguous:
        wanted = " x ".join("any" if length is None else str(length) for length in shape)
        raise IndexDamagedError(
            f"'{path}' holds {values.dtype} {values.shape}, not {dtype} of {wanted}. Restore the index from a "
            "copy, or index again."
        )
    return np.asarray(values)
