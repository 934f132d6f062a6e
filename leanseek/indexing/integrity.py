"""How damage is noticed: files recorded by size and checksum, JSON sealed by its own, refusals as one error."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from leanseek.errors import IndexDamagedError, LeanseekError, StorageError
from leanseek.files import checksum, sync, sync_all

_SEAL = "sha256"
_REFUSALS = ("full", "readonly", "disk I/O", "unable to open", "locked", "too big")
"""Parts of SQLite's messages when the file system, or another process, refuses."""


class FileRecord(NamedTuple):
    """A file as it was written; `name` is relative to the folder that it belongs to."""

    name: str
    size: int
    sha256: str


def record_files(folder: Path) -> tuple[FileRecord, ...]:
    """All files under a folder, by name; they are flushed to the disk with the names of all folders, its own too."""
    paths = [*folder.rglob("*")]
    sync_all([*paths, folder, folder.parent])
    return tuple(
        sorted(
            FileRecord(path.relative_to(folder).as_posix(), path.stat().st_size, checksum(path))
            for path in paths
            if path.is_file()
        )
    )


def file_problem(folder: Path, file: FileRecord) -> str | None:
    """How a file differs from its record, or None. Raises OSError where it cannot be read."""
    path = folder / file.name
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if size != file.size:
        return f"has {size} bytes instead of {file.size}"
    return None if checksum(path) == file.sha256 else "differs from its checksum"


def write_sealed(path: Path, content: Mapping[str, Any], files: Iterable[FileRecord]) -> None:
    """Write a JSON object and the records of files beside it, with a checksum of it all; flushed to the disk."""
    content = {**content, "files": {file.name: (file.size, file.sha256) for file in files}}
    path.write_text(sealed(content), encoding="utf-8")
    sync(path)


def sealed(content: Mapping[str, Any]) -> str:
    """A JSON object as text, with a checksum of it all."""
    return json.dumps({**content, _SEAL: digest(content)}, indent=1, sort_keys=True) + "\n"


def read_sealed(path: Path) -> dict[str, Any]:
    """What `write_sealed` wrote.

    Raises IndexDamagedError where any of it has changed, FileNotFoundError where there is no file.
    """
    return unsealed(path.read_text(encoding="utf-8", errors="replace"), path)


def unsealed(text: str, where: str | os.PathLike[str]) -> dict[str, Any]:
    """The object that `sealed` made a text of. Raises IndexDamagedError, which says where, if it has changed."""
    try:
        content: dict[str, Any] = json.loads(text)
        seal = content.pop(_SEAL)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise IndexDamagedError(f"'{where}' cannot be read: {error}") from error
    if seal != digest(content):
        raise IndexDamagedError(f"'{where}' differs from its checksum")
    return content


def sealed_problems(path: Path) -> list[str]:
    """What is wrong with a sealed file and with the files that it records.

    Raises OSError where one cannot be read, FileNotFoundError where the sealed file itself is not there.
    """
    try:
        given = read_sealed(path)["files"]
        records = [FileRecord(name, int(size), str(sha256)) for name, (size, sha256) in given.items()]
    except (IndexDamagedError, KeyError, ValueError, TypeError, AttributeError):
        return [f"{path.name} differs from its checksum"]
    found = ((file.name, file_problem(path.parent, file)) for file in records)
    return [f"{name} {problem}" for name, problem in found if problem is not None]


def digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON object, in hex."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Turn what the file system or SQLite refuses while writing into one StorageError."""
    advice = (
        f"Nothing was changed in '{folder}'. Free space or mend the permissions, then repeat the command."
    )
    try:
        yield
    except LeanseekError:
        raise
    except sqlite3.OperationalError as error:
        if not any(sign in str(error) for sign in _REFUSALS):
            raise
        raise StorageError(f"writing to '{folder}' failed: {error}. {advice}") from error
    except sqlite3.DatabaseError as error:
        raise IndexDamagedError(f"the catalog of '{folder}' is damaged: {error}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"writing to '{folder}' failed: {reason}. {advice}") from error
