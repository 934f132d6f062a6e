"""The catalog: which segments make up the index now. Its transaction is the only commit point.

A writer puts new segment folders on the disk first and then, in one SQLite transaction, adds them to the
index. What a crash leaves behind is a folder that no catalog names; the next writer removes it. Readers load
the (small) catalog whole and close it, so that later commits do not affect them.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from leanseek.errors import (
    IndexDamagedError,
    IndexFormatError,
    IndexNotFoundError,
    StorageError,
)
from leanseek.files import checksum, sync
from leanseek.indexing.integrity import FileRecord, storage_errors
from leanseek.indexing.settings import IndexSettings
from leanseek.types import Int64Array

if TYPE_CHECKING:
    from leanseek.indexing.source_records import SourceChange, Sources
    from leanseek.reading.folders import Root

Loaded = TypeVar("Loaded")

FORMAT = 4
"""An index takes the newest format with its next segment. Before, postings are not
packed; indexes of format 3 have a learned side, those of format 2 none. In format 1 moments are strings in the
segments' metadata, and postings are never in one file."""
APPLICATION_ID = 0x6C736B31
"""'lsk1' in SQLite's header, by which an index's catalog is recognised."""

CLUSTER = "cluster.json"
"""What a folder has that is a cluster (see `leanseek.cluster`)."""
CATALOG = "catalog.sqlite"
SEAL = "catalog.sha256"
SEGMENTS = "segments"
TOKENS = "tokens"
LOCK = "LOCK"
"""What is in an index's folder."""

ONE_AT_A_TIME = threading.RLock()
"""Closing any descriptor of a file drops all POSIX locks that the process has on it, SQLite's own included:
while one thread reads the catalog's bytes for its checksum no other may be in a transaction on it."""

CHANGE_COUNTER = slice(24, 28)
"""Where SQLite's header counts the transactions."""

SCHEMA = """
CREATE TABLE state (
    settings TEXT NOT NULL, generation INTEGER NOT NULL, next_segment INTEGER NOT NULL, origin TEXT
);
CREATE TABLE learning_queries (text TEXT NOT NULL);
CREATE TABLE segments (
    number INTEGER PRIMARY KEY, documents INTEGER NOT NULL, passages INTEGER NOT NULL,
    tokens INTEGER NOT NULL, truncated INTEGER NOT NULL, tokens_lost INTEGER NOT NULL
);
CREATE TABLE files (
    segment INTEGER NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL,
    PRIMARY KEY (segment, name)
) WITHOUT ROWID;
CREATE TABLE tombstones (
    segment INTEGER NOT NULL, ordinal INTEGER NOT NULL, PRIMARY KEY (segment, ordinal)
) WITHOUT ROWID;
"""


class SegmentRecord(NamedTuple):
    """A committed segment: how much it holds, and its files, named relative to its folder."""

    number: int
    documents: int
    passages: int
    tokens: int
    truncated: int
    tokens_lost: int
    files: tuple[FileRecord, ...]

    @property
    def folder(self) -> str:
        """The segment's folder, relative to the index."""
        return f"{SEGMENTS}/{self.number:06d}"


@dataclass(frozen=True)
class State:
    """One committed generation of an index. `tombstones` are sorted ordinals (t,) by segment number."""

    settings: IndexSettings
    generation: int
    next_segment: int
    """A number that no segment has had: a late reader must not find another segment in its place."""
    origin: str | None
    segments: tuple[SegmentRecord, ...]
    tombstones: Mapping[int, Int64Array]
    learning_queries: tuple[str, ...] = ()
    """The user's queries for reductions to learn from; empty where they learn from the documents."""

    def after(self, change: Change, generation: int) -> State:
        """What `read_state` gives after a commit without settings; the tombstones need not be read again for it."""
        removed = set(change.removed)
        segments = [segment for segment in self.segments if segment.number not in removed]
        tombstones = {number: rows for number, rows in self.tombstones.items() if number not in removed}
        for number, rows in change.tombstones.items():
            tombstones[number] = np.union1d(tombstones.get(number, np.zeros(0, dtype=np.int64)), rows)
        return replace(
            self,
            generation=generation,
            next_segment=max([self.next_segment, *(segment.number + 1 for segment in change.added)]),
            origin=change.origin,
            segments=tuple(sorted([*segments, *change.added])),
            tombstones=dict(sorted(tombstones.items())),
        )


@dataclass(frozen=True)
class Change:
    """What a commit does to the catalog."""

    added: Sequence[SegmentRecord] = ()
    removed: Sequence[int] = ()
    tombstones: Mapping[int, Int64Array] = field(default_factory=dict)
    origin: str | None = None
    """What the whole index was made from; None once anything else has changed its documents."""
    settings: IndexSettings | None = None
    """New settings: where every segment is new, or with nothing changed but the fusion."""
    learning_queries: Sequence[str] | None = None
    """None leaves them as they are."""
    sources: SourceChange | None = None
    """What becomes known of the files that documents came from."""


