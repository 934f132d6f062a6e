"""Scores that were computed once: what makes asking the same again cheap."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from leanseek.encode import cache_folder

MOST = 1_000_000
"""Pairs that one model's file keeps; the oldest make room for new ones. A full file has about 60 MB."""
_ASKED_AT_ONCE = 500
_PATIENCE_SECONDS = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS scores (
    number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, score REAL NOT NULL, tokens INTEGER NOT NULL,
    window INTEGER NOT NULL
)
"""


class ScoreCacheWarning(UserWarning):
    """The score cache cannot be used; scores are computed instead."""


class Pair(NamedTuple):
    """What is scored: a query and a passage's text. `mode`: how a passage is read that is too long."""

    query: str
    passage: str
    mode: str

    @property
    def key(self) -> bytes:
        """16 bytes that stand for it."""
        text = f"{self.mode}\0{len(self.query)}\0{self.query}\0{self.passage}"
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Scored(NamedTuple):
    """A pair's raw score, the passage's length in the model's tokens, and how many of these one reading held."""

    score: float
    tokens: int
    window: int


class ScoreCache:
    """The scores of one model in one SQLite file that several processes and threads may share.

    A cache that cannot be read or written gives a `ScoreCacheWarning` once, and then stands aside. A file that
    is no database any more is set aside as `NAME.damaged`.
    """

    def __init__(self, fingerprint: str, folder: Path | None = None, most: int = MOST) -> None:
        """Open or make the cache of the model with that fingerprint, of at most `most` pairs.

        `folder` is where it stands, `scores` in the cache folder by default.
        """
        self.path = (folder or cache_folder() / "scores") / f"{fingerprint}.sqlite"
        self._most = most
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        with self._tolerated():
            self._connection = self._open()

    def get(self, pairs: Sequence[Pair]) -> list[Scored | None]:
        """What is known of each pair, in their order; None for one not seen before."""
        keys = [pair.key for pair in pairs]
        found: dict[bytes, Scored] = {}
        with self._lock, self._tolerated():
            for start in range(0, len(keys), _ASKED_AT_ONCE):
                if self._connection is None:
                    break
                part = keys[start : start + _ASKED_AT_ONCE]
                marks = ",".join("?" * len(part))
                for key, *scored in self._connection.execute(
                    f"SELECT key, score, tokens, window FROM scores WHERE key IN ({marks})", part
                ):
                    found[key] = Scored(*scored)
        return [found.get(key) for key in keys]

    def put(self, pairs: Sequence[Pair], scored: Sequence[Scored]) -> None:
        """Keep the pairs' scores; they are on disk when this returns."""
        rows = [(pair.key, *one) for pair, one in zip(pairs, scored, strict=True)]
        with self._lock, self._tolerated():
            if self._connection is not None and rows:
                with self._connection:
                    self._connection.executemany(
                        "INSERT OR REPLACE INTO scores (key, score, tokens, window) VALUES (?, ?, ?, ?)", rows
                    )
                    self._connection.execute(
                        "DELETE FROM scores WHERE number <= (SELECT max(number) FROM scores) - ?",
                        (self._most,),
                    )

    def close(self) -> None:
        """Close the file; the cache stands aside from now on."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return self._connect()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            self.path.replace(self.path.with_suffix(".damaged"))
            for end in ("-wal", "-shm"):
                Path(f"{self.path}{end}").unlink(missing_ok=True)
            self._warn(f"is damaged; it was set aside as {self.path.stem}.damaged")
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_PATIENCE_SECONDS, check_same_thread=False)
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
            self._warn(f"cannot be used ({error})")

    def _warn(self, what: str) -> None:
        warnings.warn(
            f"the score cache {self.path} {what}; scores are computed again", ScoreCacheWarning, stacklevel=4
        )
