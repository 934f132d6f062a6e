"""The vector cache: vectors that were computed before, in an SQLite file that several processes share."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from leanseek.encode.base import Encoded, Encoder
from leanseek.encode.models import derived_fingerprint
from leanseek.files import cache_folder
from leanseek.types import Float32Array

_ASKED_AT_ONCE = 500
_PATIENCE_SECONDS = 30.0

Role: TypeAlias = Literal["query", "document"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (
    key BLOB PRIMARY KEY, tokens INTEGER NOT NULL, checksum INTEGER NOT NULL, vector BLOB NOT NULL
) WITHOUT ROWID
"""


class Messages(NamedTuple):
    """The warnings about a cache's file.

    `name` is what it is called; `damaged` and `unusable` end the sentences about a file that was renamed and about
    one that cannot be opened, read or written.
    """

    name: str
    damaged: str
    unusable: str
    warning: type[Warning]


class SharedFile:
    """Base of the caches: the file, which threads may share too.

    A file that cannot be read or written gives a warning once, at the line that called the cache; from then on
    nothing is found in it and nothing stored. A file that is no database any more is renamed to `NAME.damaged`.
    """

    _deeper = 0
    """Methods between this class's and those that callers see."""

    def __init__(self, path: Path, schema: str, messages: Messages) -> None:
        """Open or make the file; `schema` is the statement that makes its table where there is none."""
        self._path = path
        self._messages = messages
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        with self._tolerated():
            self._connection = self._open(schema)

    @property
    def path(self) -> Path:
        """The cache's file."""
        return self._path

    def close(self) -> None:
        """Close the file; nothing is found or stored from now on."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _find(self, select: str, keys: Sequence[bytes]) -> list[tuple[Any, ...]]:
        """The rows with these keys; `select` ends before the list of keys. What was read before a failure counts."""
        found: list[tuple[Any, ...]] = []
        with self._lock, self._tolerated():
            for start in range(0, len(keys), _ASKED_AT_ONCE):
                if self._connection is None:
                    break
                part = keys[start : start + _ASKED_AT_ONCE]
                found.extend(self._connection.execute(f"{select} ({','.join('?' * len(part))})", part))
        return found

    def _change(self, change: Callable[[sqlite3.Connection], object]) -> None:
        """Make a change in one transaction; it is on disk when this returns."""
        with self._lock, self._tolerated():
            if self._connection is not None:
                with self._connection:
                    change(self._connection)

    def _open(self, schema: str) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _connected(self._path, schema)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            aside = self._path.with_suffix(".damaged")
            self._path.replace(aside)
            for end in ("-wal", "-shm"):
                Path(f"{self._path}{end}").unlink(missing_ok=True)
            warnings.warn(
                f"the {self._messages.name} {self._path} is damaged; it was set aside as {aside.name}"
                f"{self._messages.damaged}",
                self._messages.warning,
                stacklevel=4 + self._deeper,  # this, the two constructors
            )
            return _connected(self._path, schema)

    @contextlib.contextmanager
    def _tolerated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if self._connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.close()
            self._connection = None
            warnings.warn(
                f"the {self._messages.name} {self._path} cannot be used ({error}){self._messages.unusable}",
                self._messages.warning,
                stacklevel=5
                + self._deeper,  # this, the context manager, a method of this class, one of the cache
            )


def _connected(path: Path, schema: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_PATIENCE_SECONDS, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        with connection:
            connection.execute(schema)
    except BaseException:
        connection.close()
        raise
    return connection


class CacheWarning(UserWarning):
    """The vector cache cannot be used; vectors are computed instead."""


_MESSAGES = Messages(
    name="vector cache",
    damaged=", and vectors are computed again",
    unusable="; vectors are computed without it",
    warning=CacheWarning,
)


class Cached(NamedTuple):
    """One text's vector (D,) float32 and its length in tokens before any cut."""

    vector: Float32Array
    tokens: int


class Row(NamedTuple):
    """What is stored for a text: bytes, and its length in tokens before any cut."""

    content: bytes
    tokens: int


class RowCache(SharedFile):
    """What one encoder made of texts, by text, in one SQLite file that several processes and threads may share.

    A cache that cannot be read or written gives a warning once; from then on nothing is found in it and nothing
    stored. A file that is no database any more is renamed to `NAME.damaged`.
    """

    _deeper = 1

    def __init__(self, folder: Path, fingerprint: str, messages: Messages) -> None:
        """Open or make, in the folder, the cache of the encoder with that fingerprint."""
        super().__init__(folder / f"{fingerprint}.sqlite", _SCHEMA, messages)

    def find_rows(self, role: Role, texts: Sequence[str]) -> list[Row | None]:
        """What is stored of each text in that role, in their order; None for a text not seen before."""
        keys = [_key(role, text) for text in texts]
        rows = self._find("SELECT key, tokens, checksum, vector FROM vectors WHERE key IN", keys)
        found = {
            key: Row(content, tokens)
            for key, tokens, checksum, content in rows
            if zlib.crc32(content) == checksum
        }
        return [found.get(key) for key in keys]

    def store_rows(self, role: Role, texts: Sequence[str], rows: Sequence[tuple[bytes, int]]) -> None:
        """Store a row for each text in that role; they are on disk when this returns."""
        values = [
            (_key(role, text), tokens, zlib.crc32(content), content)
            for text, (content, tokens) in zip(texts, rows, strict=True)
        ]
        insert = "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)"
        self._change(lambda connection: connection.executemany(insert, values))


class VectorCache(RowCache):
    """The vectors of one encoder, by text, in one SQLite file that several processes and threads may share.

    A cache that cannot be read or written gives a `CacheWarning` once; from then on `get` finds nothing and
    `put` does nothing. A file that is no database any more is renamed to `NAME.damaged`.
    """

    def __init__(self, fingerprint: str, folder: Path | None = None) -> None:
        """Open or make the cache of the encoder with that fingerprint.

        Its file is in `folder`, by default `vectors` in the cache folder.
        """
        super().__init__(folder or cache_folder() / "vectors", fingerprint, _MESSAGES)

    def get(self, role: Role, texts: Sequence[str]) -> list[Cached | None]:
        """The known vector of each text in that role, in their order; None for a text not seen before."""
        return [
            Cached(np.frombuffer(row.content, dtype="<f4"), row.tokens) if row is not None else None
            for row in self.find_rows(role, texts)
        ]

    def put(self, role: Role, texts: Sequence[str], encoded: Encoded) -> None:
        """Store the vectors of the texts in that role; they are on disk when this returns."""
        vectors = np.ascontiguousarray(encoded.vectors, dtype="<f4")
        self.store_rows(
            role,
            texts,
            [(vector.tobytes(), int(tokens)) for vector, tokens in zip(vectors, encoded.tokens, strict=True)],
        )

    def __enter__(self) -> VectorCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def cached_as(encoder: Encoder) -> str:
    """The fingerprint under which an encoder's vectors are cached: in half precision another than in float32."""
    precision = getattr(encoder, "precision", "float32")
    return (
        encoder.fingerprint if precision == "float32" else derived_fingerprint(encoder.fingerprint, precision)
    )


def _key(role: Role, text: str) -> bytes:
    return hashlib.blake2b(f"{role}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
