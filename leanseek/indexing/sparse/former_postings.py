"""The files of a segment's postings in index formats up to 3.

| file | dtype | length | holds |
|---|---|---|---|
| terms | uint8 | bytes | the terms' UTF-8, one after another |
| term_ends | int64 | terms + 1 | where each begins |
| term_runs | int64 | terms + 1 | where each term's runs begin |
| run_windows | uint16 | runs | a run's window |
| run_starts | int64 | runs + 1 | where each run's postings begin |
| places | uint16 | postings | ordinal minus 2**16 times the window |
| frequencies | uint8 | postings | term frequency, 255 for that and more |
| large_at, large | int64, int32 | few | the postings of frequency 255 and more, and those frequencies |
| lengths | int32 | passages | number of terms of each passage |

Others, `run_frequency` and `run_length`, are not read any more.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from leanseek.indexing.array_columns import ColumnReader, ascends
from leanseek.indexing.sparse.frequencies import Frequencies, pack_frequencies
from leanseek.indexing.sparse.names import PlainNames
from leanseek.indexing.sparse.places import WINDOW, Places
from leanseek.types import Int64Array


class FormerPostings(NamedTuple):
    """What `PostingsReader` has of its files."""

    lengths: NDArray[np.int32]
    names: PlainNames
    term_runs: Int64Array
    run_windows: NDArray[np.uint16]
    run_starts: Int64Array
    places: Places
    frequencies: Frequencies


def open_former(columns: ColumnReader) -> FormerPostings:
    """The postings in a segment's columns. Frequencies are read and packed in memory, places are mapped.

    Raises IndexDamagedError where the columns do not fit together.
    """
    term_ends = columns.open("term_ends", np.int64)
    columns.check("term_ends", ascends(term_ends))
    terms = columns.open("terms", np.uint8, int(term_ends[-1]))
    term_runs = columns.open("term_runs", np.int64, len(term_ends))
    columns.check("term_runs", ascends(term_runs))
    runs = int(term_runs[-1])
    run_starts = columns.open("run_starts", np.int64, runs + 1)
    columns.check("run_starts", ascends(run_starts))
    postings = int(run_starts[-1])
    places = columns.open("places", np.uint16, postings)
    frequencies = columns.open("frequencies", np.uint8, postings)
    return FormerPostings(
        columns.open("lengths", np.int32),
        PlainNames(terms, term_ends),
        term_runs,
        columns.open("run_windows", np.uint16, runs),
        run_starts,
        Places(places, run_starts, lists=WINDOW + 1),
        Frequencies(*pack_frequencies(np.maximum(frequencies, 1))),
    )
