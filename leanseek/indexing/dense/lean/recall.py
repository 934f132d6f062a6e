"""How far a search has to go for a recall: measured on queries that nothing was learned from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from leanseek.indexing.dense.base import ROUNDING
from leanseek.indexing.dense.device_index import nearest_on, within_memory
from leanseek.indexing.dense.lean.engine import Effort, Engine
from leanseek.indexing.leanvec.dims import nearest
from leanseek.indexing.vectors import VectorSource
from leanseek.types import Float32Array, Float64Array, Int64Array

LENGTHS: Final = (10, 100)
"""The numbers of answers (k) that are calibrated; others lie between or beyond."""
MEASURED: Final = 3_000
"""The most queries that a recall is measured on: .9 of the best 10 is then known within .005 (95 of 100 times)."""
_COMPARED: Final = 4_000_000_000
"""Inner products that the true best are found by: with 10 million vectors .9 is then known within .014."""
_FEWEST_MEASURED: Final = 400
_EXPLORED: Final = 250
"""Queries that the depth is chosen with; a difference between two depths is known better than a recall."""
_DEPTHS: Final = {10: (2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 40.0), 100: (1.5, 2.0, 3.5, 6.0, 12.0)}
"""For each k, the depths that are tried, in multiples of k."""
_COARSE: Final = 0.1
"""How much fewer of the allowed misses a search may have and still be compared with others by its cost."""
_CLOSE: Final = 0.0005
"""How much more than the recall asked for is close enough."""


class CurvePoint(NamedTuple):
    """The mean recall of the true k best, measured at an effort."""

    k: int
    effort: Effort
    recall: float


class Calibration(NamedTuple):
    """`points` has the effort to take for each calibrated k, `curve` all that was measured."""

    points: tuple[CurvePoint, ...]
    curve: tuple[CurvePoint, ...]

    def effort(self, k: int) -> Effort:
        """What to take for k answers: between two calibrated k on the line of logarithms, else in proportion."""
        least, most = self.points[0], self.points[-1]
        if k <= least.k:
            return least.effort
        if k >= most.k or most.k == least.k:
            ratio = k / most.k
            return Effort(
                int(np.ceil(most.effort.breadth * np.sqrt(ratio))), int(np.ceil(most.effort.depth * ratio))
            )
        share = np.log(k / least.k) / np.log(most.k / least.k)
        return Effort(
            *(
                int(np.ceil(low ** (1 - share) * high**share))
                for low, high in zip(least.effort, most.effort, strict=True)
            )
        )


class Truth:
    """What an exact search of the vectors (n, D) answers to some of the queries (m, D)."""

    def __init__(self, vectors: VectorSource, queries: Float32Array, device: str | None = None) -> None:
        """A `device` other than the CPU compares them, as far as its memory suffices."""
        self.queries = np.ascontiguousarray(queries[: measured(len(vectors))])
        self._vectors = vectors
        most = min(LENGTHS[-1], len(vectors))
        best = None
        if device is not None:
            best = within_memory(lambda: nearest_on(device, self.queries, vectors, most)[0])
        self._best = nearest(self.queries, vectors, most)[0] if best is None else best

    def recall(self, engine: Engine, k: int, effort: Effort, most: int = MEASURED) -> float:
        """The mean share of the k best that the engine finds for the first `most` queries.

        Copies of a vector count for each other.
        """
        k = min(k, self._best.shape[1])
        queries = self.queries[:most]
        _, found = engine.search(queries, k, effort, None, 1)
        return float(shares_found(self._vectors, queries, self._best[:most, k - 1], found).mean())


def measured(size: int) -> int:
    """The most queries that a recall is measured on in so many vectors."""
    return min(MEASURED, max(_FEWEST_MEASURED, _COMPARED // max(size, 1)))


def shares_found(
    vectors: VectorSource, queries: Float32Array, worst: Float32Array, found: Int64Array
) -> Float64Array:
    """(m,) of each query (m, D) the share of the k best vectors that is among those found (m, k), -1 for none.

    `worst` (m,) are the scores of the k-th best: what reaches it counts, so that copies count for each other.
    """
    good = [
        np.count_nonzero(vectors[ordinals[ordinals >= 0]] @ query >= least - ROUNDING)
        for query, ordinals, least in zip(queries, found, worst, strict=True)
    ]
    shares: Float64Array = np.minimum(good, found.shape[1]) / found.shape[1]
    return shares


def calibrate(engine: Engine, truth: Truth, size: int, recall: float) -> Calibration:
    """The efforts that reach the recall and little more; where none does, the widest and deepest tried."""
    points: list[CurvePoint] = []
    curve: list[CurvePoint] = []
    for k in LENGTHS:
        search = _Search(engine, truth, size, k, recall)
        points.append(search.least())
        curve += search.measured.values()
    return Calibration(tuple(points), tuple(sorted(set(curve))))


class _Search:
    """The search for the cheapest effort of one k.

    The cheapest of several efforts that reach a recall on the same few queries reaches less on others: luck is part
    of what it was chosen for. So few queries choose the depth alone; how broad the search must be at that depth, all
    queries say.
    """

    def __init__(self, engine: Engine, truth: Truth, size: int, k: int, recall: float) -> None:
        self.measured: dict[Effort, CurvePoint] = {}
        """What all queries were searched with."""
        self._engine, self._truth, self._size, self._k, self._recall = engine, truth, size, k, recall

    def least(self) -> CurvePoint:
        """The effort to take, and the recall that was measured with it."""
        depths = sorted({min(self._size, math.ceil(self._k * factor)) for factor in _DEPTHS[self._k]})
        likely = self._explored(depths)
        for depth in depths[-1:] if likely is None else [depth for depth in depths if depth >= likely.depth]:
            near = None if likely is None else likely.breadth
            narrowest, widest = self._engine.narrowest(depth), self._engine.widest
            breadth = least(self._by_breadth(depth), self._recall, (narrowest, widest), _CLOSE, near)
            if breadth is None:
                continue
            # Where lists are few, the next smaller breadth finds much less; so the depth is adjusted, too.
            low = min(self._k, depth)
            measure = self._by_depth(breadth)
            return self.measured[
                Effort(breadth, least(measure, self._recall, (low, depth), _CLOSE, depth) or depth)
            ]
        return max(self.measured.values(), key=lambda point: point.recall)

    def _explored(self, depths: list[int]) -> Effort | None:
        """The cheapest effort that suffices for the queries to explore with; None where none does."""
        best: Effort | None = None
        cost = math.inf
        for depth in depths:
            narrowest = self._engine.narrowest(depth)
            if self._engine.cost(Effort(narrowest, depth), self._size) >= cost:
                break
            # A deeper search need not be broader than a shallower one that sufficed.
            widest = max(narrowest, self._engine.widest if best is None else best.breadth)
            measure = self._by_breadth(depth, _EXPLORED)
            breadth = least(measure, self._recall, (narrowest, widest), _COARSE * (1.0 - self._recall))
            if breadth is not None and self._engine.cost(Effort(breadth, depth), self._size) < cost:
                best = Effort(breadth, depth)
                cost = self._engine.cost(best, self._size)
        return best

    def _by_breadth(self, depth: int, most: int = MEASURED) -> Callable[[int], float]:
        return lambda breadth: self._at(Effort(breadth, depth), most)

    def _by_depth(self, breadth: int) -> Callable[[int], float]:
        return lambda depth: self._at(Effort(breadth, depth), MEASURED)

    def _at(self, effort: Effort, most: int) -> float:
        if most < MEASURED:
            return self._truth.recall(self._engine, self._k, effort, most)
        if effort not in self.measured:
            recall = self._truth.recall(self._engine, self._k, effort)
            self.measured[effort] = CurvePoint(self._k, effort, recall)
        return self.measured[effort].recall


def least(
    recall: Callable[[int], float],
    wanted: float,
    span: tuple[int, int],
    close: float,
    near: int | None = None,
) -> int | None:
    """About the least number in `span` whose recall is the one wanted; None where that of the largest is less.

    `recall` grows with the number. What is found has at most `close` more than is wanted, or one less has too little.
    It is looked for around `near` first, elsewhere from narrow to broad, since broad searches take most of the time.
    """
    low, high = span
    below: tuple[int, float] | None = None
    above: tuple[int, float] | None = None
    tried = 0
    while above is None or (low < above[0] and above[1] - wanted > close):
        if above is None and (tried == 2 or low == high):
            # Where even the largest is too small, those between need no trying.
            number = high
        elif above is not None and below is not None and tried % 3:
            number = _between(below, above, wanted)
        elif near is not None and (above is None or below is None):
            number = near if tried == 0 else 3 * near // 2 if above is None else 2 * near // 3
        else:
            number = math.isqrt(low * high)
        number = min(max(number, low), high if above is None else high - 1)
        found, tried = recall(number), tried + 1
        if found >= wanted:
            above, high = (number, found), number
        elif number == high:
            return None
        else:
            below, low = (number, found), number + 1
    return above[0]


def _between(below: tuple[int, float], above: tuple[int, float], wanted: float) -> int:
    """Where the recall is the one wanted, if what is missed falls as a power of the number."""
    missed = [math.log(max(1.0 - one, 1e-6)) for one in (below[1], wanted, above[1])]
    share = (missed[0] - missed[1]) / max(missed[0] - missed[2], 1e-9)
    return round(below[0] * math.exp(math.log(above[0] / below[0]) * min(max(share, 0.0), 1.0)))
