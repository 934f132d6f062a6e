"""A folder that is to become an index, held under the writer lock meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from leanseek.indexing.catalog import CATALOG, SEAL, SEGMENTS, storage_errors, sync
from leanseek.indexing.configuring import check_vacant
from leanseek.indexing.locking import LOCK, writer_lock
from leanseek.indexing.tokens.settings import TOKENS


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold the writer lock of a folder that is an index, or free to become one; made where there is none.

    Raises IndexExistsError where other files are in it. A folder made here goes again if nothing came into it.
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
                        (folder / LOCK).unlink()  # while it is ours: nobody else's lock may be taken away
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
