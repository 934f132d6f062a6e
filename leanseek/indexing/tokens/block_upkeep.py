"""The blocks of a token store as its one writer maintains them: whole, without passages that are gone, merged."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np

from leanseek.indexing.integrity import sealed_problems, storage_errors
from leanseek.indexing.tokens.block import FILE, Keys, PassageCodes, TokenBlock, write_block
from leanseek.indexing.tokens.form import TokenForm
from leanseek.indexing.tokens.store import block_folders, form_of, is_block
from leanseek.types import BoolArray

FULL: Final = 16_384
"""Passages of a block that is no longer merged with others: small enough that rewriting one is quick."""


class BlockUpkeep:
    """The blocks of one form in the store at `folder`. All that is not such a block, and whole, is removed."""

    def __init__(self, folder: Path, form: TokenForm) -> None:
        self._folder, self._form = folder, form
        self.blocks: list[TokenBlock] = []
        for entry in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
            if self._is_sound(entry):
                self.blocks.append(TokenBlock(entry, form.settings))
            else:
                _remove(entry)

    @property
    def small(self) -> int:
        """How many blocks can be merged."""
        return sum(block.size < FULL for block in self.blocks)

    def add(self, passages: Iterable[PassageCodes]) -> None:
        """Store passages, which come in the order of their keys."""
        self.blocks.append(self._write(passages))

    def superfluous(self, wanted: Keys) -> int:
        """How many stored passages are none of the `wanted` ones (n, ascending), or are there twice."""
        return sum(int((~mask).sum()) for mask in self._masks(wanted))

    def tidy(self, wanted: Keys) -> None:
        """Drop what is superfluous and merge the small blocks.

        Merging gives new checksums, so the blocks must be whole before, as those here are.
        """
        masks = self._masks(wanted)
        clean = [bool(mask.all()) for mask in masks]
        chosen = [place for place, block in enumerate(self.blocks) if block.size < FULL or not clean[place]]
        if (len(chosen) == 1 and clean[chosen[0]]) or not chosen:
            return
        owners = np.concatenate([np.full(masks[place].sum(), place) for place in chosen])
        places = np.concatenate([np.flatnonzero(masks[place]) for place in chosen])
        keys = np.concatenate([self.blocks[place].keys[masks[place]] for place in chosen])
        order = np.argsort(keys, kind="stable")
        merged = []
        for start in range(0, len(order), FULL):
            part = order[start : start + FULL]
            rows = zip(owners[part].tolist(), places[part].tolist(), strict=True)
            merged.append(self._write(self.blocks[owner].passage(place) for owner, place in rows))
        for place in chosen:
            _remove(self.blocks[place].folder)
        self.blocks = [block for place, block in enumerate(self.blocks) if place not in chosen] + merged

    def _is_sound(self, folder: Path) -> bool:
        try:
            return (
                is_block(folder)
                and not sealed_problems(folder / FILE)
                and form_of(folder) == self._form.digest
            )
        except FileNotFoundError:
            return False

    def _write(self, passages: Iterable[PassageCodes]) -> TokenBlock:
        last = max((int(folder.name) for folder in block_folders(self._folder)), default=0)
        folder = self._folder / f"{last + 1:06d}"
        write_block(folder, self._form, passages)
        return TokenBlock(folder, self._form.settings)

    def _masks(self, wanted: Keys) -> list[BoolArray]:
        """For each block a mask (n,) of its passages that are wanted and in no block before it.

        A merge that was interrupted leaves passages both in the merged block and where they were.
        """
        if not self.blocks:
            return []
        keys = np.concatenate([block.keys for block in self.blocks])
        places = np.minimum(np.searchsorted(wanted, keys), max(len(wanted) - 1, 0))
        mask = wanted[places] == keys if len(wanted) else np.zeros(len(keys), dtype=np.bool_)
        order = np.argsort(keys, kind="stable")
        again = keys[order][1:] == keys[order][:-1]
        mask[order[1:][again]] = False
        return np.split(mask, np.cumsum([block.size for block in self.blocks])[:-1])


def _remove(folder: Path) -> None:
    """Remove a block, or what was to become one. Raises StorageError."""
    with storage_errors(folder.parent):
        (folder / FILE).unlink(missing_ok=True)  # first: without it the rest is no block
        shutil.rmtree(folder, ignore_errors=True)
