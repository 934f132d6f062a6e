"""Measures of a systematic review: how much people read until they have found what is relevant."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal, TypeAlias

from leanseek.errors import UsageError

Family: TypeAlias = Literal["WSS", "LastRel", "R"]
FAMILIES: Final = ("WSS", "LastRel")
"""The families that are these measures whatever follows their name; R is one with a share, as in R@10%."""


@dataclass(frozen=True, slots=True)
class ReviewMeasure:
    """A measure of one ranking of all N candidates, in which those above the last one read are read.

    WSS@r is the work saved over reading at random, (N - n) / N - (1 - r), where n are read until the recall reaches
    r percent (Cohen et al.: "Reducing Workload in Systematic Review Preparation Using Automated Citation
    Classification", JAMIA 2006). LastRel is the share of the candidates that is read until the last relevant one; less
    is better. R@p% is the recall after p percent, rounded up. Documents of grade `rel` and above are relevant.

    Judged documents that a ranking lacks are candidates too, which are read after all others.
    """

    family: Family
    percent: float = 100.0
    rel: int = 1

    def value(self, order: Sequence[str], judged: Mapping[str, int]) -> float:
        """The value of a ranking, best first; for a query without a relevant document 0, and LastRel 1."""
        total = sum(grade >= self.rel for grade in judged.values())
        if not total:
            return self.of_nothing
        found = list(accumulate(judged.get(id, 0) >= self.rel for id in order))
        candidates = len(order) + len(judged.keys() - set(order))
        if self.family == "R":
            read = min(_whole(candidates * self.percent / 100), len(order))
            return found[read - 1] / total if read else 0.0
        wanted = _whole(total * self.percent / 100)
        read = next((place for place, count in enumerate(found, 1) if count >= wanted), candidates)
        if self.family == "LastRel":
            return read / candidates
        return (candidates - read) / candidates - (1 - self.percent / 100)

    @property
    def of_nothing(self) -> float:
        """The value for a query without results, or without a relevant document."""
        return 1.0 if self.family == "LastRel" else 0.0


def review_measure(
    name: str, family: str, parameters: dict[str, object], at: str | None
) -> ReviewMeasure | None:
    """The measure of this name, None where it is none of a review. Raises UsageError for one that cannot be computed.

    `at` is what follows the @.
    """
    if family not in FAMILIES and not (family == "R" and at is not None and at.endswith("%")):
        return None
    rel = parameters.pop("rel", 1)
    if parameters or not isinstance(rel, int) or isinstance(rel, bool):
        raise UsageError(f"{name!r}: {family} takes no parameter but a whole rel, as in {family}(rel=2)")
    if family == "LastRel":
        if at is not None:
            raise UsageError(f"{name!r}: LastRel takes no cut-off; it is where the last relevant document is")
        return ReviewMeasure("LastRel", rel=rel)
    try:
        percent = float((at or "").removesuffix("%"))
    except ValueError:
        percent = 0.0
    if not 0 < percent <= 100:
        form = "a recall in percent, as in WSS@95" if family == "WSS" else "a share in percent, as in R@10%"
        raise UsageError(f"{name!r}: after the @ must be {form}, above 0 and at most 100")
    return ReviewMeasure("WSS" if family == "WSS" else "R", percent, rel)


def _whole(number: float) -> int:
    """Rounded up, but for what rounding of floats has put above a whole number."""
    return math.ceil(number - 1e-9)
