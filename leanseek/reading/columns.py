"""The columns of tables of queries and judgments, recognised by the usual names in their headers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from leanseek.reading.fields import ID_NAMES
from leanseek.reading.streams import Place

QUERY_IDS: Final = (
    "query_id", "qid", "queryid", "topic_id", "topicid", "topic_number", "question_id", "query_number", "qnum",
    "qno", "q_id", *ID_NAMES, "number", "num", "topic",
)  # fmt: skip
QUERY_TEXTS: Final = (
    "text", "query", "query_text", "question", "question_text", "title", "contents", "content", "raw_query",
    "utterance", "querytext", "query_string", "sentence", "topic",
)  # fmt: skip
DOCUMENT_IDS: Final = (
    "corpus_id", "doc_id", "docid", "docno", "document_id", "documentid", "passage_id", "passageid", "pid",
    "document", "doc", "did",
)  # fmt: skip
GRADES: Final = ("score", "relevance", "rel", "grade", "label", "judgment", "judgement", "relevant", "rating")

_DELIMITERS: Final = ("\t", ",", ";", "|")
_LARGEST_CELL: Final = 2**31 - 1
_MOST: Final = 1000
"""Columns of a header that are looked at."""


def plain(name: str) -> str:
    """A column's name for comparison: `Query-ID`, `query id` and `query_id` are the same."""
    return re.sub(r"[\s-]+", "_", name.strip(' \t\r\n"#').casefold())


def column(names: Sequence[str], usual: Sequence[str], taken: Sequence[int | None] = ()) -> int | None:
    """The place of the first of the usual names among `names`, other than those taken; None if there is none."""
    places: dict[str, int] = {}
    for place, name in enumerate(names[:_MOST]):
        if place not in taken:
            places.setdefault(plain(name), place)
    return next((places[name] for name in usual if name in places), None)


def delimiter(row: str) -> str:
    """The mark that cuts a row into most cells, a tab where it has one; a comma if none does."""
    if "\t" in row:
        return "\t"
    return max(_DELIMITERS[1:], key=lambda mark: (row.count(mark), -_DELIMITERS.index(mark)))


def table(rows: Iterable[str], mark: str, place: Place, *, numbered: bool = True) -> Iterator[list[str]]:
    """The rows of a table as cells, without blank ones.

    `place` follows, unless the rows are not `numbered` because whatever gives them moves it. Between tabs nothing is
    quoted, as in TREC's and MS MARCO's files; otherwise the rules are those of CSV (RFC 4180).

    Raises InputError for malformed quotes.
    """
    if mark == "\t":
        for line, row in enumerate(rows, 1):
            if not row.isspace():
                place.line = line if numbered else place.line
                yield row.rstrip("\r\n").split("\t")
        return
    csv.field_size_limit(max(csv.field_size_limit(), _LARGEST_CELL))
    reader = csv.reader(rows, delimiter=mark, strict=True)
    while True:
        if numbered:
            place.line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise place.error(f"not CSV: {error}") from error
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield cells


def first_cells(row: str, mark: str) -> list[str]:
    """The cells of one row, without the quotes around them; those of a row that is not CSV as they are."""
    if mark == "\t":
        return [cell.strip() for cell in row.split("\t")]
    try:
        return next(csv.reader(io.StringIO(row), delimiter=mark), [])
    except csv.Error:
        return row.split(mark)
