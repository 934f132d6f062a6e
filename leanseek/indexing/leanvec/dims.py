"""The length of reduced vectors that reaches a recall, measured against an exact search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from leanseek.errors import InputError, UsageError
from leanseek.indexing.leanvec.linear import Moments, checked_queries, split_queries
from leanseek.indexing.leanvec.reduction import (
    HELD_OUT,
    REDUCTIONS,
    Queries,
    Reduction,
    better,
    data_moments,
    learn_from_moments,
)
from leanseek.indexing.settings import Method
from leanseek.indexing.vectors import finite, sample
from leanseek.types import Float32Array, Int64Array

if TYPE_CHECKING:
    from leanseek.indexing.vectors import VectorSource

_BLOCK_ROWS: Final = 8_192
_SURVIVORS: Final = 4
"""Candidates are sorted out when there are so many times as many as are wanted."""
_MEASURED: Final = 500
"""The most held-out queries that are searched: recall is then known within about a percent."""
_ROUNDING: Final = 1e-5


def nearest(queries: Float32Array, vectors: VectorSource, k: int) -> tuple[Float32Array, Int64Array]:
    """Scores and ordinals (m, k) of the largest inner products of queries (m, D) with vectors (n, D).

    Best first, ties by ordinal; k is at most n. The vectors are read in blocks and need not be in memory. One
    matrix product for all queries is several times as fast as FAISS's exact search.
    """
    count = len(queries)
    rows: Int64Array = np.zeros(0, dtype=np.int64)
    ordinals: Int64Array = np.zeros(0, dtype=np.int64)
    scores: Float32Array = np.zeros(0, dtype=np.float32)
    floors = np.full((count, 1), -np.inf, dtype=np.float32)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        products = np.asarray(queries @ vectors[start : start + _BLOCK_ROWS].T, dtype=np.float32)
        if start == 0 and products.shape[1] > k:
            floors = np.partition(products, products.shape[1] - k, axis=1)[:, [products.shape[1] - k]]
        # After the first block, an equal of the k-th so far has a greater ordinal and comes too late.
        kept = np.flatnonzero(products >= floors if start == 0 else products > floors)
        rows = np.concatenate([rows, kept // products.shape[1]])
        ordinals = np.concatenate([ordinals, start + kept % products.shape[1]])
        scores = np.concatenate([scores, products.ravel()[kept]])
        last = start + _BLOCK_ROWS >= len(vectors)
        if last or len(rows) > _SURVIVORS * count * k:
            order = np.lexsort((ordinals, -scores, rows))
            sizes = np.bincount(rows, minlength=count)
            places = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            order = order[places < k]
            rows, ordinals, scores = rows[order], ordinals[order], scores[order]
            if len(rows) == count * k:
                floors = scores.reshape(count, k)[:, -1:]
    return scores.reshape(count, k), ordinals.reshape(count, k)


class DimsPoint(NamedTuple):
    """The mean recall that was measured with reduced vectors of length `dims`."""

    dims: int
    recall: float


@dataclass(frozen=True, eq=False)
class ChosenDims:
    """The smallest length of reduced vectors that reaches a recall, and what was measured on the way.

    `curve` holds the lengths that were tried, ascending; `reduction` is that of length `dims`.
    """

    dims: int
    target: float
    k: int
    depth: int
    curve: tuple[DimsPoint, ...]
    reduction: Reduction

    @property
    def recall(self) -> float:
        """The recall measured at `dims`."""
        return next(point.recall for point in self.curve if point.dims == self.dims)


def choose_dims(
    vectors: Float32Array,
    queries: Float32Array,
    recall: float = 0.95,
    k: int = 10,
    depth: int = 50,
    *,
    method: Method = "auto",
    multiple: int = 16,
    held_out: float | Float32Array | None = None,
    seed: int = 0,
) -> ChosenDims:
    """The smallest multiple of `multiple` whose reduced top `depth` holds the true top k at that recall.

    Measured on held-out queries (at most 500 of them) over a sample of at most 32,768 of the vectors (n, D);
    the lengths are found by bisection, taking recall to grow with them. D itself, where recall is 1, is the
    last resort. The other arguments and the errors are those of `learn_reduction`; UsageError also for
    recall outside (0, 1], k < 1, depth < k or multiple < 1, InputError where there are fewer than two queries.
    """
    queries = checked_queries(vectors, queries, 1)
    if not 0.0 < recall <= 1.0:
        raise UsageError(f"recall is {recall}; it must lie above 0 and at most at 1 (0.95 is usual)")
    if k < 1 or depth < k or multiple < 1:
        raise UsageError(
            f"k is {k}, depth {depth} and multiple {multiple}; k and multiple must be at least 1, depth at least k"
        )
    if isinstance(held_out, np.ndarray):
        learning, measured = queries, held_out
        checked_queries(vectors, measured, 1)
    else:
        learning, measured = split_queries(queries, HELD_OUT if held_out is None else held_out, seed)
    if len(measured) == 0 or len(learning) == 0:
        raise InputError(
            f"{len(queries)} queries are too few to learn from some and measure with others; give two or more, "
            "or make them from the corpus with make_learning_queries"
        )
    split = Queries(learning, measured, seed)
    data = data_moments(vectors, seed)
    learner = _Learner(data, split, method)
    measure = _Measure(vectors, measured, k, depth, seed)

    lengths = sorted({*range(multiple, data.dimensions, multiple), data.dimensions})
    points: dict[int, DimsPoint] = {}
    reductions: dict[int, Reduction] = {}
    low, high = 0, len(lengths) - 1
    while low <= high:
        # The answer is rarely near D, and short vectors are the quick ones to try.
        middle = (2 * low + high) // 3 if low < high else low
        dims = lengths[middle]
        reductions[dims] = learner.at(dims)
        points[dims] = DimsPoint(dims, measure.recall(reductions[dims]))
        if points[dims].recall >= recall:
            high = middle - 1
        else:
            low = middle + 1
    chosen = lengths[min(low, len(lengths) - 1)]
    curve = tuple(points[dims] for dims in sorted(points))
    return ChosenDims(chosen, recall, k, depth, curve, reductions[chosen])


class _Learner:
    """Reductions of one method at any length; those that are nested are learned once and cut."""

    def __init__(self, data: Moments, queries: Queries, method: Method) -> None:
        self._data, self._queries, self._method = data, queries, method
        kept: tuple[Method, ...] = ("id", "sphering") if method == "auto" else (method,)
        self._whole = (
            [learn_from_moments(data, queries, data.dimensions, one) for one in kept]
            if all(REDUCTIONS[one].nested for one in kept)
            else []
        )

    def at(self, dims: int) -> Reduction:
        """What learning with that length gives."""
        cuts = [whole.cut(dims) for whole in self._whole]
        if not cuts:
            return learn_from_moments(self._data, self._queries, dims, self._method)
        return cuts[0] if len(cuts) == 1 else better(cuts[1], cuts[0], self._queries.aside.count)


class _Measure:
    """Recall of the true top k in the reduced top `depth`, over a sample of the vectors."""

    def __init__(self, vectors: Float32Array, measured: Float32Array, k: int, depth: int, seed: int) -> None:
        rows = sample(len(vectors), seed)
        self._vectors = finite(np.asarray(vectors if rows is None else vectors[rows], dtype=np.float32))
        few = sample(len(measured), seed, _MEASURED)
        self._measured = finite(np.asarray(measured if few is None else measured[few], dtype=np.float32))
        self._k = min(k, len(self._vectors))
        self._depth = min(depth, len(self._vectors))
        scores, _ = nearest(self._measured, self._vectors, self._k)
        # Whatever scores as much as the k-th is as good an answer: copies of a vector are interchangeable.
        self._least = scores[:, -1] - _ROUNDING

    def recall(self, reduction: Reduction) -> float:
        """The mean over queries of the share of the k best that the reduced top `depth` holds."""
        reduced = reduction.reduce_queries(self._measured), reduction.reduce_data(self._vectors)
        _, found = nearest(*reduced, self._depth)
        good = np.empty(len(found))
        for row, (query, ordinals) in enumerate(zip(self._measured, found, strict=True)):
            good[row] = np.count_nonzero(self._vectors[ordinals] @ query >= self._least[row])
        return float((np.minimum(good, self._k) / self._k).mean())
