"""From texts to a segment's postings."""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leanseek.indexing.analysis import Analyzer
from leanseek.indexing.sparse.writing import PostingsWriter
from leanseek.types import Int64Array

_BATCH = 1 << 20
"""Tokens sorted at a time: bounds the memory of `write` to some 100 MB over that of the tokens."""


class _Numbers(dict[str, int]):
    """Terms numbered as they first come."""

    def __missing__(self, term: str) -> int:
        self[term] = number = len(self)
        return number


class SparseBuilder:
    """Collects the terms of passages, four bytes each, and writes them as one segment's postings."""

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer
        self._numbers = _Numbers()
        self._tokens = array("i")
        self._lengths = array("i")

    @property
    def tokens(self) -> int:
        """Terms collected so far, repetitions included: what the memory in use grows with."""
        return len(self._tokens)

    def __len__(self) -> int:
        """Passages added so far."""
        return len(self._lengths)

    def add(self, text: str) -> None:
        """Take the next passage; passages are numbered from 0 in order of arrival."""
        terms = self._analyzer.tokens(text)
        self._tokens.extend(map(self._numbers.__getitem__, terms))
        self._lengths.append(len(terms))

    def write(self, folder: Path, order: Int64Array) -> None:
        """Write the postings into an existing folder.

        `order` (n,) int64 is the arrival number of each ordinal's passage; passages not in it are left out.
        """
        arrived = np.frombuffer(self._lengths, np.int32)
        tokens = np.frombuffer(self._tokens, np.int32)
        ends = np.cumsum(arrived, dtype=np.int64)
        # Slots of absent passages stay -1.
        ordinals = np.full(len(arrived), -1, np.int32)
        ordinals[order] = np.arange(len(order))

        names = [term.encode() for term in self._numbers]
        by_name = np.array(sorted(range(len(names)), key=names.__getitem__), np.int64)
        sizes = np.cumsum(np.bincount(tokens, minlength=len(names))[by_name])
        written: list[int] = []
        with PostingsWriter(folder, arrived[order]) as writer:
            first = 0
            while first < len(by_name):
                done = sizes[first - 1] if first else 0
                last = max(first + 1, int(np.searchsorted(sizes, done + _BATCH, side="right")))
                terms = by_name[first:last]
                ranks = np.full(len(names), -1, np.int32)
                ranks[terms] = np.arange(len(terms))
                chosen = np.zeros(len(names), np.bool_)
                chosen[terms] = True
                places = np.flatnonzero(chosen[tokens])
                owners = ordinals[np.searchsorted(ends, places, side="right")]
                keys, frequencies = _count(ranks[tokens[places]], owners)
                # Terms that only passages left out have are not written.
                present = np.unique(keys >> 32)
                if len(present) < len(terms):
                    keys = np.searchsorted(present, keys >> 32) << 32 | (keys & 0xFFFFFFFF)
                writer.append(keys, frequencies, terms=len(present))
                written.extend(terms[present].tolist())
                first = last
            writer.finish([names[term] for term in written])


def _count(terms: NDArray[np.int32], ordinals: NDArray[np.int32]) -> tuple[Int64Array, NDArray[np.int32]]:
    """Distinct term << 32 | ordinal of the tokens with an ordinal, ascending, and how often each occurs."""
    keys = terms.astype(np.int64)
    keys <<= 32
    keys |= ordinals
    keys = keys[ordinals >= 0]
    keys.sort()
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    return keys[starts], np.diff(starts, append=len(keys)).astype(np.int32)
