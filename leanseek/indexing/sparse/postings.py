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

They are the columns `sparse.NAME` (`leanseek.indexing.array_columns`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from leanseek.indexing.array_columns import ColumnReader, ColumnWriter, ascends
from leanseek.types import BoolArray, Int64Array

WINDOW_BITS = 16
WINDOW = 1 << WINDOW_BITS
LARGE = 255
PREFIX = "sparse"

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


class PostingsWriter:
    """Writes a segment's postings term by term; the files are complete after `finish`.

    `lengths` (n,) int32 are the passages' lengths by ordinal. A context manager, which closes the files.
    """

    def __init__(self, folder: Path, lengths: NDArray[np.int32]) -> None:
        self._lengths = lengths
        self._columns = ColumnWriter(folder, PREFIX, _COLUMNS, lengths.nbytes)
        self._terms = 0

    def __enter__(self) -> PostingsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._columns.close()

    def append(self, keys: Int64Array, frequencies: NDArray[np.int32], terms: int) -> None:
        """Add the postings of the next `terms` terms.

        `keys` (p,) ascending: term << 32 | ordinal, terms numbered from 0 within this call and each present;
        `frequencies` (p,) from 1.
        """
        first = self._columns.written["places"]
        ordinals = keys & 0xFFFFFFFF
        large = np.flatnonzero(frequencies >= LARGE)
        bytes_ = np.minimum(frequencies, LARGE).astype(np.uint8)
        starts = put_runs(self._columns, keys, terms)
        if len(starts):
            self._columns.put("run_frequency", np.maximum.reduceat(bytes_, starts))
            self._columns.put("run_length", np.minimum.reduceat(self._lengths[ordinals], starts))
        self._columns.put("frequencies", bytes_)
        self._columns.put("large_at", large + first)
        self._columns.put("large", frequencies[large])
        self._terms += terms
        self._columns.flush()

    def finish(self, vocabulary: Sequence[bytes]) -> None:
        """Write the rest: the terms (UTF-8, ascending, one for each given to `append`) and the lengths."""
        if len(vocabulary) != self._terms:
            raise ValueError(f"{len(vocabulary)} terms are named, {self._terms} were written")
        end_runs(self._columns)
        ends = np.zeros(len(vocabulary) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, vocabulary), np.int64, len(vocabulary)), out=ends[1:])
        self._columns.finish(
            {
                "terms": np.frombuffer(b"".join(vocabulary), np.uint8),
                "term_ends": ends,
                "lengths": np.asarray(self._lengths, np.int32),
            }
        )


def put_runs(columns: ColumnWriter, keys: Int64Array, terms: int) -> Int64Array:
    """Add the columns of runs, and the places, of the next `terms` terms; returns where the runs (r,) begin in `keys`
    (p,), see `PostingsWriter.append`."""
    term_and_window = keys >> WINDOW_BITS
    starts = np.flatnonzero(np.diff(term_and_window, prepend=-1))
    run_terms = keys[starts] >> 32
    columns.put("term_runs", columns.written["run_windows"] + np.searchsorted(run_terms, np.arange(terms)))
    columns.put("run_windows", term_and_window[starts] & 0xFFFF)
    columns.put("run_starts", starts + columns.written["places"])
    columns.put("places", keys & (WINDOW - 1))
    return starts


def end_runs(columns: ColumnWriter) -> None:
    """Add where the last term's runs and the last run's postings end."""
    columns.put("term_runs", np.array([columns.written["run_windows"]], np.int64))
    columns.put("run_starts", np.array([columns.written["places"]], np.int64))


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
        self._columns = ColumnReader(folder, PREFIX, "postings")
        self.lengths = self._columns.open("lengths", np.int32)
        self.term_ends = self._columns.open("term_ends", np.int64)
        self._columns.check("term_ends", ascends(self.term_ends))
        terms = len(self.term_ends) - 1
        self.terms = self._columns.open("terms", np.uint8, int(self.term_ends[-1]))
        self.term_runs = self._columns.open("term_runs", np.int64, terms + 1)
        self._columns.check("term_runs", ascends(self.term_runs))
        runs = int(self.term_runs[-1])
        self.run_windows = self._columns.open("run_windows", np.uint16, runs)
        self.run_starts = self._columns.open("run_starts", np.int64, runs + 1)
        self._columns.check("run_starts", ascends(self.run_starts))
        postings = int(self.run_starts[-1])
        self.run_frequency = self._columns.open("run_frequency", np.uint8, runs)
        self.run_length = self._columns.open("run_length", np.int32, runs)
        self.places = self._columns.open("places", np.uint16, postings)
        self.frequencies = self._columns.open("frequencies", np.uint8, postings)
        self.large = self._columns.open("large", np.int32)
        self.large_at = self._columns.open("large_at", np.int64, len(self.large))
        inside = len(self.large_at) == 0 or int(self.large_at[-1]) < postings
        self._columns.check("large_at", inside and bool(np.all(self.large_at[1:] > self.large_at[:-1])))
        windows = -(-len(self.lengths) // WINDOW)
        self._columns.check("run_windows", runs == 0 or int(self.run_windows.max()) < windows)
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
            raise self._columns.damage("places", "names passages beyond the last")
        frequencies = self.frequencies[begin:stop].astype(np.int32)
        if len(self.large):
            low, high = np.searchsorted(self.large_at, (begin, stop))
            frequencies[self.large_at[low:high] - begin] = self.large[low:high]
        return Postings(ordinals, frequencies)
