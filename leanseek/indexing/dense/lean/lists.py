"""Cuts a collection into lists of vectors that lie together, and stores them in 4-bit codes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leanseek.indexing.arrays import open_array, write_array
from leanseek.indexing.faiss_library import faiss, kmeans
from leanseek.types import Float32Array, Int64Array

BLOCK: Final = 32
"""Vectors whose codes are stored together."""
CODEWORDS: Final = 16
OUTLYING: Final = 4.0
"""A list is taken to hold vectors this many standard deviations from its centroid, on the query's side."""
_COARSE_POINTS: Final = 128
_CLUSTER_STEPS: Final = 8
_BLOCK_ROWS: Final = 4096
_LEARNING_POINTS: Final = 16384
_STEPS: Final = 10


class Clusters(NamedTuple):
    """`centroids` (c, d) are the means of their members, `spreads` (c,) how far members lie from them.

    `members` (n,) are the vectors' clusters.
    """

    centroids: Float32Array
    spreads: Float32Array
    members: Int64Array


def cluster(vectors: Float32Array, count: int, seed: int) -> Clusters:
    """About `count` clusters of vectors (n, d) by k-means in two stages: square root of count, then each again.

    Two stages take a fraction of the time of one and find lists that are as good for searching.
    """
    count = max(1, min(count, len(vectors)))
    if count == 1:
        return _described(vectors, np.zeros(len(vectors), dtype=np.int64), 1)
    stage = math.isqrt(count)
    coarse = _kmeans(vectors, stage, seed)
    parts = _nearest(vectors, coarse)
    sizes = np.bincount(parts, minlength=len(coarse))
    centroids = []
    for part in np.flatnonzero(sizes):
        inside = vectors[parts == part]
        wanted = min(max(1, round(count * int(sizes[part]) / len(vectors))), len(inside))
        centroids.append(_kmeans(inside, wanted, seed))
    members = _nearest(vectors, np.concatenate(centroids))
    used, members = np.unique(members, return_inverse=True)
    return _described(vectors, members.astype(np.int64), len(used))


def _described(vectors: Float32Array, members: Int64Array, count: int) -> Clusters:
    order = np.argsort(members, kind="stable")
    sizes = np.bincount(members, minlength=count)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    centroids = (np.add.reduceat(vectors[order], starts) / sizes[:, None]).astype(np.float32)
    # A variance is the mean square less the square of the mean.
    squares = np.bincount(members, np.einsum("nd,nd->n", vectors, vectors), minlength=count) / sizes
    variances = np.maximum(squares - np.square(centroids, dtype=np.float64).sum(axis=1), 0.0)
    deviations = np.sqrt(variances / vectors.shape[1])
    return Clusters(centroids, (OUTLYING * deviations).astype(np.float32), members)


def _kmeans(vectors: Float32Array, count: int, seed: int) -> Float32Array:
    if count >= len(vectors):
        return vectors
    return kmeans(vectors, count, _CLUSTER_STEPS, seed + 1, max_points_per_centroid=_COARSE_POINTS)


def _nearest(vectors: Float32Array, centroids: Float32Array) -> Int64Array:
    members = np.empty(len(vectors), dtype=np.int64)
    halves = np.square(centroids).sum(axis=1) / np.float32(2)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        products = vectors[start : start + _BLOCK_ROWS] @ centroids.T
        members[start : start + _BLOCK_ROWS] = np.argmax(products - halves, axis=1)
    return members


@dataclass(frozen=True, eq=False)
class Routes:
    """What it takes to find the lists, c of them, that a query's answers are in."""

    reduction: Float32Array
    """(D, d): queries are multiplied by it."""
    centroids: Float32Array
    """(c, d)"""
    spreads: Float32Array
    """(c,): a list comes into question by <q, centroid> + |q| * spread, the score of one far out in it."""

    files: ClassVar[Mapping[str, str]] = {}
    """Arrays that are stored under another name than their own."""

    @property
    def count(self) -> int:
        """c, the number of lists."""
        return len(self.centroids)

    @property
    def bytes(self) -> int:
        """The size of all arrays."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))

    def save(self, folder: Path) -> None:
        """Write the arrays into an existing folder."""
        for field in fields(self):
            name = self.files.get(field.name, field.name)
            write_array(folder / f"{name}.npy", getattr(self, field.name))

    @staticmethod
    def read(folder: Path, dimensions: int) -> tuple[Float32Array, Float32Array, Float32Array]:
        """The routes' own arrays that `save` wrote, memory-mapped. Raises IndexDamagedError."""
        reduction = open_array(folder / "reduction.npy", "float32", (dimensions, None))
        centroids = open_array(folder / "centroids.npy", "float32", (None, reduction.shape[1]))
        return reduction, centroids, open_array(folder / "spreads.npy", "float32", (len(centroids),))


