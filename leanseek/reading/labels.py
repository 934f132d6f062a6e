"""Reading the labels of a review: what people have decided about each document that they have read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from leanseek.errors import InputError
from leanseek.reading.columns import DOCUMENT_IDS, GRADES, column, delimiter, first_cells, table
from leanseek.reading.judgments import Judgment, collected, judgments, text_lines, until_filled
from leanseek.reading.streams import Place

FORM: Final = (
    "labels have two columns, separated by a tab or a comma: a document's id, and 1 where it is relevant or 0 where "
    "it is not"
)
_REVIEW: Final = "the review"
_IDS: Final = (*DOCUMENT_IDS, "id", "_id", "record_id")
_LABELS: Final = (*GRADES, "included", "label_included", "include")


def read_labels(path: str | os.PathLike[str], review: str | None = None) -> dict[str, int]:
    """The label of each document in a file, or on standard input for "-", in the order of the file.

    A file has two columns, a document's id and its label, with or without a header; or it is one of judgments, in
    any format of `read_qrels`, with those of one query or with those of the query `review` among others. Labels are
    whole numbers: relevant from 1. A document labelled twice alike counts once.

    Raises InputError beginning with `file:line:` for a line of another shape, another label, and a document labelled
    twice and differently; and for a file of several queries' judgments where `review` is none of them. A file without
    a line has no labels: nothing has been read yet.
    """
    place = Place(os.fspath(path))
    source = text_lines(os.fspath(path), place)
    start = until_filled(source)
    if not start:
        return {}
    first = start[-1].strip()
    mark = delimiter(first)
    cells = first_cells(first, mark) if mark in first else first.split()
    if first[:1] in ("{", "[") or len(cells) != 2:
        return _of_review(collected(judgments(start, source, place), place), review, place)
    lines = chain(start[-1:], source)
    rows = table(lines, mark, place, numbered=False) if mark in first else map(str.split, lines)
    return collected(_pairs(rows, place), place).get(_REVIEW, {})


def _pairs(rows: Iterable[list[str]], place: Place) -> Iterator[Judgment]:
    """The labels of a table of two columns as judgments of one query."""
    document, label, first = 0, 1, True
    for row in rows:
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if first:
            first = False
            at = column(cells, _IDS), column(cells, _LABELS)
            if at in ((0, 1), (1, 0)):
                document, label = at
                continue
        if len(cells) != 2 or not all(cells):
            raise place.error(f"{len([cell for cell in cells if cell])} columns; {FORM}")
        yield _REVIEW, cells[document], cells[label]


def _of_review(qrels: dict[str, dict[str, int]], review: str | None, place: Place) -> dict[str, int]:
    if len(qrels) > 1 and review not in qrels:
        named = f"none of them is {review!r}" if review is not None else "name that of the review"
        raise InputError(
            f"{place.file}: these are judgments of {len(qrels):,} queries, such as {next(iter(qrels))!r}, and {named}; "
            f"{FORM}"
        )
    return qrels[review] if review in qrels else next(iter(qrels.values()), {})
