"""One segment's postings, memory-mapped."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leanseek.errors import IndexDamagedError
from leanseek.indexing.arrays import open_array
from leanseek.indexing.sparse.writing import WINDOW, WINDOW_BITS, array_path
from leanseek.types import BoolArray, Int64Array


class Postings(NamedTuple):
    """`ordinals` (p,) int64 ascending and `frequencies` (p,) int32 of a range of terms, one after another."""

    ordinals: Int64Array
    frequencies: NDArray[np.int32]


class PostingsReader:
    """The postings of one segment; `leanseek.indexing.sparse.writing` describes the arrays.

    Opening reads the offsets and nothing else. Immutable, so safe to share between threads.
    Raises IndexDamagedError where a file is cut short or the files do not fit together, FileNotFoundError where
    one is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
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
        return open_array(array_path(self.folder, name), dtype, length)

    def _check(self, name: str, sound: bool) -> None:
        if not sound:
            raise IndexDamagedError(
                f"{array_path(self.folder, name)} does not fit the other files of its segment. "
                "Restore the index from a copy, or index again; 'leanseek verify' lists all that is damaged."
            )


def _ascends(offsets: Int64Array) -> bool:
    """Whether offsets begin at 0 and never go down."""
    return offsets[0] == 0 and not np.any(offsets[1:] < offsets[:-1])
