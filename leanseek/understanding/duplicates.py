"""Groups of documents that have nearly the same text, found without comparing every pair.

Texts are compared by their shingles, the runs of five words: the likeness of two is their Jaccard coefficient, the
number of shingles that both have divided by the number that either has. The smallest of all a text's shingles under a
random hash is that of another text as often as the two are alike (Broder, "On the resemblance and containment of
documents", 1997), so that 128 such hashes are a short signature. Documents that agree in one of 32 bands of four hashes
are candidates, and the candidates' shingles are compared in full: what is reported is exact.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from leanseek.errors import UsageError
from leanseek.filters import Filter, parse_filter
from leanseek.indexing.snapshot import Snapshot
from leanseek.text import load_analyzer
from leanseek.types import Int64Array, Progress, silent

UInt32Array: TypeAlias = NDArray[np.uint32]
UInt64Array: TypeAlias = NDArray[np.uint64]

LEAST: Final = 0.8
"""How alike near-duplicates are, unless something else is asked for."""
LOWEST: Final = 0.5
"""Less cannot be asked for: the bands miss one in eight pairs that are so alike, and one in 6,000 at 0.7."""
SHINGLE: Final = 5
BANDS: Final = 32
ROWS: Final = 4
HASHES: Final = BANDS * ROWS
MARGIN: Final = 0.2
"""Candidates whose signatures agree by so much less than is asked for are not compared: over 4 standard deviations."""
READ: Final = 256
"""Documents read at a time."""
HELD: Final = 1024
"""Documents whose shingles are remembered while candidates are compared."""
PIECE: Final = 8192
"""Shingles hashed at a time."""


class Duplicate(NamedTuple):
    """A document whose text is nearly that of another, and how alike the two are, in [0, 1]."""

    id: str
    likeness: float


class DuplicateGroup(NamedTuple):
    """A document, the first of its group by its id, and those that are nearly the same, most alike first."""

    id: str
    title: str
    duplicates: tuple[Duplicate, ...]


def find_duplicates(
    path: str | os.PathLike[str],
    least: float = LEAST,
    *,
    filter: str | Filter | None = None,
    progress: Progress = silent,
) -> list[DuplicateGroup]:
    """The groups of near-duplicates among the documents of an index, in the order of their ids.

    Documents are taken in the order of their ids. Each joins the one before it that it is most alike to, of those that
    begin a group, if that is at least `least`; else it may begin one. So every document of a group is that alike to its
    first, and deleting the others loses no more than that. Compared are the texts, without case and signs, or the
    titles of documents without a text; what has neither is in no group.

    Raises UsageError unless `least` is from 0.5 to 1, FilterError, and as `Snapshot.open` does.
    """
    if isinstance(least, bool) or not isinstance(least, int | float) or not LOWEST <= least <= 1:
        raise UsageError(
            f"the least likeness is {least!r}; it must be from {LOWEST}, half of all, to 1, the same words"
        )
    with closing(Snapshot.open(Path(path), dense=False)) as snapshot:
        texts = Texts(snapshot, filter)
        signatures = np.zeros((len(texts.ids), HASHES), np.uint32)
        has_words = np.zeros(len(texts.ids), np.bool_)
        for place, shingles in enumerate(texts.all_shingles(progress)):
            has_words[place] = len(shingles) > 0
            signatures[place] = signature(shingles)
        joined = star_groups(texts, signatures, np.flatnonzero(has_words), least, progress)
        groups: dict[int, list[Duplicate]] = {}
        for place, (first, likeness) in joined.items():
            groups.setdefault(first, []).append(Duplicate(texts.ids[place], likeness))
        titles = {one.id: one.title for one in snapshot.whole([texts.ids[first] for first in groups])}
        return [
            DuplicateGroup(
                texts.ids[first],
                titles[texts.ids[first]],
                tuple(sorted(groups[first], key=lambda one: (-one.likeness, one.id))),
            )
            for first in sorted(groups)
        ]


class Texts:
    """The documents of an index that a filter admits, by their places in the order of their ids."""

    def __init__(self, snapshot: Snapshot, condition: str | Filter | None) -> None:
        if isinstance(condition, str):
            condition = parse_filter(condition)
        allowed = None if condition is None else snapshot.matching(condition)
        self.ids = sorted(snapshot.ids(allowed))
        self.shingles = lru_cache(HELD)(self._shingles)
        self._snapshot = snapshot
        self._analyzer = load_analyzer("simple")

    def all_shingles(self, progress: Progress) -> Iterator[UInt64Array]:
        """The shingles of each document, in order."""
        for start in range(0, len(self.ids), READ):
            yield from self._read(self.ids[start : start + READ])
            progress("reading", min(start + READ, len(self.ids)), len(self.ids))

    def _shingles(self, place: int) -> UInt64Array:
        [found] = self._read([self.ids[place]])
        return found

    def _read(self, ids: Sequence[str]) -> Iterator[UInt64Array]:
        for document in self._snapshot.whole(ids):
            yield shingles_of(self._analyzer.tokens(document.text) or self._analyzer.tokens(document.title))


def shingles_of(words: Sequence[str]) -> UInt64Array:
    """(n,) hashes of the distinct runs of five words, ascending; of all words where there are fewer."""
    codes = np.fromiter(
        (zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words), np.uint64, len(words)
    )
    width = min(SHINGLE, len(words))
    if not width:
        return codes
    runs = np.lib.stride_tricks.sliding_window_view(codes, width)
    mixed = np.zeros(len(runs), np.uint64)
    for column in range(width):
        mixed = finalised(mixed + runs[:, column])
    return np.unique(mixed)


def finalised(values: UInt64Array) -> UInt64Array:
    """The values (n,), well mixed: SplitMix64's next of each (Steele, Lea and Flood, OOPSLA 2014)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


