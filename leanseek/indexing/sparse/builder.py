"""A segment's postings, from texts or from the postings of other segments."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from leanseek.indexing.sparse.postings import PostingsReader, PostingsWriter
from leanseek.indexing.sparse.term_numbers import term_numbers
from leanseek.text import Analyzer
from leanseek.types import Int64Array

Term = TypeVar("Term", bytes, int)
TermRead_co = TypeVar("TermRead_co", bytes, int, covariant=True)

_BATCH = 1 << 20
"""Tokens sorted, or postings merged, at a time: bounds the memory beside tokens and vocabulary to some 100 MB."""


class SparseBuilder:
    """Collects the terms of passages, four bytes each, and writes them as one segment's postings."""

    def __init__(self, analyzer: Analyzer) -> None:
        self._numbers = term_numbers(analyzer)
        self._lengths = array("i")

    @property
    def tokens(self) -> int:
        """Terms collected so far, repetitions included: what the memory in use grows with."""
        return len(self._numbers)

    def __len__(self) -> int:
        """Passages added so far."""
        return len(self._lengths)

    def add(self, text: str) -> None:
        """Take the next passage; passages are numbered from 0 in order of arrival."""
        self._lengths.append(self._numbers.add(text))

    def write(self, folder: Path, order: Int64Array) -> None:
        """Write the postings into an existing folder.

        `order` (n,) int64 is the arrival number of each ordinal's passage; passages not in it are left out.
        """
        arrived = np.frombuffer(self._lengths, np.int32)
        tokens = self._numbers.numbers()
        ends = np.cumsum(arrived, dtype=np.int64)
        # Slots of absent passages stay -1.
        ordinals = np.full(len(arrived), -1, np.int32)
        ordinals[order] = np.arange(len(order))

        names = self._numbers.names()
        by_name = np.array(sorted(range(len(names)), key=names.__getitem__), np.int64)
        sizes = np.cumsum(np.bincount(tokens, minlength=len(names))[by_name])
        written: list[bytes] = []
        with PostingsWriter(folder, arrived[order]) as writer:
            for first, last in batches_of_terms(sizes):
                terms = by_name[first:last]
                ranks = np.full(len(names), -1, np.int32)
                ranks[terms] = np.arange(len(terms))
                chosen = np.zeros(len(names), np.bool_)
                chosen[terms] = True
                places = np.flatnonzero(chosen[tokens])
                owners = ordinals[np.searchsorted(ends, places, side="right")]
                present, keys, frequencies = _present(*_count(ranks[tokens[places]], owners))
                writer.append(keys, frequencies, terms=len(present))
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
    for number, reader in enumerate(readers):
        mine = origin == number
        lengths[mine] = reader.lengths[ordinals[mine]]
    written: list[bytes] = []
    with PostingsWriter(folder, lengths) as writer:
        for terms, keys, frequencies in merged_terms(readers, origin, ordinals):
            tell()
            writer.append(keys, frequencies.astype(np.int32), terms=len(terms))
            written.extend(terms)
        writer.finish(written)


class TermPostings(Protocol[TermRead_co]):
    """The postings of a segment, by terms that are numbered in ascending order."""

    @property
    def term_runs(self) -> Int64Array: ...

    @property
    def run_starts(self) -> Int64Array: ...

    def __len__(self) -> int: ...

    def vocabulary(self) -> Sequence[TermRead_co]:
        """The terms, by number."""
        ...

    def postings(self, first: int, last: int) -> tuple[Int64Array, NDArray[Any]]:
        """Ordinals (p,) and values (p,) of the terms first, ..., last - 1."""
        ...


def merged_terms(
    readers: Sequence[TermPostings[Term]], origin: Int64Array, ordinals: Int64Array
) -> Iterator[tuple[list[Term], Int64Array, NDArray[Any]]]:
    """The postings of one segment made of others, about a million at a time: terms, keys and values.

    Its passage i is passage `ordinals[i]` of `readers[origin[i]]`, (n,) int64 each. Terms ascend through all, and each
    has a passage. Keys (p,) ascend: place in the terms << 32 | ordinal.
    """
    new_ordinals = []
    for number, reader in enumerate(readers):
        mine = np.flatnonzero(origin == number)
        # Slots of passages left out stay -1.
        renumbered = np.full(len(reader), -1, np.int64)
        renumbered[ordinals[mine]] = mine
        new_ordinals.append(renumbered)

    names = [reader.vocabulary() for reader in readers]
    vocabulary = sorted(set().union(*names))
    numbers = {name: number for number, name in enumerate(vocabulary)}
    places = [np.array([numbers[name] for name in terms], np.int64) for terms in names]
    sizes = np.zeros(len(vocabulary), np.int64)
    for reader, place in zip(readers, places, strict=True):
        sizes[place] += np.diff(reader.run_starts[reader.term_runs])

    for first, last in batches_of_terms(np.cumsum(sizes)):
        present, keys, values = _present(*_gather(readers, places, new_ordinals, first, last))
        yield [vocabulary[first + term] for term in present.tolist()], keys, values


def batches_of_terms(ends: Int64Array) -> Iterator[tuple[int, int]]:
    """Ranges of terms with about `_BATCH` postings, at least one term each; `ends` (t,) sums up their postings."""
    first = 0
    while first < len(ends):
        done = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, done + _BATCH, side="right")))
        yield first, last
        first = last


def _present(keys: Int64Array, values: NDArray[Any]) -> tuple[Int64Array, Int64Array, NDArray[Any]]:
    """The terms, numbered from 0, that have postings, and those with the terms numbered without the others."""
    present = np.unique(keys >> 32)
    if len(present) and len(present) <= present[-1]:
        keys = np.searchsorted(present, keys >> 32) << 32 | (keys & 0xFFFFFFFF)
    return present, keys, values


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
    readers: Sequence[TermPostings[Term]],
    places: Sequence[Int64Array],
    new_ordinals: Sequence[Int64Array],
    first: int,
    last: int,
) -> tuple[Int64Array, NDArray[Any]]:
    """Keys `(term - first) << 32 | new ordinal`, ascending, and values of the terms first, ..., last - 1."""
    keys: list[Int64Array] = [np.empty(0, np.int64)]
    values: list[NDArray[Any]] = [np.empty(0, np.uint8)]
    for reader, place, renumbered in zip(readers, places, new_ordinals, strict=True):
        begin, end = (int(at) for at in np.searchsorted(place, (first, last)))
        found, of_each = reader.postings(begin, end)
        counts = np.diff(reader.run_starts[reader.term_runs[begin : end + 1]])
        terms = np.repeat(place[begin:end] - first, counts)
        ordinals = renumbered[found]
        kept = ordinals >= 0
        keys.append(terms[kept] << 32 | ordinals[kept])
        values.append(of_each[kept])
    all_keys = np.concatenate(keys)
    order = np.argsort(all_keys)
    return all_keys[order], np.concatenate(values)[order]
