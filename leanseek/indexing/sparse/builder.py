"""A segment's postings, from texts or from the postings of other segments."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leanseek.indexing.sparse.postings import PostingsReader, PostingsWriter
from leanseek.text import Analyzer
from leanseek.types import Int64Array

_BATCH = 1 << 20
"""Tokens sorted, or postings merged, at a time: bounds the memory beside tokens and vocabulary to some 100 MB."""


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
        written: list[bytes] = []
        with PostingsWriter(folder, arrived[order]) as writer:
            for first, last in _batches(sizes):
                terms = by_name[first:last]
                ranks = np.full(len(names), -1, np.int32)
                ranks[terms] = np.arange(len(terms))
                chosen = np.zeros(len(names), np.bool_)
                chosen[terms] = True
                places = np.flatnonzero(chosen[tokens])
                owners = ordinals[np.searchsorted(ends, places, side="right")]
                present = _append(writer, *_count(ranks[tokens[places]], owners))
                written.extend(names[term] for term in terms[present].tolist())
            writer.finish(written)


def merge_sparse(
    readers: Sequence[PostingsReader],
    origin: Int64Array,
    ordinals: Int64Array,
    folder: Path,
    tell: Callable[[], None] = lambda: None,
) -> None:
    """Write one segment's postings into an existing folder; `tell` is called again and again meanwhile.

    Its passage i is passage `ordinals[i]` of `readers[origin[i]]`, (n,) int64 each; passages that are not named
    are left out, and terms that only they have. The files are those that `SparseBuilder` would write.
    """
    lengths = np.zeros(len(origin), np.int32)
    new_ordinals = []
    for number, reader in enumerate(readers):
        mine = np.flatnonzero(origin == number)
        lengths[mine] = reader.lengths[ordinals[mine]]
        # Slots of passages left out stay -1.
        renumbered = np.full(len(reader), -1, np.int64)
        renumbered[ordinals[mine]] = mine
        new_ordinals.append(renumbered)

    names = [[reader.term(term) for term in range(reader.vocabulary_size)] for reader in readers]
    vocabulary = sorted(set().union(*names))
    numbers = {name: number for number, name in enumerate(vocabulary)}
    places = [np.array([numbers[name] for name in terms], np.int64) for terms in names]
    sizes = np.zeros(len(vocabulary), np.int64)
    for reader, place in zip(readers, places, strict=True):
        sizes[place] += np.diff(reader.run_starts[reader.term_runs])

    written: list[bytes] = []
    with PostingsWriter(folder, lengths) as writer:
        for first, last in _batches(np.cumsum(sizes)):
            tell()
            present = _append(writer, *_gather(readers, places, new_ordinals, first, last))
            written.extend(vocabulary[first + term] for term in present.tolist())
        writer.finish(written)


def _batches(ends: Int64Array) -> Iterator[tuple[int, int]]:
    """Ranges of terms with about `_BATCH` postings, at least one term each; `ends` (t,) sums up their postings."""
    first = 0
    while first < len(ends):
        done = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, done + _BATCH, side="right")))
        yield first, last
        first = last


def _append(writer: PostingsWriter, keys: Int64Array, frequencies: NDArray[np.int32]) -> Int64Array:
    """Write the postings of terms numbered from 0; returns those that have any, as only they are written."""
    present = np.unique(keys >> 32)
    if len(present) and len(present) <= present[-1]:
        keys = np.searchsorted(present, keys >> 32) << 32 | (keys & 0xFFFFFFFF)
    writer.append(keys, frequencies, terms=len(present))
    return present


def _count(terms: NDArray[np.int32], ordinals: NDArray[np.int32]) -> tuple[Int64Array, NDArray[np.int32]]:
    """Distinct term << 32 | ordinal of the tokens with an ordinal, ascending, and how often each occurs."""
    keys = terms.astype(np.int64)
    keys <<= 32
    keys |= ordinals
    keys = keys[ordinals >= 0]
    keys.sort()
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    return keys[starts], np.diff(starts, append=len(keys)).astype(np.int32)


def _gather(
    readers: Sequence[PostingsReader],
    places: Sequence[Int64Array],
    new_ordinals: Sequence[Int64Array],
    first: int,
    last: int,
) -> tuple[Int64Array, NDArray[np.int32]]:
    """Keys `(term - first) << 32 | new ordinal`, ascending, and frequencies of the terms first, ..., last - 1."""
    keys, frequencies = [np.empty(0, np.int64)], [np.empty(0, np.int32)]
    for reader, place, renumbered in zip(readers, places, new_ordinals, strict=True):
        begin, end = (int(at) for at in np.searchsorted(place, (first, last)))
        postings = reader.postings(begin, end)
        counts = np.diff(reader.run_starts[reader.term_runs[begin : end + 1]])
        terms = np.repeat(place[begin:end] - first, counts)
        ordinals = renumbered[postings.ordinals]
        kept = ordinals >= 0
        keys.append(terms[kept] << 32 | ordinals[kept])
        frequencies.append(postings.frequencies[kept])
    all_keys = np.concatenate(keys)
    order = np.argsort(all_keys)
    return all_keys[order], np.concatenate(frequencies)[order]
