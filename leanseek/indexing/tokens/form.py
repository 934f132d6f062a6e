"""The form that an index's token vectors are stored in: of which model, how reduced, in how many bits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from leanseek.errors import IndexDamagedError, IndexFormatError, UsageError
from leanseek.indexing.arrays import open_array, write_array
from leanseek.indexing.integrity import digest, read_sealed, record_files, write_sealed
from leanseek.indexing.quantisation import Bits
from leanseek.types import Float32Array

FILE: Final = "tokens.json"
VERSION: Final = 1
_QUERIES, _PASSAGES = "queries.npy", "passages.npy"


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """Of what model the vectors are, and how they are stored.

    `model` is its name and `fingerprint` its digest. A token's `dimensions` (D) are reduced to `dims` (d), equal where
    they are not reduced, and coded in `bits` (4 or 8) each. `whole` is the length of a text's own vector, which is
    stored in 8 bits an element; 0 where the model has none.
    """

    model: str
    fingerprint: str
    dimensions: int
    dims: int
    bits: Bits
    whole: int

    def __post_init__(self) -> None:
        if self.bits not in (4, 8):
            raise UsageError(f"bits is {self.bits}; token vectors are stored in 4 or 8 bits an element")
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
        write_array(folder / _QUERIES, np.ascontiguousarray(matrices.queries, dtype=np.float32))
        write_array(folder / _PASSAGES, np.ascontiguousarray(matrices.passages, dtype=np.float32))
    write_sealed(folder / FILE, {"version": VERSION, "settings": asdict(settings)}, record_files(folder))


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
                *(np.array(open_array(folder / name, "float32", shape)) for name in (_QUERIES, _PASSAGES))
            )
        except FileNotFoundError as error:
            raise IndexDamagedError(f"'{folder}' lacks the file '{error.filename}'") from error
    return TokenForm(settings, matrices, digest(given))