@dataclass(frozen=True, eq=False)
class Lists(Routes):
    """n vectors reduced to d dimensions, in c lists, each list in blocks of 32 places.

    A vector's code is that of its residual, the difference from its list's centroid: d/s numbers of 4 bits,
    each for s neighbouring dimensions (Jégou et al., "Product quantization for nearest neighbor search",
    PAMI 2011). An inner product is that with the centroid plus one table entry a number.
    """

    codebooks: Float32Array
    """(d/s, s, 16): the codewords of each part."""
    starts: Int64Array
    """(c + 1,): each list's first block."""
    codes: NDArray[np.uint8]
    """(blocks, d/s/2, 32): two parts' numbers in a byte, the first in the lower half."""
    ordinals: NDArray[np.int32]
    """(blocks * 32,): the vector at each place, -1 for none; ascending in a list."""

    @classmethod
    def open(cls, folder: Path, dimensions: int) -> Lists:
        """The arrays that `save` wrote, memory-mapped. Raises IndexDamagedError where they cannot be read."""
        routes = cls.read(folder, dimensions)
        codebooks = open_array(folder / "codebooks.npy", "float32", (None, None, CODEWORDS))
        codes = open_array(folder / "codes.npy", "uint8", (None, len(codebooks) // 2, BLOCK))
        return cls(
            *routes,
            codebooks=codebooks,
            starts=open_array(folder / "starts.npy", "int64", (len(routes[1]) + 1,)),
            codes=codes,
            ordinals=open_array(folder / "ordinals.npy", "int32", (len(codes) * BLOCK,)),
        )


def build_lists(
    reduced: Float32Array, reduction: Float32Array, count: int, dims_a_code: int, seed: int
) -> Lists:
    """Lists of reduced vectors (n, d), about `count` of them; `reduction` (D, d) is the queries' matrix.

    d is a multiple of 4 * dims_a_code.
    """
    clusters = cluster(reduced, count, seed)
    residuals = reduced - clusters.centroids[clusters.members]
    parts = reduced.shape[1] // dims_a_code
    codebooks, packed = _quantise(residuals, parts, seed)

    sizes = np.bincount(clusters.members, minlength=len(clusters.centroids))
    starts = np.concatenate([[0], np.cumsum(-(-sizes // BLOCK))])
    order = np.argsort(clusters.members, kind="stable")
    firsts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    places = np.repeat(starts[:-1] * BLOCK - firsts, sizes) + np.arange(len(reduced))
    ordinals = np.full(starts[-1] * BLOCK, -1, dtype=np.int32)
    ordinals[places] = order
    codes = np.zeros((starts[-1] * BLOCK, parts // 2), dtype=np.uint8)
    codes[places] = packed[order]
    return Lists(
        reduction=np.ascontiguousarray(reduction),
        centroids=clusters.centroids,
        spreads=clusters.spreads,
        codebooks=codebooks,
        starts=starts.astype(np.int64),
        codes=np.ascontiguousarray(codes.reshape(-1, BLOCK, parts // 2).transpose(0, 2, 1)),
        ordinals=ordinals,
    )


def _quantise(residuals: Float32Array, parts: int, seed: int) -> tuple[Float32Array, NDArray[np.uint8]]:
    """Codebooks (parts, s, 16) and codes (n, parts / 2)."""
    dims = residuals.shape[1]
    quantiser = faiss().ProductQuantizer(dims, parts, 4)
    quantiser.cp.niter = _STEPS
    quantiser.cp.seed = seed + 1
    quantiser.cp.min_points_per_centroid = 1
    chance = np.random.default_rng(seed)
    rows = chance.permutation(len(residuals))[:_LEARNING_POINTS]
    # Fewer vectors than codewords: repeated ones leave some codewords unused.
    quantiser.train(np.ascontiguousarray(residuals[np.resize(rows, max(len(rows), 2 * CODEWORDS))]))
    books: Float32Array = faiss().vector_to_array(quantiser.centroids).reshape(parts, CODEWORDS, -1)
    codes: NDArray[np.uint8] = quantiser.compute_codes(np.ascontiguousarray(residuals))
    return np.ascontiguousarray(books.transpose(0, 2, 1)), codes


def encode(residuals: Float32Array, codebooks: Float32Array) -> NDArray[np.uint8]:
    """The codes (n, p/2) of residuals (n, p * s) by codebooks (p, s, 16): the nearest codewords, as in `Lists`."""
    parts = len(codebooks)
    split = residuals.reshape(len(residuals), parts, -1)
    # A part's own length is the same for all codewords.
    distances = np.square(codebooks).sum(axis=1) - 2 * np.einsum("nps,psc->npc", split, codebooks)
    nearest = distances.argmin(axis=2).astype(np.uint8)
    packed: NDArray[np.uint8] = nearest[:, 0::2] | nearest[:, 1::2] << 4
    return packed


def balanced_order(variances: Float32Array, dims_a_code: int) -> Int64Array:
    """An order of d dimensions (d,) in which each code's neighbours together carry about as much as others'.

    The widest dimensions go to a code each, the next ones to the same codes in reverse, and so on: codes
    with equally many bits then lose equally much (Ge et al., "Optimized product quantization", PAMI 2014).
    """
    ranks = np.argsort(-variances, kind="stable").reshape(dims_a_code, -1)
    ranks[1::2] = ranks[1::2, ::-1]
    order: Int64Array = ranks.T.reshape(-1)
    return order
