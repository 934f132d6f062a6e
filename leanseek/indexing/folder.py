"""The folder of an index: who may write to it, and what may be in it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from leanseek.errors import IndexExistsError, IndexLockedError
from leanseek.files import sync
from leanseek.indexing.catalog import CATALOG, LOCK, SEAL, SEGMENTS, TOKENS
from leanseek.indexing.integrity import storage_errors


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
                "searching goes on."
            ) from None
    try:
        yield
    finally:
        lock.release()


def is_segment_name(name: str) -> bool:
    """Whether a folder is named as a segment's is. A user's folder of a date has eight digits."""
    return re.fullmatch("[0-9]{6}", name) is not None


def check_vacant(folder: Path) -> None:
    """Raise IndexExistsError where a new index would mix with other files; an index itself passes."""
    if (folder / CATALOG).is_file():
        return
    if folder.exists() and not folder.is_dir():
        raise IndexExistsError(f"'{folder}' is a file; an index is a folder. Choose another path.")
    own = (LOCK, SEGMENTS, CATALOG, SEAL)  # what a creation that was killed leaves, drafts included
    if not folder.is_dir():
        return
    names = {entry.name for entry in folder.iterdir()}
    segments = {entry.name for entry in (folder / SEGMENTS).glob("*")}
    # Segments are made under LOCK: without it even folders named like segments belong to something else.
    strangers = segments and (LOCK not in names or not all(map(is_segment_name, segments)))
    if strangers or not all(name.startswith(own) for name in names):
        raise IndexExistsError(
            f"'{folder}' is not empty and holds no index. Choose a new or an empty folder for --into."
        )


@contextmanager
def claim_folder(folder: Path) -> Iterator[None]:
    """Hold the writer lock of a folder that is an index, or free to become one; made where there is none.

    Raises IndexExistsError where other files are in it. After an error a folder made here is removed if it is empty.
    """
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    check_vacant(folder)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for place in missing:
            sync(place.parent)
    try:
        with writer_lock(folder):
            try:
                check_vacant(folder)
                yield
            except BaseException:
                if not (folder / CATALOG).exists():
                    with suppress(OSError):
                        (folder / LOCK).unlink()  # while it is held: another process's lock must stay
                raise
    except BaseException:
        if missing:
            with suppress(OSError):
                folder.rmdir()
        raise


def remove_files(folder: Path) -> None:
    """Remove an index's own files. The caller holds the writer lock."""
    for name in (CATALOG, SEAL):
        (folder / name).unlink(missing_ok=True)
    for name in (SEGMENTS, TOKENS):
        shutil.rmtree(folder / name, ignore_errors=True)
