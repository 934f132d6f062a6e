"""Linear reductions, learned from the second moments of vectors and queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from leanseek.errors import InputError, UsageError
from leanseek.indexing.vectors import finite
from leanseek.types import Float32Array, Float64Array, Int64Array

_BLOCK_ROWS: Final = 4_096
RIDGE: Final = 1e-6
"""Added to the diagonal of K_Q, as a share of its mean: queries need not span every dimension."""
_FW_STEPS: Final = 500
_FW_DECAY: Final = 0.999
_FW_TOLERANCE: Final = 1e-3
_ES_GRID: Final = 17
_ES_REFINEMENTS: Final = 12
_GOLDEN: Final = (5**0.5 - 1) / 2


@dataclass(frozen=True, eq=False)
class Moments:
    """What is known of a set of `count` vectors.

    `second` (D, D) is the mean of x xᵀ, uncentred, and `fourth` the mean of |x|⁴.
    """

    second: Float64Array
    fourth: float
    count: int

    @property
    def dimensions(self) -> int:
        """D, the length of a vector."""
        return len(self.second)


def moments(vectors: Float32Array, rows: Int64Array | None = None) -> Moments:
    """The moments of vectors (n, D), or of the given rows (c,), read in blocks and summed in float64.

    The vectors may be memory-mapped. Raises InputError where a vector read has a NaN or an infinite value.
    """
    count = len(vectors) if rows is None else len(rows)
    second: Float64Array = np.zeros((vectors.shape[1], vectors.shape[1]))
    fourth = 0.0
    for start in range(0, count, _BLOCK_ROWS):
        stop = min(start + _BLOCK_ROWS, count)
        block = vectors[start:stop] if rows is None else vectors[rows[start:stop]]
        wide = finite(block).astype(np.float64)
        second += wide.T @ wide
        fourth += float(np.square(np.einsum("nd,nd->n", wide, wide)).sum())
    return Moments(second / max(count, 1), fourth / max(count, 1), count)


def checked_queries(vectors: Float32Array, queries: Float32Array | None, dims: int) -> Float32Array:
    """The queries (m, D), of which there may be none, once they and `dims` are seen to fit vectors (n, D).

    Raises UsageError for shapes or `dims` that do not fit, InputError where there is no vector.
    """
    if vectors.ndim != 2:
        raise UsageError(f"vectors have shape {vectors.shape}; learning takes (n, D) float32")
    if len(vectors) == 0:
        raise InputError("there are no vectors to learn a reduction from; add documents first")
    width = vectors.shape[1]
    if queries is None:
        queries = np.zeros((0, width), dtype=np.float32)
    if queries.ndim != 2 or queries.shape[1] != width:
        raise UsageError(
            f"queries have shape {queries.shape} and vectors {vectors.shape}; queries take (m, {width}) "
            "float32, encoded by the same model as the vectors"
        )
    if not 1 <= dims <= width:
        raise UsageError(f"dims is {dims}; it must be from 1 to {width}, the length of the vectors")
    return queries


def split_queries(
    queries: Float32Array, fraction: float = 0.2, seed: int = 0
) -> tuple[Float32Array, Float32Array]:
    """Queries (m, D) to learn from, and queries held out for measuring: about that fraction of them, seeded.

    Each side gets at least one where there are two or more; a single query is learned from. Equal queries
    stay on the same side. Raises UsageError unless 0 < fraction < 1.
    """
    if not 0.0 < fraction < 1.0:
        raise UsageError(f"held_out is {fraction}; it must lie between 0 and 1 (0.2 is usual)")
    distinct, group = np.unique(queries, axis=0, return_inverse=True)
    count = min(max(round(fraction * len(distinct)), 1), len(distinct) - 1)
    aside = np.zeros(len(distinct), dtype=np.bool_)
    if count > 0:
        aside[np.random.default_rng(seed).choice(len(distinct), count, replace=False)] = True
    chosen = aside[group.reshape(-1)]
    return queries[~chosen], queries[chosen]


class Pair(NamedTuple):
    """A (d, D) for queries and B (d, D) for data, float64."""

    queries: Float64Array
    data: Float64Array


def loss(pair: Pair, data: Float64Array, queries: Float64Array) -> float:
    """The loss of a pair over its largest possible value without any pair, tr(K_Q K_X); 0 is perfect.

    `data` and `queries` are the second moments (D, D). 0 where all true inner products are 0 and kept so.
    """
    error = pair.queries.T @ pair.data - np.eye(len(data))
    lost = float(np.einsum("ij,ij->", queries @ error, error @ data))
    return _share(lost, float(np.einsum("ij,ij->", queries, data)))


def losses_of_cuts(pair: Pair, data: Float64Array, queries: Float64Array) -> Float64Array:
    """(d,) `loss` of the first 1, 2, … d rows of a pair."""
    total = float(np.einsum("ij,ij->", queries, data))
    both = (pair.queries @ queries @ pair.queries.T) * (pair.data @ data @ pair.data.T)
    quadratic = np.diagonal(both.cumsum(axis=0).cumsum(axis=1))
    linear = np.einsum("ij,ij->i", pair.queries @ (queries @ data), pair.data).cumsum()
    lost: Float64Array = np.maximum(quadratic - 2.0 * linear + total, 0.0)
    return np.array([_share(float(value), total) for value in lost])


def gradients(pair: Pair, data: Float64Array, queries: Float64Array) -> Pair:
    """The gradients (d, D) of tr(Mᵀ K_Q M K_X) with respect to A and to B."""
    error = pair.queries.T @ pair.data - np.eye(len(data))
    middle = 2.0 * (queries @ error @ data)
    return Pair(pair.data @ middle.T, pair.queries @ middle)


def principal(data: Float64Array, dims: int) -> Pair:
    """`id`: both matrices hold the leading eigenvectors of K_X (uncentred PCA). The first rows are nested."""
    basis = _leading(data, dims)
    return Pair(basis, basis)


def eigenvector_search(data: Float64Array, queries: Float64Array, dims: int) -> Pair:
    """`ood-es`: both matrices hold leading eigenvectors of (1-β) K_X + β K_Q, both scaled to trace 1.

    The β in [0, 1] of least loss is sought on a grid, then by golden section around its best point. β = 0 is
    `principal`, so that the loss is never greater than its.
    """
    first, second = data / _trace(data), queries / _trace(queries)

    def at(beta: float) -> tuple[float, Pair]:
        basis = _leading((1.0 - beta) * first + beta * second, dims)
        return loss(Pair(basis, basis), data, queries), Pair(basis, basis)

    grid = np.linspace(0.0, 1.0, _ES_GRID)
    tried = [at(float(beta)) for beta in grid]
    best = int(np.argmin([value for value, _ in tried]))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, _ES_GRID - 1)])
    found = tried[best]
    for _ in range(_ES_REFINEMENTS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        of_left, of_right = at(left), at(right)
        low, high = (low, right) if of_left[0] <= of_right[0] else (left, high)
        found = min(found, of_left, of_right, key=lambda one: one[0])
    return found[1]


def frank_wolfe(data: Float64Array, queries: Float64Array, dims: int) -> Pair:
    """`ood-fw`: block-coordinate Frank-Wolfe over pairs of matrices with spectral norm at most 1.

    Steps of 1 / t^0.999 in A and then in B, until the loss changes by less than a thousandth of itself. The
    first step goes to the vertices that the gradients at B = principal, A = 0 and at A, B = 0 point to.
    """
    data, queries = data / _trace(data), queries / _trace(queries)
    pair = Pair(np.zeros((dims, len(data))), principal(data, dims).data)
    before = np.inf
    for step in range(_FW_STEPS):
        size = 1.0 / (step + 1) ** _FW_DECAY
        toward = _vertex(gradients(pair, data, queries).queries)
        pair = Pair((1.0 - size) * pair.queries + size * toward, pair.data)
        start = Pair(pair.queries, np.zeros_like(pair.data)) if step == 0 else pair
        toward = _vertex(gradients(start, data, queries).data)
        pair = Pair(pair.queries, (1.0 - size) * pair.data + size * toward)
        now = loss(pair, data, queries)
        if step > 1 and abs(now - before) < _FW_TOLERANCE * before:
            break
        before = now
    return pair


def sphering(data: Float64Array, queries: Float64Array, dims: int) -> Pair:
    """`sphering`: the pair of least loss among all, in closed form; the first rows are nested.

    With W = K_Q^(1/2) the loss is |W M X|², so that W AᵀB X is best the rank-d approximation of W X: with the
    leading eigenvectors P of W K_X W, A = Pᵀ W⁻¹ and B = Pᵀ W.
    """
    ridge = RIDGE * max(_trace(queries) / len(queries), np.finfo(np.float64).tiny)
    values, vectors = np.linalg.eigh(queries)
    roots = np.sqrt(np.maximum(values, 0.0) + ridge)
    root = (vectors * roots) @ vectors.T
    inverse = (vectors / roots) @ vectors.T
    basis = _leading(root @ data @ root, dims)
    return Pair(basis @ inverse, basis @ root)


def shrunk(few: Moments, target: Moments) -> tuple[Float64Array, float]:
    """The second moments (D, D) of few vectors drawn toward the target's, and by how much (0 to 1).

    D² moments cannot be estimated from few vectors. The target is scaled to the same trace, and the share is the one
    that minimises the expected error (Ledoit and Wolf, "A well-conditioned estimator for large-dimensional
    covariance matrices", 2004). With the queries' moments drawn all the way to the data's, `sphering` is
    `principal`.
    """
    if few.count == 0:
        return target.second, 1.0
    aim = target.second * (_trace(few.second) / _trace(target.second))
    apart = float(np.square(few.second - aim).sum())
    noise = (few.fourth - float(np.square(few.second).sum())) / few.count
    share = min(max(noise / apart, 0.0), 1.0) if apart > 0.0 else 1.0
    return (1.0 - share) * few.second + share * aim, share


def _leading(matrix: Float64Array, dims: int) -> Float64Array:
    """(dims, D) the eigenvectors of the largest eigenvalues, largest first, signs settled."""
    basis: Float64Array = np.linalg.eigh(matrix)[1][:, ::-1][:, :dims].T
    largest = np.abs(basis).argmax(axis=1)
    signs = np.sign(basis[np.arange(len(basis)), largest])
    return np.ascontiguousarray(basis * signs[:, None])


def _vertex(gradient: Float64Array) -> Float64Array:
    """The matrix of spectral norm 1 that goes furthest against the gradient."""
    left, _, right = np.linalg.svd(-gradient, full_matrices=False)
    vertex: Float64Array = left @ right
    return vertex


def _trace(matrix: Float64Array) -> float:
    return float(np.trace(matrix))


def _share(lost: float, total: float) -> float:
    if total > 0.0:
        return max(lost, 0.0) / total
    return 0.0 if lost <= 0.0 else float("inf")
