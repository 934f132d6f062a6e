"""The files of one segment's postings.

Terms are in ascending order of their UTF-8 bytes, and the postings of each in ascending order of ordinals.
Ordinals are cut into windows of 2**16. The postings of one term in one window are a run, and each has a place in its
window (`places`) and a term frequency (`frequencies`).

| file | dtype | length | holds |
|---|---|---|---|
| names | uint8 | bytes | the terms' UTF-8, front-coded (`names`) |
| name_blocks | packed | blocks | bytes in `names` of 16 terms each |
| runs | packed | runs | twice a run's postings, and 1 more where it is its term's last |
| windows | packed | runs | a run's window |
| places | uint16 | words | the places of the runs (`places`) |
| frequencies | uint8 | postings / 4 | term frequencies, four to a byte, up to 3 (`frequencies`) |
| more | uint8 | some | the frequencies of 4 and more, 255 for that and more |
| more_counts | packed | postings / 64 | how many of those each 64 postings have |
| large_at, large | int64, int32 | few | the postings of frequency 255 and more, and those frequencies |
| passage_lengths | packed | passages | number of terms of each passage |

They are the columns `sparse.NAME` (`leanseek.indexing.array_columns`); packed ones have mostly a byte for each number
(`leanseek.indexing.varints`). `former_postings` has those of index formats up to 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from leanseek.indexing.array_columns import ColumnReader, ColumnWriter
from leanseek.indexing.arrays import offsets_of
from leanseek.indexing.sparse.former_postings import open_former
from leanseek.indexing.sparse.frequencies import BLOCK, MOST, Frequencies, pack_frequencies
from leanseek.indexing.sparse.names import BlockNames, Names, pack_names
from leanseek.indexing.sparse.places import WINDOW, WINDOW_BITS, Places, pack_places
from leanseek.indexing.varints import pack
from leanseek.types import BoolArray, Int64Array

PREFIX = "sparse"

_COLUMNS: dict[str, type[np.generic]] = {
    "runs": np.uint8,
    "windows": np.uint8,
    "places": np.uint16,
    "frequencies": np.uint8,
    "more": np.uint8,
    "more_counts": np.uint8,
    "large_at": np.int64,
    "large": np.int32,
}


class PostingsWriter:
    """Writes a segment's postings term by term; the files are complete after `finish`.

    `lengths` (n,) int32 are the passages' lengths by ordinal. A context manager, which closes the files.
    """

    def __init__(self, folder: Path, lengths: NDArray[np.int32]) -> None:
        self._packed_lengths = pack(lengths)
        self._columns = ColumnWriter(folder, PREFIX, _COLUMNS, self._packed_lengths.nbytes)
        self._waiting = np.empty(0, np.uint8)
        """Frequencies that do not fill a block yet."""
        self._postings = self._terms = 0

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
        runs, columns = runs_of(keys), self._columns
        lasts = np.diff(runs.terms, append=terms) > 0
        columns.put("runs", pack(np.diff(runs.starts, append=len(keys)) * 2 + lasts))
        columns.put("windows", pack(runs.windows))
        columns.put("places", pack_places((keys & (WINDOW - 1)).astype(np.uint16), runs.starts))
        large = np.flatnonzero(frequencies >= MOST)
        columns.put("large_at", large + self._postings)
        columns.put("large", frequencies[large])
        # What is packed begins at a multiple of four, and is counted by blocks.
        waiting = np.append(self._waiting, np.minimum(frequencies, MOST).astype(np.uint8))
        whole = len(waiting) // BLOCK * BLOCK
        self._put_frequencies(waiting[:whole])
        self._waiting = waiting[whole:]
        self._postings += len(keys)
        self._terms += terms
        columns.flush()

    def finish(self, vocabulary: Sequence[bytes]) -> None:
        """Write the rest: the terms (UTF-8, ascending, one for each given to `append`) and the lengths."""
        if len(vocabulary) != self._terms:
            raise ValueError(f"{len(vocabulary)} terms are named, {self._terms} were written")
        self._put_frequencies(self._waiting)
        names = pack_names(vocabulary)
        self._columns.finish(
            {
                "names": names.content,
                "name_blocks": pack(names.block_sizes),
                "passage_lengths": self._packed_lengths,
            }
        )

    def _put_frequencies(self, frequencies: NDArray[np.uint8]) -> None:
        packed, more, more_counts = pack_frequencies(frequencies)
        self._columns.put("frequencies", packed)
        self._columns.put("more", more)
        self._columns.put("more_counts", pack(more_counts))


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
    """The postings of one segment; `leanseek.indexing.sparse.postings` describes the files.

    `names` has the terms; `term_runs` (terms + 1,) where the runs of each begin, `run_starts` (runs + 1,) where the
    postings of each run do, and `run_windows` (runs,) a run's window.

    Opening reads the sizes of passages, terms and runs and nothing else. Immutable, so safe to share between threads.
    Raises IndexDamagedError where a file is cut short or the files do not fit together, FileNotFoundError where
    one is missing.
    """

    names: Names

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._columns = columns = ColumnReader(folder, PREFIX, "postings")
        if columns.has("runs"):
            self._open(columns)
        else:
            (
                self.lengths,
                self.names,
                self.term_runs,
                self.run_windows,
                self.run_starts,
                self.places,
                self.frequencies,
            ) = open_former(columns)
        windows = -(-len(self.lengths) // WINDOW)
        columns.check("windows", not len(self.run_windows) or int(self.run_windows.max()) < windows)
        self.large: NDArray[np.int32] = columns.open("large", np.int32)
        self.large_at: Int64Array = columns.open("large_at", np.int64, len(self.large))
        inside = len(self.large_at) == 0 or int(self.large_at[-1]) < int(self.run_starts[-1])
        columns.check("large_at", inside and bool(np.all(self.large_at[1:] > self.large_at[:-1])))

    def _open(self, columns: ColumnReader) -> None:
        self.lengths = columns.numbers("passage_lengths", np.int32)
        runs = columns.numbers("runs", np.int64)
        columns.check("runs", not len(runs) or bool(runs[-1] & 1))
        self.term_runs = np.append(0, np.flatnonzero(runs & 1) + 1)
        self.run_starts = offsets_of(runs >> 1)
        self.run_windows = columns.numbers("windows", np.uint16, len(runs))
        names = columns.open("names", np.uint8)
        postings = int(self.run_starts[-1])
        places = columns.open("places", np.uint16)
        codes = columns.open("frequencies", np.uint8, -(-postings // 4))
        more = columns.open("more", np.uint8)
        name_blocks = columns.numbers("name_blocks", np.int64)
        more_counts = columns.numbers("more_counts", np.int64, -(-postings // BLOCK))
        with columns.checking("names"):
            self.names = BlockNames(names, name_blocks, len(self.term_runs) - 1)
        with columns.checking("places"):
            self.places = Places(places, self.run_starts)
        with columns.checking("more"):
            self.frequencies = Frequencies(codes, more, more_counts)

    def __len__(self) -> int:
        """n, the number of passages."""
        return len(self.lengths)

    def vocabulary(self) -> list[bytes]:
        """The UTF-8 of all terms, by number."""
        with self._columns.checking("names"):
            return list(self.names)

    def find(self, term: bytes) -> int:
        """The number of a term given in UTF-8, or -1."""
        return self.names.find(term)

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
        windows: Int64Array = np.repeat(
            self.run_windows[run:end].astype(np.int64) << WINDOW_BITS, np.diff(starts)
        )
        with self._columns.checking("places"):
            ordinals: Int64Array = windows + self.places.read(run, end)
        if len(ordinals) and int(ordinals.max()) >= len(self):
            raise self._columns.damage("places", "names passages beyond the last")
        with self._columns.checking("more"):
            frequencies = self.frequencies.read(begin, stop).astype(np.int32)
        if len(self.large):
            low, high = np.searchsorted(self.large_at, (begin, stop))
            frequencies[self.large_at[low:high] - begin] = self.large[low:high]
        return Postings(ordinals, frequencies)