def create_catalog(folder: Path, settings: IndexSettings, learning_queries: Sequence[str] = ()) -> None:
    """Make `folder` an empty index of generation 0; it becomes one at once or not at all."""
    draft = folder / f"{CATALOG}.draft"
    for remnant in (draft, journal(draft)):
        remnant.unlink(missing_ok=True)
    with storage_errors(folder), closing(connect(draft, "rwc")) as database:
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {FORMAT}")
        database.executescript(f"BEGIN; {SCHEMA}")
        database.execute("INSERT INTO state VALUES (?, 0, 1, NULL)", (settings.to_json(),))
        put_learning_queries(database, learning_queries)
        database.execute("COMMIT")
    with storage_errors(folder):
        (folder / SEGMENTS).mkdir(exist_ok=True)
        draft.replace(folder / CATALOG)
        sync(folder)
        write_seal(folder, 0)


def read_state(folder: Path) -> State:
    """The last committed generation.

    Raises IndexNotFoundError where there is no index, IndexFormatError for one of a newer format and
    IndexDamagedError where the catalog cannot be read.
    """
    return _read(folder, load)


def read_sources(folder: Path) -> Sources:
    """What the index knows of the files it was made from. Raises as `read_state`."""
    # It brings along all that reads files: a search needs none of it.
    from leanseek.indexing.source_records import load_sources

    return _read(folder, lambda database: load_sources(database, folder, _origin(database)))


def read_roots(folder: Path) -> tuple[Root, ...]:
    """The folders below which the index knows files by their paths. Raises as `read_state`."""
    from leanseek.indexing.source_records import load_roots

    return _read(folder, lambda database: load_roots(database, folder, _origin(database)))


def _origin(database: sqlite3.Connection) -> str | None:
    (origin,) = database.execute("SELECT origin FROM state").fetchone()
    return str(origin) if origin is not None else None


def _read(folder: Path, load: Callable[[sqlite3.Connection], Loaded]) -> Loaded:
    """What `load` finds in the catalog, in one transaction."""
    path = folder / CATALOG
    if not path.is_file():
        what = "is not a folder" if folder.exists() and not folder.is_dir() else "holds no leanseek index"
        if not folder.exists():
            what = "does not exist"
        if (folder / CLUSTER).is_file():
            raise IndexNotFoundError(
                f"'{folder}' is a cluster, an index in shards. Search it with: leanseek cluster search "
                f"{quote(str(folder))} QUERY; serve it with: leanseek serve NAME=cluster:{quote(str(folder))}"
            )
        raise IndexNotFoundError(
            f"'{folder}' {what}. Make an index with: leanseek index SOURCE --into {quote(str(folder))}"
        )
    try:
        # A writer killed in mid-commit leaves a journal, and undoing what it began is a write.
        with ONE_AT_A_TIME, closing(connect(path, "rw" if journal(path).exists() else "ro")) as database:
            check_format(folder, database)
            database.execute("BEGIN")
            return load(database)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise damaged(folder, error) from error
    except sqlite3.DatabaseError as error:
        if any(sign in str(error) for sign in ("unable to open", "locked", "readonly")):
            raise StorageError(f"the catalog of '{folder}' cannot be opened: {error}") from error
        raise damaged(folder, error) from error


def stamp(folder: Path) -> tuple[int, ...]:
    """Numbers that are others after any commit, and for another catalog in its place; OSError where there is none.

    They are read under the writer lock: no commit is under way, and a journal left by a crash is not undone yet.
    """
    with ONE_AT_A_TIME, (folder / CATALOG).open("rb") as file:
        header = file.read(CHANGE_COUNTER.stop)
        found = os.fstat(file.fileno())
    counter = int.from_bytes(header[CHANGE_COUNTER], "big")
    return (counter, found.st_ino, found.st_size, found.st_mtime_ns, journal(folder / CATALOG).exists())


def damaged(folder: Path, error: Exception) -> IndexDamagedError:
    return IndexDamagedError(
        f"the catalog of '{folder}' is damaged ({error}). Restore it from a copy, or remove the folder and "
        "index again."
    )


def commit(folder: Path, change: Change) -> int:
    """Apply a change in one transaction; returns the new generation. The caller holds the writer lock."""
    with ONE_AT_A_TIME, storage_errors(folder), closing(connect(folder / CATALOG, "rw")) as database:
        database.execute("BEGIN IMMEDIATE")
        if change.added:
            database.execute(f"PRAGMA user_version = {FORMAT}")
        for segment in change.added:
            database.execute("UPDATE state SET next_segment = max(next_segment, ?)", (segment.number + 1,))
            database.execute("INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?)", segment[:6])
            database.executemany(
                "INSERT INTO files VALUES (?, ?, ?, ?)", [(segment.number, *file) for file in segment.files]
            )
        for number in change.removed:
            for table, column in (("segments", "number"), ("files", "segment"), ("tombstones", "segment")):
                database.execute(f"DELETE FROM {table} WHERE {column} = ?", (number,))
        for number, ordinals in change.tombstones.items():
            database.executemany(
                "INSERT OR IGNORE INTO tombstones VALUES (?, ?)",
                [(number, ordinal) for ordinal in ordinals.tolist()],
            )
        if change.sources is not None:
            change.sources.write(database, folder)
        if change.learning_queries is not None:
            put_learning_queries(database, change.learning_queries)
        if change.settings is not None:
            database.execute("UPDATE state SET settings = ?", (change.settings.to_json(),))
        database.execute("UPDATE state SET generation = generation + 1, origin = ?", (change.origin,))
        (generation,) = database.execute("SELECT generation FROM state").fetchone()
        database.execute("COMMIT")
    with suppress(OSError):  # the change is committed; without its seal `verify` uses SQLite's own check
        write_seal(folder, generation)
    return int(generation)


