"""NumPy files that can be written piece by piece and opened as memory maps."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from leanseek.errors import IndexDamagedError, StorageError

_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = 128


def _header(dtype: np.dtype[Any], count: int) -> bytes:
    """The first bytes of a .npy file (format version 1.0), always as many."""
    text = repr({"descr": dtype.str, "fortran_order": False, "shape": (count,)}).encode()
    room = _HEADER - len(_MAGIC) - 2
    return _MAGIC + room.to_bytes(2, "little") + text.ljust(room - 1) + b"\n"


class ArrayAppender:
    """Writes a one-dimensional .npy file whose length is known only at the end.

    The file is complete when the appender is closed.
    """

    def __init__(self, path: Path, dtype: type[np.generic]) -> None:
        self._file: BinaryIO = path.open("wb")
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._count = 0
        self._file.write(bytes(_HEADER))

    def __len__(self) -> int:
        return self._count

    def append(self, values: NDArray[Any]) -> None:
        """Add values (n,), converted to the file's dtype."""
        self._file.write(np.ascontiguousarray(values, dtype=self._dtype).data)
        self._count += len(values)

    def close(self) -> None:
        """Write the header and close the file."""
        if not self._file.closed:
            with self._file:
                self._file.seek(0)
                self._file.write(_header(self._dtype, self._count))

    def __enter__(self) -> ArrayAppender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_array(path: Path, values: NDArray[Any], dtype: type[np.generic]) -> None:
    """Write values (n,) as a .npy file of that dtype."""
    with ArrayAppender(path, dtype) as appender:
        appender.append(values)


def open_array(path: Path, dtype: type[np.generic], length: int | None = None) -> NDArray[Any]:
    """A read-only memory map of a file that `ArrayAppender` wrote.

    Raises IndexDamagedError where the file is cut short, or of another dtype or length; a missing one is the
    FileNotFoundError that it is, for the caller may be late for a segment that was merged away.
    """
    little = np.dtype(dtype).newbyteorder("<")
    with path.open("rb") as file:
        found = file.read(_HEADER)
        count, rest = divmod(file.seek(0, 2) - _HEADER, little.itemsize)
    if rest or count < 0 or found != _header(little, count) or length not in (None, count):
        wanted = f"{'' if length is None else f'{length} '}{little.name} values"
        raise IndexDamagedError(
            f"'{path}' does not hold the {wanted} that belong there. Restore the index from a copy, or index "
            "again; 'leanseek verify' lists all that is damaged."
        )
    if count == 0:
        # An empty file cannot be mapped.
        return np.empty(0, little)
    return np.asarray(np.memmap(path, little, "r", _HEADER, (count,)))


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
