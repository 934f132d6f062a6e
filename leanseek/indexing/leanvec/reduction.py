"""A learned linear reduction: one matrix shortens queries, another shortens data."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from leanseek.errors import UsageError
from leanseek.types import Float32Array


@dataclass(frozen=True, eq=False)
class Reduction:
    """<queries @ q, data @ x> approximates <q, x>: `queries` (A) and `data` (B) are (d, D) float32.

    `method` is `id`, `ood-fw`, `ood-es` or `sphering`. `loss` is the squared error of the inner products
    relative to their squares, on held-out queries: |Q AᵀB Xᵀ - Q Xᵀ|² / |Q Xᵀ|². `losses` has it for each
    number of leading rows that `cut` can keep, and is empty where rows cannot be cut off. `notes` tells what
    was done about few or unhelpful queries.
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
