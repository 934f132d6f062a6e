"""Where in a window the postings of a run are, as words of 16 bits.

A short run has a word for each place. One of `LISTS` postings and more has 256 words, which say how many of its
postings are below each multiple of 256, and then a byte for each posting: its place modulo 256. Any posting is read,
and any place found, without those before it (native/bm25.cpp).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from leanseek.indexing.arrays import offsets_of
from leanseek.types import Int64Array

WINDOW_BITS: Final = 16
WINDOW: Final = 1 << WINDOW_BITS
LISTS: Final = 2048
"""Shorter runs have a word for each place: no decoding, and from 512 postings on a little more room."""
_BLOCKS: Final = 256


def pack_places(places: NDArray[np.uint16], starts: Int64Array) -> NDArray[np.uint16]:
    """The words (w,) of runs; `places` (p,) of all, those of each ascending, and where each begins (r,)."""
    pieces: list[NDArray[np.uint16]] = []
    for first, last, long in _by_form(np.append(starts, len(places))):
        mine = places[first:last]
        if long:
            blocks = np.searchsorted(mine, np.arange(0, WINDOW, _BLOCKS))
            low = np.zeros(len(mine) + len(mine) % 2, np.uint8)
            low[: len(mine)] = mine & 255
            pieces += [blocks.astype(np.uint16), low.view("<u2")]
        else:
            pieces.append(mine)
    return np.concatenate([np.empty(0, np.uint16), *pieces])


class Places:
    """Those of `pack_places`' words (w,); `run_starts` (r + 1,) has where each run begins, and the last ends.

    `starts` (r + 1,) are the same in words, and runs of less than `lists` postings are lists.
    """

    def __init__(self, words: NDArray[np.uint16], run_starts: Int64Array, lists: int = LISTS) -> None:
        """Raises ValueError where the words are not as many as such runs take."""
        self.words = words
        self.lists = lists
        self._run_starts = run_starts
        sizes = np.diff(run_starts)
        self.starts = offsets_of(np.where(sizes < lists, sizes, _BLOCKS + (sizes + 1) // 2))
        if self.starts[-1] != len(words):
            raise ValueError(f"{len(words)} words are not those of runs that take {self.starts[-1]}")

    def read(self, first: int, last: int) -> NDArray[np.uint16]:
        """The places of the runs first, ..., last - 1. Raises ValueError where the words are damaged."""
        starts = self._run_starts[first : last + 1] - self._run_starts[first]
        places = np.empty(int(starts[-1]), np.uint16)
        at = int(self.starts[first])
        for begin, end, long in _by_form(starts, self.lists):
            size = end - begin
            if not long:
                places[begin:end] = self.words[at : at + size]
                at += size
                continue
            counts: Int64Array = np.diff(np.append(self.words[at : at + _BLOCKS].astype(np.int64), size))
            if self.words[at] != 0 or counts.min() < 0:
                raise ValueError("the blocks of a run do not ascend")
            stop = at + _BLOCKS + (size + 1) // 2
            low = self.words[at + _BLOCKS : stop].astype("<u2").view(np.uint8)[:size]
            places[begin:end] = np.repeat(np.arange(0, WINDOW, _BLOCKS, dtype=np.uint16), counts) | low
            at = stop
        return places


def _by_form(starts: Int64Array, lists: int = LISTS) -> Iterator[tuple[int, int, bool]]:
    """Ranges of postings: a long run each, and the runs between two of them."""
    done = 0
    for run in np.flatnonzero(np.diff(starts) >= lists).tolist():
        first, last = int(starts[run]), int(starts[run + 1])
        if done < first:
            yield done, first, False
        yield first, last, True
        done = last
    if done < int(starts[-1]):
        yield done, int(starts[-1]), False
