"""The passages of one segment: their texts and metadata, in an SQLite file that never changes once written.

Rows are numbered as passages arrive. An ordinal is a passage's place when sorted by (document id, part
number), so that inside a segment a smaller ordinal always wins a tie; `rows` maps ordinals to rows.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np

from leanseek.errors import IndexDamagedError
from leanseek.filters import LIKE_A_DATE, elements, stored_moment
from leanseek.indexing.arrays import write_array
from leanseek.reading.outline import without_outline
from leanseek.types import Int64Array, Metadata, Scalar

FILE = "passages.sqlite"
ROWS_FILE = "rows.npy"

SCHEMA = """
CREATE TABLE passages (
    row INTEGER PRIMARY KEY, id TEXT NOT NULL, number INTEGER NOT NULL, parts INTEGER NOT NULL,
    start INTEGER NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL, metadata TEXT NOT NULL
);
CREATE TABLE metadata (row INTEGER NOT NULL, field TEXT NOT NULL, kind TEXT NOT NULL, value NOT NULL);
CREATE TABLE fields (name TEXT PRIMARY KEY) WITHOUT ROWID;
"""
FORM = 1
"""The form of the file, in its `user_version`. Form 0 has no table of the fields, and has moments as strings."""
COLUMNS = "id, number, parts, start, title, text, metadata"
"""The columns of a `StoredPassage`; the row comes before them."""
INDEXES = (
    "CREATE UNIQUE INDEX by_id ON passages (id, number)",
    "CREATE INDEX by_title ON passages (title)",
    "CREATE INDEX by_value ON metadata (field, kind, value, row)",
)
WRITE_BLOCK = 1000
WRITE_CHARACTERS = 4_000_000
"""Passages are written at either number, whichever comes first."""
COPY_BLOCK = 65_536


class StoredPassage(NamedTuple):
    """Part `number` of the `parts` of a document, at character `start` of its text."""

    id: str
    number: int
    parts: int
    start: int
    title: str
    text: str
    metadata: Metadata


class PassageWriter:
    """Collects the passages of a new segment in the order they arrive."""

    def __init__(self, folder: Path) -> None:
        self.documents: dict[str, int] = {}
        """The row of the first part of each document."""
        self.rows = 0
        self._folder = folder
        self._pending: list[StoredPassage] = []
        self._pending_characters = 0
        self._discarded = False
        self._fields: dict[str, None] = {}
        self._database = sqlite3.connect(file_uri(folder), uri=True, isolation_level=None)
        # Nobody reads this file before the catalog names it: no journal, one flush at the end.
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(f"PRAGMA user_version = {FORM}")
        self._database.create_function("stored_moment", 1, stored_moment, deterministic=True)
        self._database.executescript(f"{SCHEMA} BEGIN")

    def add(self, passages: Sequence[StoredPassage]) -> None:
        """Append passages; the parts of a document follow one another, and its id is new."""
        for row, passage in enumerate(passages, self.rows):
            if passage.number == 0:
                self.documents[passage.id] = row
        self.rows += len(passages)
        self._pending.extend(passages)
        self._pending_characters += sum(len(passage.text) for passage in passages)
        if len(self._pending) >= WRITE_BLOCK or self._pending_characters >= WRITE_CHARACTERS:
            self._flush()

    def copy(self, folder: Path, rows: Int64Array, progress: Callable[[int], None]) -> int:
        """Append the given rows (c,), ascending, of another segment's folder; returns how many documents they are.

        SQLite copies them from file to file: neither texts nor ids are in memory, so `discard` does not work on them.
        `progress` is called with the number of rows that this file has so far.
        Raises IndexDamagedError where a row is not there.
        """
        self._flush()
        execute = self._database.execute
        execute("COMMIT")  # databases are attached only outside of transactions
        execute("ATTACH ? AS source", (f"{file_uri(folder)}?mode=ro&immutable=1",))
        execute("BEGIN")
        execute("CREATE TEMP TABLE kept (old INTEGER PRIMARY KEY, new INTEGER NOT NULL)")
        documents = 0
        for start in range(0, len(rows), COPY_BLOCK):
            block = rows[start : start + COPY_BLOCK].tolist()
            self._database.executemany(
                "INSERT INTO kept VALUES (?, ?)", zip(block, count(self.rows), strict=False)
            )
            inside = "FROM kept JOIN source.passages ON row = old WHERE old BETWEEN ? AND ?"
            ends = (block[0], block[-1])
            execute(f"INSERT INTO passages SELECT new, {COLUMNS} {inside} ORDER BY old", ends)
            found, parts = execute(f"SELECT count(*), sum(number > 0) {inside}", ends).fetchone()
            if found < len(block):
                raise IndexDamagedError(
                    f"'{folder}' lacks {len(block) - found} of the passages it should have"
                )
            documents += found - parts
            self.rows += found
            progress(self.rows)
        (form,) = execute("PRAGMA source.user_version").fetchone()
        # Once for all rows, as the metadata have no index by row.
        source = rows_of("source.metadata", form)
        execute(f"INSERT INTO metadata SELECT new, field, kind, value {source} JOIN kept ON old = row")
        known = (
            "name FROM source.fields" if form else "DISTINCT key FROM source.passages, json_each(metadata)"
        )
        self._fields |= dict.fromkeys(name for (name,) in execute(f"SELECT {known}"))
        execute("DROP TABLE kept")
        execute("COMMIT")
        execute("DETACH source")
        execute("BEGIN")
        return documents

    def discard(self, document: str) -> None:
        """Take a document back, for a later one of the same id."""
        self._flush()
        first = self.documents.pop(document)
        (parts,) = self._database.execute("SELECT parts FROM passages WHERE row = ?", (first,)).fetchone()
        self._database.execute("DELETE FROM passages WHERE row BETWEEN ? AND ?", (first, first + parts - 1))
        self._discarded = True

    def finish(self) -> Int64Array:
        """Close the file; returns rows (n,), the row of each ordinal."""
        self._flush()
        if self._discarded:
            # Once for all: the metadata have no index by row.
            self._database.execute("DELETE FROM metadata WHERE row NOT IN (SELECT row FROM passages)")
        self._database.executemany("INSERT INTO fields VALUES (?)", [(name,) for name in self._fields])
        for statement in INDEXES:
            self._database.execute(statement)
        found = self._database.execute("SELECT row FROM passages ORDER BY id, number")
        rows = np.fromiter((row for (row,) in found), dtype=np.int64)
        self._database.execute("COMMIT")
        self._database.close()
        write_array(self._folder / ROWS_FILE, rows, np.int64)
        return rows

    def close(self) -> None:
        """Close the file; the folder will be removed."""
        self._database.close()

    def _flush(self) -> None:
        passages, self._pending, self._pending_characters = self._pending, [], 0
        first = self.rows - len(passages)
        for passage in passages:
            self._fields |= dict.fromkeys(without_outline(passage.metadata))
        self._database.executemany(
            "INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (row, *passage[:6], json.dumps(dict(passage.metadata)))
                for row, passage in enumerate(passages, first)
            ],
        )
        self._database.executemany(
            "INSERT INTO metadata VALUES (?, ?, ?, ?)",
            [
                (row, *column)
                for row, passage in enumerate(passages, first)
                for column in columns(passage.metadata)
            ],
        )


def file_uri(folder: Path) -> str:
    """The URI of a segment's passages, to which SQLite's parameters can be added."""
    return (folder / FILE).absolute().as_uri()


def rows_of(table: str, form: int, where: str = "1") -> str:
    """An SQL clause for the rows of a metadata table of that form that satisfy a condition, in the present form.

    Form 0 needs the function `stored_moment`.
    """
    if form:
        return f"FROM (SELECT row, field, kind, value FROM {table} WHERE {where})"
    # With a limit SQLite asks for the moment of each row once, and not wherever it is mentioned.
    moment = f"iif(kind = 'string' AND value GLOB '{LIKE_A_DATE}', stored_moment(value), NULL) AS moment"
    return (
        "FROM (SELECT row, field, iif(moment IS NULL, kind, 'moment') AS kind, ifnull(moment, value) AS value "
        f"FROM (SELECT *, {moment} FROM {table} WHERE {where} LIMIT -1))"
    )


def columns(metadata: Metadata) -> Iterator[tuple[str, str, Scalar]]:
    """(field, kind, value) of each filterable element of the metadata."""
    for field, value in without_outline(metadata).items():
        for element in elements(value):
            yield field, element.kind, element.stored
