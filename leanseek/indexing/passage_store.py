"""The passages of one segment, read by ordinal, by document or by metadata."""

from __future__ import annotations

import errno
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np

from leanseek.errors import IndexDamagedError, UsageError
from leanseek.filters import BUILT_IN, Element, Kind, seconds_of, stored_moment, word_count
from leanseek.indexing.arrays import open_array
from leanseek.indexing.passages import COLUMNS, FILE, ROWS_FILE, StoredPassage, file_uri
from leanseek.types import Int64Array, Metadata, Scalar, content

Found = TypeVar("Found")

PASSAGE = (int, str, int, int, int, str, str, str)
"""The types of a row's number and of `COLUMNS`."""
LOOKUP = 500
"""Parameters in one statement: the oldest SQLite builds allow 999."""
SCAN_BLOCK = 65_536
REMEDY = "Restore the index from a copy, or index again; 'leanseek verify' lists all that is damaged."
DISTINCT_FIELDS = """
WITH RECURSIVE found(field) AS (
    SELECT min(field) FROM metadata
    UNION ALL SELECT (SELECT min(field) FROM metadata WHERE field > found.field) FROM found WHERE field IS NOT NULL
)
SELECT field FROM found WHERE field IS NOT NULL
"""
"""Steps through the index from field to field, where DISTINCT would read all of it."""
IDS_HELD_FROM = 8
"""Looking one id up takes as long as reading about so many in order."""


