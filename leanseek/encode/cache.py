"""Vectors that were computed once: what makes an interrupted or repeated run cheap."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from leanseek.encode.base import Encoded
from leanseek.encode.folders import cache_folder
from leanseek.encode.shared_file import SharedFile, Told
from leanseek.types import Float32Array

Role: TypeAlias = Literal["query", "document"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (
    key BLOB PRIMARY KEY, tokens INTEGER NOT NULL, checksum INTEGER NOT NULL, vector BLOB NOT NULL
) WITHOUT ROWID
"""


class CacheWarning(UserWarning):
    """The vector cache cannot be used; vectors are computed instead."""


_TOLD = Told(
    name="vector cache",
    damaged=", and vectors are computed again",
    unusable="; vectors are computed without it",
    warning=CacheWarning,
)


class Cached(NamedTuple):
    """One text's vector (D,) float32 and its length in tokens before any cut."""

    vector: Float32Array
    tokens: int


class VectorCache(SharedFile):
    """The vectors of one encoder, by text, in one SQLite file that several processes and threads may share.

    A cache that cannot be read or written gives a `CacheWarning` once, and then stands aside: `get` finds
    nothing and `put` does nothing. A file that is no database any more is set aside as `NAME.damaged`.
    """

    def __init__(self, fingerprint: str, folder: Path | None = None) -> None:
        """Open or make the cache of the encoder with that fingerprint.

        `folder` is where it stands, `vectors` in the cache folder by default.
        """
        super().__init__((folder or cache_folder() / "vectors") / f"{fingerprint}.sqlite", _SCHEMA, _TOLD)

    def get(self, role: Role, texts: Sequence[str]) -> list[Cached | None]:
        """What is known of each text in that role, in their order; None for a text not seen before."""
        keys = [_key(role, text) for text in texts]
        rows = self._find("SELECT key, tokens, checksum, vector FROM vectors WHERE key IN", keys)
        found = {
            key: Cached(np.frombuffer(vector, dtype="<f4"), tokens)
            for key, tokens, checksum, vector in rows
            if zlib.crc32(vector) == checksum
        }
        return [found.get(key) for key in keys]

    def put(self, role: Role, texts: Sequence[str], encoded: Encoded) -> None:
        """Keep the vectors of the texts in that role; they are on disk when this returns."""
        rows = []
        for text, vector, tokens in zip(texts, encoded.vectors, encoded.tokens, strict=True):
            blob = np.ascontiguousarray(vector, dtype="<f4").tobytes()
            rows.append((_key(role, text), int(tokens), zlib.crc32(blob), blob))
        insert = "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)"
        self._change(lambda connection: connection.executemany(insert, rows))

    def __enter__(self) -> VectorCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _key(role: Role, text: str) -> bytes:
    return hashlib.blake2b(f"{role}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
