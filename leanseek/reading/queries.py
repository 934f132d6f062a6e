"""Reading queries: JSON, tables, TREC's topics and `id:text` lines, or one query a line."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeAlias

from leanseek.errors import InputError
from leanseek.reading.columns import (
    QUERY_IDS,
    QUERY_TEXTS,
    column,
    delimiter,
    first_cells,
    plain,
    table,
)
from leanseek.reading.fields import listed, valid
from leanseek.reading.jsonlines import json_values, parse_line
from leanseek.reading.streams import STANDARD_INPUT, Place, strict_lines
from leanseek.reading.tables import unquoted
from leanseek.reading.topics import is_markup, read_topics
from leanseek.types import Query

_BEIR: Final = ("queries.jsonl", "queries.jsonl.gz", "queries.jsonl.bz2")
_JSON_LINES: Final = (".jsonl", ".ndjson")
_TABLES: Final = (".tsv", ".csv")
_MARKUP: Final = (".xml", ".sgml", ".html", ".htm")
_NOT_QUERIES: Final = (".parquet", ".pdf", ".docx")
_NOT_LINES: Final = (".json", ".yaml", ".yml", ".toml", ".md", ".rst")
_LISTS: Final = ("queries", "topics", "questions", "data")
# Some tracks have the query's priority between id and text: `20001:1:text`.
_COLON: Final = re.compile(r"\s*+(?=[^\s\d:]*+\d)([^\s:]++):(?!/)(?:\d:)?(\s*+)([^\s:].*+)", re.DOTALL)
_CLOCK: Final = re.compile(r"\s*+\d{1,2}:[0-5]\d\b")
_NUMBERED: Final = re.compile(r"\s*+([^\s,;|]{0,20}?)(\d{1,18})[\s.,;|)\]]")
_JUDGMENT: Final = re.compile(r"\S++\s++Q?0\s++\S++\s++-?\d++(?:\s++\S++\s++\S++)?\s*+")

_Parser: TypeAlias = Callable[[Sequence[str], Place], Iterator[Query]]


def read_queries(source: str | os.PathLike[str]) -> list[Query]:
    """The queries of a file, a BEIR folder (its `queries.jsonl`), or standard input ("-"), in order.

    The content decides how it is read, whatever the file's suffix; gzip and bzip2 are unpacked:

    - JSON Lines, a list of objects, or one object of texts by their ids;
    - markup: TREC's topics as SGML or XML, and Indri's parameter files (see `topics`);
    - a table, `id<TAB>text` or with a header that names its columns (`query_id`, `qid`, `text`, `query` and the like),
      separated by tabs, or in CSV by commas, semicolons or bars;
    - `id:text` lines, as in TREC's files of queries without topics;
    - else one query a line, numbered from 1.

    A query may be empty.

    Raises InputError for what cannot be read, beginning with `file:line:`, and for a query id given twice.
    """
    path = os.fspath(source)
    if path != STANDARD_INPUT:
        path = str(_file(Path(path)))
    place = Place(path)
    kind = _suffix(path)
    if kind in _NOT_QUERIES:
        raise InputError(
            f"{place.file}: queries are not read from {kind} files, but from JSON, tables (id, tab, text), TREC topics "
            "or .txt (one query a line)"
        )
    rows = list(strict_lines(path, place, "queries"))
    queries: list[Query] = []
    lines_of: dict[str, int] = {}
    for query in _parser(rows, kind, place)(rows, place):
        query = Query(valid(query.id).strip(), " ".join(valid(query.text).split()))
        if not query.id:
            raise place.error("the query has no id")
        if query.id in lines_of:
            raise place.error(
                f"the query id {query.id!r} is that of line {lines_of[query.id]} too; ids must differ"
            )
        lines_of[query.id] = place.line
        queries.append(query)
    if not queries:
        raise InputError(f"{place.file}: no queries in it")
    return queries


def _file(path: Path) -> Path:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if not path.is_dir():
        return path
    found = next((path / name for name in _BEIR if (path / name).is_file()), None)
    if found is None:
        raise InputError(f"{path}: this folder has no queries.jsonl; name the file that holds the queries")
    return found


def _suffix(path: str) -> str:
    return Path(path.lower().removesuffix(".gz").removesuffix(".bz2")).suffix


def _parser(rows: Sequence[str], kind: str, place: Place) -> _Parser:
    """What reads a file of these lines, of which `kind` is the suffix."""
    filled = [row for row in rows if not row.isspace()]
    first = filled[0].lstrip() if filled else ""
    if kind in _JSON_LINES or first.startswith("{") or re.match(r"\[\s*(?:[\[{\"\]]|$)", first):
        several = len(filled) > 1 and _is_json_line(first, place)
        return _json_lines if kind in _JSON_LINES or several else _json
    if is_markup(first) or (filled and kind in _MARKUP):
        return read_topics
    tabbed = "\t" in first.rstrip() or sum("\t" in row for row in filled) * 2 > len(filled)
    if kind in _TABLES or tabbed or _is_header(first):
        return _table
    colons = [row for row in filled if _COLON.match(row) and not _CLOCK.match(row)]
    # A single line may well be a query with a colon in it, unless nothing parts the colon from what follows.
    apart = any(found[2] for row in colons if (found := _COLON.match(row)))
    if len(colons) * 2 > len(filled) and (len(filled) > 1 or not apart):
        return _colons
    if kind in _NOT_LINES:
        raise InputError(
            f"{place.file}: {kind} is not a list of queries, a line each; write them as .txt, or as id, tab, text"
        )
    return _lines


def _is_json_line(row: str, place: Place) -> bool:
    try:
        return row.startswith("{") and isinstance(parse_line(row.strip(), place), dict)
    except InputError:
        return False


def _json_lines(rows: Sequence[str], place: Place) -> Iterator[Query]:
    for place.line, row in enumerate(rows, 1):
        if row := row.strip():
            yield from _records(parse_line(row, place), place)


def _json(rows: Sequence[str], place: Place) -> Iterator[Query]:
    number = 0
    in_list = next(row for row in rows if not row.isspace()).lstrip().startswith("[")
    for value in json_values(iter(rows), place):
        if isinstance(value, str):
            number += 1
            yield Query(str(number), value)
        else:
            yield from _records(value, place, by_id=not in_list)


def _records(value: object, place: Place, by_id: bool = False) -> Iterator[Query]:
    """The query that is a JSON object, or those in a list in it; `by_id`: or all its values, by their ids."""
    if not isinstance(value, dict):
        raise place.error('not a JSON object; a query is one, such as {"_id": "1", "text": "..."}')
    inner = next((value[name] for name in _LISTS if isinstance(value.get(name), (list, dict))), None)
    if isinstance(inner, list):
        for record in inner:
            yield from _records(record, place)
    elif inner is not None:
        yield from _records(inner, place, by_id=True)
    elif by_id and _is_by_id(value):
        for id, text in value.items():
            yield Query(id, _text(text if isinstance(text, dict) else {"text": text}, id, place))
    else:
        if isinstance(value.get("turn"), list):
            raise place.error("a conversation of turns is not read; write each turn as a query with an id")
        id = _named(value, QUERY_IDS, "id", place)
        if isinstance(id, bool) or not isinstance(id, (str, int)):
            raise place.error(f"the query id is {id!r}; it must be a string or a whole number")
        yield Query(str(id), _text(value, id, place))


def _is_by_id(value: Mapping[str, object]) -> bool:
    names = list(value)
    named = column(names, QUERY_IDS) is not None or column(names, QUERY_TEXTS) is not None
    return not named and isinstance(next(iter(value.values()), None), (str, dict))


def _text(record: Mapping[str, object], id: object, place: Place) -> str:
    text = _named(record, QUERY_TEXTS, "text", place)
    if not isinstance(text, str):
        raise place.error(f"the text of query {id!r} is {text!r}; it must be a string")
    return text


def _named(record: Mapping[str, object], usual: Sequence[str], part: str, place: Place) -> object:
    names = list(record)
    # Where one name could be either, as `topic`, it is the text.
    taken = [column(names, QUERY_TEXTS)] if part == "id" else []
    found = column(names, usual, taken)
    if found is None:
        looked = ", ".join(usual[:8])
        raise place.error(
            f"no {part} field (looked for {looked} and the like); the query has {listed(names)}"
        )
    return record[names[found]]


def _is_header(row: str) -> bool:
    """Whether a line names the id and the text of a table, whatever separates its cells."""
    names = first_cells(row.strip(), delimiter(row))
    text = column(names, QUERY_TEXTS)
    return text is not None and column(names, QUERY_IDS, [text]) is not None


def _table(rows: Sequence[str], place: Place) -> Iterator[Query]:
    first = next((row for row in rows if not row.isspace()), "")
    mark = delimiter(first)
    if mark not in first and any("\t" in row for row in rows):
        mark = "\t"
    id: int | None = 0
    text, width, quoted = 1, 0, False
    number = 0
    for cells in table(rows, mark, place):
        if not width:
            width = 2
            if (header := _header(cells, place)) is not None:
                (id, text), width, quoted = header, len(cells), mark == "\t"
                continue
        if len(cells) != width:
            separated = "tab-separated " if mark == "\t" else ""
            meant = ": query id, tab, text" if separated and width == 2 else ""
            raise place.error(f"{len(cells)} {separated}cells where {width} are expected{meant}")
        if quoted:
            cells = [unquoted(cell) for cell in cells]
        number += 1
        yield Query(str(number) if id is None else cells[id], cells[text])


def _header(cells: Sequence[str], place: Place) -> tuple[int | None, int] | None:
    """The columns of id and text that a table's first row names; None where it is a query.

    Raises InputError for a header that names one of the two and leaves the other open.
    """
    text = column(cells, QUERY_TEXTS)
    id = column(cells, QUERY_IDS, [text])
    if text is not None and (id is not None or len(cells) == 1):
        return id, text
    if len(cells) == 2 and text is None and id is not None:
        return (0, 1) if id == 0 else None
    if id is None and not all(plain(cell) in QUERY_TEXTS for cell in cells):
        return None
    missing, usual = ("text", QUERY_TEXTS) if text is None else ("id", QUERY_IDS)
    raise place.error(
        f"the header names no column of the query's {missing}: it has {listed(list(cells))}; "
        f"call that column {usual[0]}"
    )


def _colons(rows: Sequence[str], place: Place) -> Iterator[Query]:
    for place.line, row in enumerate(rows, 1):
        if row.isspace():
            continue
        found = _COLON.match(row)
        if found is None:
            raise place.error(
                "no id and colon before the query, as the lines around it have; write id, tab, text"
            )
        yield Query(found[1], found[3])


def _lines(rows: Sequence[str], place: Place) -> Iterator[Query]:
    """One query a line. Raises InputError for lines that are of another format."""
    filled = [(line, row) for line, row in enumerate(rows, 1) if not row.isspace()]
    for line, row in filled:
        place.line = line
        if is_markup(row):
            raise place.error(
                "a line that begins with a tag, in a file that is neither topics nor a table; write queries that "
                "contain tags as id, tab, text"
            )
    numbered = [(found[1], int(found[2])) for _, row in filled if (found := _NUMBERED.match(row))]
    ascending = all(a[0] == b[0] and a[1] < b[1] for a, b in pairwise(numbered))
    if len(filled) > 1 and len(numbered) == len(filled) and ascending:
        place.line = filled[0][0]
        raise place.error(
            "every line begins with a number, which may be the query's id or a word of it; write id, tab, text"
        )
    if len(filled) > 1 and _is_header("\t".join(filled[0][1].split())):
        place.line = filled[0][0]
        raise place.error("this is the header of a table without tabs or commas; write id, tab, text")
    if len(filled) > 1 and all(_JUDGMENT.fullmatch(row) for _, row in filled):
        place.line = filled[0][0]
        raise place.error("these are judgments or a run, not queries; are the arguments swapped?")
    for number, (place.line, row) in enumerate(filled, 1):
        yield Query(str(number), row)
