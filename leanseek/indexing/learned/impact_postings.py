"""The files of one segment's impacts.

As with BM25's postings (`leanseek.indexing.sparse.postings`) those of a term ascend by ordinal, ordinals are cut into
windows of 2**16, and the postings of a term in a window are a run. A posting takes three bytes.

| file | dtype | length | holds |
|---|---|---|---|
| terms | int32 | terms | the numbers of the terms that occur, ascending |
| term_runs | int64 | terms + 1 | where each term's runs begin |
| run_windows | uint16 | runs | a run's window |
| run_starts | int64 | runs + 1 | where each run's postings begin |
| run_impact | uint8 | runs | largest impact |
| places | uint16 | postings | ordinal minus 2**16 times the window |
| impacts | uint8 | postings | 1 to 255 |
| passages | int64 | 1 | how many passages there are |

They are the columns `learned.NAME` (`leanseek.indexing.array_columns`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leanseek.indexing.array_columns import ColumnReader, ColumnWriter, ascends
from leanseek.indexing.sparse.places import WINDOW, WINDOW_BITS
from leanseek.indexing.sparse.postings import runs_of
from leanseek.types import Int64Array

PREFIX: Final = "learned"

_COLUMNS: dict[str, type[np.generic]] = {
    "term_runs": np.int64,
    "run_windows": np.uint16,
    "run_starts": np.int64,
    "run_impact": np.uint8,
    "places": np.uint16,
    "impacts": np.uint8,
}


class ImpactPostings(NamedTuple):
    """`ordinals` (p,) int64 ascending and `impacts` (p,) uint8 of a range of terms, one after another."""

    ordinals: Int64Array
    impacts: NDArray[np.uint8]


class ImpactWriter:
    """Writes a segment's impacts term by term; the files are complete after `finish`. A context manager."""

    def __init__(self, folder: Path, passages: int) -> None:
        self._passages = passages
        self._columns = ColumnWriter(folder, PREFIX, _COLUMNS)

    def __enter__(self) -> ImpactWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._columns.close()

    def append(self, keys: Int64Array, impacts: NDArray[np.uint8], terms: int) -> None:
        """Add the postings of the next `terms` terms, as `PostingsWriter.append` takes them."""
        runs, columns = runs_of(keys), self._columns
        columns.put(
            "term_runs", columns.written["run_windows"] + np.searchsorted(runs.terms, np.arange(terms))
        )
        columns.put("run_windows", runs.windows)
        columns.put("run_starts", runs.starts + columns.written["places"])
        columns.put("places", keys & (WINDOW - 1))
        if len(runs.starts):
            columns.put("run_impact", np.maximum.reduceat(impacts, runs.starts))
        self._columns.put("impacts", impacts)
        self._columns.flush()

    def finish(self, terms: Sequence[int]) -> None:
        """Write the rest: the terms, ascending, one for each given to `append`."""
        columns = self._columns
        columns.put("term_runs", np.array([columns.written["run_windows"]], np.int64))
        columns.put("run_starts", np.array([columns.written["places"]], np.int64))
        columns.finish({"terms": np.array(terms, np.int32), "passages": np.array([self._passages], np.int64)})


class ImpactReader:
    """The impacts of one segment. Opening reads the offsets and nothing else. Immutable, so safe to share.

    Raises IndexDamagedError where a file is cut short or the files do not fit together, FileNotFoundError where one is
    missing.
    """

    def __init__(self, folder: Path) -> None:
        self._columns = columns = ColumnReader(folder, PREFIX, "learned side")
        self._passages = int(columns.open("passages", np.int64, 1)[0])
        columns.check("passages", self._passages >= 0)
        self.terms = columns.open("terms", np.int32)
        columns.check("terms", bool(np.all(self.terms[1:] > self.terms[:-1])))
        self.term_runs = columns.open("term_runs", np.int64, len(self.terms) + 1)
        columns.check("term_runs", ascends(self.term_runs))
        runs = int(self.term_runs[-1])
        self.run_windows = columns.open("run_windows", np.uint16, runs)
        self.run_starts = columns.open("run_starts", np.int64, runs + 1)
        columns.check("run_starts", ascends(self.run_starts))
        postings = int(self.run_starts[-1])
        self.run_impact = columns.open("run_impact", np.uint8, runs)
        self.places = columns.open("places", np.uint16, postings)
        self.impacts = columns.open("impacts", np.uint8, postings)
        windows = -(-self._passages // WINDOW)
        columns.check("run_windows", runs == 0 or int(self.run_windows.max()) < windows)

    def __len__(self) -> int:
        """n, the number of passages."""
        return self._passages

    def vocabulary(self) -> list[int]:
        """The model's numbers of the terms, by their numbers here."""
        terms: list[int] = self.terms.tolist()
        return terms

    def find(self, terms: NDArray[np.int32]) -> Int64Array:
        """(t,) the numbers here of the model's terms (t,); -1 for one that does not occur."""
        if not len(self.terms):
            return np.full(len(terms), -1, np.int64)
        places = np.minimum(np.searchsorted(self.terms, terms), len(self.terms) - 1)
        return np.where(self.terms[places] == terms, places, -1).astype(np.int64)

    def postings(self, first: int, last: int) -> ImpactPostings:
        """The postings of the terms first, ..., last - 1."""
        run, end = int(self.term_runs[first]), int(self.term_runs[last])
        starts = self.run_starts[run : end + 1]
        begin, stop = int(starts[0]), int(starts[-1])
        windows = np.repeat(self.run_windows[run:end].astype(np.int64) << WINDOW_BITS, np.diff(starts))
        ordinals = windows + self.places[begin:stop]
        if len(ordinals) and int(ordinals.max()) >= len(self):
            raise self._columns.damage("places", "names passages beyond the last")
        return ImpactPostings(ordinals, self.impacts[begin:stop])

    def impact(self, number: int, ordinal: int) -> int:
        """The impact of a term, by its number here, on a passage; 0 where it has none."""
        first, last = int(self.term_runs[number]), int(self.term_runs[number + 1])
        window, within = divmod(ordinal, WINDOW)
        run = first + int(np.searchsorted(self.run_windows[first:last], window))
        if run == last or self.run_windows[run] != window:
            return 0
        begin, end = int(self.run_starts[run]), int(self.run_starts[run + 1])
        at = begin + int(np.searchsorted(self.places[begin:end], within))
        return int(self.impacts[at]) if at < end and self.places[at] == within else 0
