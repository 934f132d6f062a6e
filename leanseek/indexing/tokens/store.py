"""The stored token vectors of an index's passages, opened for reading."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np

from leanseek.errors import IndexDamagedError, IndexFormatError
from leanseek.indexing.catalog import TOKENS
from leanseek.indexing.integrity import read_sealed, sealed_problems
from leanseek.indexing.passages import StoredPassage
from leanseek.indexing.snapshot import Snapshot
from leanseek.indexing.tokens.block import FILE as BLOCK_FILE
from leanseek.indexing.tokens.block import KEY_BYTES, Decoded, Keys, TokenBlock, keys_of
from leanseek.indexing.tokens.form import FILE, TokenForm, TokenSettings, read_form
from leanseek.types import Int64Array, content

BLOCK: Final = 4096
_ATTEMPTS: Final = 20
"""A writer may remove blocks between listing and opening them; the merged one is then there."""

Summary = TypeVar("Summary", bound="TokenSummary")


def live_passages(snapshot: Snapshot) -> Iterator[list[StoredPassage]]:
    """The passages that are not deleted, block by block."""
    ordinals = snapshot.ordinals()
    for start in range(0, len(ordinals), BLOCK):
        yield snapshot.passages.get(ordinals[start : start + BLOCK])


def live_keys(snapshot: Snapshot, progress: Callable[[int], None] | None = None) -> Keys:
    """(n,) the keys of the passages at `Snapshot.ordinals`; `progress` is called with how many have been read."""
    found = [np.zeros(0, dtype=f"S{KEY_BYTES}")]
    done = 0
    for passages in live_passages(snapshot):
        found.append(keys_of([content(one.title, one.text) for one in passages]))
        done += len(passages)
        if progress is not None:
            progress(done)
    return np.concatenate(found)


class Places(NamedTuple):
    """Where passages are: the numbers of their blocks and their places there, (m,) each; -1 where there is none."""

    blocks: Int64Array
    places: Int64Array


class TokenStore:
    """The token vectors of an index's passages as of now. Safe to use from several threads."""

    def __init__(self, folder: Path, form: TokenForm, blocks: Iterable[TokenBlock]) -> None:
        self.folder = folder
        self.form = form
        self.blocks = tuple(blocks)

    @classmethod
    def open(cls, index: Path) -> TokenStore | None:
        """What is stored of the index in that folder; None where nothing is.

        Raises IndexDamagedError, or IndexFormatError for vectors that a newer version stored.
        """
        missing = ""
        for _ in range(_ATTEMPTS):
            form = stored_form(index)
            if form is None:
                return None
            folder = index / TOKENS
            try:
                listed = block_folders(folder)
                mine = [name for name in listed if form_of(name) == form.digest]
                found = cls(folder, form, [TokenBlock(name, form.settings) for name in mine])
                if listed == block_folders(folder):
                    return found
            except FileNotFoundError as error:
                missing = f"'{error.filename}' is missing"
        raise IndexDamagedError(missing or f"'{index / TOKENS}' is being written to all the time")

    @property
    def settings(self) -> TokenSettings:
        """Of what model the vectors are, and how they are stored."""
        return self.form.settings

    @property
    def passages(self) -> int:
        """How many passages are stored."""
        return sum(block.size for block in self.blocks)

    @property
    def tokens(self) -> int:
        """How many tokens they have together."""
        return sum(block.tokens for block in self.blocks)

    @property
    def bytes(self) -> int:
        """What they take on the disk, with what was learned for them."""
        own = sum(path.stat().st_size for path in self.folder.iterdir() if path.is_file())
        return own + sum(block.bytes for block in self.blocks)

    @property
    def bytes_per_passage(self) -> float:
        """What a passage takes on the disk, with its key; 0 where there is none."""
        return sum(block.bytes for block in self.blocks) / self.passages if self.passages else 0.0

    def find(self, keys: Keys) -> Places:
        """Where the passages with these keys (m,) are."""
        found = Places(np.full(len(keys), -1, dtype=np.int64), np.full(len(keys), -1, dtype=np.int64))
        for number, block in enumerate(self.blocks):
            places = block.find(keys)
            found.blocks[places >= 0] = number
            found.places[places >= 0] = places[places >= 0]
        return found

    def read(self, found: Places) -> Iterator[tuple[Int64Array, Decoded]]:
        """Which of the passages (m,) are in a block, and their vectors; block by block, without those not stored."""
        for number in np.unique(found.blocks[found.blocks >= 0]).tolist():
            mine = np.flatnonzero(found.blocks == number)
            yield mine, self.blocks[number].read(found.places[mine])

    def lengths(self, found: Places) -> Iterator[tuple[Int64Array, Int64Array]]:
        """As `read`, the passages' tokens before any cut."""
        for number in np.unique(found.blocks[found.blocks >= 0]).tolist():
            mine = np.flatnonzero(found.blocks == number)
            yield mine, self.blocks[number].lengths[found.places[mine]].astype(np.int64)


