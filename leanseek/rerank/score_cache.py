"""The score cache: scores of pairs that were computed before."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from leanseek.encode.cache import Messages, SharedFile
from leanseek.files import cache_folder

MOST = 1_000_000
"""Pairs in one model's file; the oldest make room for new ones. A full file has about 60 MB."""

PATIENCE = 30.0
"""Seconds to wait while another process writes, where there is no deadline."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS scores (
    number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, score REAL NOT NULL, tokens INTEGER NOT NULL,
    window INTEGER NOT NULL
)
"""


class ScoreCacheWarning(UserWarning):
    """The score cache cannot be used; scores are computed instead."""


_MESSAGES = Messages(
    name="score cache",
    damaged="; scores are computed again",
    unusable="; scores are computed again",
    warning=ScoreCacheWarning,
)


class Pair(NamedTuple):
    """What is scored: a query and a passage's text. `mode`: how a passage is read that is too long."""

    query: str
    passage: str
    mode: str

    @property
    def key(self) -> bytes:
        """16 bytes that identify it."""
        text = f"{self.mode}\0{len(self.query)}\0{self.query}\0{self.passage}"
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Scored(NamedTuple):
    """A pair's raw score, the passage's length in the model's tokens, and how many of these one window has."""

    score: float
    tokens: int
    window: int


class ScoreCache(SharedFile):
    """The scores of one model in one SQLite file that several processes and threads may share.

    A cache that cannot be read or written gives a `ScoreCacheWarning` once, and is not used from then on. A file
    that is no database any more is renamed to `NAME.damaged`.
    """

    def __init__(self, fingerprint: str, folder: Path | None = None, most: int = MOST) -> None:
        """Open or make the cache of the model with that fingerprint, of at most `most` pairs.

        Its file is in `folder`, by default `scores` in the cache folder.
        """
        super().__init__((folder or cache_folder() / "scores") / f"{fingerprint}.sqlite", _SCHEMA, _MESSAGES)
        self._most = most
        self._waiting: list[tuple[bytes, float, int, int]] = []
        self._waiting_lock = threading.Lock()

    def get(self, pairs: Sequence[Pair]) -> list[Scored | None]:
        """The known score of each pair, in their order; None for one not seen before."""
        keys = [pair.key for pair in pairs]
        rows = self._find("SELECT key, score, tokens, window FROM scores WHERE key IN", keys)
        found = {key: Scored(*scored) for key, *scored in rows}
        return [found.get(key) for key in keys]

    def put(self, pairs: Sequence[Pair], scored: Sequence[Scored], patience: float | None = None) -> None:
        """Store the pairs' scores; they are on disk when this returns, unless another process is writing.

        It waits for that `patience` seconds, by default half a minute. After a shorter time the scores are stored by
        the next call, and are lost where there is none.
        """
        with self._waiting_lock:
            rows = [*self._waiting, *((pair.key, *one) for pair, one in zip(pairs, scored, strict=True))]
            rows, self._waiting = rows[-self._most :], []
        if not rows:
            return

        def change(connection: sqlite3.Connection) -> None:
            seconds = PATIENCE if patience is None else patience
            connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if patience is None or "locked" not in str(error):
                    raise
                with self._waiting_lock:
                    self._waiting = [*rows, *self._waiting]
                return
            finally:
                connection.execute(f"PRAGMA busy_timeout = {int(PATIENCE * 1000)}")
            connection.executemany(
                "INSERT OR REPLACE INTO scores (key, score, tokens, window) VALUES (?, ?, ?, ?)", rows
            )
            connection.execute(
                "DELETE FROM scores WHERE number <= (SELECT max(number) FROM scores) - ?", (self._most,)
            )

        self._change(change)
