"""Vectors that were computed once: what makes an interrupted or repeated run cheap."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from leanseek.encode.base import Encoded, Encoder
from leanseek.encode.folders import cache_folder
from leanseek.encode.report import TruncationReport
from leanseek.encode.tokens import Int32Array
from leanseek.errors import ModelError
from leanseek.types import Float32Array

Role: TypeAlias = Literal["query", "document"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (
    key BLOB PRIMARY KEY, tokens INTEGER NOT NULL, checksum INTEGER NOT NULL, vector BLOB NOT NULL
) WITHOUT ROWID
"""
_ASKED_AT_ONCE = 500
_CHUNK = 256
_PATIENCE_SECONDS = 30.0


class CacheWarning(UserWarning):
    """The vector cache cannot be used; vectors are computed instead."""


class Cached(NamedTuple):
    """One text's vector (D,) float32 and its length in tokens before any cut."""

    vector: Float32Array
    tokens: int


class VectorCache:
    """The vectors of one encoder, by text, in one SQLite file that several processes and threads may share.

    A cache that cannot be read or written gives a `CacheWarning` once, and then stands aside: `get` finds
    nothing and `put` does nothing. A file that is no database any more is set aside as `NAME.damaged`.
    """

    def __init__(self, fingerprint: str, folder: Path | None = None) -> None:
        """Open or make the cache of the encoder with that fingerprint.

        `folder` is where it stands, `vectors` in the cache folder by default.
        """
        self._path = (folder or cache_folder() / "vectors") / f"{fingerprint}.sqlite"
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        with self._tolerated():
            self._connection = self._open()

    @property
    def path(self) -> Path:
        """The cache's file."""
        return self._path

    def get(self, role: Role, texts: Sequence[str]) -> list[Cached | None]:
        """What is known of each text in that role, in their order; None for a text not seen before."""
        found: dict[bytes, Cached] = {}
        keys = [_key(role, text) for text in texts]
        with self._lock, self._tolerated():
            for start in range(0, len(keys), _ASKED_AT_ONCE):
                if self._connection is None:
                    break
                part = keys[start : start + _ASKED_AT_ONCE]
                marks = ",".join("?" * len(part))
                rows = self._connection.execute(
                    f"SELECT key, tokens, checksum, vector FROM vectors WHERE key IN ({marks})", part
                )
                for key, tokens, checksum, vector in rows:
                    if zlib.crc32(vector) == checksum:
                        found[key] = Cached(np.frombuffer(vector, dtype="<f4"), tokens)
        return [found.get(key) for key in keys]

    def put(self, role: Role, texts: Sequence[str], encoded: Encoded) -> None:
        """Keep the vectors of the texts in that role; they are on disk when this returns."""
        rows = []
        for text, vector, tokens in zip(texts, encoded.vectors, encoded.tokens, strict=True):
            blob = np.ascontiguousarray(vector, dtype="<f4").tobytes()
            rows.append((_key(role, text), int(tokens), zlib.crc32(blob), blob))
        with self._lock, self._tolerated():
            if self._connection is not None:
                with self._connection:
                    self._connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)", rows)

    def close(self) -> None:
        """Close the file; the cache stands aside from now on."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def __enter__(self) -> VectorCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return self._connect()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            aside = self._path.with_suffix(".damaged")
            self._path.replace(aside)
            for end in ("-wal", "-shm"):
                Path(f"{self._path}{end}").unlink(missing_ok=True)
            warnings.warn(
                f"the vector cache {self._path} is damaged; it was set aside as {aside.name}, "
                "and vectors are computed again",
                CacheWarning,
                stacklevel=4,
            )
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_PATIENCE_SECONDS, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            with connection:
                connection.execute(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        return connection

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
                f"the vector cache {self._path} cannot be used ({error}); vectors are computed without it",
                CacheWarning,
                stacklevel=4,
            )


def encode_corpus(
    encoder: Encoder,
    texts: Sequence[str],
    cache: VectorCache | None,
    progress: Callable[[int], None] | None = None,
) -> tuple[Float32Array, TruncationReport]:
    """Vectors (n, D) float32 of documents, through the cache, and what was cut.

    A text that stands there several times is encoded once. New vectors are kept after every few hundred
    texts, so that an interrupted call goes on from there when it is repeated. `progress` is called with
    the number of texts done so far, first with those found in the cache, last with n.
    """
    vectors: Float32Array = np.empty((len(texts), encoder.dimensions), dtype=np.float32)
    tokens: Int32Array = np.zeros(len(texts), dtype=np.int32)
    places: dict[str, list[int]] = {}
    for place, text in enumerate(texts):
        places.setdefault(text, []).append(place)

    done = 0
    missing: list[str] = []
    distinct = list(places)
    for start in range(0, len(distinct), _ASKED_AT_ONCE):
        part = distinct[start : start + _ASKED_AT_ONCE]
        for text, known in zip(
            part, cache.get("document", part) if cache else [None] * len(part), strict=True
        ):
            if known is None:
                missing.append(text)
                continue
            vectors[places[text]], tokens[places[text]] = known
            done += len(places[text])
    if progress is not None:
        progress(done)

    for start in range(0, len(missing), _CHUNK):
        part = missing[start : start + _CHUNK]
        encoded = encoder.encode_documents(part)
        faulty = np.flatnonzero(~np.isfinite(encoded.vectors).all(axis=1))
        if len(faulty):
            raise ModelError(
                f"the encoder '{encoder.name}' gave NaN or infinite values for {len(faulty)} of {len(part)} "
                f"texts, first for {part[faulty[0]][:80]!r}; they have no similarity to anything"
            )
        if cache is not None:
            cache.put("document", part, encoded)
        for text, vector, count in zip(part, encoded.vectors, encoded.tokens, strict=True):
            vectors[places[text]], tokens[places[text]] = vector, count
            done += len(places[text])
        if progress is not None:
            progress(done)
    return vectors, TruncationReport.of(tokens, encoder.max_tokens)


def _key(role: Role, text: str) -> bytes:
    return hashlib.blake2b(f"{role}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
