"""Files that are written whole or not at all, and where leanseek keeps what it can make again."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from leanseek.errors import StorageError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A draft's path; it takes the place of `path` once its writing has succeeded. Raises StorageError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        draft.replace(path)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{path}: this cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def cache_folder() -> Path:
    """The cache folder: `LEANSEEK_CACHE` where that is set, else the system's place for caches.

    Everything in it can be deleted at any time; it is made again when it is needed.
    """
    chosen = os.environ.get("LEANSEEK_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("leanseek"))


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target` that becomes `target` when the block ends without an error.

    The change is one rename, so that no process ever sees a half-written folder. Where another process
    was faster, its folder stays and this one is dropped.

    Raises:
        StorageError: the folder cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        yield temporary
        _rename(temporary, target)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise _unwritable(target, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _rename(temporary: Path, target: Path) -> None:
    try:
        temporary.replace(target)
    except OSError:
        if not target.is_dir():
            raise


def _unwritable(target: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot write {target}: {error.strerror or error}. "
        "Free space there, or set LEANSEEK_CACHE to a folder that can be written."
    )


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows has no handle for a folder; NTFS journals the names itself
    # Windows flushes only what is open for writing.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def checksum(path: Path, algorithm: str = "sha256") -> str:
    """The digest of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
