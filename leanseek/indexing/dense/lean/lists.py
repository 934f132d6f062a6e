"""Cuts a collection into lists of vectors that lie together, and stores them in 4-bit codes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leanseek.indexing.arrays import offsets_of, open_array, write_array
from leanseek.indexing.dense.device_index import closest_on, kmeans_on, within_memory
from leanseek.indexing.faiss_library import faiss, kmeans
from leanseek.indexing.vectors import BLOCK_ROWS, VectorSource, blocks, drawn
from leanseek.types import Float32Array, Int64Array

BLOCK: Final = 32
"""Vectors whose codes are stored together."""
CODEWORDS: Final = 16
OUTLYING: Final = 4.0
"""A list is taken to hold vectors this many standard deviations from its centroid, on the query's side."""
_CLUSTER_POINTS: Final = 128
"""Vectors that are clustered, for each centroid."""
_CLUSTER_STEPS: Final = 8
_PROBES: Final = 8
"""Groups of centroids that a vector's list is looked for in: one in a hundred vectors has a nearer one elsewhere."""
_LEARNING_POINTS: Final = 16384
_STEPS: Final = 10


class Clusters(NamedTuple):
    """`centroids` (c, d) are the means of their members, `spreads` (c,) how far members lie from them.

    `members` (n,) are the vectors' clusters.
    """

    centroids: Float32Array
    spreads: Float32Array
    members: Int64Array


class Cells:
    """Centroids (c, d) in groups around coarse ones, so that few of them are compared with a vector."""

    def __init__(
        self, centroids: Float32Array, coarse: Float32Array, groups: Int64Array, device: str | None = None
    ) -> None:
        """`groups` (c,), ascending, are the coarse centroids (s, d) that the centroids belong to.

        A `device` other than the CPU compares vectors with all centroids, as far as its memory suffices.
        """
        self._device = device
        used, groups = np.unique(groups, return_inverse=True)
        self.centroids, self._coarse = centroids, np.ascontiguousarray(coarse[used])
        self._groups = groups.reshape(-1)
        self._starts = np.searchsorted(self._groups, np.arange(len(used) + 1))
        self._halves = np.square(centroids).sum(axis=1) / np.float32(2)
        self._coarse_halves = np.square(self._coarse).sum(axis=1) / np.float32(2)

    @classmethod
    def learn(cls, vectors: Float32Array, count: int, seed: int, device: str | None = None) -> Cells:
        """About `count` of vectors (n, d), by k-means in two stages: square root of count, then each again.

        Two stages take a fraction of the time of one and find lists that are as good for searching.
        """
        count = max(1, min(count, len(vectors)))
        coarse = _kmeans(vectors, math.isqrt(count), seed, device)
        parts = cls(coarse, coarse[:1], np.zeros(len(coarse), dtype=np.int64), device).nearest(vectors)
        sizes = np.bincount(parts, minlength=len(coarse))
        wanted = np.minimum(np.maximum(np.rint(count * sizes / len(vectors)).astype(np.int64), 1), sizes)
        fine = [
            _kmeans(vectors[parts == part], int(wanted[part]), seed, device) for part in np.flatnonzero(sizes)
        ]
        return cls(np.concatenate(fine), coarse, np.repeat(np.arange(len(coarse)), wanted), device)

    def nearest(self, vectors: Float32Array) -> Int64Array:
        """(n,) of vectors (n, d) the nearest centroid, among those of the nearest coarse ones."""
        device = self._device
        if device is not None:
            found = within_memory(lambda: closest_on(device, vectors, self.centroids))
            if found is not None:
                return found
        members = np.empty(len(vectors), dtype=np.int64)
        for start in range(0, len(vectors), BLOCK_ROWS):
            members[start : start + BLOCK_ROWS] = self._nearest(vectors[start : start + BLOCK_ROWS])
        return members

    def _nearest(self, block: Float32Array) -> Int64Array:
        probes = min(_PROBES, len(self._coarse))
        near = np.argpartition(self._coarse_halves - block @ self._coarse.T, probes - 1, axis=1)[:, :probes]
        # By group, so that one product compares all vectors that a group comes into question for. NumPy sorts two
        # bytes by radix.
        order = np.argsort(near.astype(np.uint16).ravel(), kind="stable") // probes
        ends = np.cumsum(np.bincount(near.ravel(), minlength=len(self._coarse)))
        best = np.full(len(block), -np.inf, dtype=np.float32)
        members = np.zeros(len(block), dtype=np.int64)
        for group, end in enumerate(ends.tolist()):
            rows = order[ends[group - 1] if group else 0 : end]
            first, last = self._starts[group : group + 2]
            scores = block[rows] @ self.centroids[first:last].T - self._halves[first:last]
            chosen = scores.argmax(axis=1)
            scores = scores[np.arange(len(rows)), chosen]
            closer = scores > best[rows]
            rows = rows[closer]
            best[rows], members[rows] = scores[closer], first + chosen[closer]
        return members

    def described(self, vectors: Float32Array) -> tuple[Cells, Clusters]:
        """Cells whose centroids are the means of those of the vectors (n, d) that are nearest, and those vectors'."""
        used, members = np.unique(self.nearest(vectors), return_inverse=True)
        clusters = _described(vectors, members.astype(np.int64).reshape(-1), len(used))
        return Cells(clusters.centroids, self._coarse, self._groups[used], self._device), clusters


