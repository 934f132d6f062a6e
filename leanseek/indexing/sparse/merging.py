"""Several segments' postings into one, without analysing anything again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leanseek.indexing.sparse.reader import PostingsReader
from leanseek.indexing.sparse.writing import PostingsWriter
from leanseek.types import Int64Array

_BATCH = 1 << 20
"""Postings merged at a time, which bounds the memory beside the vocabulary to some 100 MB."""


def merge_sparse(
    readers: Sequence[PostingsReader], origin: Int64Array, ordinals: Int64Array, folder: Path
) -> None:
    """Write one segment's postings into an existing folder.

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
    ends = np.cumsum(sizes)

    with PostingsWriter(folder, lengths) as writer:
        written: list[bytes] = []
        first = 0
        while first < len(vocabulary):
            done = ends[first - 1] if first else 0
            last = max(first + 1, int(np.searchsorted(ends, done + _BATCH, side="right")))
            keys, frequencies = _gather(readers, places, new_ordinals, first, last)
            # Only terms that a kept passage has are written.
            present = np.unique(keys >> 32)
            packed = np.searchsorted(present, keys >> 32) << 32 | (keys & 0xFFFFFFFF)
            writer.append(packed, frequencies, terms=len(present))
            written.extend(vocabulary[first + term] for term in present.tolist())
            first = last
        writer.finish(written)


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
