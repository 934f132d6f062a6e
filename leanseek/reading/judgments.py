"""Reading judgments (qrels): TREC's four columns, a table under a header as BEIR has it, or JSON."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import unquote

from leanseek.errors import InputError
from leanseek.reading.columns import DOCUMENT_IDS, GRADES, QUERY_IDS, column, delimiter, first_cells, table
from leanseek.reading.fields import listed, valid
from leanseek.reading.jsonlines import json_values
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
PERCENT: Final = "%"
"""Ends the second column of a TREC line (`0%`, `Q0%`) whose ids are percent-encoded, as white space in them must be."""
_SPACE: Final = re.compile(r"[\s%]")


Judgment: TypeAlias = tuple[str, str, object]
"""Query id, document id, and the grade as it stands in the file."""


def read_qrels(path: str | os.PathLike[str]) -> Qrels:
    """The judgments in a file, or on standard input for "-"; gzip and bzip2 are unpacked.

    The first line decides the format.

    TREC (and MS MARCO): `query-id iteration document-id grade`, tabs or other white space between; the iteration is
    disregarded, but for that of `write_qrels`, whose percent-encoded ids are decoded. Ids may have spaces where tabs
    separate the columns.

    BEIR: `query-id corpus-id score`, tabs between, under a header. A header with other usual names, further columns,
    or the separators of CSV does as well.

    JSON: an object of the grades of documents by query, `{"q1": {"d7": 2}}`, or objects with the fields of a header,
    in a list or one a line.

    A judgment given twice with the same grade counts once. A grade is a whole number between -1000 and 1000, written
    as 2 or 2.0.

    Raises InputError beginning with `file:line:` for a line of another shape, another grade, and one document judged
    twice and differently for a query; and for a file without judgments, and for a run given as judgments.
    """
    place = Place(os.fspath(path))
    source = text_lines(os.fspath(path), place)
    start = until_filled(source)
    if not start:
        raise InputError(f"{place.file}: there are no judgments in it; {TREC}")
    qrels = collected(judgments(start, source, place), place)
    if not qrels:
        raise InputError(f"{place.file}: there are no judgments under the header")
    return qrels


def until_filled(source: Iterator[str]) -> list[str]:
    """The lines up to the first that is not blank; none where all are."""
    start: list[str] = []
    for line in source:
        start.append(line)
        if not line.isspace():
            return start
    return []


def collected(found: Iterable[Judgment], place: Place) -> dict[str, dict[str, int]]:
    """Query → document → grade, in the order of the file. Raises InputError for a grade that is none, and for a
    document judged twice and differently for a query."""
    qrels: dict[str, dict[str, int]] = {}
    grades: dict[str, int] = {}
    for query, document, number in found:
        grade = grades.get(number) if type(number) is str else None
        if grade is None:
            grade = _grade(number, place)
            grades[str(number)] = grade
        judged = qrels.get(query)
        if judged is None:
            judged = qrels[query] = {}
        if judged.setdefault(document, grade) != grade:
            raise place.error(
                f"document {document!r} has the grade {grade} for query {query!r}, but {judged[document]} "
                "further up; keep one of the two"
            )
    return qrels


def judgments(start: Sequence[str], source: Iterator[str], place: Place) -> Iterator[Judgment]:
    """The judgments of a file, of which `start` has the lines up to the first that is not blank."""
    first = start[-1]
    cells = first.split()
    if cells[0].startswith(("{", "[")) and not (len(cells) == 4 and is_whole_number(cells[3])):
        return _from_json(chain(start, source), place)
    lines = chain((first,), (line for line in source if not line.isspace()))
    mark, names = _header(first)
    columns = _columns(names)
    if columns is None:
        columns = _beir_columns(first, place)
        mark, names = "\t", first.split("\t")
    if columns is None:
        return _from_trec(lines, place)
    return _from_table(lines, mark, columns, len(names), place)


def _header(first: str) -> tuple[str, list[str]]:
    """What separates the cells of a first line, and the cells; "" for white space."""
    mark = delimiter(first)
    names = first_cells(first.strip(), mark)
    return (mark, names) if len(names) > 1 else ("", first.split())


def _columns(names: Sequence[str]) -> tuple[int, int, int] | None:
    """The places of the query's id, the document's id and the grade in a header; None for one that is none."""
    document = column(names, DOCUMENT_IDS)
    grade = column(names, GRADES)
    query = column(names, ("query", *QUERY_IDS), [document, grade])
    if document is None:
        document = column(names, ("_id", "id"), [query, grade])
    if query is None or document is None or grade is None:
        return None
    return query, document, grade


def _from_table(
    lines: Iterable[str], mark: str, columns: tuple[int, int, int], width: int, place: Place
) -> Iterator[Judgment]:
    cut = (line.split() for line in lines) if not mark else table(lines, mark, place, numbered=False)
    query, document, grade = columns
    next(iter(cut))
    for cells in cut:
        cells = [cell.strip() for cell in cells]
        if len(cells) != width or not (cells[query] and cells[document] and cells[grade]):
            expected = BEIR if width == 3 else f"the header has {width}"
            raise place.error(f"{len([cell for cell in cells if cell])} columns; {expected}")
        yield cells[query], cells[document], cells[grade]


def _beir_columns(first: str, place: Place) -> tuple[int, int, int] | None:
    """BEIR's columns for a header with names of its own; None for a line in TREC's format. Raises InputError."""
    cells = first.split()
    tabbed = [cell.strip() for cell in first.strip("\r\n").split("\t")]
    known = column(tabbed, (*QUERY_IDS, *DOCUMENT_IDS, *GRADES)) is not None
    if len(tabbed) == 3 and known and not _is_number(tabbed[2]):
        return 0, 1, 2
    if len(cells) == 4 or len(tabbed) == 4:
        return None
    if len(cells) == 6:
        raise place.error(SWAPPED)
    if len(cells) == 3 or len(tabbed) == 3:
        raise place.error(
            "three columns without a header: judgments of BEIR's begin with the line "
            r"'query-id\tcorpus-id\tscore'; a run in MS MARCO's format has three too, so check that the "
            "arguments are not swapped"
        )
    raise place.error(f"{len(cells)} columns; {TREC}; {BEIR}")


def _from_trec(lines: Iterable[str], place: Place) -> Iterator[Judgment]:
    for line in lines:
        cells = line.split()
        if len(cells) != 4:
            tabbed = [cell.strip() for cell in line.strip("\r\n").split("\t")]
            if len(tabbed) != 4 or not all(tabbed):
                raise place.error(f"{len(cells)} columns; {TREC}")
            cells = tabbed
        query, iteration, document, number = cells
        if iteration[-1] == PERCENT:
            query, document = unquote(query), unquote(document)
        yield query, document, number


def _from_json(lines: Iterator[str], place: Place) -> Iterator[Judgment]:
    for value in json_values(lines, place):
        if not isinstance(value, dict):
            raise place.error('not a JSON object; judgments are objects such as {"q1": {"d7": 2}}')
        names = list(value)
        columns = _columns(names)
        if columns is not None:
            query, document, grade = (value[names[at]] for at in columns)
            yield _id(query, place), _id(document, place), grade
            continue
        for query, judged in value.items():
            if not isinstance(judged, dict):
                raise place.error(
                    f"no grades by document under {query!r}; judgments are objects such as "
                    f'{{"q1": {{"d7": 2}}}}, or have fields for query, document and grade; this one has {listed(names)}'
                )
            for document, grade in judged.items():
                yield valid(query), valid(document), grade


def _id(value: object, place: Place) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise place.error(f"the id is {value!r}; it must be a string or a whole number")
    return valid(str(value))


def _grade(given: object, place: Place) -> int:
    text = str(given) if isinstance(given, (int, float)) and not isinstance(given, bool) else given
    if not isinstance(text, str) or not is_whole_number(whole := _without_zeros(text)):
        hint = (
            "; grades are not fractions, so scale them" if isinstance(text, str) and _is_number(text) else ""
        )
        raise place.error(f"the grade is {given!r}; it must be a whole number, such as 0, 1 or 2{hint}")
    if abs(int(whole)) > MAX_GRADE:
        raise place.error(f"the grade is {given}; grades lie between -{MAX_GRADE} and {MAX_GRADE}")
    return int(whole)


def _without_zeros(number: str) -> str:
    """`2` of `2.0`; any other text as it is."""
    whole, point, decimals = number.partition(".")
    return whole if point and decimals and not decimals.strip("0") else number


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def has_space(id: str) -> bool:
    """Whether white space in an id would part it in a file whose columns white space separates."""
    return id.split() != [id]


def encoded(id: str) -> str:
    """The id with its white space and `%` percent-encoded, which `urllib.parse.unquote` reverts."""
    return _SPACE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), id)


def qrels_lines(qrels: Qrels) -> Iterator[str]:
    """The judgments as TREC has them, without line ends; ids with white space are percent-encoded (see `PERCENT`)."""
    for query, judged in qrels.items():
        for document, grade in judged.items():
            if has_space(query) or has_space(document):
                yield f"{encoded(query)} 0{PERCENT} {encoded(document)} {grade}"
            else:
                yield f"{query} 0 {document} {grade}"


def rows(path: str, place: Place) -> Iterator[str]:
    """The lines that are not blank, see `text_lines`."""
    return (row for row in text_lines(path, place) if not row.isspace())


def text_lines(path: str, place: Place) -> Iterator[str]:
    """The lines of a file (gzip and bzip2 are unpacked) or of standard input ("-").

    `place` follows them. Raises InputError where the file is missing, damaged or not UTF-8.
    """
    if path != STANDARD_INPUT and not Path(path).exists():
        raise InputError(f"{path}: no such file")
    if path != STANDARD_INPUT and Path(path).is_dir():
        raise InputError(f"{path}: this is a folder; name the file in it")
    return strict_lines(path, place, "file")


def is_whole_number(cell: str) -> bool:
    """Whether a cell is digits with an optional sign, no more of them than numbers of 64 bits have."""
    digits = cell[1:] if cell[:1] in ("-", "+") else cell
    return digits.isascii() and digits.isdecimal() and len(digits) < 20
