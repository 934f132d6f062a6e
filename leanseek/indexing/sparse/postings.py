"""The files of one segment's postings.

Terms are in ascending order of their UTF-8 bytes, and the postings of each in ascending order of ordinals.
Ordinals are cut into windows of 2**16, so that a posting is a uint16 (place in its window) and a uint8 (term
frequency; 255 and more are in a list of their own). The postings of one term in one window are a run, and with
each run goes what bounds its scores, whatever the average length becomes: its largest frequency and the shortest
passage in it.

| file | dtype | length | holds |
|---|---|---|---|
| terms | uint8 | bytes | the terms' UTF-8, one after another |
| term_ends | int64 | terms + 1 | where each begins in `terms` |
| term_runs | int64 | terms + 1 | where each term's runs begin |
| run_windows | uint16 | runs | a run's window |
| run_starts | int64 | runs + 1 | where each run's postings begin |
| run_frequency | uint8 | runs | largest frequency, 255 for that and more |
| run_length | int32 | runs | smallest passage length |
| places | uint16 | postings | ordinal minus 2**16 times the window |
| frequencies | uint8 | postings | term frequency, 255 for that and more |
| large_at, large | int64, int32 | few | the postings of frequency 255 and more, and those frequencies |
| lengths | int32 | passages | number of terms of each passage |

Each is a file `sparse.NAME.npy`. Few postings have all of them in one file, `sparse.arrays`: one passage would need
as many files as millions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

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
from leanseek.types import BoolArray, Int64Array

WINDOW_BITS = 16
WINDOW = 1 << WINDOW_BITS
LARGE = 255
TOGETHER = 1 << 20
"""Bytes of postings that are written as one file."""

_COLUMNS: dict[str, type[np.generic]] = {
    "term_runs": np.int64,
    "run_windows": np.uint16,
    "run_starts": np.int64,
    "run_frequency": np.uint8,
    "run_length": np.int32,
    "places": np.uint16,
    "frequencies": np.uint8,
    "large_at": np.int64,
    "large": np.int32,
}


def together_path(folder: Path) -> Path:
    """The file of all arrays together in the folder of a segment with few postings."""
    return folder / "sparse.arrays"


def array_path(folder: Path, name: str) -> Path:
    """The file of the array of that name in a segment's folder."""
    return folder / f"sparse.{name}.npy"


class PostingsWriter:
    """Writes a segment's postings term by term; the files are complete after `finish`.

    `lengths` (n,) int32 are the passages' lengths by ordinal. A context manager, which closes the files.
    """

    def __init__(self, folder: Path, lengths: NDArray[np.int32]) -> None:
        self._folder = folder
        self._lengths = lengths
        self._files: dict[str, ArrayAppender] = {}
        self._held: dict[str, list[NDArray[Any]]] = {name: [] for name in _COLUMNS}
        """What is not in the files, which are made when there is too much of it."""
        self._held_bytes = lengths.nbytes
        self._written = dict.fromkeys(_COLUMNS, 0)
        self._terms = 0

    def __enter__(self) -> PostingsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()

    def append(self, keys: Int64Array, frequencies: NDArray[np.int32], terms: int) -> None:
        """Add the postings of the next `terms` terms.

        `keys` (p,) ascending: term << 32 | ordinal, terms numbered from 0 within this call and each present;
        `frequencies` (p,) from 1.
        """
        first = self._written["places"]
        ordinals = keys & 0xFFFFFFFF
        term_and_window = keys >> WINDOW_BITS
        starts = np.flatnonzero(np.diff(term_and_window, prepend=-1))
        run_terms = keys[starts] >> 32
        large = np.flatnonzero(frequencies >= LARGE)
        bytes_ = np.minimum(frequencies, LARGE).astype(np.uint8)

        self._put("term_runs", self._written["run_windows"] + np.searchsorted(run_terms, np.arange(terms)))
        self._put("run_windows", term_and_window[starts] & 0xFFFF)
        self._put("run_starts", starts + first)
        if len(starts):
            self._put("run_frequency", np.maximum.reduceat(bytes_, starts))
            self._put("run_length", np.minimum.reduceat(self._lengths[ordinals], starts))
        self._put("places", ordinals & (WINDOW - 1))
        self._put("frequencies", bytes_)
        self._put("large_at", large + first)
        self._put("large", frequencies[large])
        self._terms += terms
        if self._held_bytes > TOGETHER:
            self._flush()

    def finish(self, vocabulary: Sequence[bytes]) -> None:
        """Write the rest: the terms (UTF-8, ascending, one for each given to `append`) and the lengths."""
        if len(vocabulary) != self._terms:
            raise ValueError(f"{len(vocabulary)} terms are named, {self._terms} were written")
        self._put("term_runs", _one(self._written["run_windows"]))
        self._put("run_starts", _one(self._written["places"]))
        ends = np.zeros(len(vocabulary) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, vocabulary), np.int64, len(vocabulary)), out=ends[1:])
        rest: dict[str, NDArray[Any]] = {
            "terms": np.frombuffer(b"".join(vocabulary), np.uint8),
            "term_ends": ends,
            "lengths": np.asarray(self._lengths, np.int32),
        }
        if not self._files and self._held_bytes + ends.nbytes + len(rest["terms"]) <= TOGETHER:
            columns = {
                name: np.concatenate([np.empty(0, _COLUMNS[name]), *held])
                for name, held in self._held.items()
            }
            write_arrays(together_path(self._folder), {**columns, **rest})
            return
        self._flush()
        for name, values in rest.items():
            write_array(array_path(self._folder, name), values)

    def _put(self, name: str, values: NDArray[Any]) -> None:
        """Add values to a column."""
        values = np.asarray(values, dtype=_COLUMNS[name])
        self._written[name] += len(values)
        self._held_bytes += values.nbytes
        self._held[name].append(values)

    def _flush(self) -> None:
        """Write what is held into the columns' own files."""
        for name, dtype in _COLUMNS.items():
            if name not in self._files:
                self._files[name] = ArrayAppender(array_path(self._folder, name), dtype)
            for values in self._held[name]:
                self._files[name].append(values)
            self._held[name].clear()


