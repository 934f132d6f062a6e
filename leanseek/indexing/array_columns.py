"""Named columns of a segment: a file each, or together in one where they are small.

Each is a file `PREFIX.NAME.npy`. Small ones are together in `PREFIX.arrays`: one passage would need as many files as
millions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from leanseek.errors import IndexDamagedError
from leanseek.indexing.arrays import (
    ArrayAppender,
    damaged,
    open_array,
    read_arrays,
    write_array,
    write_arrays,
)
from leanseek.indexing.varints import unpack

TOGETHER: Final = 1 << 20
"""Bytes of columns that are written as one file."""


def together_path(folder: Path, prefix: str) -> Path:
    """The file of all columns together."""
    return folder / f"{prefix}.arrays"


def column_path(folder: Path, prefix: str, name: str) -> Path:
    """The file of one column."""
    return folder / f"{prefix}.{name}.npy"


class ColumnWriter:
    """Writes columns piece by piece; the files are complete after `finish` and `close`."""

    def __init__(
        self, folder: Path, prefix: str, columns: Mapping[str, type[np.generic]], more_bytes: int = 0
    ) -> None:
        """`more_bytes` is what `finish` will be given at least."""
        self._folder = folder
        self._prefix = prefix
        self._dtypes = columns
        self._files: dict[str, ArrayAppender] = {}
        self._held: dict[str, list[NDArray[Any]]] = {name: [] for name in columns}
        """What is not in the files, which are made when there is too much of it."""
        self._held_bytes = self._more_bytes = more_bytes
        self.written = dict.fromkeys(columns, 0)
        """How many values each column has."""

    def put(self, name: str, values: NDArray[Any]) -> None:
        """Add values to a column."""
        values = np.asarray(values, dtype=self._dtypes[name])
        self.written[name] += len(values)
        self._held_bytes += values.nbytes
        self._held[name].append(values)

    def flush(self) -> None:
        """Write what is held into the columns' own files, where it is too much for one file."""
        if self._held_bytes > TOGETHER:
            self._flush()

    def finish(self, rest: Mapping[str, NDArray[Any]]) -> None:
        """Write what is held, and columns that are given whole."""
        size = self._held_bytes - self._more_bytes + sum(values.nbytes for values in rest.values())
        if not self._files and size <= TOGETHER:
            columns = {
                name: np.concatenate([np.empty(0, self._dtypes[name]), *held])
                for name, held in self._held.items()
            }
            write_arrays(together_path(self._folder, self._prefix), {**columns, **rest})
            return
        self._flush()
        for name, values in rest.items():
            write_array(column_path(self._folder, self._prefix, name), values)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()

    def _flush(self) -> None:
        for name, dtype in self._dtypes.items():
            if name not in self._files:
                self._files[name] = ArrayAppender(column_path(self._folder, self._prefix, name), dtype)
            for values in self._held[name]:
                self._files[name].append(values)
            self._held[name].clear()


class ColumnReader:
    """The columns that a `ColumnWriter` wrote."""

    def __init__(self, folder: Path, prefix: str, of: str) -> None:
        """`of` is what messages call them."""
        self._folder = folder
        self._prefix = prefix
        self._of = of
        together = together_path(folder, prefix)
        self._together = read_arrays(together) if together.is_file() else None

    def has(self, name: str) -> bool:
        """Whether there is such a column."""
        if self._together is None:
            return column_path(self._folder, self._prefix, name).is_file()
        return name in self._together

    def numbers(self, name: str, dtype: type[np.integer[Any]], length: int | None = None) -> NDArray[Any]:
        """A column of numbers that `varints.pack` put into bytes, in memory; raises as `open`."""
        packed = self.open(name, np.uint8)
        with self.checking(name):
            values = unpack(packed)
        fits = length in (None, len(values)) and (not len(values) or values.max() <= np.iinfo(dtype).max)
        self.check(name, bool(fits))
        return values.astype(dtype, copy=False)

    def open(self, name: str, dtype: type[np.generic], length: int | None = None) -> NDArray[Any]:
        """A column, of a length where one is given.

        Raises IndexDamagedError where it is another, FileNotFoundError where it is missing.
        """
        if self._together is None:
            return open_array(column_path(self._folder, self._prefix, name), dtype, (length,))
        found = self._together.get(name)
        if found is None or found.dtype != np.dtype(dtype) or length not in (None, len(found)):
            raise damaged(together_path(self._folder, self._prefix), f"the {name} of the {self._of}")
        return found

    def check(self, name: str, sound: bool) -> None:
        """Raise IndexDamagedError where a column does not fit the others."""
        if not sound:
            raise self.damage(name, "does not fit the other files of its segment")

    @contextmanager
    def checking(self, name: str) -> Iterator[None]:
        """Make a ValueError about what a column has an IndexDamagedError."""
        try:
            yield
        except ValueError as error:
            raise self.damage(name, f"is damaged: {error}") from error

    def damage(self, name: str, what: str) -> IndexDamagedError:
        """The error about a column."""
        return IndexDamagedError(
            f"{column_path(self._folder, self._prefix, name)} {what}. "
            "Restore the index from a copy, or index again; 'leanseek verify' lists all that is damaged."
        )


def ascends(offsets: NDArray[np.int64]) -> bool:
    """Whether offsets begin at 0 and never go down."""
    return len(offsets) > 0 and offsets[0] == 0 and not np.any(offsets[1:] < offsets[:-1])
