"""Reading queries: BEIR's JSON Lines, tab-separated values, TREC topics, or one query a line."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from leanseek.errors import InputError
from leanseek.reading.fields import ID_NAMES, listed, valid
from leanseek.reading.jsonlines import parse_line
from leanseek.reading.streams import STANDARD_INPUT, Place, strict_lines
from leanseek.types import Query

_QUERY_IDS: Final = (*ID_NAMES, "qid", "query_id", "query-id", "topic_id")
_QUERY_TEXTS: Final = ("text", "query", "question", "title", "contents")
_BEIR: Final = ("queries.jsonl", "queries.jsonl.gz", "queries.jsonl.bz2")
_NOT_QUERIES: Final = (".csv", ".parquet", ".json", ".pdf", ".docx", ".html", ".htm")

_Parser: TypeAlias = Callable[[Sequence[str], Place], Iterator[Query]]

_TOPICS: Final = re.compile(r"\s*<(\?xml|!--|!DOCTYPE|top\b|topics?\b|queries\b|query\b)", re.IGNORECASE)
_COMMENT: Final = re.compile(r"<!--.*?-->|<\?.*?\?>", re.DOTALL)
_CDATA: Final = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_TOPIC: Final = re.compile(
    r"<(top|topic|query)\b(?P<attributes>[^>]*)>(?P<body>(?:(?!<\1\b).)*?)(?:</\1\s*>|(?=<\1\b)|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_FIELD: Final = re.compile(r"<([A-Za-z][\w-]*)[^<>]*>([^<]*(?:<(?![A-Za-z/!])[^<]*)*)")
_ATTRIBUTE: Final = re.compile(r"""([\w:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_NUMBERS: Final = ("num", "number", "id", "qid", "identifier", "topic_id")
_TITLES: Final = ("title", "query", "text", "question", "desc", "description")


def read_queries(source: str | os.PathLike[str]) -> list[Query]:
    """The queries of a file, a BEIR folder (its `queries.jsonl`), or standard input ("-"), in order.

    The kinds are JSON Lines (`_id` and `text`, or the like), TSV (.tsv: query id, tab, text, with or without
    a header; also a file named `topics...` of any suffix whose lines all have one tab), TREC topics (SGML with
    or without end tags, or XML; the title is the query), and otherwise one query a line, numbered from 1. The
    content decides; a file packed by gzip or bzip2 is unpacked. On standard input, a first line with
    a tab means TSV. A query may be empty.

    Raises InputError for what cannot be read, beginning with `file:line:`, and for a query id given twice.
    """
    path = os.fspath(source)
    if path != STANDARD_INPUT:
        path = str(_file(Path(path)))
    place = Place(path)
    rows = list(strict_lines(path, place, "queries"))
    parser = _parser(rows, Path(path).name.lower(), place)
    queries: list[Query] = []
    lines_of: dict[str, int] = {}
    for query in parser(rows, place):
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


def _parser(rows: Sequence[str], name: str, place: Place) -> _Parser:
    first = next((row for row in rows if row.strip()), "")
    suffixes = Path(name.removesuffix(".gz").removesuffix(".bz2")).suffixes
    kind = suffixes[-1] if suffixes else ""
    if kind in (".jsonl", ".ndjson") or first.lstrip().startswith("{"):
        return _json_lines
    # Anserini's and TREC's own topic files are often tables under the name of a text.
    table = name.startswith("topics") and all(row.count("\t") == 1 for row in rows if row.strip())
    if kind == ".tsv" or table or (name == STANDARD_INPUT and "\t" in first):
        return _tsv
    if _TOPICS.match(first):
        return _topics
    if kind in _NOT_QUERIES:
        raise InputError(
            f"{place.file}: queries are not read from {kind} files, but from .jsonl, .tsv (id, tab, text), "
            "TREC topics, or .txt (one query a line)"
        )
    return _plain


def _json_lines(rows: Sequence[str], place: Place) -> Iterator[Query]:
    for place.line, row in enumerate(rows, 1):
        row = row.strip()
        if not row:
            continue
        record = parse_line(row, place)
        if not isinstance(record, dict):
            raise place.error('not a JSON object; a query is one, such as {"_id": "1", "text": "..."}')
        id = _named(record, _QUERY_IDS, "id", place)
        text = _named(record, _QUERY_TEXTS, "text", place)
        if isinstance(id, bool) or not isinstance(id, (str, int)):
            raise place.error(f"the query id is {id!r}; it must be a string or a whole number")
        if not isinstance(text, str):
            raise place.error(f"the text of query {id!r} is {text!r}; it must be a string")
        yield Query(str(id), text)


def _named(record: dict[str, object], usual: Sequence[str], part: str, place: Place) -> object:
    name = next((name for name in usual if name in record), None)
    if name is None:
        raise place.error(
            f"no {part} field (looked for {', '.join(usual)}); the query has {listed(list(record))}"
        )
    return record[name]


def _tsv(rows: Sequence[str], place: Place) -> Iterator[Query]:
    columns: tuple[int, int] | None = None
    width = 2
    for place.line, row in enumerate(rows, 1):
        cells = row.rstrip("\r\n").split("\t")
        if cells == [""]:
            continue
        if columns is None:
            names = [cell.strip().casefold() for cell in cells]
            id = next((names.index(name) for name in _QUERY_IDS if name in names), None)
            text = next((names.index(name) for name in _QUERY_TEXTS if name in names), None)
            columns = (0, 1)
            if id is not None and text is not None:
                columns, width = (id, text), len(cells)
                continue
        if len(cells) != width:
            raise place.error(
                f"{len(cells)} tab-separated cells where {width} are expected"
                f"{': query id, tab, text' if width == 2 else ''}"
            )
        yield Query(cells[columns[0]], cells[columns[1]])


def _plain(rows: Sequence[str], place: Place) -> Iterator[Query]:
    number = 0
    for place.line, row in enumerate(rows, 1):
        if row.strip():
            number += 1
            yield Query(str(number), row)


def _topics(rows: Sequence[str], place: Place) -> Iterator[Query]:
    """TREC's topics in any of their dialects; `Number: 051` is 51, as in the judgments."""
    # Comments keep their line ends, so that lines can be counted.
    text = _COMMENT.sub(lambda match: "\n" * match[0].count("\n"), "".join(rows))
    text = _CDATA.sub(lambda match: html.escape(match[1], quote=False), text)
    for topic in _TOPIC.finditer(text):
        place.line = text.count("\n", 0, topic.start()) + 1
        fields: dict[str, str] = {}
        for name, value in _FIELD.findall(topic["body"]):
            fields.setdefault(name.lower(), html.unescape(" ".join(value.split())))
        for name, double, single in _ATTRIBUTE.findall(topic["attributes"]):
            fields.setdefault(f"@{name.lower()}", double or single)
        id = next(
            (fields[mark + name] for mark in ("@", "") for name in _NUMBERS if mark + name in fields), ""
        )
        numbered = re.fullmatch(r"(?i:number|topic)\s*:\s*(\S+).*", id)
        if numbered:
            id = str(int(numbered[1])) if numbered[1].isdecimal() else numbered[1]
        if not id:
            raise place.error('the topic has no number: neither <num> nor an attribute such as number="1"')
        title = next((fields[name] for name in _TITLES if fields.get(name)), None)
        if title is None:
            # Some tracks' topics are a bare text, or a set of named facets, which together are the query.
            title = html.unescape(re.sub(r"<[^<>]*>", " ", topic["body"]))
        yield Query(id, re.sub(r"(?i)^(topic|description)\s*:\s*", "", title))