def _one(value: int) -> NDArray[Any]:
    return np.array([value], np.int64)


class Postings(NamedTuple):
    """`ordinals` (p,) int64 ascending and `frequencies` (p,) int32 of a range of terms, one after another."""

    ordinals: Int64Array
    frequencies: NDArray[np.int32]


class PostingsReader:
    """The postings of one segment; `leanseek.indexing.sparse.postings` describes the arrays.

    Opening reads the offsets and nothing else. Immutable, so safe to share between threads.
    Raises IndexDamagedError where a file is cut short or the files do not fit together, FileNotFoundError where
    one is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        together = together_path(folder)
        self._together = read_arrays(together) if together.is_file() else None
        self.lengths = self._open("lengths", np.int32)
        self.term_ends = self._open("term_ends", np.int64)
        self._check("term_ends", len(self.term_ends) > 0 and _ascends(self.term_ends))
        terms = len(self.term_ends) - 1
        self.terms = self._open("terms", np.uint8, int(self.term_ends[-1]))
        self.term_runs = self._open("term_runs", np.int64, terms + 1)
        self._check("term_runs", _ascends(self.term_runs))
        runs = int(self.term_runs[-1])
        self.run_windows = self._open("run_windows", np.uint16, runs)
        self.run_starts = self._open("run_starts", np.int64, runs + 1)
        self._check("run_starts", _ascends(self.run_starts))
        postings = int(self.run_starts[-1])
        self.run_frequency = self._open("run_frequency", np.uint8, runs)
        self.run_length = self._open("run_length", np.int32, runs)
        self.places = self._open("places", np.uint16, postings)
        self.frequencies = self._open("frequencies", np.uint8, postings)
        self.large = self._open("large", np.int32)
        self.large_at = self._open("large_at", np.int64, len(self.large))
        inside = len(self.large_at) == 0 or int(self.large_at[-1]) < postings
        self._check("large_at", inside and bool(np.all(self.large_at[1:] > self.large_at[:-1])))
        windows = -(-len(self.lengths) // WINDOW)
        self._check("run_windows", runs == 0 or int(self.run_windows.max()) < windows)
        self._blob = self.terms.data

    def __len__(self) -> int:
        """n, the number of passages."""
        return len(self.lengths)

    @property
    def vocabulary_size(self) -> int:
        """Number of distinct terms."""
        return len(self.term_runs) - 1

    def term(self, number: int) -> bytes:
        """The UTF-8 of a term."""
        return bytes(self._blob[self.term_ends[number] : self.term_ends[number + 1]])

    def find(self, term: bytes) -> int:
        """The number of a term given in UTF-8, or -1."""
        low, high = 0, self.vocabulary_size
        while low < high:
            middle = (low + high) // 2
            if self.term(middle) < term:
                low = middle + 1
            else:
                high = middle
        return low if low < self.vocabulary_size and self.term(low) == term else -1

    def frequency(self, number: int) -> int:
        """How many passages contain a term, deleted ones included."""
        first, last = self.term_runs[number], self.term_runs[number + 1]
        return int(self.run_starts[last] - self.run_starts[first])

    def frequency_in(self, number: int, passages: BoolArray) -> int:
        """How many of the passages that are True in `passages` (n,) contain a term."""
        return int(np.count_nonzero(passages[self.postings(number, number + 1).ordinals]))

    def postings(self, first: int, last: int) -> Postings:
        """The postings of the terms first, ..., last - 1."""
        run, end = int(self.term_runs[first]), int(self.term_runs[last])
        starts = self.run_starts[run : end + 1]
        begin, stop = int(starts[0]), int(starts[-1])
        windows = np.repeat(self.run_windows[run:end].astype(np.int64) << WINDOW_BITS, np.diff(starts))
        ordinals = windows + self.places[begin:stop]
        if len(ordinals) and int(ordinals.max()) >= len(self):
            raise IndexDamagedError(
                f"{array_path(self.folder, 'places')} names passages beyond the last. "
                "Restore the index from a copy, or index again; 'leanseek verify' lists all that is damaged."
            )
        frequencies = self.frequencies[begin:stop].astype(np.int32)
        if len(self.large):
            low, high = np.searchsorted(self.large_at, (begin, stop))
            frequencies[self.large_at[low:high] - begin] = self.large[low:high]
        return Postings(ordinals, frequencies)

    def _open(self, name: str, dtype: type[np.generic], length: int | None = None) -> NDArray[Any]:
        if self._together is None:
            return open_array(array_path(self.folder, name), dtype, (length,))
        found = self._together.get(name)
        if found is None or found.dtype != np.dtype(dtype) or length not in (None, len(found)):
            raise damaged(together_path(self.folder), f"the {name} of the postings")
        return found

    def _check(self, name: str, sound: bool) -> None:
        if not sound:
            raise IndexDamagedError(
                f"{array_path(self.folder, name)} does not fit the other files of its segment. "
                "Restore the index from a copy, or index again; 'leanseek verify' lists all that is damaged."
            )


def _ascends(offsets: Int64Array) -> bool:
    """Whether offsets begin at 0 and never go down."""
    return offsets[0] == 0 and not np.any(offsets[1:] < offsets[:-1])
