"""Reading runs: TREC's six columns, or MS MARCO's three."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from math import inf
from pathlib import Path
from typing import Final

from leanseek.errors import InputError
from leanseek.eval.base import Run
from leanseek.eval.columns import is_whole_number, rows, start
from leanseek.indexing.reading.report import Place

TREC: Final = "a TREC run has six columns: query id, Q0, document id, rank, score, tag"
MS_MARCO: Final = "an MS MARCO run has three: query id, passage id, rank"
SWAPPED: Final = (
    "this looks like judgments (qrels), not like a run; are the two arguments swapped? The run is the "
    "argument, the judgments follow --qrels"
)


def read_run(path: str | os.PathLike[str]) -> Run:
    """The run in a file, or on standard input for "-"; gzip and bzip2 are unpacked. The first line tells the
    format.

    TREC: `query-id Q0 document-id rank score tag`, white space between; the rank is disregarded, as trec_eval
    does. MS MARCO: `query-id passage-id rank`; a score is then the negative rank. The run's `tag` is the first
    line's, or without one the file's name.

    Raises InputError beginning with `file:line:` for a line of another shape, a score that is no finite
    number, a document that a query has twice; and for an empty run, and for judgments given as a run.
    """
    place = start(path)
    filled = (row for row in rows(path, place) if not row.isspace())
    first = next(filled, None)
    if first is None:
        raise InputError(f"{place.file}: the run is empty; {TREC}")
    cells = first.split()
    width = _width(cells, place)
    rankings: dict[str, dict[str, float]] = {}
    read = _read_trec if width == 6 else _read_ms_marco
    read(chain((first,), filled), rankings, place)
    return Run(cells[5] if width == 6 else _name(place.file), rankings)


def _width(cells: list[str], place: Place) -> int:
    """6 or 3: the columns of the format that the first line is in."""
    if len(cells) == 6:
        return 6
    if len(cells) == 3 and is_whole_number(cells[2]):
        return 3
    if len(cells) == 3 or (len(cells) == 4 and is_whole_number(cells[3])):
        raise place.error(SWAPPED)
    raise place.error(f"{len(cells)} columns; {TREC}; {MS_MARCO}")


def _read_trec(filled: Iterator[str], rankings: dict[str, dict[str, float]], place: Place) -> None:
    current = ""
    ranking: dict[str, float] = {}
    for row in filled:
        try:
            query, _, document, _, number, _ = row.split()
            score = float(number)
        except ValueError:
            raise _bad_line(row, place) from None
        if not -inf < score < inf:
            raise place.error(f"the score is {number}; scores must be finite numbers")
        if query != current:
            # Runs may come shuffled, so a query's ranking may have begun before.
            current = query
            ranking = rankings.setdefault(query, {})
        if document in ranking:
            raise _twice(document, query, place)
        ranking[document] = score


def _bad_line(row: str, place: Place) -> InputError:
    cells = row.split()
    if len(cells) != 6:
        return place.error(f"{len(cells)} columns; {TREC}")
    return place.error(f"the score is {cells[4]!r}; it must be a number")


def _read_ms_marco(filled: Iterator[str], rankings: dict[str, dict[str, float]], place: Place) -> None:
    for row in filled:
        cells = row.split()
        if len(cells) != 3:
            raise place.error(f"{len(cells)} columns; {MS_MARCO}")
        query, document, number = cells
        if not is_whole_number(number):
            raise place.error(f"the rank is {number!r}; it must be a whole number")
        rank = int(number)
        if rank < 1:
            raise place.error(
                f"the rank is {rank}; ranks begin at 1 (are these judgments? They follow --qrels)"
            )
        ranking = rankings.setdefault(query, {})
        if document in ranking:
            raise _twice(document, query, place)
        ranking[document] = -float(rank)


def _twice(document: str, query: str, place: Place) -> InputError:
    return place.error(
        f"document {document!r} for query {query!r} a second time; a run has each document once a query"
    )


def _name(file: str) -> str:
    name = Path(file).name.removesuffix(".gz").removesuffix(".bz2")
    return name.split(".")[0].replace(" ", "-") or name
