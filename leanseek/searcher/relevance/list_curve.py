"""From where candidates stand in a query's list to the log odds that they are relevant."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import numpy as np

from leanseek.searcher.relevance.features import places
from leanseek.types import Float64Array

THIRD: Final = 2
"""Place of the candidate beyond which a hit stands out."""
DEEPEST: Final = 30.0
"""Ranks beyond it count alike: among so many the z score alone tells."""


@dataclass(frozen=True, slots=True)
class ListCurve:
    """Log odds of candidates by a function with a few weights that mean the same in every field.

    The strength of a candidate is m = z + `lexical` * b + `matched` * s: its cosine's z score in the dense list, its
    BM25 score's, and that score's share of what the query's terms are worth; of the dense side alone, z. Then

        standing = m - `rank` * ln(min(r, 30)) + `lead` * max(m - m3, 0)
        log odds = `slope` * standing + `offset`

    where r is its rank and m3 the third best strength: the score itself, how few are as good, and whether it is one
    of the two that stand out. With `rank` and `lead` 0 that is a logistic curve over the z score. No weight is
    negative, so that the log odds never fall where a score rises.

    `breadth` and `best` tell a field in which queries have one relevant document from one in which they have dozens:
    there the best hit stands out less, see `shift`.
    """

    lexical: float
    matched: float
    rank: float
    lead: float
    slope: float
    offset: float
    breadth: float = 0.0
    best: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            free = field.name in ("offset", "breadth")
            if not math.isfinite(value) or (value < 0 and not free):
                raise ValueError(f"{field.name} is {value}; it must be a finite number, and not negative")
        if self.best <= 0:
            raise ValueError(f"best is {self.best}; it must be above 0")

    def strength(self, z: Float64Array, lexical: Float64Array, matched: Float64Array) -> Float64Array:
        """(c,) m of candidates with z scores and shares (c,) each."""
        return z + self.lexical * lexical + self.matched * matched

    def standing(self, strength: Float64Array, listed: Float64Array) -> Float64Array:
        """(c,) what the log odds rise with; `listed` (l,), descending, are the strengths of the list."""
        ranks = np.minimum(places(strength, listed), DEEPEST)
        third = listed[min(THIRD, len(listed) - 1)]
        standing: Float64Array = (
            strength - self.rank * np.log(ranks) + self.lead * np.maximum(strength - third, 0.0)
        )
        return standing

    def logits(self, strength: Float64Array, listed: Float64Array) -> Float64Array:
        """(c,) log odds of candidates of strength (c,) in a list (l,)."""
        return self.slope * self.standing(strength, listed) + self.offset

    def shift(self, best: float) -> float:
        """What a field's log odds rise by in which the queries' best candidates have the mean strength `best`."""
        return self.breadth * math.log(max(best, 0.1) / self.best)

    def values(self) -> dict[str, float]:
        """Its weights by name."""
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> ListCurve:
        """The curve that gave `values`. Raises ValueError, KeyError or TypeError where they do not fit."""
        return cls(**{field.name: float(values[field.name]) for field in fields(cls)})
