"""Vectors on a GPU, or another of torch's devices: exact search by matrix products, and k-means."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from leanseek.encode.batches import Limit, out_of_memory
from leanseek.encode.device import accelerated, check_device, installed_torch
from leanseek.errors import UsageError
from leanseek.indexing.dense.base import ROUNDING, DenseIndex, Listed, Stored
from leanseek.indexing.vectors import BLOCK_ROWS, VectorSource
from leanseek.types import BoolArray, Float32Array, Int64Array

_BLOCK_ROWS: Final = 65_536
_BLOCK_QUERIES: Final = 1_024
_PRODUCTS: Final = 1 << 25
"""Products of vectors and centroids that are made at a time."""
_SPARE: Final = 32
"""Candidates beyond k: a device sums in another order, so neighbours in score may change places."""

Found = TypeVar("Found")


class DeviceIndex:
    """A dense index whose vectors, as it stores them, are searched exactly on one of torch's devices.

    Candidates come from the device; their scores, and so the order, are those of the index's own `score`. The
    vectors are copied by the first search and stay there. Safe to use from several threads.

    Ties come by ordinal, however many, where vectors are about of unit length; sums of much longer ones differ by more
    than is allowed for.
    """

    def __init__(self, index: DenseIndex, device: str) -> None:
        """Raises UsageError for a device that is not there, MissingPackageError without torch."""
        self._torch = torch_for(device)
        self._index, self.device = index, device
        self._copied: _Copy | None = None
        self._at_once = Limit(_BLOCK_QUERIES)
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """n, the number of vectors."""
        return self._index.size

    @property
    def dimensions(self) -> int:
        """D, the length of a vector."""
        return self._index.dimensions

    @property
    def stored(self) -> Stored:
        """See DenseIndex."""
        return self._index.stored

    def search(
        self, queries: Float32Array, k: int, allowed: BoolArray | None = None
    ) -> tuple[Float32Array, Int64Array]:
        """See DenseIndex: the best of all vectors, whatever the kind of the index.

        Where the device's memory does not suffice for many queries, fewer are searched at once.

        Raises UsageError for queries of another shape, and where it does not suffice for one.
        """
        if queries.ndim != 2 or queries.shape[1] != self.dimensions:
            raise UsageError(
                f"queries have shape {queries.shape}; this index takes (m, {self.dimensions}) float32"
            )
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        ordinals = np.full((len(queries), k), -1, dtype=np.int64)
        matches = self.size if allowed is None else int(np.count_nonzero(allowed))
        near, wanted = min(k, matches), min(k + _SPARE, matches)
        start = 0
        while start < len(queries) and near:
            some = np.ascontiguousarray(queries[start : start + self._at_once.amount], dtype=np.float32)
            candidates = self._candidates(some, wanted, allowed)
            if candidates is None:
                self._at_once.halve(len(some))
                continue
            rough, found = candidates
            # A vector that was left out may yet tie with the k-th, and come before it.
            unsettled = (rough[:, -1] >= rough[:, near - 1] - ROUNDING) & (wanted < matches)
            for row, query in enumerate(some):
                every = self._within(query, rough[row, near - 1], allowed) if unsettled[row] else found[row]
                exact = self._index.score(query, every)
                best = np.lexsort((every, -exact))[:near]
                scores[start + row, :near], ordinals[start + row, :near] = exact[best], every[best]
            start += len(some)
        return scores, ordinals

    def search_listed(
        self, queries: Float32Array, k: int, depth: int, allowed: BoolArray | None = None
    ) -> Listed:
        """See DenseIndex."""
        scores, ordinals = self.search(queries, depth, allowed)
        return Listed(scores[:, :k], ordinals[:, :k], scores)

    def score(self, query: Float32Array, ordinals: Int64Array) -> Float32Array:
        """See DenseIndex."""
        return self._index.score(query, ordinals)

    def vectors(self, ordinals: Int64Array) -> Float32Array:
        """See DenseIndex."""
        return self._index.vectors(ordinals)

    def save(self, folder: Path) -> None:
        """See DenseIndex."""
        self._index.save(folder)

    def _candidates(
        self, queries: Float32Array, wanted: int, allowed: BoolArray | None
    ) -> tuple[Float32Array, Int64Array] | None:
        """The best by the device's sums: scores, descending, and ordinals (m, wanted); None for too many queries."""
        copy = self._copy()
        try:
            return copy.nearest(queries, wanted, allowed)
        except Exception as error:
            if out_of_memory(error) and len(queries) > 1:
                return None
            raise self._refusal(error) from error

    def _within(self, query: Float32Array, least: float, allowed: BoolArray | None) -> Int64Array:
        """(c,) the ordinals of all vectors that score `least` or more, ties included, as far as sums can tell."""
        try:
            found = self._copy().at_least(query, float(least) - ROUNDING, allowed)
        except Exception as error:
            raise self._refusal(error) from error
        return found

    def _copy(self) -> _Copy:
        with self._lock:
            if self._copied is None:
                try:
                    self._copied = _Copy(self._torch, self.device, *self._index.stored)
                except Exception as error:
                    raise self._refusal(error) from error
            return self._copied

    def _refusal(self, error: Exception) -> Exception:
        if not out_of_memory(error):
            return error
        return UsageError(
            f"the memory of device '{self.device}' does not suffice for {self.size:,} vectors "
            f"({self._index.stored.bytes / 1e6:,.0f} MB) and what searching takes; search on the CPU"
        )


