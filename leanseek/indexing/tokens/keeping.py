"""Writing stored token vectors: in blocks, so that what interrupts it costs a block at most.

Whoever calls these holds the index's writer lock.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np

from leanseek.indexing.catalog import storage_errors
from leanseek.indexing.tokens.block import FILE as BLOCK_FILE
from leanseek.indexing.tokens.block import Keys, PassageCodes, TokenBlock, write_block
from leanseek.indexing.tokens.sealing import draft_of, drafted, problems
from leanseek.indexing.tokens.settings import FILE, TOKENS, Matrices, TokenForm, TokenSettings, write_form
from leanseek.indexing.tokens.store import block_folders, form_of, is_block
from leanseek.types import BoolArray

FULL: Final = 16_384
"""Passages of a block that is merged with others no more: small enough that rewriting one is quick."""


def create_store(index: Path, settings: TokenSettings, matrices: Matrices | None) -> None:
    """An empty store in place of whatever is there. Raises StorageError."""
    remove_tokens(index)
    with drafted(index / TOKENS) as draft:
        write_form(draft, settings, matrices)


def remove_tokens(index: Path) -> bool:
    """Remove what is stored, and what interrupted storing left; True where there was a store.

    Raises StorageError where the disk refuses.
    """
    folder = index / TOKENS
    there = (folder / FILE).is_file()
    with storage_errors(index):
        (folder / FILE).unlink(missing_ok=True)  # without it the rest is no store, however far removing comes
        for remnant in (draft_of(folder), folder):
            if remnant.is_dir():
                shutil.rmtree(remnant)
    return there


def mend(store: Path, form: TokenForm) -> list[TokenBlock]:
    """The blocks of that form which are whole, all others and remnants removed."""
    found = []
    for entry in sorted(entry for entry in store.iterdir() if entry.is_dir()):
        if is_block(entry) and sound(entry, form):
            found.append(TokenBlock(entry, form.settings))
        else:
            remove_block(entry)
    return found


def sound(block: Path, form: TokenForm) -> bool:
    """Whether a block is of that form, and as it was written."""
    try:
        return not problems(block, BLOCK_FILE) and form_of(block) == form.digest
    except FileNotFoundError:
        return False


def add_block(store: Path, form: TokenForm, passages: Iterable[PassageCodes]) -> TokenBlock:
    """Store passages, which come in the order of their keys."""
    last = max((int(folder.name) for folder in block_folders(store)), default=0)
    folder = store / f"{last + 1:06d}"
    write_block(folder, form, passages)
    return TokenBlock(folder, form.settings)


def tidy(store: Path, form: TokenForm, blocks: list[TokenBlock], wanted: Keys) -> list[TokenBlock]:
    """The blocks with only the `wanted` passages (n, ascending) in them, each once; the small ones merged.

    The blocks must be known to be whole (see `mend`): merging gives new checksums.
    """
    kept = kept_of(blocks, wanted)
    clean = [bool(mask.all()) for mask in kept]
    chosen = [place for place, block in enumerate(blocks) if block.size < FULL or not clean[place]]
    if (len(chosen) == 1 and clean[chosen[0]]) or not chosen:
        return blocks
    owners = np.concatenate([np.full(kept[place].sum(), place) for place in chosen])
    places = np.concatenate([np.flatnonzero(kept[place]) for place in chosen])
    keys = np.concatenate([blocks[place].keys[kept[place]] for place in chosen])
    order = np.argsort(keys, kind="stable")
    merged = []
    for start in range(0, len(order), FULL):
        part = order[start : start + FULL]
        rows = zip(owners[part].tolist(), places[part].tolist(), strict=True)
        merged.append(add_block(store, form, (blocks[owner].passage(place) for owner, place in rows)))
    for place in chosen:
        remove_block(blocks[place].folder)
    return [block for place, block in enumerate(blocks) if place not in chosen] + merged


def kept_of(blocks: list[TokenBlock], wanted: Keys) -> list[BoolArray]:
    """For each block a mask (n,) of its passages that are wanted and in no block before it.

    A merge that was broken off leaves passages both in the merged block and where they were.
    """
    if not blocks:
        return []
    keys = np.concatenate([block.keys for block in blocks])
    places = np.minimum(np.searchsorted(wanted, keys), max(len(wanted) - 1, 0))
    mask = wanted[places] == keys if len(wanted) else np.zeros(len(keys), dtype=np.bool_)
    order = np.argsort(keys, kind="stable")
    again = keys[order][1:] == keys[order][:-1]
    mask[order[1:][again]] = False
    return np.split(mask, np.cumsum([block.size for block in blocks])[:-1])


def remove_block(folder: Path) -> None:
    """Remove a block, or what was to become one. Raises StorageError."""
    with storage_errors(folder.parent):
        (folder / BLOCK_FILE).unlink(missing_ok=True)  # first: without it nobody takes the rest for a block
        shutil.rmtree(folder, ignore_errors=True)
