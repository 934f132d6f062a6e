"""How far a search has to go for a recall: measured on queries that nothing was learned from."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from leanseek.indexing.dense.lean.engine import Effort, Engine
from leanseek.indexing.leanvec.dims import nearest
from leanseek.types import Float32Array

LENGTHS: Final = (10, 100)
"""The numbers of answers (k) that are calibrated; others lie between or beyond."""
_QUERIES: Final = 250
_ROUNDING: Final = 1e-5
_DEPTHS: Final = {10: (5.0, 10.0, 20.0), 100: (2.0, 3.5, 6.0)}
"""For each k, the depths that are tried, in multiples of k."""
_FINENESS: Final = 10
"""A breadth is good enough when the least that suffices is at most a tenth less."""


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

    def __init__(self, vectors: Float32Array, queries: Float32Array) -> None:
        self.queries = np.ascontiguousarray(queries[:_QUERIES])
        self._vectors = vectors
        self._best, _ = nearest(self.queries, vectors, min(LENGTHS[-1], len(vectors)))

    def recall(self, engine: Engine, k: int, effort: Effort) -> float:
        """The mean share of the k best that the engine finds; copies of a vector count for each other."""
        k = min(k, self._best.shape[1])
        _, found = engine.search(self.queries, k, effort, None, 1)
        good = 0.0
        for row, query in enumerate(self.queries):
            ordinals = found[row, found[row] >= 0]
            least = self._best[row, k - 1] - _ROUNDING
            good += min(k, int(np.count_nonzero(self._vectors[ordinals] @ query >= least))) / k
        return good / len(self.queries)


def calibrate(engine: Engine, truth: Truth, size: int, recall: float) -> Calibration:
    """The cheapest efforts that reach the recall; where none does, the widest and deepest tried."""
    points: list[CurvePoint] = []
    curve: list[CurvePoint] = []
    for k in LENGTHS:
        measured = _measure(engine, truth, size, k, recall)
        curve += measured
        good = [point for point in measured if point.recall >= recall]
        if good:
            points.append(min(good, key=lambda point: engine.cost(point.effort, size)))
        else:
            points.append(max(measured, key=lambda point: point.recall))
    return Calibration(tuple(points), tuple(sorted(set(curve))))


def _measure(engine: Engine, truth: Truth, size: int, k: int, recall: float) -> list[CurvePoint]:
    """For each depth, the breadths that bisection tries on the way to the least that suffices."""
    tried: list[CurvePoint] = []

    def enough(breadth: int) -> bool:
        effort = Effort(breadth, depth)
        tried.append(CurvePoint(k, effort, truth.recall(engine, k, effort)))
        return tried[-1].recall >= recall

    known = False
    high = engine.widest
    for factor in _DEPTHS[k]:
        depth = min(size, math.ceil(k * factor))
        low, failures = engine.narrowest(depth), 0
        # A deeper search need not be broader than a shallower one that sufficed.
        high = max(high, low)
        while low < high and (high - low) * _FINENESS > low:
            # Broad searches take most of the time, so the first guesses are narrow.
            middle = max(low, min(math.isqrt(low * high), high - 1))
            if enough(middle):
                high, known = middle, True
                continue
            low, failures = middle + 1, failures + 1
            # Where even the broadest search is too shallow, the breadths between need no trying.
            if failures == 2 and not known:
                known = enough(high)
                if not known:
                    break
        if not known and failures < 2:
            known = enough(high)
    return tried