def cluster(vectors: Float32Array, count: int, seed: int, device: str | None = None) -> Clusters:
    """About `count` clusters of vectors (n, d); see `Cells`."""
    return Cells.learn(vectors, count, seed, device).described(vectors)[1]


def _described(vectors: Float32Array, members: Int64Array, count: int) -> Clusters:
    order = np.argsort(members, kind="stable")
    sizes = np.bincount(members, minlength=count)
    starts = offsets_of(sizes)[:-1]
    centroids = (np.add.reduceat(vectors[order], starts) / sizes[:, None]).astype(np.float32)
    # A variance is the mean square less the square of the mean.
    squares = np.bincount(members, np.einsum("nd,nd->n", vectors, vectors), minlength=count) / sizes
    variances = np.maximum(squares - np.square(centroids, dtype=np.float64).sum(axis=1), 0.0)
    deviations = np.sqrt(variances / vectors.shape[1])
    return Clusters(centroids, (OUTLYING * deviations).astype(np.float32), members)


def _kmeans(vectors: Float32Array, count: int, seed: int, device: str | None) -> Float32Array:
    if count >= len(vectors):
        return vectors
    if device is not None:
        some = np.random.default_rng(seed).permutation(len(vectors))[: _CLUSTER_POINTS * count]
        found = within_memory(
            lambda: kmeans_on(device, vectors[np.sort(some)], count, _CLUSTER_STEPS, seed + 1)
        )
        if found is not None:
            return found
    return kmeans(vectors, count, _CLUSTER_STEPS, seed + 1, max_points_per_centroid=_CLUSTER_POINTS)


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
    reduced: VectorSource,
    reduction: Float32Array,
    count: int,
    dims_a_code: int,
    seed: int,
    device: str | None = None,
) -> Lists:
    """Lists of reduced vectors (n, d), about `count` of them; `reduction` (D, d) is the queries' matrix.

    d is a multiple of 4 * dims_a_code. Centroids and codewords are learned from at most 128 vectors for each list, or
    16,384 if that is more; all vectors are read once, in blocks. `device`: see `Cells`.
    """
    some = drawn(reduced, max(_CLUSTER_POINTS * count, _LEARNING_POINTS), seed)
    cells, clusters = Cells.learn(some, count, seed, device).described(some)
    parts = reduced.shape[1] // dims_a_code
    quantiser = _learned_codes(some, clusters, parts, seed)
    centroids, spreads = clusters.centroids, clusters.spreads
    del some, clusters
    members = np.empty(len(reduced), dtype=np.int32)
    packed = np.empty((len(reduced), parts // 2), dtype=np.uint8)
    for rows, block in blocks(reduced):
        members[rows] = cells.nearest(block)
        packed[rows] = quantiser.compute_codes(np.ascontiguousarray(block - centroids[members[rows]]))
    sizes = np.bincount(members, minlength=len(centroids))
    starts = offsets_of(-(-sizes // BLOCK))
    ordinals = _places(members, sizes, starts)
    books: Float32Array = faiss().vector_to_array(quantiser.centroids).reshape(parts, CODEWORDS, -1)
    return Lists(
        reduction=np.ascontiguousarray(reduction),
        centroids=centroids,
        spreads=spreads,
        codebooks=np.ascontiguousarray(books.transpose(0, 2, 1)),
        starts=starts,
        codes=_codes_by_place(packed, ordinals),
        ordinals=ordinals,
    )


def _learned_codes(vectors: Float32Array, clusters: Clusters, parts: int, seed: int) -> Any:
    """FAISS's product quantiser of what vectors (n, d) differ by from their centroids."""
    quantiser = faiss().ProductQuantizer(vectors.shape[1], parts, 4)
    quantiser.cp.niter = _STEPS
    quantiser.cp.seed = seed + 1
    quantiser.cp.min_points_per_centroid = 1
    rows = np.random.default_rng(seed).permutation(len(vectors))[:_LEARNING_POINTS]
    # Fewer vectors than codewords: repeated ones leave some codewords unused.
    rows = np.resize(rows, max(len(rows), 2 * CODEWORDS))
    quantiser.train(np.ascontiguousarray(vectors[rows] - clusters.centroids[clusters.members[rows]]))
    return quantiser


def _places(members: NDArray[np.int32], sizes: Int64Array, starts: Int64Array) -> NDArray[np.int32]:
    """(blocks * 32,) the vector at each place, -1 for none, from the vectors' lists (n,)."""
    firsts = offsets_of(sizes)[:-1]
    ordinals = np.full(starts[-1] * BLOCK, -1, dtype=np.int32)
    places = np.repeat(starts[:-1] * BLOCK - firsts, sizes)
    places += np.arange(len(members))
    ordinals[places] = np.argsort(members, kind="stable")
    return ordinals


def _codes_by_place(packed: NDArray[np.uint8], ordinals: NDArray[np.int32]) -> NDArray[np.uint8]:
    """(blocks, d/s/2, 32) from the vectors' codes (n, d/s/2); zeros where there is no vector."""
    codes = np.empty((len(ordinals) // BLOCK, packed.shape[1], BLOCK), dtype=np.uint8)
    for start in range(0, len(codes), BLOCK_ROWS // BLOCK):
        here = ordinals[start * BLOCK : start * BLOCK + BLOCK_ROWS]
        taken = packed[here]
        taken[here < 0] = 0
        codes[start : start + BLOCK_ROWS // BLOCK] = taken.reshape(-1, BLOCK, packed.shape[1]).transpose(
            0, 2, 1
        )
    return codes


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
