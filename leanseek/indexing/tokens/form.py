"""Folders that are there whole or not at all, with a JSON file that tells when any of it is damaged."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from leanseek.errors import IndexDamagedError, IndexFormatError, UsageError
from leanseek.files import checksum, sync
from leanseek.indexing.arrays import read, write
from leanseek.indexing.catalog import storage_errors
from leanseek.indexing.dense.lean.lvq import Bits
from leanseek.types import Float32Array

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


TOKENS: Final = "tokens"
"""The folder's name in the index."""
FILE: Final = "tokens.json"
VERSION: Final = 1
_QUERIES, _PASSAGES = "queries", "passages"


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """Of what model the vectors are, and how they are kept.

    `model` is its name and `fingerprint` its digest. A token's `dimensions` (D) are reduced to `dims` (d), equal where
    they are kept as they are, and coded in `bits` (4 or 8) each. `whole` is the length of a text's own vector, which
    is kept in 8 bits an element; 0 where the model has none.
    """

    model: str
    fingerprint: str
    dimensions: int
    dims: int
    bits: Bits
    whole: int

    def __post_init__(self) -> None:
        if self.bits not in (4, 8):
            raise UsageError(f"bits is {self.bits}; token vectors are kept in 4 or 8 bits an element")
        if not 1 <= self.dims <= self.dimensions:
            raise UsageError(
                f"dims is {self.dims}; the token vectors of '{self.model}' have {self.dimensions}, so it must be "
                f"from 1 to {self.dimensions}"
            )

    @property
    def reduced(self) -> bool:
        """Whether the vectors are shorter than the model's."""
        return self.dims < self.dimensions


@dataclass(frozen=True, eq=False)
class Matrices:
    """A learned reduction: <queries @ q, passages @ p> approximates <q, p>; both (d, D) float32."""

    queries: Float32Array
    passages: Float32Array


@dataclass(frozen=True, eq=False)
class TokenForm:
    """The settings with what was learned for them, None where nothing is reduced.

    `digest` is another where any of it is.
    """

    settings: TokenSettings
    matrices: Matrices | None
    digest: str


def write_form(folder: Path, settings: TokenSettings, matrices: Matrices | None) -> None:
    """Write both into an existing, empty folder, flushed to the disk."""
    if matrices is not None:
        write(folder, _QUERIES, np.ascontiguousarray(matrices.queries, dtype=np.float32))
        write(folder, _PASSAGES, np.ascontiguousarray(matrices.passages, dtype=np.float32))
    write_sealed(folder / FILE, {"version": VERSION, "settings": asdict(settings), "files": recorded(folder)})


def read_form(folder: Path) -> TokenForm:
    """What `write_form` wrote.

    Raises FileNotFoundError where there is none, IndexDamagedError where it cannot be read, IndexFormatError where a
    newer version wrote it.
    """
    given = read_sealed(folder / FILE)
    try:
        if given["version"] > VERSION:
            raise IndexFormatError(
                f"'{folder}' has format {given['version']}, and this leanseek reads up to {VERSION}; install a newer "
                "leanseek, or remove the folder"
            )
        settings = TokenSettings(**given["settings"])
    except (KeyError, TypeError, UsageError) as error:
        raise IndexDamagedError(f"'{folder / FILE}' cannot be read: {error}") from error
    matrices = None
    if settings.reduced:
        shape = (settings.dims, settings.dimensions)
        try:
            matrices = Matrices(
                *(np.array(read(folder, name, "float32", shape)) for name in (_QUERIES, _PASSAGES))
            )
        except FileNotFoundError as error:
            raise IndexDamagedError(f"'{folder}' lacks the file '{error.filename}'") from error
    return TokenForm(settings, matrices, digest(given))
