"""A first level of locally adaptive scalar quantisation: each vector between its own least and largest element."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from leanseek.indexing.arrays import read, write
from leanseek.indexing.dense.lean.engine import ProbingEngine
from leanseek.indexing.dense.lean.lists import cluster
from leanseek.indexing.dense.lean.rows import Rows
from leanseek.types import BoolArray, Float32Array, Int64Array

Bits: TypeAlias = Literal[4, 8]

_BLOCK_ROWS: Final = 16_384


class Quantised(NamedTuple):
    """Vectors (n, d) as x[i] = low + step * code[i].

    `codes` (n, d) or, in 4 bits, (n, d/2) uint8, the first half of the dimensions in the lower halves of bytes;
    `lows` and `steps` (n,) float32.
    """

    codes: NDArray[np.uint8]
    lows: Float32Array
    steps: Float32Array


def quantise(vectors: Float32Array, bits: Bits) -> Quantised:
    """Vectors (n, d), each to its own 2^bits levels; no element is off by more than half of its vector's step.

    With step = (u - l) / (2^bits - 1) between the vector's least and largest element, code = round((x - l) /
    step). d is even for 4 bits. (Aguerrebere et al., "Similarity search in the blink of an eye with compressed
    indices", VLDB 2023; what is quantised there is the difference from the data's mean, as `LvqLists` has it.)
    """
    most = 2**bits - 1
    width = vectors.shape[1] * bits // 8
    codes = np.empty((len(vectors), width), dtype=np.uint8)
    lows = np.empty(len(vectors), dtype=np.float32)
    steps = np.empty(len(vectors), dtype=np.float32)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        part = vectors[start : start + _BLOCK_ROWS]
        low = part.min(axis=1)
        step = (part.max(axis=1) - low) / np.float32(most)
        step[step == 0] = 1
        levels = np.rint((part - low[:, None]) / step[:, None]).clip(0, most).astype(np.uint8)
        if bits == 4:
            levels = levels[:, :width] | levels[:, width:] << 4
        stop = start + len(part)
        codes[start:stop], lows[start:stop], steps[start:stop] = levels, low, step
    return Quantised(codes, lows, steps)


@dataclass(frozen=True, eq=False)
class LvqLists:
    """n vectors reduced to d dimensions in c lists; what is quantised is the difference from a list's centroid.

    With one list that is the difference from the data's mean.
    """

    reduction: Float32Array
    """(D, d): queries are multiplied by it."""
    centroids: Float32Array
    """(c, d)"""
    spreads: Float32Array
    """(c,): a list comes into question by <q, centroid> + |q| * spread."""
    starts: Int64Array
    """(c + 1,): each list's first place."""
    ordinals: NDArray[np.int32]
    """(n,): the vector at each place, ascending in a list."""
    codes: NDArray[np.uint8]
    """(n, d) or (n, d/2), see `Quantised`."""
    lows: Float32Array
    """(n,)"""
    steps: Float32Array
    """(n,)"""

    @property
    def bytes(self) -> int:
        """The size of all arrays."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))

    @classmethod
    def build(
        cls, reduced: Float32Array, reduction: Float32Array, count: int, bits: Bits, seed: int
    ) -> LvqLists:
        """About `count` lists of reduced vectors (n, d); `reduction` (D, d) is the queries' matrix."""
        clusters = cluster(reduced, count, seed)
        order = np.argsort(clusters.members, kind="stable")
        sizes = np.bincount(clusters.members, minlength=len(clusters.centroids))
        codes, lows, steps = quantise((reduced - clusters.centroids[clusters.members])[order], bits)
        return cls(
            reduction=np.ascontiguousarray(reduction),
            centroids=clusters.centroids,
            spreads=clusters.spreads,
            starts=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            ordinals=order.astype(np.int32),
            codes=codes,
            lows=lows,
            steps=steps,
        )

    def save(self, folder: Path) -> None:
        """Write the arrays into an existing folder."""
        for field in fields(self):
            write(folder, field.name + ("_lvq" if field.name in _SHARED else ""), getattr(self, field.name))

    @classmethod
    def open(cls, folder: Path, dimensions: int, size: int, bits: Bits) -> LvqLists:
        """The arrays that `save` wrote, memory-mapped. Raises IndexDamagedError where they cannot be read."""
        reduction = read(folder, "reduction", "float32", (dimensions, None))
        dims = reduction.shape[1]
        centroids = read(folder, "centroids", "float32", (None, dims))
        starts = read(folder, "starts", "int64", (len(centroids) + 1,))
        ordinals = read(folder, "ordinals", "int32", (size,))
        if starts[0] != 0 or starts[-1] != size or (np.diff(starts) < 0).any():
            raise ValueError("the lists' beginnings are out of order")
        if size and not 0 <= ordinals.min() <= ordinals.max() < size:
            raise ValueError("a list names a vector that is not there")
        return cls(
            reduction=reduction,
            centroids=centroids,
            spreads=read(folder, "spreads", "float32", (len(centroids),)),
            starts=starts,
            ordinals=ordinals,
            codes=read(folder, "codes", "uint8", (size, dims * bits // 8)),
            lows=read(folder, "lows_lvq", "float32", (size,)),
            steps=read(folder, "steps_lvq", "float32", (size,)),
        )


_SHARED: Final = ("lows", "steps")
"""Names that the second level has files of, too."""


class LvqEngine(ProbingEngine):
    """Scans codes list by list: those of 8 bits by the compiled kernels where there are any, else by NumPy."""

    def __init__(self, lists: LvqLists, rows: Rows, *, portable: bool) -> None:
        super().__init__(lists, rows)
        self._lists = lists
        whole = lists.codes.shape[1] == lists.reduction.shape[1]
        self._bytes = Rows(lists.codes, lists.lows, lists.steps, portable=portable) if whole else None

    @property
    def bytes(self) -> int:
        """The size of the lists."""
        return self._lists.bytes

    def save(self, folder: Path) -> None:
        """See Engine."""
        self._lists.save(folder)

    def score(self, query: Float32Array, places: Int64Array) -> Float32Array:
        """(c,) inner products of a reduced query (d,) with the differences at places (c,)."""
        if self._bytes is not None:
            return self._bytes.score(query, places)
        lists, half = self._lists, len(query) // 2
        codes = lists.codes[places]
        products = (codes & 15).astype(np.float32) @ query[:half]
        products += (codes >> 4).astype(np.float32) @ query[half:]
        scores: Float32Array = lists.lows[places] * query.sum() + lists.steps[places] * products
        return scores

    def _candidates(
        self,
        reduced: Float32Array,
        depth: int,
        probes: Int64Array,
        offsets: Float32Array,
        allowed: BoolArray | None,
    ) -> Int64Array:
        lists = self._lists
        found = np.full((len(reduced), depth), -1, dtype=np.int64)
        for row, query in enumerate(reduced):
            firsts, lasts = lists.starts[probes[row]], lists.starts[probes[row] + 1]
            sizes = lasts - firsts
            places = np.repeat(lasts - np.cumsum(sizes), sizes) + np.arange(sizes.sum())
            coarse = np.repeat(offsets[row], sizes)
            if allowed is not None:
                kept = allowed[lists.ordinals[places]]
                places, coarse = places[kept], coarse[kept]
            scores = coarse + self.score(query, places)
            best = (
                np.argpartition(-scores, depth - 1)[:depth] if len(scores) > depth else np.arange(len(scores))
            )
            found[row, : len(best)] = lists.ordinals[places[best]]
        return found