FACTORS: Final = finalised(np.arange(HASHES, dtype=np.uint64)) | np.uint64(1)
SHIFTS: Final = finalised(np.arange(HASHES, 2 * HASHES, dtype=np.uint64))


def signature(shingles: UInt64Array) -> UInt32Array:
    """(128,) the smallest of the shingles (n,) under each hash, its upper half."""
    least = np.full(HASHES, np.iinfo(np.uint64).max, np.uint64)
    for start in range(0, len(shingles), PIECE):
        some = shingles[None, start : start + PIECE]
        np.minimum(least, (FACTORS[:, None] * some + SHIFTS[:, None]).min(axis=1), out=least)
    return (least >> np.uint64(32)).astype(np.uint32)


def likeness_of(one: UInt64Array, other: UInt64Array) -> float:
    """The Jaccard coefficient of two ascending sets of shingles, neither of them empty."""
    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / (len(one) + len(other) - both)


def star_groups(
    texts: Texts, signatures: UInt32Array, places: Int64Array, least: float, progress: Progress
) -> dict[int, tuple[int, float]]:
    """Of the documents at ascending `places` those that join another: its place, and how alike the two are."""
    shared = shared_bands(signatures, places)
    firsts: dict[tuple[int, int], list[int]] = {}
    joined: dict[int, tuple[int, float]] = {}
    for done, (place, bands) in enumerate(shared.items(), 1):
        near = np.array(sorted({first for band in bands for first in firsts.get(band, ())}), np.int64)
        agreeing = (signatures[near] == signatures[place]).mean(axis=1)
        best = (0.0, 0)
        for first in near[agreeing >= least - MARGIN].tolist():
            likeness = likeness_of(texts.shingles(first), texts.shingles(place))
            if likeness >= least:
                best = max(best, (likeness, -first))
        if best[0]:
            joined[place] = (-best[1], best[0])
        else:
            for band in bands:
                firsts.setdefault(band, []).append(place)
        progress("comparing", done, len(shared))
    return joined


def shared_bands(signatures: UInt32Array, places: Int64Array) -> dict[int, list[tuple[int, int]]]:
    """The bands that a document shares with another, each with a number for what it has there; ascending places."""
    found: dict[int, list[tuple[int, int]]] = {}
    for band in range(BANDS):
        rows = np.ascontiguousarray(signatures[places, band * ROWS : (band + 1) * ROWS])
        keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * ROWS))).ravel()
        _, numbers, counts = np.unique(keys, return_inverse=True, return_counts=True)
        for place in np.flatnonzero(counts[numbers] > 1).tolist():
            found.setdefault(int(places[place]), []).append((band, int(numbers[place])))
    return dict(sorted(found.items()))
