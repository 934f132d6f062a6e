"""One SQLite file of things computed once, that several processes share and none depends on."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_ASKED_AT_ONCE = 500
_PATIENCE_SECONDS = 30.0


class Told(NamedTuple):
    """How users are told of a file that is of no use.

    `name` is what it is called; `damaged` and `unusable` end the sentences about a file that was set aside and
    about one that cannot be opened, read or written.
    """

    name: str
    damaged: str
    unusable: str
    warning: type[Warning]


class SharedFile:
    """Base of the caches: the file, which threads may share too.

    A file that cannot be read or written gives a warning once, at the line that called the cache, and then stands
    aside: nothing is found in it and nothing kept. A file that is no database any more is set aside as
    `NAME.damaged`.
    """

    def __init__(self, path: Path, schema: str, told: Told) -> None:
        """Open or make the file; `schema` is the statement that makes its table where there is none."""
        self._path = path
        self._told = told
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        with self._tolerated():
            self._connection = self._open(schema)

    @property
    def path(self) -> Path:
        """The cache's file."""
        return self._path

    def close(self) -> None:
        """Close the file; the cache stands aside from now on."""
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
                f"the {self._told.name} {self._path} is damaged; it was set aside as {aside.name}"
                f"{self._told.damaged}",
                self._told.warning,
                stacklevel=4,  # this, the two constructors
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
                f"the {self._told.name} {self._path} cannot be used ({error}){self._told.unusable}",
                self._told.warning,
                stacklevel=5,  # this, the context manager, a method of this class, one of the cache
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
