"""What an index knows of the files it was made from: their roots, stamps, checksums and documents.

The catalog keeps it in tables of their own, which only adding and synchronising read. Indexes that were made from
documents alone, or by an earlier version, have none.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from leanseek.reading.fields import Fields
from leanseek.reading.folders import IdList, Root, Roots, SourceFile, holds, real_path
from leanseek.reading.sources import Reading, ReadOptions
from leanseek.types import Document

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS source_roots (folder TEXT NOT NULL, beside TEXT NOT NULL, prefix TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS source_options (options TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS source_files (id TEXT PRIMARY KEY, root INTEGER NOT NULL, stamp TEXT NOT NULL, "
    "sha256 TEXT NOT NULL, documents INTEGER NOT NULL, ids BLOB)",
)
_HAS_TABLES = "SELECT count(*) FROM sqlite_master WHERE name = 'source_files'"


@dataclass(frozen=True)
class Sources:
    """The roots of an index's files, the options they were read with, and the files by their ids."""

    roots: tuple[Root, ...] = ()
    options: ReadOptions = ReadOptions()  # noqa: RUF009 - frozen
    files: dict[str, SourceFile] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceChange:
    """What a commit does to an index's knowledge of its sources.

    `files` were read and `removed` are gone. `superseded` are documents that were deleted or replaced by other
    means: their files have to be read again by the next synchronisation. `fresh`: nothing that was known holds.
    `complete`: it is a synchronisation's, so that documents that a file no longer has have left the index, and its
    `options` take the place of those known; else the documents are still the file's own, and known options stay.
    """

    roots: Sequence[Root] = ()
    options: ReadOptions | None = None
    files: Sequence[SourceFile] = ()
    removed: Sequence[str] = ()
    superseded: Sequence[str] = ()
    fresh: bool = False
    complete: bool = False

    def write(self, database: sqlite3.Connection, index: Path) -> None:
        """Put it into the catalog of the index at `index`, within the transaction that is open."""
        execute = database.execute
        if self == SourceChange() or (not self.roots and not execute(_HAS_TABLES).fetchone()[0]):
            return
        for statement in SCHEMA:
            execute(statement)
        if self.fresh:
            for table in ("source_roots", "source_options", "source_files"):
                execute(f"DELETE FROM {table}")
        files = {file.id: file for file in self.files}
        again = [(id,) for id in self.superseded if id not in files]
        if again:
            execute("UPDATE source_files SET stamp = '', sha256 = '' WHERE ids IS NOT NULL")
            database.executemany("UPDATE source_files SET stamp = '', sha256 = '' WHERE id = ?", again)
        database.executemany("DELETE FROM source_files WHERE id = ?", [(id,) for id in self.removed])
        if self.roots:
            execute("DELETE FROM source_roots")
            rows = [(root.folder, _beside(root.folder, index), root.prefix) for root in self.roots]
            database.executemany("INSERT INTO source_roots VALUES (?, ?, ?)", rows)
        if self.complete:
            execute("DELETE FROM source_options")
        if self.options is not None and not execute("SELECT count(*) FROM source_options").fetchone()[0]:
            execute(
                "INSERT INTO source_options VALUES (?)",
                (json.dumps({**asdict(self.options.fields), "encoding": self.options.encoding}),),
            )
        for file in files.values():
            if not self.complete and (former := _file(database, file.id)) is not None:
                file = with_former(file, former)
            execute("INSERT OR REPLACE INTO source_files VALUES (?, ?, ?, ?, ?, ?)", file)


def sources_of(documents: Iterable[Document], replaced: Sequence[str], fresh: bool) -> SourceChange:
    """What becomes known of the files of added documents; `fresh`: the index then holds no others.

    `replaced` are the documents in whose place they came.
    """
    if not isinstance(documents, Reading):
        return SourceChange(superseded=replaced, fresh=fresh)
    return SourceChange(
        documents.roots.known,
        documents.options,
        documents.records,
        superseded=replaced,
        fresh=fresh,
    )


def holds_all(origin: str | None, sources: Sequence[str]) -> bool:
    """Whether all of the sources are among what an index was made from."""
    try:
        places = [real_path(place) for place in json.loads(origin or "[]")]
    except (ValueError, TypeError):
        return False
    return all(any(holds(place, real_path(source)) for place in places) for source in sources)


def with_former(file: SourceFile, former: SourceFile) -> SourceFile:
    """The record of a file whose former documents are still in the index, as it has to be read again then."""
    had = set(file.document_ids())
    kept = [id for id in former.document_ids() if id not in had]
    if not kept:
        return file
    ids = IdList()
    for id in (*file.document_ids(), *kept):
        ids.add(id)
    packed = None if file.ids is None and former.ids is None else ids.packed()
    return file._replace(stamp="", sha256="", documents=ids.count, ids=packed)


def load_roots(database: sqlite3.Connection, index: Path, origin: str | None) -> tuple[Root, ...]:
    """The roots of the index at `index`; of one that has no record of them, those of what it was made from."""
    if not database.execute(_HAS_TABLES).fetchone()[0]:
        return _roots_of(origin)
    return tuple(
        Root(_moved(folder, beside, index), prefix)
        for folder, beside, prefix in database.execute("SELECT * FROM source_roots ORDER BY rowid")
    )


def load_sources(database: sqlite3.Connection, index: Path, origin: str | None) -> Sources:
    """All that the index at `index` knows of its sources."""
    roots = load_roots(database, index, origin)
    if not database.execute(_HAS_TABLES).fetchone()[0]:
        return Sources(roots)
    found = database.execute("SELECT options FROM source_options").fetchone()
    given = json.loads(found[0]) if found else {}
    options = ReadOptions(Fields(*map(given.get, Fields.__slots__)), given.get("encoding"))
    rows = map(SourceFile._make, database.execute("SELECT * FROM source_files"))
    return Sources(roots, options, {file.id: file for file in rows})


def _file(database: sqlite3.Connection, id: str) -> SourceFile | None:
    row = database.execute("SELECT * FROM source_files WHERE id = ?", (id,)).fetchone()
    return SourceFile._make(row) if row is not None else None


def _roots_of(origin: str | None) -> tuple[Root, ...]:
    roots = Roots()
    try:
        places = json.loads(origin or "[]")
        roots.include(place for place in places if Path(place).is_absolute())
    except (ValueError, TypeError, AttributeError):
        return ()
    return tuple(roots.known)


def _beside(folder: str, index: Path) -> str:
    """The way from the index to a root, which holds where both are moved together."""
    try:
        return os.path.relpath(folder, os.path.realpath(index))
    except ValueError:  # another drive of Windows
        return ""


def _moved(folder: str, beside: str, index: Path) -> str:
    """Where a root is now: where it was, or else in the same place as seen from the index."""
    if Path(folder).is_dir() or not beside:
        return folder
    other = os.path.realpath(Path(index) / beside)
    return other if Path(other).is_dir() else folder
