"""A learned linear reduction: one matrix shortens queries, another shortens data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from leanseek.errors import InputError, UsageError
from leanseek.indexing.leanvec.linear import (
    Moments,
    Pair,
    checked_queries,
    eigenvector_search,
    frank_wolfe,
    loss,
    losses_of_cuts,
    moments,
    principal,
    shrunk,
    sphering,
    split_queries,
)
from leanseek.indexing.settings import Method
from leanseek.indexing.vectors import sample
from leanseek.types import Float32Array, Float64Array


class Fitting(NamedTuple):
    """A way to find the matrices: `fit` takes the second moments (D, D) of data and queries, and d.

    `nested`: whether the first rows are themselves what fitting fewer gives. `from_queries`: whether it learns from
    them at all.
    """

    fit: Callable[[Float64Array, Float64Array, int], Pair]
    nested: bool
    from_queries: bool


REDUCTIONS: Final[dict[str, Fitting]] = {
    "sphering": Fitting(sphering, nested=True, from_queries=True),
    "ood-es": Fitting(eigenvector_search, nested=False, from_queries=True),
    "ood-fw": Fitting(frank_wolfe, nested=False, from_queries=True),
    "id": Fitting(lambda data, _, dims: principal(data, dims), nested=True, from_queries=False),
}
"""By name, the best first: `auto` takes sphering, or id where that loses less on queries held out."""

HELD_OUT: Final = 0.2
"""The share of the queries that is held out for measuring, where the caller names none."""
_NOTED_FROM: Final = 0.01


@dataclass(frozen=True, eq=False)
class Reduction:
    """<queries @ q, data @ x> approximates <q, x>: `queries` (A) and `data` (B) are (d, D) float32.

    `method` is `id`, `ood-fw`, `ood-es` or `sphering`. `loss` is the squared error of the inner products
    relative to their squares, on held-out queries: |Q AᵀB Xᵀ - Q Xᵀ|² / |Q Xᵀ|². `losses` has it for each
    number of leading rows that `cut` can keep, and is empty where rows cannot be cut off. `notes` are what
    was done because queries were few, or did not help.
    """

    queries: Float32Array
    data: Float32Array
    method: str
    loss: float
    losses: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def dims(self) -> int:
        """d, the length of a reduced vector."""
        return len(self.data)

    @property
    def dimensions(self) -> int:
        """D, the length of a vector."""
        return int(self.data.shape[1])

    @property
    def nested(self) -> bool:
        """Whether the first rows are themselves the reduction of that length, so that `cut` may be used."""
        return bool(self.losses)

    def reduce_queries(self, queries: Float32Array) -> Float32Array:
        """(m, d) float32 for queries (m, D). Raises UsageError for another D."""
        return _product(queries, self.queries, "queries")

    def reduce_data(self, vectors: Float32Array) -> Float32Array:
        """(n, d) float32 for data vectors (n, D). Raises UsageError for another D."""
        return _product(vectors, self.data, "vectors")

    def loss_on(self, vectors: Float32Array, queries: Float32Array) -> float:
        """`loss` for other vectors (n, D) and queries (m, D); 0 where all inner products are 0."""
        exact = np.asarray(queries, dtype=np.float32) @ np.asarray(vectors, dtype=np.float32).T
        lost = self.reduce_queries(queries) @ self.reduce_data(vectors).T - exact
        total = float(np.square(exact, dtype=np.float64).sum())
        return float(np.square(lost, dtype=np.float64).sum()) / total if total else 0.0

    def cut(self, dims: int) -> Reduction:
        """The reduction of the first `dims` rows: what learning with `dims` would have given.

        Raises UsageError where `dims` is not from 1 to d, or this reduction is not nested.
        """
        if not 1 <= dims <= self.dims:
            raise UsageError(f"dims is {dims}; this reduction can be cut to 1 to {self.dims} dimensions")
        if not self.nested:
            raise UsageError(
                f"this {self.method} reduction is not nested and cannot be cut to {dims} dimensions; "
                "cut before orthonormal(), or learn again with that number (id and sphering are nested)"
            )
        return replace(
            self,
            queries=np.ascontiguousarray(self.queries[:dims]),
            data=np.ascontiguousarray(self.data[:dims]),
            loss=self.losses[dims - 1],
            losses=self.losses[:dims],
        )

    def orthonormal(self) -> Reduction:
        """The same scores from data rows that are orthonormal, by a QR decomposition of the data matrix.

        A graph or clusters built on reduced data compare data with data, and only orthonormal rows keep
        those inner products. The result is not nested: cut first.
        """
        queries, data = levelled(self.queries, self.data)
        return replace(self, queries=queries, data=data, losses=())


def levelled(queries: Float32Array, data: Float32Array) -> tuple[Float32Array, Float32Array]:
    """A and B (d, D) of the same product AᵀB, B with orthonormal rows."""
    basis, triangle = np.linalg.qr(data.astype(np.float64).T)
    signs = np.where(np.diagonal(triangle) < 0.0, -1.0, 1.0)
    return (
        np.ascontiguousarray((triangle * signs[:, None]) @ queries.astype(np.float64), dtype=np.float32),
        np.ascontiguousarray((basis * signs).T, dtype=np.float32),
    )


def _product(vectors: Float32Array, matrix: Float32Array, name: str) -> Float32Array:
    if vectors.ndim != 2 or vectors.shape[1] != matrix.shape[1]:
        raise UsageError(f"{name} have shape {vectors.shape}; this reduction takes (n, {matrix.shape[1]})")
    reduced: Float32Array = np.asarray(vectors, dtype=np.float32) @ matrix.T
    return reduced


def learn_reduction(
    vectors: Float32Array,
    queries: Float32Array | None,
    dims: int,
    method: Method = "auto",
    *,
    held_out: float | Float32Array | None = None,
    seed: int = 0,
) -> Reduction:
    """The matrices that reduce vectors (n, D) and queries like `queries` (m, D) to `dims` dimensions.

    `id` is PCA and needs no queries; `ood-es`, `ood-fw` and `sphering` are fitted to the queries; `auto` keeps
    sphering where its loss on held-out queries is less than PCA's, and `notes` has which it is and by
    how much. `held_out` is the share of the queries to measure on (a fifth by default), or other queries
    (h, D). Reads at most 32,768 of the vectors, which may be memory-mapped; the same input gives the same
    result.

    Raises UsageError for shapes, `dims`, `held_out` or a method out of range, or for a method that needs
    queries where there are none; InputError for NaN or infinite values, no vectors, or only zero vectors.
    """
    if method not in ("auto", *REDUCTIONS):
        raise UsageError(f"method is '{method}'; choose one of auto, {', '.join(REDUCTIONS)}")
    queries = checked_queries(vectors, queries, dims)
    data = data_moments(vectors, seed)
    return learn_from_moments(data, Queries(queries, held_out, seed), dims, method)


class Queries:
    """Moments of the queries to learn from and of those held out, as far as there are any."""

    def __init__(self, queries: Float32Array, held_out: float | Float32Array | None, seed: int) -> None:
        if isinstance(held_out, np.ndarray):
            checked_queries(held_out, queries, 1)
            learning, aside = queries, held_out
        else:
            learning, aside = split_queries(queries, HELD_OUT if held_out is None else held_out, seed)
        self.learning: Moments = moments(learning)
        """Of the queries to learn from; count 0 where there are none."""
        self.aside: Moments = moments(aside)
        """Of the queries held out; count 0 where there are too few to hold any out."""
        if self.learning.count and not self.learning.second.any():
            raise InputError("every query to learn from is a zero vector; encode the queries again")


def data_moments(vectors: Float32Array, seed: int) -> Moments:
    """The moments of a seeded sample of vectors (n, D). Raises InputError where all of it is zero."""
    found = moments(vectors, sample(len(vectors), seed))
    if not found.second.any():
        raise InputError(
            "every vector is a zero vector; there is nothing to learn from, encode the texts again"
        )
    return found


def learn_from_moments(data: Moments, queries: Queries, dims: int, method: Method) -> Reduction:
    """`learn_reduction` for what is already summed up; raises UsageError where a method lacks queries."""
    if queries.learning.count == 0 and method != "auto" and REDUCTIONS[method].from_queries:
        raise UsageError(f"method '{method}' learns from queries and there are none; give some, or use 'id'")
    if method != "auto":
        return _learn(data, queries, dims, method)
    plain = _learn(data, queries, dims, "id")
    if queries.aside.count == 0:
        return _noted(plain, "kept id: too few queries to learn from and to hold one out for comparing")
    return better(_learn(data, queries, dims, "sphering"), plain, queries.aside.count)


def better(fitted: Reduction, plain: Reduction, held_out: int) -> Reduction:
    """The reduction of less loss, noting which it is and by how much; `plain` where they are equal.

    `held_out` is the number of queries that the losses are of.
    """
    comparison = f"loss {fitted.loss:.4g} against {plain.loss:.4g} of id on {held_out} held-out queries"
    if fitted.loss < plain.loss:
        return _noted(
            fitted, f"kept {fitted.method}: {comparison}, {1.0 - fitted.loss / plain.loss:.0%} less"
        )
    return _noted(plain, f"kept id: {fitted.method} has {comparison}")


def _learn(data: Moments, queries: Queries, dims: int, method: str) -> Reduction:
    notes = []
    pair, share = _fit(data, queries.learning, dims, method)
    if share >= _NOTED_FROM:
        notes.append(
            f"{queries.learning.count} learning queries for {data.dimensions} dimensions: their moments were "
            f"drawn {share:.0%} of the way toward the data's"
        )
    measured = queries.aside
    if measured.count == 0:
        measured = queries.learning if queries.learning.count else data
        whose = "learning queries" if queries.learning.count else "data"
        notes.append(f"no queries could be held out: the loss is that on the {whose}")
    nested = REDUCTIONS[method].nested
    cuts = tuple(losses_of_cuts(pair, data.second, measured.second).tolist()) if nested else ()
    return Reduction(
        queries=np.ascontiguousarray(pair.queries, dtype=np.float32),
        data=np.ascontiguousarray(pair.data, dtype=np.float32),
        method=method,
        loss=cuts[-1] if nested else loss(pair, data.second, measured.second),
        losses=cuts,
        notes=tuple(notes),
    )


def _fit(data: Moments, learning: Moments, dims: int, method: str) -> tuple[Pair, float]:
    """The pair, and how far the queries' moments were shrunk for it."""
    fitting = REDUCTIONS[method]
    second, share = shrunk(learning, data) if fitting.from_queries else (learning.second, 0.0)
    return fitting.fit(data.second, second, dims), share


def _noted(reduction: Reduction, note: str) -> Reduction:
    return replace(reduction, notes=(note, *reduction.notes))
