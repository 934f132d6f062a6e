"""The second level: the vectors in full, which decide."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leanseek.errors import UsageError
from leanseek.indexing.arrays import open_array, write_array
from leanseek.indexing.quantisation import quantise
from leanseek.indexing.settings import Precision
from leanseek.types import Float32Array, Int64Array


def native() -> Any | None:
    """The compiled kernels, or None where they were not built."""
    try:
        return import_module("leanseek._scan")
    except ImportError:
        return None


class Rows:
    """Vectors (n, D) as float32, float16, or bytes between each vector's own least and largest element.

    The bytes are those of `quantise`: x[i] = low + step * code[i].
    """

    def __init__(
        self,
        data: NDArray[Any],
        lows: Float32Array | None = None,
        steps: Float32Array | None = None,
        *,
        portable: bool = False,
    ) -> None:
        """Take (n, D) rows as stored; `lows` and `steps` (n,) belong to bytes. `portable` uses NumPy alone."""
        self.data = data
        self._lows, self._steps = lows, steps
        kernels = None if portable else native()
        self.native = None if kernels is None else kernels.Rows(*data.shape, data, lows, steps)

    @classmethod
    def encode(cls, vectors: Float32Array, precision: Precision, *, portable: bool = False) -> Rows:
        """Store vectors (n, D) at that precision. Raises UsageError for elements that it cannot hold."""
        if precision != "sq8":
            # Beyond float16's range an element becomes infinite; unit vectors are far from it.
            kept = np.array(vectors, dtype=precision, order="C")
            if not np.isfinite(kept).all():
                raise UsageError(
                    "some elements exceed float16's range (65,504); normalise the vectors, or use float32 or sq8"
                )
            return cls(kept, portable=portable)
        return cls(*quantise(vectors, 8), portable=portable)

    @property
    def size(self) -> int:
        """n, the number of vectors."""
        return int(self.data.shape[0])

    @property
    def dimensions(self) -> int:
        """D, the length of a vector."""
        return int(self.data.shape[1])

    @property
    def scales(self) -> tuple[Float32Array, Float32Array] | None:
        """Each vector's least element and step (n,), where elements are bytes."""
        return None if self._lows is None or self._steps is None else (self._lows, self._steps)

    @property
    def precision(self) -> Precision:
        """How an element is stored."""
        names: dict[int, Precision] = {4: "float32", 2: "float16", 1: "sq8"}
        return names[self.data.dtype.itemsize]

    @property
    def bytes(self) -> int:
        """The size of all rows."""
        return sum(part.nbytes for part in (self.data, self._lows, self._steps) if part is not None)

    def score(self, query: Float32Array, ordinals: Int64Array) -> Float32Array:
        """(c,) inner products of a query (D,) with the stored vectors (c,), each independent of the others."""
        query = np.ascontiguousarray(query, dtype=np.float32)
        ordinals = np.ascontiguousarray(ordinals, dtype=np.int64)
        kernels = native()
        if self.native is not None and kernels is not None:
            scores: Float32Array = kernels.score(self.native, query, ordinals)
            return scores
        products: Float32Array = np.einsum("cd,d->c", self.data[ordinals].astype(np.float32), query)
        if self._lows is None or self._steps is None:
            return products
        total = np.float32(query.sum())
        decoded: Float32Array = self._lows[ordinals] * total + self._steps[ordinals] * products
        return decoded

    def vectors(self, ordinals: Int64Array) -> Float32Array:
        """(c, D) float32, the vectors as stored, a copy."""
        values = self.data[ordinals].astype(np.float32)
        if self._lows is None or self._steps is None:
            return values
        decoded: Float32Array = self._lows[ordinals, None] + self._steps[ordinals, None] * values
        return decoded

    def save(self, folder: Path) -> None:
        """Write the rows into an existing folder."""
        write_array(folder / "rows.npy", self.data)
        if self._lows is not None and self._steps is not None:
            write_array(folder / "lows.npy", self._lows)
            write_array(folder / "steps.npy", self._steps)

    @classmethod
    def open(
        cls, folder: Path, precision: Precision, shape: tuple[int, int], *, portable: bool = False
    ) -> Rows:
        """The rows that `save` wrote, memory-mapped. Raises IndexDamagedError where they cannot be read."""
        if precision != "sq8":
            return cls(open_array(folder / "rows.npy", precision, shape), portable=portable)
        scale = [open_array(folder / f"{name}.npy", "float32", shape[:1]) for name in ("lows", "steps")]
        return cls(open_array(folder / "rows.npy", "uint8", shape), *scale, portable=portable)
