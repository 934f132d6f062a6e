"""The second level: the vectors in full, which decide."""

from __future__ import annotations

from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from leanseek.errors import UsageError
from leanseek.indexing.arrays import ArrayAppender, open_array, write_array
from leanseek.indexing.quantisation import quantise
from leanseek.indexing.settings import Precision
from leanseek.indexing.vectors import VectorSource, blocks
from leanseek.types import Float32Array, Int64Array

_FILES: Final = ("rows", "lows", "steps")


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
    def encode(cls, vectors: VectorSource, precision: Precision, *, portable: bool = False) -> Rows:
        """Store vectors (n, D) at that precision. Raises UsageError for elements that it cannot hold."""
        parts = [np.empty(shape, dtype) for shape, dtype in _layout(precision, vectors.shape).values()]
        for rows, block in blocks(vectors):
            for part, stored in zip(parts, _stored(block, precision), strict=True):
                part[rows] = stored
        return cls(*parts, portable=portable)

    @classmethod
    def encode_into(
        cls, folder: Path, vectors: VectorSource, precision: Precision, *, portable: bool = False
    ) -> Rows:
        """`encode` and `save` block by block: what returns is what `open` gives, and little was held meanwhile."""
        with ExitStack() as opened:
            files = [
                opened.enter_context(ArrayAppender(folder / f"{name}.npy", dtype, shape[1:]))
                for name, (shape, dtype) in _layout(precision, vectors.shape).items()
            ]
            for _, block in blocks(vectors):
                for file, stored in zip(files, _stored(block, precision), strict=True):
                    file.append(stored)
        return cls.open(folder, precision, (len(vectors), vectors.shape[1]), portable=portable)

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
        parts = (self.data, self._lows, self._steps)
        for name, part in zip(_FILES, parts, strict=True):
            if part is not None:
                write_array(folder / f"{name}.npy", part)

    @classmethod
    def open(
        cls, folder: Path, precision: Precision, shape: tuple[int, int], *, portable: bool = False
    ) -> Rows:
        """The rows that `save` wrote, memory-mapped. Raises IndexDamagedError where they cannot be read."""
        parts = [
            open_array(folder / f"{name}.npy", dtype, wanted)
            for name, (wanted, dtype) in _layout(precision, shape).items()
        ]
        return cls(*parts, portable=portable)


def _layout(precision: Precision, shape: tuple[int, ...]) -> dict[str, tuple[tuple[int, ...], str]]:
    """The shape and dtype of each array, by the name of its file."""
    if precision != "sq8":
        return {_FILES[0]: (shape, precision)}
    return dict(zip(_FILES, [(shape, "uint8"), (shape[:1], "float32"), (shape[:1], "float32")], strict=True))


def _stored(block: NDArray[Any], precision: Precision) -> tuple[NDArray[Any], ...]:
    """A block (c, D) of vectors as those arrays hold it."""
    if precision == "sq8":
        return quantise(block, 8)
    # Beyond float16's range an element becomes infinite; unit vectors are far from it.
    kept = np.asarray(block, dtype=precision)
    if not np.isfinite(kept).all():
        raise UsageError(
            "some elements exceed float16's range (65,504); normalise the vectors, or use float32 or sq8"
        )
    return (kept,)
