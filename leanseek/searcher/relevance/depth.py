"""How deep to re-rank: as far as candidates are probable enough to be worth it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from leanseek.errors import UsageError
from leanseek.types import Float64Array, Hit, Int64Array

PROBABILITY: Final = 0.001
"""With the packaged model it passes on a third (WikiQA, SciFact) to four fifths (Vaswani) of 100 hybrid candidates."""
FLOOR: Final = 10
CEILING: Final = 50
"""Half of the depth that is usual without probabilities."""


@dataclass(frozen=True, slots=True)
class RerankDepth:
    """Which candidates of a ranking a re-ranker gets.

    Those whose probability is at least `probability`, wherever they stand; the first `floor` in any case, so that
    a first page is always re-ranked; and no more than the first `ceiling` of these, so that the work has a bound.
    Raises UsageError for a probability outside [0, 1], a negative floor, or a ceiling below 1 or the floor.
    """

    probability: float = PROBABILITY
    floor: int = FLOOR
    ceiling: int = CEILING

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise UsageError(f"the probability to re-rank from is {self.probability}; it must be from 0 to 1")
        if self.floor < 0:
            raise UsageError(f"the floor of the rerank depth is {self.floor}; it must be 0 or more")
        if self.ceiling < max(self.floor, 1):
            raise UsageError(
                f"the ceiling of the rerank depth is {self.ceiling}; it must be at least 1, and at least the "
                f"floor, which is {self.floor}"
            )

    def places(self, probabilities: Float64Array) -> Int64Array:
        """(r,) ascending: the places of those to re-rank, given `probabilities` (c,) in the ranking's order."""
        wanted = probabilities >= self.probability
        wanted[: self.floor] = True
        return np.flatnonzero(wanted)[: self.ceiling]

    def __call__(self, hits: Sequence[Hit]) -> int:
        """How many of the first hits hold all that are to be re-ranked, for what re-ranks only beginnings.

        A hit that no relevance model judged counts as probable: without one the depth is the ceiling.
        """
        chances = [1.0 if hit.probability is None else hit.probability for hit in hits]
        places = self.places(np.array(chances, np.float64))
        return min(int(places[-1]) + 1, self.ceiling) if len(places) else 0
