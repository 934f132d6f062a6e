"""A first level of scalar codes: each vector between its own least and largest element."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from leanseek.indexing.arrays import offsets_of, open_array
from leanseek.indexing.dense.lean.engine import Probing, ProbingEngine
from leanseek.indexing.dense.lean.lists import Routes, cluster
from leanseek.indexing.dense.lean.rows import Rows, native
from leanseek.indexing.quantisation import Bits, quantise
from leanseek.types import Float32Array, Int64Array


@dataclass(frozen=True, eq=False)
class LvqLists(Routes):
    """n vectors reduced to d dimensions in c lists; what is quantised is the difference from a list's centroid.

    With one list that is the difference from the data's mean.
    """

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

    # The second level has files of these names, too.
    files: ClassVar[Mapping[str, str]] = {"lows": "lows_lvq", "steps": "steps_lvq"}

    @classmethod
    def build(
        cls,
        reduced: Float32Array,
        reduction: Float32Array,
        count: int,
        bits: Bits,
        seed: int,
        device: str | None = None,
    ) -> LvqLists:
        """About `count` lists of reduced vectors (n, d); `reduction` (D, d) is the queries' matrix."""
        clusters = cluster(reduced, count, seed, device)
        order = np.argsort(clusters.members, kind="stable")
        sizes = np.bincount(clusters.members, minlength=len(clusters.centroids))
        codes, lows, steps = quantise((reduced - clusters.centroids[clusters.members])[order], bits)
        return cls(
            reduction=np.ascontiguousarray(reduction),
            centroids=clusters.centroids,
            spreads=clusters.spreads,
            starts=offsets_of(sizes),
            ordinals=order.astype(np.int32),
            codes=codes,
            lows=lows,
            steps=steps,
        )

    @classmethod
    def open(cls, folder: Path, dimensions: int, size: int, bits: Bits) -> LvqLists:
        """The arrays that `save` wrote, memory-mapped.

        Raises IndexDamagedError where they cannot be read, ValueError where they do not fit together.
        """
        routes = cls.read(folder, dimensions)
        starts = open_array(folder / "starts.npy", "int64", (len(routes[1]) + 1,))
        ordinals = open_array(folder / "ordinals.npy", "int32", (size,))
        if starts[0] != 0 or starts[-1] != size or (np.diff(starts) < 0).any():
            raise ValueError("the lists' beginnings are out of order")
        if size and not 0 <= ordinals.min() <= ordinals.max() < size:
            raise ValueError("a list names a vector that is not there")
        return cls(
            *routes,
            starts=starts,
            ordinals=ordinals,
            codes=open_array(folder / "codes.npy", "uint8", (size, routes[0].shape[1] * bits // 8)),
            lows=open_array(folder / "lows_lvq.npy", "float32", (size,)),
            steps=open_array(folder / "steps_lvq.npy", "float32", (size,)),
        )


class LvqEngine(ProbingEngine):
    """Scans codes list by list, by the compiled kernels where there are any, else by NumPy."""

    def __init__(self, lists: LvqLists, rows: Rows, *, portable: bool) -> None:
        super().__init__(lists, rows)
        self._lists = lists
        self._kernels = None if portable else native()
        if self._kernels is not None:
            shape = rows.size, lists.reduction.shape[1]
            self._native = self._kernels.Rows(*shape, lists.codes, lists.lows, lists.steps)

    def score(self, query: Float32Array, places: Int64Array) -> Float32Array:
        """(c,) inner products of a reduced query (d,) with the differences at places (c,)."""
        if self._kernels is not None:
            scores: Float32Array = self._kernels.score(self._native, query, places)
            return scores
        lists, half = self._lists, len(query) // 2
        codes = lists.codes[places]
        if codes.shape[1] == len(query):
            products = codes.astype(np.float32) @ query
        else:
            products = (codes & 15).astype(np.float32) @ query[:half]
            products += (codes >> 4).astype(np.float32) @ query[half:]
        decoded: Float32Array = lists.lows[places] * query.sum() + lists.steps[places] * products
        return decoded

    def _candidates(self, probing: Probing) -> Int64Array:
        lists, depth, allowed = self._lists, probing.depth, probing.allowed
        found = np.full((len(probing.reduced), depth), -1, dtype=np.int64)
        for row, (query, probes, offsets) in enumerate(
            zip(probing.reduced, probing.probes, probing.offsets, strict=True)
        ):
            firsts, lasts = lists.starts[probes], lists.starts[probes + 1]
            sizes = lasts - firsts
            places = np.repeat(lasts - np.cumsum(sizes), sizes) + np.arange(sizes.sum())
            coarse = np.repeat(offsets, sizes)
            if allowed is not None:
                kept = allowed[lists.ordinals[places]]
                places, coarse = places[kept], coarse[kept]
            scores = coarse + self.score(query, places)
            best = (
                np.argpartition(-scores, depth - 1)[:depth] if len(scores) > depth else np.arange(len(scores))
            )
            found[row, : len(best)] = lists.ordinals[places[best]]
        return found
