"""Reading judgments (qrels): TREC's four columns, or BEIR's three under a header."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from leanseek.errors import InputError
from leanseek.reading.streams import STANDARD_INPUT, Place, strict_lines
from leanseek.types import Qrels

TREC: Final = "TREC judgments have four columns: query id, iteration, document id, grade"
BEIR: Final = "BEIR's have three, separated by tabs, under a header: query-id, corpus-id, score"
SWAPPED: Final = (
    "this looks like a run, not like judgments (qrels); are the two arguments swapped? The run is the "
    "argument, the judgments follow --qrels"
)
MAX_GRADE: Final = 1000
"""trec_eval's time and memory grow with the highest grade; real ones end below 10."""


def read_qrels(path: str | os.PathLike[str]) -> Qrels:
    """The judgments in a file, or on standard input for "-"; gzip and bzip2 are unpacked.

    The first line decides the format.

    TREC (and MS MARCO): `query-id iteration document-id grade`, white space between; the iteration is
    disregarded. BEIR: `query-id corpus-id score`, tabs between, under a header. A judgment given twice with
    the same grade counts once.

    Raises InputError beginning with `file:line:` for a line of another shape, a grade that is no whole number
    between -1000 and 1000, and one document judged twice and differently for a query; and for a file without
    judgments, and for a run given as judgments.
    """
    place = Place(os.fspath(path))
    filled = rows(os.fspath(path), place)
    first = next(filled, None)
    if first is None:
        raise InputError(f"{place.file}: there are no judgments in it; {TREC}")
    beir = _is_beir(first, place)
    qrels: dict[str, dict[str, int]] = {}
    for row in filled if beir else chain((first,), filled):
        if beir:
            cells = [cell.strip() for cell in row.split("\t")]
            if len(cells) != 3 or not all(cells):
                raise place.error(f"{len([cell for cell in cells if cell])} columns; {BEIR}")
            query, document, number = cells
        else:
            cells = row.split()
            if len(cells) != 4:
                raise place.error(f"{len(cells)} columns; {TREC}")
            query, _, document, number = cells
        grade = _grade(number, place)
        judged = qrels.setdefault(query, {})
        if judged.setdefault(document, grade) != grade:
            raise place.error(
                f"document {document!r} has the grade {grade} for query {query!r}, but {judged[document]} "
                "further up; keep one of the two"
            )
    if not qrels:
        raise InputError(f"{place.file}: there are no judgments under the header")
    return qrels


def _is_beir(first: str, place: Place) -> bool:
    """Whether the first line is BEIR's header rather than a judgment in TREC's format."""
    cells = first.split()
    tabbed = first.strip().split("\t")
    if len(tabbed) == 3 and not is_whole_number(tabbed[2].strip()):
        return True
    if len(cells) == 4:
        return False
    if len(cells) == 6:
        raise place.error(SWAPPED)
    if len(cells) == 3:
        raise place.error(
            "three columns without a header: judgments of BEIR's begin with the line "
            r"'query-id\tcorpus-id\tscore'; a run in MS MARCO's format has three too, so check that the "
            "arguments are not swapped"
        )
    raise place.error(f"{len(cells)} columns; {TREC}; {BEIR}")


def _grade(number: str, place: Place) -> int:
    if not is_whole_number(number):
        raise place.error(f"the grade is {number!r}; it must be a whole number, such as 0, 1 or 2")
    grade = int(number)
    if abs(grade) > MAX_GRADE:
        raise place.error(f"the grade is {grade}; grades lie between -{MAX_GRADE} and {MAX_GRADE}")
    return grade


def rows(path: str, place: Place) -> Iterator[str]:
    """The lines of a file (gzip and bzip2 are unpacked) or of standard input ("-") that are not blank.

    `place` follows them. Raises InputError where the file is missing, damaged or not UTF-8.
    """
    if path != STANDARD_INPUT and not Path(path).exists():
        raise InputError(f"{path}: no such file")
    if path != STANDARD_INPUT and Path(path).is_dir():
        raise InputError(f"{path}: this is a folder; name the file in it")
    yield from (row for row in strict_lines(path, place, "file") if not row.isspace())


def is_whole_number(cell: str) -> bool:
    """Whether a cell is digits with an optional sign."""
    digits = cell[1:] if cell[:1] in ("-", "+") else cell
    return digits.isascii() and digits.isdecimal()
