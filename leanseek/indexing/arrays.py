"""NumPy files that can be written piece by piece and opened as memory maps; and small arrays in one file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from leanseek.errors import IndexDamagedError
from leanseek.types import Int64Array

_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = 128
_MOST_HEADER = 256
"""More than NumPy takes for an array of a few dimensions."""
_ALIGNED = 64
_DTYPE = re.compile("[<|][iuf][1248]")
_DESCRIPTION = re.compile(
    rb"\{'descr': '([<|]\w+)', 'fortran_order': False, 'shape': \(([0-9, ]*)\),? ?\} *\n", re.ASCII
)


def offsets_of(sizes: Int64Array) -> Int64Array:
    """(n + 1,) where each of n things with these sizes (n,) begins, and where the last one ends."""
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


class ArrayAppender:
    """Writes a .npy file whose length is known only at the end; `row` is the shape of what is counted.

    The file is complete when the appender is closed.
    """

    def __init__(self, path: Path, dtype: DTypeLike, row: tuple[int, ...] = ()) -> None:
        self._file: BinaryIO = path.open("wb")
        self._row = row
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._count = 0
        self._file.write(bytes(_HEADER))

    def __len__(self) -> int:
        return self._count

    def append(self, values: NDArray[Any]) -> None:
        """Add values (n, ...), converted to the file's dtype."""
        self._file.write(np.ascontiguousarray(values, dtype=self._dtype).data)
        self._count += len(values)

    def close(self) -> None:
        """Write the header (format version 1.0) and close the file."""
        if self._file.closed:
            return
        text = repr(
            {"descr": self._dtype.str, "fortran_order": False, "shape": (self._count, *self._row)}
        ).encode()
        room = _HEADER - len(_MAGIC) - 2
        with self._file:
            self._file.seek(0)
            self._file.write(_MAGIC + room.to_bytes(2, "little") + text.ljust(room - 1) + b"\n")

    def __enter__(self) -> ArrayAppender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_array(path: Path, values: NDArray[Any], dtype: DTypeLike | None = None) -> None:
    """Write values of any shape as a .npy file, converted to `dtype`. Raises OSError where the disk refuses."""
    little = np.dtype(values.dtype if dtype is None else dtype).newbyteorder("<")
    np.save(path, np.ascontiguousarray(values, dtype=little), allow_pickle=False)


def open_array(path: Path, dtype: DTypeLike, shape: tuple[int | None, ...] = (None,)) -> NDArray[Any]:
    """A read-only memory map of a file that `write_array` or `ArrayAppender` wrote; None is any length.

    Raises IndexDamagedError where the file is cut short, or of another dtype or shape; a missing one is the
    FileNotFoundError that it is, for the caller may be late for a segment that was merged away.
    """
    little = np.dtype(dtype).newbyteorder("<")
    with path.open("rb") as file:
        head = file.read(_MOST_HEADER)
        size = file.seek(0, 2)
    start = len(_MAGIC) + 2 + int.from_bytes(head[len(_MAGIC) : len(_MAGIC) + 2], "little")
    described = _DESCRIPTION.fullmatch(head[len(_MAGIC) + 2 : start])
    found = tuple(map(int, re.findall(rb"\d+", described[2]))) if described is not None else ()
    if (
        not head.startswith(_MAGIC)
        or described is None
        or described[1] != little.str.encode()
        or size != start + math.prod(found) * little.itemsize
        or len(found) != len(shape)
        or any(want not in (None, have) for want, have in zip(shape, found, strict=False))
    ):
        wanted = " x ".join("any number of" if length is None else str(length) for length in shape)
        raise damaged(path, f"the {wanted} {little.name} values that belong there")
    if not math.prod(found):
        # An empty file cannot be mapped.
        return np.empty(found, little)
    return np.asarray(np.memmap(path, little, "r", start, found))


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write one-dimensional arrays into one file: a line of JSON with their dtypes and lengths, then their values."""
    little = {
        name: values.astype(values.dtype.newbyteorder("<"), copy=False) for name, values in arrays.items()
    }
    described = {name: (values.dtype.str, len(values)) for name, values in little.items()}
    with path.open("wb") as file:
        file.write(json.dumps(described).encode() + b"\n")
        for values in little.values():
            file.write(bytes(-file.tell() % _ALIGNED))
            file.write(np.ascontiguousarray(values).data)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays that `write_arrays` wrote, in memory and read-only.

    Raises IndexDamagedError where the file is cut short or not such a one, FileNotFoundError where there is none.
    """
    content = path.read_bytes()
    head, end, _ = content.partition(b"\n")
    arrays: dict[str, NDArray[Any]] = {}
    at = len(head) + len(end)
    try:
        for name, (dtype, length) in json.loads(head).items():
            if not _DTYPE.fullmatch(dtype):
                raise ValueError(dtype)
            at += -at % _ALIGNED
            arrays[name] = np.frombuffer(content, dtype, length, at)
            at += arrays[name].nbytes
    except (ValueError, TypeError, AttributeError) as error:
        raise damaged(path, "the arrays that belong there") from error
    if at != len(content):
        raise damaged(path, "the arrays that belong there")
    return arrays


def damaged(path: Path, wanted: str) -> IndexDamagedError:
    """The error for a file that does not hold what it should."""
    return IndexDamagedError(
        f"'{path}' does not hold {wanted}. Restore the index from a copy, or index again; 'leanseek verify' lists all "
        "that is damaged."
    )
