"""Which code adds up the postings, of BM25 and of learned sparse vectors: the compiled kernel, or NumPy where it could
not be built.

Both give the same scores, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np

from leanseek.indexing.sparse.base import Candidates
from leanseek.indexing.sparse.parameters import LengthNorm
from leanseek.indexing.sparse.places import WINDOW
from leanseek.indexing.sparse.postings import PostingsReader
from leanseek.types import BoolArray, Float32Array, Int64Array

if TYPE_CHECKING:
    from leanseek.indexing.learned.impact_postings import ImpactReader


_LONG = 255
"""Terms of a passage that the native kernel does not tell its norm by a byte of."""


class WeightedTerms(NamedTuple):
    """A query: `weights` (t,) float32, heaviest first; `constant`, what every passage found gets besides.

    `numbers` has (t,) int64 for each segment: the terms' numbers there, -1 for a term it lacks.
    """

    weights: Float32Array
    constant: float
    numbers: tuple[Int64Array, ...]


class Kernel(Protocol):
    """Scores segments; ordinals count through them in the order given.

    A passage's score is its contributions, added in the order of the weights, plus the constant, in float32 throughout.
    A posting contributes `weight * (f / (f + norm))` by BM25, and `weight * impact` to a learned sparse score.
    """

    def prepare(self, reader: PostingsReader, norm: LengthNorm, deleted: BoolArray | None) -> Any:
        """A segment as `search` and `score` take it; its `deleted` (n,) passages are never found."""
        ...

    def prepare_impacts(self, reader: ImpactReader, deleted: BoolArray | None) -> Any:
        """The same of learned sparse vectors. Kinds of segments cannot be searched together."""
        ...

    def search(
        self, segments: Sequence[Any], query: WeightedTerms, k: int, allowed: BoolArray | None
    ) -> Candidates:
        """The best k passages, best first, equal scores by ordinal, and more where they equal the k-th.

        Every passage of the k-th score that is among the first k of its own segment is there.
        """
        ...

    def score(
        self, segments: Sequence[Any], query: WeightedTerms, segment: int, ordinals: Int64Array
    ) -> Float32Array:
        """(c,) scores of passages (c,) numbered within one segment; 0 where none of the terms occurs."""
        ...


class NativeKernel:
    """The kernel of native/bm25.cpp, which prunes and runs without the GIL. ImportError where it was not built."""

    def __init__(self) -> None:
        self._native = import_module("leanseek._native")

    def prepare(self, reader: PostingsReader, norm: LengthNorm, deleted: BoolArray | None) -> Any:
        room = -(-len(reader) // WINDOW) * WINDOW
        norms = np.ones(room, np.float32)
        norms[: len(reader)] = norm.of(reader.lengths)
        lengths = np.zeros(room, np.uint8)
        lengths[: len(reader)] = np.clip(reader.lengths, 0, _LONG)
        return self._native.Bm25Segment(
            len(reader),
            reader.term_runs,
            reader.run_windows,
            reader.run_starts,
            reader.places.words,
            reader.places.starts,
            reader.places.lists,
            reader.frequencies.codes,
            reader.frequencies.more,
            reader.frequencies.more_starts,
            reader.large_at,
            reader.large,
            norms,
            lengths,
            norm.of(np.arange(_LONG, dtype=np.int32)),
            deleted,
        )

    def prepare_impacts(self, reader: ImpactReader, deleted: BoolArray | None) -> Any:
        return self._native.ImpactSegment(
            len(reader),
            reader.term_runs,
            reader.run_windows,
            reader.run_starts,
            reader.run_impact,
            reader.places,
            reader.impacts,
            deleted,
        )

    def search(
        self, segments: Sequence[Any], query: WeightedTerms, k: int, allowed: BoolArray | None
    ) -> Candidates:
        found = self._native.search(segments, query.numbers, query.weights, query.constant, k, allowed)
        return Candidates(*found)

    def score(
        self, segments: Sequence[Any], query: WeightedTerms, segment: int, ordinals: Int64Array
    ) -> Float32Array:
        numbers = query.numbers[segment]
        scores: Float32Array = self._native.score(
            segments[segment], numbers, query.weights, query.constant, ordinals
        )
        return scores


class _Bm25(NamedTuple):
    reader: PostingsReader
    norms: Float32Array
    deleted: BoolArray | None

    def contributions(self, term: int, weight: np.float32) -> tuple[Int64Array, Float32Array]:
        """Ordinals (p,) of the passages that have a term, and what it adds to the score of each."""
        postings = self.reader.postings(term, term + 1)
        frequency = postings.frequencies.astype(np.float32)
        return postings.ordinals, weight * (frequency / (frequency + self.norms[postings.ordinals]))


class _Impacts(NamedTuple):
    reader: ImpactReader
    deleted: BoolArray | None

    def contributions(self, term: int, weight: np.float32) -> tuple[Int64Array, Float32Array]:
        """Ordinals (p,) of the passages that have a term, and what it adds to the score of each."""
        postings = self.reader.postings(term, term + 1)
        return postings.ordinals, weight * postings.impacts.astype(np.float32)


class NumpyKernel:
    """The same in NumPy: every posting of every term is added up."""

    def prepare(self, reader: PostingsReader, norm: LengthNorm, deleted: BoolArray | None) -> Any:
        return _Bm25(reader, norm.of(reader.lengths), deleted)

    def prepare_impacts(self, reader: ImpactReader, deleted: BoolArray | None) -> Any:
        return _Impacts(reader, deleted)

    def search(
        self, segments: Sequence[Any], query: WeightedTerms, k: int, allowed: BoolArray | None
    ) -> Candidates:
        scores: list[Float32Array] = []
        ordinals: list[Int64Array] = []
        base = 0
        for number, segment in enumerate(segments):
            sums = _sums(segment, query, number)
            found = ~np.signbit(sums)
            if segment.deleted is not None:
                found &= ~segment.deleted
            if allowed is not None:
                found &= allowed[base : base + len(sums)]
            local = np.flatnonzero(found)
            values = sums[local] + np.float32(query.constant)
            best = np.lexsort((local, -values))[:k]
            scores.append(values[best])
            ordinals.append(local[best] + base)
            base += len(sums)
        all_scores, all_ordinals = np.concatenate(scores), np.concatenate(ordinals)
        order = np.lexsort((all_ordinals, -all_scores))
        if 0 < k < len(order):
            order = order[all_scores[order] >= all_scores[order[k - 1]]]
        return Candidates(all_scores[order], all_ordinals[order])

    def score(
        self, segments: Sequence[Any], query: WeightedTerms, segment: int, ordinals: Int64Array
    ) -> Float32Array:
        sums = _sums(segments[segment], query, segment)[ordinals]
        scores: Float32Array = np.where(np.signbit(sums), np.float32(0), sums + np.float32(query.constant))
        return scores


def _sums(segment: _Bm25 | _Impacts, query: WeightedTerms, number: int) -> Float32Array:
    """(n,) float32 sums of contributions, -0.0 where there is none."""
    sums = np.full(len(segment.reader), -0.0, np.float32)
    for weight, term in zip(query.weights, query.numbers[number], strict=True):
        if term >= 0:
            ordinals, values = segment.contributions(int(term), weight)
            sums[ordinals] += values
    return sums


@cache
def default_kernel() -> Kernel:
    """The compiled kernel where it was built."""
    try:
        return NativeKernel()
    except ImportError:
        return NumpyKernel()


def kernel_name() -> Literal["native", "numpy"]:
    """Which kernel is in use, for diagnostics."""
    return "native" if isinstance(default_kernel(), NativeKernel) else "numpy"