class PassageStore:
    """Reads a segment's passages by ordinal. Safe to use from several threads.

    Every method raises IndexDamagedError where the file holds what no writer wrote, and UsageError once the
    store is closed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._ordinals: Int64Array | None = None
        self._ids: DocumentIds | None = None
        self._ids_read = 0
        self.rows: Int64Array = open_array(folder / ROWS_FILE, np.int64)
        try:
            uri = f"{file_uri(folder)}?mode=ro&immutable=1"
            self._database = sqlite3.connect(uri, uri=True, check_same_thread=False)
        except sqlite3.Error as error:
            if not (folder / FILE).exists():
                raise FileNotFoundError(errno.ENOENT, "no such file", str(folder / FILE)) from error
            raise self._damaged(error) from error
        self._database.create_function("stored_moment", 1, stored_moment, deterministic=True)
        self._database.create_function("word_count", 1, word_count, deterministic=True)
        self._database.create_function(
            "stored_date", 1, lambda text: seconds_of(text) is not None, deterministic=True
        )
        ((self.form,),) = self._query("PRAGMA user_version", (), (int,))
        ((count,),) = self._query("SELECT count(*) FROM passages", (), (int,))
        if count != len(self.rows):
            raise IndexDamagedError(f"'{folder}' has {count} passages and {len(self.rows)} ordinals")

    @property
    def size(self) -> int:
        """n, the number of passages, deleted ones included."""
        return len(self.rows)

    def get(self, ordinals: Int64Array) -> list[StoredPassage]:
        """The passages at the given ordinals, in that order."""
        statement = f"SELECT row, {COLUMNS} FROM passages WHERE row IN"
        found = {
            row: StoredPassage._make((*values, self._metadata(metadata)))
            for row, *values, metadata in self._lookup(statement, self.rows[ordinals].tolist(), PASSAGE)
        }
        return self._in_order(found, ordinals)

    def keys(self, ordinals: Int64Array) -> list[tuple[str, int]]:
        """(document id, part number) of the passages at the given ordinals."""
        statement = "SELECT row, id, number FROM passages WHERE row IN"
        found = {
            row: (document, number)
            for row, document, number in self._lookup(
                statement, self.rows[ordinals].tolist(), (int, str, int)
            )
        }
        return self._in_order(found, ordinals)

    def ids(self, ordinals: Int64Array) -> list[str]:
        """The document ids of the passages at the given ordinals (c,), in that order.

        After many have been read the ids of all passages are held in memory.
        """
        with self._lock:
            self._ids_read += len(ordinals)
            if self._ids is None and self._ids_read * IDS_HELD_FROM > self.size:
                self._ids = self._read_ids()
        if self._ids is None:
            return [document for document, _ in self.keys(ordinals)]
        return self._ids.take(ordinals)

    def find(self, documents: Sequence[str]) -> dict[str, list[int]]:
        """The ordinals of the parts of each document that is here, by its id."""
        statement = "SELECT row, id FROM passages WHERE id IN"
        parts = list(self._lookup(statement, list(documents), (int, str)))
        ordinals = self._ordinals_of(np.array([row for row, _ in parts], dtype=np.int64))
        found: dict[str, list[int]] = {}
        for ordinal, (_, document) in zip(ordinals.tolist(), parts, strict=True):
            found.setdefault(document, []).append(ordinal)
        return found

    def contents(self, ordinals: Int64Array) -> list[str]:
        """The searched texts (title and body) of the passages at the given ordinals."""
        statement = "SELECT row, title, text FROM passages WHERE row IN"
        found = {
            row: content(title, text)
            for row, title, text in self._lookup(statement, self.rows[ordinals].tolist(), (int, str, str))
        }
        return self._in_order(found, ordinals)

    def blocks(self, size: int) -> Iterator[Int64Array]:
        """All ordinals in ascending blocks of at most `size`."""
        for start in range(0, self.size, size):
            yield np.arange(start, min(start + size, self.size), dtype=np.int64)

    def groups(self) -> Int64Array:
        """(n,) a number for each ordinal, equal for the parts of one document and ascending."""
        ((firsts,),) = self._query("SELECT count(*) FROM passages WHERE number = 0", (), (int,))
        # Only first parts or only later ones are read, whichever are fewer.
        few = 2 * firsts < self.size
        rows = self._rows(f"SELECT row FROM passages WHERE number {'=' if few else '>'} 0")
        begins = np.full(self.size, not few)
        begins[self._ordinals_of(rows)] = few
        return np.cumsum(begins)

    def select(self, field: str, where: str, parameters: Sequence[Scalar]) -> Int64Array:
        """Ordinals (c,) of the passages one of whose values of `field` meets the SQL condition `where`."""
        if field in BUILT_IN:
            rows = self._rows(
                f"SELECT row FROM (SELECT row, {field} AS value, 'string' AS kind FROM passages) "
                f"WHERE {where}",
                parameters,
            )
        else:
            rows = self._rows(f"SELECT row FROM metadata WHERE field = ? AND ({where})", (field, *parameters))
        return self._ordinals_of(rows)

    def fields(self) -> list[str]:
        """The names of the metadata fields, sorted; of a segment of form 0 those that have a value."""
        statement = "SELECT name FROM fields ORDER BY name" if self.form else DISTINCT_FIELDS
        return [field for (field,) in self._query(statement, (), (str,))]

    def knows(self, field: str) -> bool:
        """Whether a document has a metadata field, be it null in all of them."""
        statement, name = "SELECT 1 FROM fields WHERE name = ?", field
        if not self.form:
            # A name of a field is the only place where JSON has these quotes.
            statement, name = (
                "SELECT 1 FROM passages WHERE instr(metadata, ?) LIMIT 1",
                f"{json.dumps(field)}: ",
            )
        return bool(self._query(statement, (name,), (int,)))

    def values(self, field: str) -> tuple[list[Element], Int64Array, Int64Array]:
        """The distinct elements of a field, and where they are: (r,) numbers of elements, (r,) ordinals.

        Elements that SQLite takes for equal, such as 1 and 1.0, are one; an ordinal that has an element twice may come
        twice with it.
        """
        table = (
            f"(SELECT row, 'string' AS kind, {field} AS value FROM passages)"
            if field in BUILT_IN
            else ("(SELECT row, kind, value FROM metadata WHERE field = ?)")
        )
        columns = "kind, value, count(*), group_concat(row)"
        statement = f"SELECT {columns} FROM {table} GROUP BY kind, value ORDER BY kind, value"
        found = self._query(statement, () if field in BUILT_IN else (field,), (str,))
        kinds = get_args(Kind)
        try:
            if unknown := {kind for kind, *_ in found} - set(kinds):
                raise ValueError(f"{min(unknown)!r} is no kind of value")
            elements = [Element.from_stored(value, kind) for kind, value, _, _ in found]
            rows = np.fromstring(",".join(rows for *_, rows in found), np.int64, sep=",")
        except (ValueError, TypeError) as error:
            raise self._damaged(error) from error
        numbers = np.repeat(np.arange(len(found)), [count for _, _, count, _ in found]).astype(np.int64)
        return elements, numbers, self._ordinals_of(rows)

    def dated(self, field: str) -> bool:
        """Whether a metadata field has values that are dates, times or years, or could be: numbers."""
        dates = (
            "kind IN ('moment', 'number') OR (kind = 'string' AND value GLOB '[0-9]*' AND stored_date(value))"
        )
        statement = f"SELECT 1 FROM metadata WHERE field = ? AND ({dates}) LIMIT 1"
        return bool(self._query(statement, (field,), (int,)))

    def kinds(self, field: str) -> dict[Kind, Element]:
        """The kinds of elements that a metadata field has, each with an example."""
        found: dict[Kind, Element] = {}
        for kind in get_args(Kind):
            statement = "SELECT value FROM metadata WHERE field = ? AND kind = ? LIMIT 1"
            for (value,) in self._query(statement, (field, kind), ()):
                try:
                    found[kind] = Element.from_stored(value, kind)
                except ValueError as error:
                    raise self._damaged(error) from error
        return found

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def __del__(self) -> None:
        # A connection refers to itself through its statement cache: left to the garbage collector, its file
        # would stay open for an unknown time after the last reader has let the segment go.
        if (database := getattr(self, "_database", None)) is not None:
            database.close()

    def _query(
        self, statement: str, parameters: Sequence[Scalar], types: Sequence[type]
    ) -> list[tuple[Any, ...]]:
        """All rows that a statement gives, with columns of the given types."""
        with self._lock, self._errors():
            found = self._database.execute(statement, tuple(parameters)).fetchall()
        self._check_types(found, types)
        return found

    def _lookup(
        self, statement: str, keys: Sequence[Scalar], types: Sequence[type]
    ) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(keys), LOOKUP):
            some = keys[start : start + LOOKUP]
            yield from self._query(f"{statement} ({', '.join('?' * len(some))})", some, types)

    def _rows(self, statement: str, parameters: Sequence[Scalar] = ()) -> Int64Array:
        """(c,) the row numbers that a statement gives."""
        found = self._query(statement, parameters, (int,))
        return np.fromiter((row for (row,) in found), dtype=np.int64, count=len(found))

    def _read_ids(self) -> DocumentIds:
        """The ids of all passages, read in blocks. The caller holds the lock."""
        with self._errors():
            cursor = self._database.execute("SELECT id FROM passages ORDER BY id, number")
            ids = DocumentIds(self._id_blocks(cursor))
        if len(ids) != self.size:
            raise self._damaged(f"it gives {len(ids)} ids for {self.size} passages")
        return ids

    def _id_blocks(self, cursor: sqlite3.Cursor) -> Iterator[list[str]]:
        while block := cursor.fetchmany(SCAN_BLOCK):
            self._check_types(block, (str,))
            yield [document for (document,) in block]

    def _check_types(self, rows: Sequence[tuple[Any, ...]], types: Sequence[type]) -> None:
        for column, expected in zip(zip(*rows, strict=True), types, strict=False):
            if set(map(type, column)) != {expected}:
                raise self._damaged(f"not every {expected.__name__} in it is one")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn SQLite's errors into the error for a user."""
        try:
            yield
        except sqlite3.ProgrammingError as error:
            raise UsageError(f"the index was closed while it was being searched: {error}") from error
        except (sqlite3.Error, UnicodeError) as error:
            raise self._damaged(error) from error

    def _metadata(self, stored: str) -> Metadata:
        try:
            metadata = json.loads(stored)
        except ValueError as error:
            raise self._damaged(error) from error
        if not isinstance(metadata, dict):
            raise self._damaged(f"it has {stored[:40]!r} where metadata belong")
        return metadata

    def _in_order(self, found: Mapping[int, Found], ordinals: Int64Array) -> list[Found]:
        try:
            return [found[row] for row in self.rows[ordinals].tolist()]
        except KeyError as error:
            raise IndexDamagedError(
                f"'{self.folder}' has no passage in row {error}, which its ordinals name. {REMEDY}"
            ) from None

    def _ordinals_of(self, rows: Int64Array) -> Int64Array:
        """(c,) the ordinals of the passages in the given rows (c,)."""
        if not len(rows):
            return rows
        known = self._ordinal_of_row()
        ordinals = np.full(len(rows), -1, dtype=np.int64)
        inside = (rows >= 0) & (rows < len(known))
        ordinals[inside] = known[rows[inside]]
        if ordinals.min() < 0:
            raise self._damaged("it names rows that have no passage")
        return ordinals

    def _ordinal_of_row(self) -> Int64Array:
        if self._ordinals is None:
            ((last,),) = self._query("SELECT ifnull(max(row), 0) FROM passages", (), (int,))
            ordinals = np.full(last + 1, -1, dtype=np.int64)
            inside = (self.rows >= 0) & (self.rows < len(ordinals))
            if not inside.all():
                self._in_order({}, np.flatnonzero(~inside)[:1])
            ordinals[self.rows] = np.arange(self.size)
            self._ordinals = ordinals
        return self._ordinals

    def _damaged(self, reason: object) -> IndexDamagedError:
        return IndexDamagedError(f"'{self.folder / FILE}' cannot be read: {reason}. {REMEDY}")


class DocumentIds:
    """The ids of n passages in the order of their ordinals: one run of UTF-8, and where each ends (n,)."""

    def __init__(self, blocks: Iterable[Sequence[str]]) -> None:
        texts: list[bytes] = []
        lengths = [np.zeros(1, dtype=np.int64)]
        for block in blocks:
            encoded = [identifier.encode() for identifier in block]
            texts.append(b"".join(encoded))
            lengths.append(np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded)))
        self._text = b"".join(texts)
        self._bounds = np.cumsum(np.concatenate(lengths))

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def take(self, ordinals: Int64Array) -> list[str]:
        """The ids of the passages at the given ordinals (c,), in that order."""
        starts, ends = self._bounds[ordinals].tolist(), self._bounds[ordinals + 1].tolist()
        return [self._text[start:end].decode() for start, end in zip(starts, ends, strict=True)]
