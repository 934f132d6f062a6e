"""Folders that are there whole or not at all, with a JSON file that tells when any of it is damaged."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leanseek.errors import IndexDamagedError
from leanseek.indexing.catalog import checksum, storage_errors, sync

_SEAL = "sha256"


@contextmanager
def drafted(folder: Path) -> Iterator[Path]:
    """A draft beside `folder` that becomes it when the block ends without an error, in one rename.

    The caller holds the writer lock, and nothing is at `folder`. Raises StorageError where the disk refuses.
    """
    draft = draft_of(folder)
    with storage_errors(folder.parent):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        try:
            yield draft
            sync(draft)
            draft.rename(folder)
            sync(folder.parent)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise


def draft_of(folder: Path) -> Path:
    """Where `drafted` makes a folder, and a crash may leave it."""
    return folder.with_name(f".{folder.name}")


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object with its own checksum, and flush it to the disk."""
    text = json.dumps({**content, _SEAL: digest(content)}, indent=1, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")
    sync(path)


def read_sealed(path: Path) -> dict[str, Any]:
    """What `write_sealed` wrote.

    Raises IndexDamagedError where any of it has changed, FileNotFoundError where there is no file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        seal = content.pop(_SEAL)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise IndexDamagedError(f"'{path}' cannot be read: {error}") from error
    if seal != digest(content):
        raise IndexDamagedError(f"'{path}' differs from its checksum")
    found: dict[str, Any] = content
    return found


def recorded(folder: Path) -> dict[str, tuple[int, str]]:
    """(bytes, checksum) of each file in a folder, by its name; all are flushed to the disk."""
    found = {}
    for path in sorted(folder.iterdir()):
        sync(path)
        found[path.name] = (path.stat().st_size, checksum(path))
    return found


def problems(folder: Path, name: str) -> list[str]:
    """What is wrong with the sealed file of that name and with the files that it records under `files`.

    Raises OSError where one cannot be read, FileNotFoundError where the sealed file itself is not there.
    """
    try:
        given = read_sealed(folder / name)
        records = [(file, int(size), str(sha256)) for file, (size, sha256) in given["files"].items()]
    except (IndexDamagedError, KeyError, ValueError, TypeError, AttributeError):
        return [f"{name} differs from its checksum"]
    found = []
    for file, size, sha256 in records:
        path = folder / file
        if not path.is_file():
            found.append(f"{file} is missing")
        elif path.stat().st_size != size:
            found.append(f"{file} has {path.stat().st_size} bytes instead of {size}")
        elif checksum(path) != sha256:
            found.append(f"{file} differs from its checksum")
    return found


def digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON object, in hex."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