class _Copy:
    """Stored vectors on a device, all of them, or, where they are not `resident`, the block that is read."""

    def __init__(
        self,
        torch: Any,
        device: str,
        data: VectorSource,
        lows: Float32Array | None = None,
        steps: Float32Array | None = None,
        resident: bool = True,
    ) -> None:
        self._torch, self._device, self._resident = torch, device, resident
        self._data: Any = self._sent(data) if resident else data
        self._block_rows = _BLOCK_ROWS if resident else BLOCK_ROWS
        self._scales = None if lows is None or steps is None else (self._sent(lows), self._sent(steps))

    def nearest(
        self, queries: Float32Array, wanted: int, allowed: BoolArray | None
    ) -> tuple[Float32Array, Int64Array]:
        """The largest inner products (m, wanted), descending, and their ordinals."""
        torch, batch = self._torch, self._sent(queries)
        mask = None if allowed is None else self._sent(allowed)
        best = torch.empty((len(queries), 0), device=self._device)
        found = torch.empty((len(queries), 0), dtype=torch.int64, device=self._device)
        for start in range(0, len(self._data), self._block_rows):
            products = self._products(batch, start, mask)
            # Few of a block come into question: what is put beside the others is small.
            here, places = products.topk(min(wanted, products.shape[1]), 1)
            both, ordinals = torch.cat([best, here], 1), torch.cat([found, places + start], 1)
            best, order = both.topk(min(wanted, both.shape[1]), 1)
            found = ordinals.gather(1, order)
        return best.cpu().numpy(), found.cpu().numpy()

    def at_least(self, query: Float32Array, least: float, allowed: BoolArray | None) -> Int64Array:
        """(c,) the ordinals whose inner products with one query are `least` or more."""
        batch, mask = self._sent(query[None]), None if allowed is None else self._sent(allowed)
        found = [
            start + (self._products(batch, start, mask)[0] >= least).nonzero()[:, 0].cpu().numpy()
            for start in range(0, len(self._data), self._block_rows)
        ]
        return np.concatenate(found)

    def _products(self, batch: Any, start: int, mask: Any) -> Any:
        """(m, c) inner products with the vectors of a block; -inf where the mask is False."""
        here = slice(start, start + self._block_rows)
        block = self._data[here] if self._resident else self._sent(self._data[here])
        products = batch @ block.float().T
        if self._scales is not None:
            lows, steps = self._scales
            products = batch.sum(dim=1, keepdim=True) * lows[here] + products * steps[here]
        return products if mask is None else products.masked_fill(~mask[here], -self._torch.inf)

    def _sent(self, array: Any) -> Any:
        # A copy, since torch warns of arrays that must not be written, such as memory maps.
        return self._torch.from_numpy(np.array(array)).to(self._device)


def searched_on(index: DenseIndex, device: str | None) -> DenseIndex:
    """The index itself, or, for a device other than the CPU, the same vectors searched there."""
    return DeviceIndex(index, device) if device is not None and accelerated(device) else index


def kmeans_on(device: str, vectors: Float32Array, count: int, rounds: int, seed: int) -> Float32Array:
    """(count, d) centroids of vectors (n, d), n >= count, by Lloyd's rounds from vectors drawn by the seed.

    A centroid that loses all its vectors stays where it is.
    """
    torch = torch_for(device)
    points = torch.from_numpy(np.array(vectors)).to(device)
    first = np.random.default_rng(seed).permutation(len(vectors))[:count]
    centroids = points[torch.from_numpy(first).to(device)]
    numbers = torch.arange(count, device=device)
    for _ in range(rounds):
        sums, sizes = torch.zeros_like(centroids), torch.zeros((count, 1), device=device)
        for part in points.split(max(1, _PRODUCTS // count)):
            # A product, since adding by index has no fixed order on a GPU.
            belongs = (_closest(part, centroids)[:, None] == numbers).to(part.dtype)
            sums += belongs.T @ part
            sizes += belongs.sum(0)[:, None]
        centroids = torch.where(sizes > 0, sums / sizes.clamp(min=1), centroids)
    found: Float32Array = centroids.cpu().numpy()
    return found


def closest_on(device: str, vectors: Float32Array, centroids: Float32Array) -> Int64Array:
    """(n,) the number of the centroid (c, d) that each of the vectors (n, d) is closest to."""
    torch = torch_for(device)
    there = torch.from_numpy(np.array(centroids)).to(device)
    members = np.empty(len(vectors), dtype=np.int64)
    rows = max(1, _PRODUCTS // len(centroids))
    for start in range(0, len(vectors), rows):
        part = torch.from_numpy(np.array(vectors[start : start + rows])).to(device)
        members[start : start + rows] = _closest(part, there).cpu().numpy()
    return members


def nearest_on(
    device: str, queries: Float32Array, vectors: VectorSource, k: int
) -> tuple[Float32Array, Int64Array]:
    """Scores, descending, and ordinals (m, k) of the largest inner products of queries (m, D) and vectors (n, D).

    The vectors are read once, in blocks that are sent to the device one after another.
    """
    return _Copy(torch_for(device), device, vectors, resident=False).nearest(queries, k, None)


def within_memory(work: Callable[[], Found]) -> Found | None:
    """What the work returns; None where memory, a device's or the host's, does not suffice for it."""
    try:
        return work()
    except Exception as error:
        if out_of_memory(error):
            return None
        raise


def torch_for(device: str) -> Any:
    """torch, which has the device. Raises UsageError or MissingPackageError as `check_device` does."""
    check_device(device)
    return installed_torch()


def _closest(points: Any, centroids: Any) -> Any:
    """(n,) numbers of the closest of the centroids (c, d), on the device that both are on."""
    return (points @ centroids.T - centroids.square().sum(1) / 2).argmax(1)
