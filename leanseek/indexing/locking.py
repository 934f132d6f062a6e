"""One writer at a time: an operating-system lock, released even when the process is killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from leanseek.errors import IndexLockedError
from leanseek.indexing.catalog import storage_errors

LOCK = "LOCK"


@contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Hold the index's writer lock. Raises IndexLockedError at once where another process has it."""
    lock = FileLock(folder / LOCK, timeout=0, is_singleton=False)
    with storage_errors(folder):
        try:
            lock.acquire()
        except Timeout:
            raise IndexLockedError(
                f"another process is writing to '{folder}'. Wait for it to end, then repeat the command; "
                "searching goes on meanwhile."
            ) from None
    try:
        yield
    finally:
        lock.release()