@dataclass(frozen=True, slots=True)
class TokenSummary:
    """Token vectors of `model`: of its `dimensions` `dims` are kept, each in `bits`.

    `passages` of different texts have so many `tokens`, in so many `bytes`; `bytes_per_passage` leaves out what was
    learned for all of them.
    """

    model: str
    dimensions: int
    dims: int
    bits: int
    passages: int
    tokens: int
    bytes: int
    bytes_per_passage: float

    @classmethod
    def of(cls: type[Summary], store: TokenStore, **more: Any) -> Summary:
        """The summary of what is stored; `more` are fields that a kind of summary adds."""
        settings = store.settings
        return cls(
            model=settings.model,
            dimensions=settings.dimensions,
            dims=settings.dims,
            bits=settings.bits,
            passages=store.passages,
            tokens=store.tokens,
            bytes=store.bytes,
            bytes_per_passage=store.bytes_per_passage,
            **more,
        )


def stored_form(index: Path) -> TokenForm | None:
    """Of what model an index's token vectors are, and how they are stored; None where there are none.

    Raises IndexDamagedError or IndexFormatError.
    """
    folder = index / TOKENS
    if not (folder / FILE).is_file():
        return None
    return read_form(folder)


def store_problems(index: Path) -> tuple[list[str], list[Path]]:
    """What is wrong with the stored token vectors, and all files that belong to them.

    Raises OSError where a file cannot be read.
    """
    store = index / TOKENS
    if not (store / FILE).is_file():
        return [], []
    found = [f"{TOKENS}/{problem}" for problem in sealed_problems(store / FILE)]
    files = [path for path in store.iterdir() if path.is_file()]
    try:
        digest = read_form(store).digest
    except (IndexDamagedError, IndexFormatError):
        digest = None
    for folder in block_folders(store):
        try:
            wrong = sealed_problems(folder / BLOCK_FILE)
            if wrong or digest in (None, form_of(folder)):
                found += [f"{TOKENS}/{folder.name}/{problem}" for problem in wrong]
                files += folder.iterdir()
        except FileNotFoundError:
            continue  # a remnant, or merged away meanwhile
    return found, files


def block_folders(store: Path) -> list[Path]:
    """The folders in the store that are named as blocks are."""
    return sorted(folder for folder in store.iterdir() if is_block(folder))


def is_block(folder: Path) -> bool:
    """Whether a folder is named as a block's is."""
    return re.fullmatch("[0-9]{6}", folder.name) is not None and folder.is_dir()


def form_of(block: Path) -> str | None:
    """The digest of the form that a block is of; None where the folder is none by now. Raises IndexDamagedError."""
    try:
        return str(read_sealed(block / BLOCK_FILE).get("form"))
    except FileNotFoundError:
        return None
