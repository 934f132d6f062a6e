"""The files of one segment's postings.

Terms are in ascending order of their UTF-8 bytes, and the postings of each in ascending order of ordinals.
Ordinals are cut into windows of 2**16, so that a posting is a uint16 (place in its window) and a uint8 (term
frequency; 255 and more are in a list of their own). The postings of one term in one window are a run, and with
each run goes what bounds its scores, whatever the average length becomes: its largest frequency and the shortest
passage in it.

| file | dtype | length | holds |
|---|---|---|---|
| terms | uint8 | bytes | the terms' UTF-8, one after another |
| term_lengths | packed | terms | bytes of each in `terms` |
| run_counts | packed | terms | runs of each |
| windows | packed | runs | a run's window |
| run_sizes | packed | runs | a run's postings |
| run_frequency | uint8 | runs | largest frequency, 255 for that and more |
| shortest | packed | runs | smallest passage length |
| places | uint16 | postings | ordinal minus 2**16 times the window |
| frequencies | uint8 | postings | term frequency, 255 for that and more |
| large_at, large | int64, int32 | few | the postings of frequency 255 and more, and those frequencies |
| passage_lengths | packed | passages | number of terms of each passage |

They are the columns `sparse.NAME` (`leanseek.indexing.array_columns`); packed ones have mostly a byte for each number
(`leanseek.indexing.varints`). Up to index format 3 some were wider: `term_ends`, `term_runs` and `run_starts` (int64),
where terms, runs and postings begin, `run_windows` (uint16), `run_length` and `lengths` (int32).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from leanseek.indexing.array_columns import ColumnReader, ColumnWriter, ascends, offsets_of
from leanseek.indexing.varints import pack
from leanseek.types import BoolArray, Int64Array

WINDOW_BITS = 16
WINDOW = 1 << WINDOW_BITS
LARGE = 255
PREFIX = "sparse"

_COLUMNS: dict[str, type[np.generic]] = {
    "run_counts": np.uint8,
    "windows": np.uint8,
    "run_sizes": np.uint8,
    "run_frequency": np.uint8,
    "shortest": np.uint8,
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
        self._packed_lengths = pack(lengths)
        self._columns = ColumnWriter(folder, PREFIX, _COLUMNS, self._packed_lengths.nbytes)
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
        runs = runs_of(keys)
        if len(runs.starts):
            self._columns.put("run_frequency", np.maximum.reduceat(bytes_, runs.starts))
            self._columns.put("shortest", pack(np.minimum.reduceat(self._lengths[ordinals], runs.starts)))
        self._columns.put("run_counts", pack(np.bincount(runs.terms, minlength=terms)))
        self._columns.put("windows", pack(runs.windows))
        self._columns.put("run_sizes", pack(np.diff(runs.starts, append=len(keys))))
        self._columns.put("places", keys & (WINDOW - 1))
        self._columns.put("frequencies", bytes_)
        self._columns.put("large_at", large + first)
        self._columns.put("large", frequencies[large])
        self._terms += terms
        self._columns.flush()

    def finish(self, vocabulary: Sequence[bytes]) -> None:
        """Write the rest: the terms (UTF-8, ascending, one for each given to `append`) and the lengths."""
        if len(vocabulary) != self._terms:
            raise ValueError(f"{len(vocabulary)} terms are named, {self._terms} were written")
        self._columns.finish(
            {
                "terms": np.frombuffer(b"".join(vocabulary), np.uint8),
                "term_lengths": pack(np.fromiter(map(len, vocabulary), np.int64, len(vocabulary))),
                "passage_lengths": self._packed_lengths,
            }
        )


class Runs(NamedTuple):
    """Runs (r,) in postings: where each begins, its term, and its window."""

    starts: Int64Array
    terms: Int64Array
    windows: Int64Array


def runs_of(keys: Int64Array) -> Runs:
    """The runs of postings with these keys (p,), see `PostingsWriter.append`."""
    term_and_window = keys >> WINDOW_BITS
    starts = np.flatnonzero(np.diff(term_and_window, prepend=-1))
    return Runs(starts, keys[starts] >> 32, term_and_window[starts] & 0xFFFF)


class Postings(NamedTuple):
    """`ordinals` (p,) int64 ascending and `frequencies` (p,) int32 of a range of terms, one after another."""

    ordinals: Int64Array
    frequencies: NDArray[np.int32]


class PostingsReader:
    """The postings of one segment; `leanseek.indexing.sparse.postings` describes the arrays.

    Opening reads the sizes of passages, terms and runs and nothing else. Immutable, so safe to share between threads.
    Raises IndexDamagedError where a file is cut short or the files do not fit together, FileNotFoundError where
    one is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._columns = columns = ColumnReader(folder, PREFIX, "postings")
        if columns.has("run_sizes"):
            self._open_packed(columns)
        else:
            self._open_former(columns)
        postings = int(self.run_starts[-1])
        self.places = columns.open("places", np.uint16, postings)
        self.frequencies = columns.open("frequencies", np.uint8, postings)
        self.large = columns.open("large", np.int32)
        self.large_at = columns.open("large_at", np.int64, len(self.large))
        inside = len(self.large_at) == 0 or int(self.large_at[-1]) < postings
        columns.check("large_at", inside and bool(np.all(self.large_at[1:] > self.large_at[:-1])))
        self._blob = self.terms.data

    def _open_packed(self, columns: ColumnReader) -> None:
        self.lengths: NDArray[np.int32] = columns.numbers("passage_lengths", np.int32)
        self.term_ends: Int64Array = offsets_of(columns.numbers("term_lengths", np.int64))
        terms = len(self.term_ends) - 1
        self.terms: NDArray[np.uint8] = columns.open("terms", np.uint8, int(self.term_ends[-1]))
        self.term_runs: Int64Array = offsets_of(columns.numbers("run_counts", np.int64, terms))
        runs = int(self.term_runs[-1])
        self.run_starts: Int64Array = offsets_of(columns.numbers("run_sizes", np.int64, runs))
        self.run_windows: NDArray[np.uint16] = columns.numbers("windows", np.uint16, runs)
        self._check_windows("windows")
        self.run_frequency: NDArray[np.uint8] = columns.open("run_frequency", np.uint8, runs)
        self.run_length: NDArray[np.int32] = columns.numbers("shortest", np.int32, runs)

    def _open_former(self, columns: ColumnReader) -> None:
        self.lengths = columns.open("lengths", np.int32)
        self.term_ends = columns.open("term_ends", np.int64)
        columns.check("term_ends", ascends(self.term_ends))
        terms = len(self.term_ends) - 1
        self.terms = columns.open("terms", np.uint8, int(self.term_ends[-1]))
        self.term_runs = columns.open("term_runs", np.int64, terms + 1)
        columns.check("term_runs", ascends(self.term_runs))
        runs = int(self.term_runs[-1])
        self.run_windows = columns.open("run_windows", np.uint16, runs)
        self._check_windows("run_windows")
        self.run_starts = columns.open("run_starts", np.int64, runs + 1)
        columns.check("run_starts", ascends(self.run_starts))
        self.run_frequency = columns.open("run_frequency", np.uint8, runs)
        self.run_length = columns.open("run_length", np.int32, runs)

    def _check_windows(self, name: str) -> None:
        windows = -(-len(self.lengths) // WINDOW)
        self._columns.check(name, not len(self.run_windows) or int(self.run_windows.max()) < windows)

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
