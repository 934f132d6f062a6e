"""Constraints: whether a search returns all that a query asks for and nothing else, by KITAB's measures.

Abdin et al.: "KITAB: Evaluating LLMs on Constraint Satisfaction for Information Retrieval" (ICLR 2024).
"""

from __future__ import annotations

import os
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from leanseek.errors import FilterError, InputError
from leanseek.filters import And, Filter, parse_filter
from leanseek.reading.jsonlines import parse_line
from leanseek.reading.streams import Place, strict_lines
from leanseek.types import Progress

if TYPE_CHECKING:
    from leanseek.searcher import Searcher

MOST: Final = 1_000
"""So many documents a strict search may return for a query."""


@dataclass(frozen=True, slots=True)
class ConstraintQuery:
    """A query in words, the documents that it is about (`base`), and what it asks of them (`gold`)."""

    id: str
    text: str
    base: Filter
    gold: Filter

    @property
    def constraints(self) -> int:
        """How many conditions it asks of the documents that it is about."""
        return len(list(self.gold.leaves()))


class ConstraintScores(NamedTuple):
    """KITAB's measures of one query, or their means over several.

    `irrelevant`, `satisfied` and `unsatisfied` are the shares of what was returned that is not in the base, that meets
    the constraints, and that is in the base and does not; 0 where nothing was returned. `completeness` is the share of
    what meets them that was returned, 1 where nothing does. `all_correct`: all of it, and nothing else.
    `constrainedness` is the share of the base that does not meet them.
    """

    irrelevant: float
    satisfied: float
    unsatisfied: float
    completeness: float
    all_correct: float
    constrainedness: float


class ConstraintMeans(NamedTuple):
    """The means over `queries` queries with so many `constraints` (None: any number)."""

    constraints: int | None
    queries: int
    means: ConstraintScores


@dataclass(frozen=True, slots=True)
class ConstraintReport:
    """The scores of each query by its id, in order, and their means by the number of constraints and over all."""

    scores: dict[str, ConstraintScores]
    groups: tuple[ConstraintMeans, ...]


def read_constraints(path: str | os.PathLike[str]) -> list[ConstraintQuery]:
    """The queries of a file of JSON lines (gzip too; "-" is standard input), in order.

    A line has `text`, the filters `base` and `gold`, and `id` (or `_id`), by default the line's number. Raises
    InputError, beginning with `file:line:`, for what is none of this, and for a file without queries.
    """
    place = Place(os.fspath(path))
    found: dict[str, ConstraintQuery] = {}
    for line in strict_lines(os.fspath(path), place, "queries"):
        if not line.strip():
            continue
        query = constraint_query(parse_line(line.strip(), place), place)
        if query.id in found:
            raise place.error(f"the id {query.id!r} is that of a line before too; ids must differ")
        found[query.id] = query
    if not found:
        raise InputError(f"{place.file}: no queries in it")
    return list(found.values())


def constraint_query(record: Any, place: Place) -> ConstraintQuery:
    """The query of one line. Raises InputError."""
    parts = ("text", "base", "gold")
    if not isinstance(record, dict) or not all(isinstance(record.get(part), str) for part in parts):
        raise place.error(
            'a line is an object with strings, such as {"text": "libraries of 2015 or later", '
            '"base": "section = \\"libs\\"", "gold": "year >= 2015"}'
        )
    filters = []
    for part in ("base", "gold"):
        try:
            filters.append(parse_filter(record[part]))
        except FilterError as error:
            raise place.error(f"{part}: {error}") from error
    return ConstraintQuery(str(record.get("id", record.get("_id", place.line))), record["text"], *filters)


def constraint_scores(returned: Sequence[str], base: Set[str], gold: Set[str]) -> ConstraintScores:
    """The measures of one query: the ids that were returned, those that it is about, and those of them that meet it."""
    listed = set(returned)
    among = len(listed) or 1
    met = listed & gold
    return ConstraintScores(
        irrelevant=len(listed - base) / among,
        satisfied=len(met) / among,
        unsatisfied=len((listed & base) - gold) / among,
        completeness=1 - len(gold - met) / len(gold) if gold else 1.0,
        all_correct=float(listed == gold),
        constrainedness=1 - len(gold) / len(base) if base else 0.0,
    )


def evaluate_constraints(
    searcher: Searcher,
    queries: Sequence[ConstraintQuery],
    k: int | None = None,
    *,
    understand: bool = False,
    strict: bool = False,
    progress: Progress | None = None,
) -> ConstraintReport:
    """Search for each query and compare what is returned with what its filters admit.

    `k` is how many documents a query may return: by default `MOST` in a strict search; in one that is not strict, which
    returns as many as it may, as many as there are to be found.

    Raises FilterError for a filter that the index cannot have, UsageError.
    """
    scores: dict[str, ConstraintScores] = {}
    numbers: list[int] = []
    for done, query in enumerate(queries):
        if progress is not None:
            progress("searching", done, len(queries))
        base = set(searcher.ids(filter=query.base))
        gold = set(searcher.ids(filter=And((query.base, query.gold))))
        most = k or (MOST if strict else max(len(gold), 1))
        found = searcher.rank_batch([query.text], most, understand=understand, strict=strict)[0]
        scores[query.id] = constraint_scores([one.id for one in found], base, gold)
        numbers.append(query.constraints)
    if progress is not None:
        progress("searching", len(queries), len(queries))
    rows = list(scores.values())
    groups = [
        mean_of(number, [row for row, mine in zip(rows, numbers, strict=True) if mine == number])
        for number in sorted(set(numbers))
    ]
    return ConstraintReport(scores, (*groups, mean_of(None, rows)))


def mean_of(constraints: int | None, rows: Sequence[ConstraintScores]) -> ConstraintMeans:
    """The means of some queries' scores."""
    columns = zip(*rows, strict=True)
    return ConstraintMeans(
        constraints, len(rows), ConstraintScores(*(sum(column) / len(rows) for column in columns))
    )
