"""NumPy files that can be written piece by piece and opened as memory maps."""

from __future__ import annotations

import math
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from leanseek.errors import IndexDamagedError

_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = 128


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
        if self._file.closed:
            return
        text = repr({"descr": self._dtype.str, "fortran_order": False, "shape": (self._count,)}).encode()
        room = _HEADER - len(_MAGIC) - 2
        self._file.seek(0)
        self._file.write(_MAGIC + room.to_bytes(2, "little") + text.ljust(room - 1) + b"\n")
        self._file.close()

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
    """A read-only memory map of a one-dimensional .npy file.

    Raises IndexDamagedError where the file is cut short, or of another dtype or length; a missing one is the
    FileNotFoundError that it is, for the caller may be late for a segment that was merged away.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                raise ValueError(f"header version {version}")
            shape, _, found = np.lib.format.read_array_header_1_0(file)
            start = file.tell()
        if size != start + math.prod(shape) * found.itemsize:
            raise ValueError("the file's size does not match its header")
        # An empty file cannot be mapped.
        array: NDArray[Any] = np.load(path, allow_pickle=False, mmap_mode="r" if math.prod(shape) else None)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, EOFError) as error:
        raise IndexDamagedError(f"{path}: {error}. Run 'leanseek verify' on the index.") from error
    if array.ndim != 1 or array.dtype != np.dtype(dtype) or (length is not None and len(array) != length):
        wanted = f"{np.dtype(dtype).name} ({'n' if length is None else length},)"
        raise IndexDamagedError(
            f"{path} holds {array.dtype.name} {array.shape} where {wanted} belongs. "
            "Run 'leanseek verify' on the index."
        )
    return np.asarray(array)
