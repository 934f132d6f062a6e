"""Tables: CSV with a header, tab-separated values as MS MARCO has them, and Parquet."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from leanseek.errors import InputError, MissingPackageError
from leanseek.reading.documents import DocumentBuilder
from leanseek.reading.fields import names_fields
from leanseek.reading.streams import Place, lines
from leanseek.types import Document

_LARGEST_CELL: Final = 2**31 - 1
_LONGEST_ROW: Final = 1 << 25
# Characters that may be read a second time after rows that are no CSV; from then on a row ends with its line. To read
# a line takes as long as that many of its characters.
_REREAD: Final = 1 << 26
_LINE_COST: Final = 40
_PARQUET_ROWS: Final = 1024
_DELIMITERS: Final = ",;\t|"
_PASSAGE_COLUMNS: Final = ("id", "text")
_DOCUMENT_COLUMNS: Final = ("id", "url", "title", "body")


def read_csv(stream: io.BufferedReader, place: Place, builder: DocumentBuilder) -> Iterator[Document]:
    """The documents of a CSV file (RFC 4180): its first row names the fields.

    The delimiter is the one of comma, semicolon, tab and bar that cuts the header into most cells. Raises
    InputError for a header that names a field twice.
    """
    # The limit belongs to the module and its default of 128 KiB is less than a long document.
    csv.field_size_limit(max(csv.field_size_limit(), _LARGEST_CELL))
    source = lines(stream, place)
    first = next((line for line in source if line.strip()), None)
    if first is None:
        return
    delimiter = max(_DELIMITERS, key=lambda mark: (first.count(mark), -_DELIMITERS.index(mark)))
    records = _Records(first, source, delimiter, place)
    header: list[str] | None = None
    while True:
        try:
            row = records.following()
        except InputError as error:
            if header is None:
                raise
            place.repaired = False
            builder.refuse(error)
            continue
        if row is None:
            return
        if header is None:
            header = row
            _check_header(header, place)
        elif row:
            document = _row(header, row, place, builder)
            if document is not None:
                yield document


class _Records:
    """The rows of a CSV file; `place.line` is the line that the last one begins on.

    A quote that is never closed swallows the rows after it up to the next quote or the end of the file. What is no
    CSV therefore costs the line that it begins on: reading goes on with the line after it.
    """

    def __init__(self, first: str, source: Iterator[str], delimiter: str, place: Place) -> None:
        self._source = source
        self._place = place
        self._line = place.line
        self._again: deque[str] = deque([first])
        self._taken: list[str] = []
        self._size = 0
        self._header = True
        self._patience = _REREAD
        self._rows = csv.reader(self, delimiter=delimiter, strict=True)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._size > (_LONGEST_ROW if self._patience > 0 else 0):
            raise StopIteration
        line = self._again.popleft() if self._again else next(self._source)
        self._taken.append(line)
        self._size += len(line)
        return line

    def following(self) -> list[str] | None:
        """The next row, [] for an empty line, None at the end. Raises InputError for one that is no CSV."""
        self._taken.clear()
        self._size = 0
        try:
            row = next(self._rows, None)
        except csv.Error as error:
            self._place.line = self._line
            self._line += 1
            self._again.extendleft(reversed(self._taken[1:]))
            self._patience -= self._size + _LINE_COST * len(self._taken)
            what = "the header is not CSV" if self._header else "not CSV"
            if len(self._taken) > 1 or "unexpected end" in str(error):
                what = f"{what}: a quote is opened in the row that begins here and not closed"
            raise self._place.error(f"{what}: {error}") from error
        self._header = False
        self._place.line = self._line
        self._line += len(self._taken)
        return row


def read_tsv(stream: io.BufferedReader, place: Place, builder: DocumentBuilder) -> Iterator[Document]:
    """The documents of a TSV file, without quoting, as MS MARCO's `collection.tsv` and `msmarco-docs.tsv`.

    The first line is a header if it names the fields (or if they were named by option); otherwise two columns
    are id and text, four id, url, title and body. Under a header, a cell wholly in double quotes loses them.
    Raises InputError for other numbers of columns.
    """
    header: list[str] | None = None
    quoting = False
    options = builder.fields
    for line in lines(stream, place):
        if line.isspace():
            continue
        row = line.rstrip("\r\n").split("\t")
        if header is None:
            if names_fields(row, options) or options.id or options.text or options.title:
                header, quoting = [unquoted(cell) for cell in row], True
                _check_header(header, place)
                continue
            header = _msmarco_columns(row, place)
        if quoting:
            row = [unquoted(cell) for cell in row]
        document = _row(header, row, place, builder)
        if document is not None:
            yield document


def _row(header: list[str], row: list[str], place: Place, builder: DocumentBuilder) -> Document | None:
    if len(row) != len(header):
        place.repaired = False
        builder.refuse(
            place.error(f"{len(row)} cells where {len(header)} are expected ({', '.join(header[:8])})")
        )
        return None
    return builder.document(dict(zip(header, row, strict=True)), place, cells=True)


def _msmarco_columns(row: list[str], place: Place) -> list[str]:
    for columns in (_PASSAGE_COLUMNS, _DOCUMENT_COLUMNS):
        if len(row) == len(columns):
            return list(columns)
    raise place.error(
        f"{len(row)} tab-separated {'column' if len(row) == 1 else 'columns'} and no header; without one "
        "there must be 2 (id, text) or 4 (id, url, title, body): add a first line that names the columns"
    )


def _check_header(header: list[str], place: Place) -> None:
    twice = next((name for number, name in enumerate(header) if name in header[:number]), None)
    if twice is not None:
        raise place.error(f"the header names the field {twice!r} twice; every field needs a name of its own")


def unquoted(cell: str) -> str:
    """The cell without the quotes around it, if quotes inside it are doubled as CSV writers do."""
    if len(cell) < 2 or cell[0] != '"' or cell[-1] != '"':
        return cell
    inner = cell[1:-1]
    return inner.replace('""', '"') if '"' not in inner.replace('""', "") else cell


def read_parquet(path: Path, place: Place, builder: DocumentBuilder) -> Iterator[Document]:
    """The documents of a Parquet file; a place's line is the row's number from 1. Raises InputError."""
    for record in parquet_rows(path, place):
        document = builder.document(record, place)
        if document is not None:
            yield document


def parquet_rows(path: Path, place: Place) -> Iterator[dict[str, object]]:
    """The rows of a Parquet file; a place's line is the row's number from 1. Raises InputError, MissingPackageError."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError("Reading .parquet files", "pyarrow", "files") from error

    try:
        with arrow.parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=_PARQUET_ROWS):
                for record in _records(batch):
                    place.line += 1
                    yield record
    except (arrow.ArrowException, OSError) as error:
        raise place.error(f"damaged, or not a Parquet file: {error}") from error


def _records(batch: Any) -> list[dict[str, object]]:
    try:
        records: list[dict[str, object]] = batch.to_pylist()
    except UnicodeDecodeError:
        # The writer stored bytes as strings; read as bytes they are decoded with replacement later.
        import pyarrow as arrow

        columns = [
            column.cast(arrow.binary()) if arrow.types.is_string(column.type) else column
            for column in batch.columns
        ]
        records = arrow.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist()
    return records
