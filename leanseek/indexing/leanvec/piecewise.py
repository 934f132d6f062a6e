"""A learned reduction with a pair of matrices for each cluster of the data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from leanseek.errors import UsageError
from leanseek.indexing.faiss_library import kmeans
from leanseek.indexing.leanvec.linear import (
    checked_queries,
    loss,
    moments,
    shrunk,
    sphering,
)
from leanseek.indexing.leanvec.reduction import Queries, data_moments, levelled
from leanseek.indexing.vectors import SAMPLE_ROWS, finite, sample
from leanseek.types import Float32Array, Int64Array

_KMEANS_ROUNDS: Final = 15
_ROWS_PER_MOMENT: Final = 4
"""Vectors read for each dimension of each cluster: with fewer, a pair fits those that were read too closely."""


@dataclass(frozen=True, eq=False)
class PiecewiseReduction:
    """<queries[c] @ q, data[c] @ x> approximates <q, x> for the x of cluster c.

    `centroids` (C, D) are unit vectors, `queries` and `data` (C, d, D), all float32. `loss` is that of
    `Reduction`, over all clusters.
    """

    centroids: Float32Array
    queries: Float32Array
    data: Float32Array
    loss: float
    notes: tuple[str, ...] = ()

    @property
    def dims(self) -> int:
        """d, the length of a reduced vector."""
        return int(self.data.shape[1])

    @property
    def clusters(self) -> int:
        """C, the number of clusters."""
        return len(self.centroids)

    def assign(self, vectors: Float32Array) -> Int64Array:
        """(n,) the cluster of each vector (n, D): the centroid of largest inner product, ties to the first."""
        self._check(vectors, "vectors")
        nearest: Int64Array = (np.asarray(vectors, dtype=np.float32) @ self.centroids.T).argmax(axis=1)
        return nearest

    def reduce_queries(self, queries: Float32Array) -> Float32Array:
        """(m, C, d) float32: queries (m, D) reduced for each cluster. Raises UsageError for another D."""
        self._check(queries, "queries")
        stacked = self.queries.reshape(-1, self.queries.shape[2])
        flat: Float32Array = np.asarray(queries, dtype=np.float32) @ stacked.T
        return flat.reshape(len(queries), self.clusters, self.dims)

    def reduce_data(self, vectors: Float32Array, clusters: Int64Array | None = None) -> Float32Array:
        """(n, d) float32: each vector (n, D) reduced by its cluster's matrix.

        `clusters` (n,) is what `assign` gives, and is computed where it is left out.
        """
        self._check(vectors, "vectors")
        clusters = self.assign(vectors) if clusters is None else clusters
        reduced = np.empty((len(vectors), self.dims), dtype=np.float32)
        for cluster in np.unique(clusters):
            members = clusters == cluster
            reduced[members] = vectors[members] @ self.data[cluster].T
        return reduced

    def orthonormal(self) -> PiecewiseReduction:
        """The same scores, each cluster's data matrix with orthonormal rows, as `Reduction.orthonormal`.

        Inner products of reduced data are then those of the data within a cluster; between clusters reduced
        vectors cannot be compared, so that one graph over all of them makes no sense.
        """
        pairs = [levelled(*pair) for pair in zip(self.queries, self.data, strict=True)]
        return replace(
            self, queries=np.stack([pair[0] for pair in pairs]), data=np.stack([pair[1] for pair in pairs])
        )

    def _check(self, vectors: Float32Array, name: str) -> None:
        width = self.centroids.shape[1]
        if vectors.ndim != 2 or vectors.shape[1] != width:
            raise UsageError(f"{name} have shape {vectors.shape}; this reduction takes (n, {width})")


def learn_piecewise(
    vectors: Float32Array,
    queries: Float32Array,
    dims: int,
    clusters: int = 16,
    *,
    held_out: float | Float32Array | None = None,
    seed: int = 0,
) -> PiecewiseReduction:
    """One sphering pair for each spherical k-means cluster of vectors (n, D), fitted to queries (m, D).

    Tepper and Willke, "GleanVec" (arXiv:2410.22347). A cluster of few vectors borrows from the moments of all
    of them. The arguments and errors are those of `learn_reduction`; UsageError also where `clusters` is not
    from 1 to n.
    """
    queries = checked_queries(vectors, queries, dims)
    if len(queries) == 0:
        raise UsageError("a piecewise reduction learns from queries and there are none; give some")
    if not 1 <= clusters <= len(vectors):
        raise UsageError(
            f"clusters is {clusters}; it must be from 1 to {len(vectors)}, the number of vectors (16 is usual)"
        )
    everything = data_moments(vectors, seed)
    split = Queries(queries, held_out, seed)
    rows = sample(len(vectors), seed)
    read = np.ascontiguousarray(vectors if rows is None else vectors[rows], dtype=np.float32)
    centroids = kmeans(finite(read), min(clusters, len(read)), _KMEANS_ROUNDS, seed, spherical=True)
    rows = sample(len(vectors), seed, max(SAMPLE_ROWS, _ROWS_PER_MOMENT * vectors.shape[1] * clusters))
    rows = np.arange(len(vectors)) if rows is None else rows
    nearest = np.concatenate(
        [
            (finite(vectors[part]) @ centroids.T).argmax(axis=1)
            for part in np.array_split(rows, -(-len(rows) // SAMPLE_ROWS))
        ]
    )

    second, _ = shrunk(split.learning, everything)
    measured = split.aside if split.aside.count else split.learning
    pairs = []
    lost = total = 0.0
    for cluster in range(len(centroids)):
        members = moments(vectors, rows[nearest == cluster])
        pair = sphering(shrunk(members, everything)[0], second, dims)
        pairs.append(pair)
        size = members.count * float(np.einsum("ij,ij->", measured.second, members.second))
        lost += size * loss(pair, members.second, measured.second) if size > 0.0 else 0.0
        total += size
    notes = (
        ()
        if split.aside.count
        else ("no queries could be held out: the loss is that on the learning queries",)
    )
    return PiecewiseReduction(
        centroids=centroids,
        queries=np.stack([pair.queries for pair in pairs]).astype(np.float32),
        data=np.stack([pair.data for pair in pairs]).astype(np.float32),
        loss=lost / total if total > 0.0 else 0.0,
        notes=notes,
    )
