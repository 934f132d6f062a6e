"""Recency: the fused score halved with every half-life that a document is old."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np

from leanseek.errors import InputError, UsageError
from leanseek.filters import check_known, quote_name, seconds_of
from leanseek.indexing.search_source import SearchSource
from leanseek.searcher.ranking import rescored
from leanseek.types import Freshness, Metadata

if TYPE_CHECKING:
    from leanseek.searcher.ranking import Ranking
    from leanseek.searcher.request import Request

HOUR: Final = 3_600.0
UNITS: Final = {
    "h": HOUR,
    "d": 24 * HOUR,
    "w": 7 * 24 * HOUR,
    "m": 365.25 / 12 * 24 * HOUR,
    "y": 365.25 * 24 * HOUR,
}
"""Seconds of the units of a half-life: hours, days, weeks, months, years."""
UNDATED: Final = 0.5
"""The factor of a document without a date: as if it were one half-life old, so that it is neither new nor lost."""
_HALF_LIFE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([hdwmy])")


@dataclass(frozen=True, slots=True)
class Recency:
    """How scores fall with age: by half in every `half_life` seconds before `now` (seconds since 1970, UTC)."""

    field: str
    half_life: float
    now: float

    def of(self, metadata: Metadata) -> Freshness:
        """The date of a document, the newest where it has several, and the factor of its score.

        A date in the future counts as now; without a date that can be read the factor is `UNDATED`.
        """
        given = metadata.get(self.field)
        dated = [
            (seconds, one)
            for one in (given if isinstance(given, list) else [given])
            if one is not None and (seconds := seconds_of(one)) is not None
        ]
        if not dated:
            return Freshness(None, UNDATED)
        seconds, date = max(dated, key=lambda one: one[0])
        return Freshness(date, 0.5 ** (max(0.0, self.now - seconds) / self.half_life))


def parse_recency(given: str, now: str | datetime | None = None) -> Recency:
    """`published:90d` as what it means; `now` is an ISO date or time, by default the present.

    Raises UsageError.
    """
    if not isinstance(given, str):
        raise UsageError(f"recency is {given!r}; give a field and a half-life, such as 'published:90d'")
    field, colon, length = given.rpartition(":")
    match = _HALF_LIFE.fullmatch(length.strip())
    if not colon or not field.strip() or match is None or not float(match[1]):
        raise UsageError(
            f"recency is '{given}'; give a field and a half-life above 0 in h, d, w, m (months) or y, such as "
            "published:90d"
        )
    return Recency(field.strip(), float(match[1]) * UNITS[match[2]], moment(now))


def moment(now: str | datetime | None) -> float:
    """Seconds since 1970 of a reference time; a time without a zone is in UTC. Raises UsageError."""
    if now is None:
        return datetime.now(UTC).timestamp()
    if isinstance(now, datetime):
        return (now if now.tzinfo is not None else now.replace(tzinfo=UTC)).timestamp()
    seconds = seconds_of(now) if isinstance(now, str) else None
    if seconds is None:
        raise UsageError(
            f"now is {now!r}; give an ISO date or time, such as 2026-03-01 or 2026-03-01T12:00:00Z"
        )
    return seconds


def check_dates(snapshot: SearchSource, field: str) -> None:
    """Raise InputError for a field that no document has, or that holds nothing which can be a date."""
    sources = snapshot.field_sources([field])
    if not sources:
        return  # an empty index knows no field
    check_known(field, sources, "recency")
    if not snapshot.dated(field):
        raise InputError(
            f"recency goes by the field {quote_name(field)}, and no document has a date there. Dates are written as "
            "2024-03-01, 2024-03-01T12:00:00Z, 2024-03 or 2024; 'leanseek info' shows the fields"
        )


def aged(ranking: Ranking, request: Request) -> Ranking:
    """The ranking with every score multiplied by its passage's factor, where the request goes by recency.

    Where scores below 0 are among them (cosines, z-scores) all are raised first, so that the least is 0.
    """
    if request.recency is None or not len(ranking.ordinals):
        return ranking
    passages = request.snapshot.passages
    factors = np.array([request.recency.of(one.metadata).factor for one in passages.get(ranking.ordinals)])
    scores = ranking.scores.astype(np.float64)
    multiplied = ((scores - min(0.0, float(scores.min()))) * factors).astype(np.float32)
    return rescored(ranking, multiplied, request.snapshot)