def put_learning_queries(database: sqlite3.Connection, texts: Sequence[str]) -> None:
    database.execute("DELETE FROM learning_queries")
    database.executemany("INSERT INTO learning_queries VALUES (?)", [(text,) for text in texts])


def write_seal(folder: Path, generation: int) -> None:
    """Record the catalog file's own checksum beside it, so that `verify` notices any flipped byte."""
    draft = folder / f"{SEAL}.draft"
    with ONE_AT_A_TIME:
        draft.write_text(seal_line(generation, checksum(folder / CATALOG)))
    sync(draft)
    draft.replace(folder / SEAL)  # not flushed: after a crash the older seal is none the worse


def seal_line(generation: int, digest: str) -> str:
    """The seal's whole text; it ends in a checksum of itself."""
    line = f"{generation} {digest}"
    return f"{line} {hashlib.sha256(line.encode()).hexdigest()[:16]}\n"


def check_seal(folder: Path, generation: int) -> str | None:
    """What is wrong with the catalog file, or None.

    A crash between a commit and its seal leaves the older seal, which is no damage: SQLite's own integrity check
    then decides.
    """
    with ONE_AT_A_TIME:
        return _seal_problem(folder, generation)


def _seal_problem(folder: Path, generation: int) -> str | None:
    seal = folder / SEAL
    if seal.is_file():
        text = seal.read_text(errors="replace")
        words = text.split()
        if len(words) != 3 or not words[0].isdecimal() or text != seal_line(int(words[0]), words[1]):
            return f"{SEAL} is damaged"
        if int(words[0]) == generation:
            same = words[1] == checksum(folder / CATALOG)
            return None if same else f"{CATALOG} differs from its checksum"
        if int(words[0]) > generation:
            return f"{SEAL} is of generation {words[0]}, the catalog of generation {generation}"
    elif generation > 0:
        return f"{SEAL} is missing"
    with closing(connect(folder / CATALOG, "ro")) as database:
        (verdict,) = database.execute("PRAGMA integrity_check").fetchone()
    return None if verdict == "ok" else f"{CATALOG}: {verdict}"


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection in autocommit mode; transactions are begun by hand."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    database = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30.0)
    if mode != "ro":
        # A rollback journal rather than a write-ahead log: the catalog is small, its file is then whole
        # after each commit, and an index on a read-only medium can be opened.
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("PRAGMA synchronous = EXTRA")
    return database


def journal(path: Path) -> Path:
    """Where SQLite keeps what it needs to undo a transaction that is under way."""
    return path.with_name(f"{path.name}-journal")


def check_format(folder: Path, database: sqlite3.Connection) -> None:
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise IndexDamagedError(f"'{folder / CATALOG}' is not a leanseek catalog")
    if version > FORMAT:
        raise IndexFormatError(
            f"'{folder}' has index format {version}; this leanseek reads up to {FORMAT}. "
            "Upgrade it with: pip install --upgrade leanseek"
        )


def load(database: sqlite3.Connection) -> State:
    settings, generation, next_segment, origin = database.execute("SELECT * FROM state").fetchone()
    files: dict[int, list[FileRecord]] = {}
    for number, name, size, digest in database.execute("SELECT * FROM files ORDER BY segment, name"):
        files.setdefault(number, []).append(FileRecord(name, size, digest))
    segments = tuple(
        SegmentRecord._make((*row, tuple(files.get(row[0], ()))))
        for row in database.execute("SELECT * FROM segments ORDER BY number")
    )
    passages = {segment.number: segment.passages for segment in segments}
    tombstones: dict[int, list[int]] = {}
    for number, ordinal in database.execute("SELECT * FROM tombstones ORDER BY segment, ordinal"):
        if not 0 <= ordinal < passages.get(number, 0):
            raise ValueError(f"segment {number} has no passage {ordinal} that could be deleted")
        tombstones.setdefault(number, []).append(ordinal)
    return State(
        settings=IndexSettings.from_json(settings),
        generation=generation,
        next_segment=next_segment,
        origin=origin,
        segments=segments,
        tombstones={number: np.array(rows, dtype=np.int64) for number, rows in tombstones.items()},
        learning_queries=tuple(
            text for (text,) in database.execute("SELECT text FROM learning_queries ORDER BY rowid")
        ),
    )
