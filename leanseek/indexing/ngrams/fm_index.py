"""An FM-index: the tokens of a segment's passages, compressed and searchable for n-grams of any length.

The tokens of all passages stand one after another, a separator before each. They are stored from the last to the first,
so that a search, which goes backwards through what is stored, reads an n-gram forwards and knows what follows it. The
Burrows-Wheeler transform of that is in a wavelet matrix, and a place is stored for each `RATE`th token (Ferragina and
Manzini: "Opportunistic data structures with applications", FOCS 2000).

Columns, for n tokens and separators, n + 1 rows of the suffix array, and L levels of the matrix:

    bits     uint64  a block for each 448 rows of each level: how many bits are set before it, then its bits
    zeros    int64   (L,) how many bits of each level are not set
    shifts   int32   from where the matrix leads to the row of the longer suffix, by symbol
    marks    uint64  blocks: the rows whose places are stored
    samples  int32   those places, divided by `RATE`
    starts   int32   (p + 1,) where the tokens of each of p passages begin, and where the last ones end
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leanseek.errors import MissingPackageError, UsageError
from leanseek.indexing.array_columns import ColumnReader, ColumnWriter, ascends
from leanseek.indexing.arrays import offsets_of
from leanseek.types import Int32Array, Int64Array

RATE: Final = 16
"""One token in so many has its place stored. Finding a place takes half as many steps."""

SEPARATOR: Final = 1
FIRST: Final = 2
"""Symbols: 0 ends everything, 1 stands before a passage, and the tokens are numbered from 2."""

MOST: Final = (1 << 31) - 4
"""Tokens and separators of a segment."""


class Range(NamedTuple):
    """The rows [low, high) of an n-gram of `length` tokens; it occurs `high - low` times."""

    low: int
    high: int
    length: int

    @property
    def times(self) -> int:
        """How often it occurs."""
        return self.high - self.low


class TokenPlaces(NamedTuple):
    """Where n-grams occur: `passages` (c,) int64, and `tokens` (c,) int64, how many tokens stand before it there."""

    passages: Int64Array
    tokens: Int64Array


def kernel() -> ModuleType:
    """The compiled kernel. Raises MissingPackageError where it was not compiled."""
    try:
        from leanseek import _ngrams
    except ImportError as error:
        raise MissingPackageError(
            "An n-gram index",
            "leanseek._ngrams",
            "",
            "pip install --force-reinstall --no-binary leanseek leanseek, where there is a C++ compiler",
        ) from error
    return _ngrams


def write_fm_index(folder: Path, prefix: str, texts: Sequence[Int32Array | Sequence[int]]) -> None:
    """Write the index of passages' tokens, ids from 0, into an existing folder.

    Raises UsageError for more than 2,147,483,644 tokens, MissingPackageError where the kernel was not compiled.
    """
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    starts = offsets_of(lengths + 1)
    if starts[-1] > MOST:
        raise UsageError(f"{starts[-1]:,} tokens are too many for one segment's n-grams; add fewer at a time")
    symbols = np.full(starts[-1], SEPARATOR, np.int32)
    for start, text in zip(starts.tolist(), texts, strict=False):
        symbols[start + 1 : start + 1 + len(text)] = text
        symbols[start + 1 : start + 1 + len(text)] += FIRST
    levels = max(int(symbols.max(initial=SEPARATOR)).bit_length(), 1)
    bits, zeros, shifts, marks, samples = kernel().build(np.ascontiguousarray(symbols[::-1]), levels, RATE)
    columns = ColumnWriter(folder, prefix, {})
    columns.finish(
        {
            "bits": bits.ravel(),
            "zeros": zeros,
            "shifts": shifts,
            "marks": marks,
            "samples": samples,
            "starts": starts.astype(np.int32),
        }
    )


class FMIndex:
    """The n-grams of one segment, memory-mapped. Immutable, so safe to share between threads.

    Raises IndexDamagedError where files do not fit together, FileNotFoundError where one is missing, and
    MissingPackageError.
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self._columns = ColumnReader(folder, prefix, "n-grams")
        self._starts = self._columns.open("starts", np.int32)
        self._columns.check("starts", ascends(self._starts.astype(np.int64)))
        self.size = int(self._starts[-1])
        """Tokens and separators."""
        arrays = [
            self._columns.open("bits", np.uint64),
            self._columns.open("zeros", np.int64),
            self._columns.open("shifts", np.int32),
            self._columns.open("marks", np.uint64),
            self._columns.open("samples", np.int32),
        ]
        try:
            self._rows = kernel().Rows(*arrays, self.size + 1, RATE)
        except IndexError as error:
            raise self._columns.damage("bits", "does not fit the other files of its segment") from error

    def __len__(self) -> int:
        """How many passages there are."""
        return len(self._starts) - 1

    @property
    def lengths(self) -> Int64Array:
        """(p,) how many tokens each passage has."""
        return np.diff(self._starts).astype(np.int64) - 1

    @property
    def everything(self) -> Range:
        """The n-gram of no tokens, which occurs everywhere."""
        return Range(0, self.size + 1, 0)

    def extend(self, ngram: Range, token: int) -> Range:
        """The n-gram with one more token behind it."""
        low, high = self._rows.extend(ngram.low, ngram.high, token + FIRST) if token >= 0 else (0, 0)
        return Range(low, high, ngram.length + 1)

    def find(self, tokens: Sequence[int]) -> Range:
        """The n-gram of these tokens."""
        found = self.everything
        for token in tokens:
            found = self.extend(found, token)
        return found

    def next_tokens(self, ngram: Range) -> tuple[Int32Array, Int64Array]:
        """(t,) the tokens that follow an n-gram, ascending, and (t,) how often each does."""
        symbols, counts = self._rows.next(ngram.low, ngram.high)
        first = int(np.searchsorted(symbols, FIRST))
        return symbols[first:] - FIRST, counts[first:]

    def locate(self, ngram: Range) -> TokenPlaces:
        """Where an n-gram occurs, in the order of passages and tokens."""
        found = self._rows.locate(ngram.low, ngram.high)
        # What is stored is reversed: the place of the last token, from the end.
        places = np.sort(self.size - found - ngram.length)
        passages = np.searchsorted(self._starts, places, side="right") - 1
        return TokenPlaces(passages, places - self._starts[passages] - 1)

    def texts(self) -> list[Int32Array]:
        """The tokens of all passages, a new array each."""
        symbols: NDArray[np.int32] = self._rows.text()[::-1] - FIRST
        return [
            symbols[start + 1 : end].copy()
            for start, end in zip(self._starts[:-1].tolist(), self._starts[1:].tolist(), strict=True)
        ]
