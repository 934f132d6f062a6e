"""Stores the token vectors of an index's passages, in blocks: an interruption costs a block at most."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from leanseek.encode.batches import Batches
from leanseek.encode.token_model import TokenModel, TokenVectors, finite_tokens
from leanseek.encode.token_registry import load_token_model
from leanseek.errors import IndexDamagedError
from leanseek.files import draft_folder, draft_of
from leanseek.indexing.catalog import TOKENS, read_state
from leanseek.indexing.folder import writer_lock
from leanseek.indexing.integrity import sealed_problems, storage_errors
from leanseek.indexing.quantisation import Bits
from leanseek.indexing.snapshot import Snapshot
from leanseek.indexing.tokens.block import FILE as BLOCK_FILE
from leanseek.indexing.tokens.block import (
    WHOLE_BITS,
    Keys,
    PassageCodes,
    TokenBlock,
    encode,
    keys_of,
    write_block,
)
from leanseek.indexing.tokens.form import FILE, Matrices, TokenForm, TokenSettings, read_form, write_form
from leanseek.indexing.tokens.matrices import learn_matrices
from leanseek.indexing.tokens.store import (
    TokenStore,
    TokenSummary,
    block_folders,
    form_of,
    is_block,
    live_keys,
    live_ordinals,
    stored_form,
)
from leanseek.types import BoolArray, Progress, content, silent

FULL: Final = 16_384
"""Passages of a block that is no longer merged with others: small enough that rewriting one is quick."""
AT_ONCE: Final = 1024
"""Passages that are read before they are on the disk: what an interruption costs."""
_REPORTED_EVERY: Final = 16
_SMALL_BLOCKS: Final = FULL // AT_ONCE
_DEFAULT_BITS: Final[Bits] = 4


@dataclass(frozen=True, slots=True)
class TokenReport(TokenSummary):
    """The token vectors that an index has stored in the folder `path`, and how many passages a call changed.

    `cut` of the passages were longer than the model reads.
    """

    path: str
    cut: int
    added: int
    dropped: int


def store_tokens(
    index: str | os.PathLike[str],
    model: str | TokenModel | None = None,
    *,
    dims: int | None = None,
    bits: Bits | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> TokenReport:
    """Store the token vectors of the index's passages; `late-interaction` then reads them from there.

    `model` is what `late-interaction:MODEL` takes, or a `TokenModel`. Its vectors are reduced to `dims` dimensions, by
    what queries need (see `learn_reduction`; None: not reduced), and quantised to `bits`, 4 or 8. What is not given
    stays as stored earlier; the default is the default encoder, not reduced, in 4 bits.

    Called again it encodes only new passages and drops those that are no longer in the index; with another model,
    `dims` or `bits` it starts over. After an interruption it continues where it stopped, and what is stored can be
    used. The index cannot be written to while it runs; searching goes on.

    Raises IndexNotFoundError, IndexFormatError, IndexDamagedError, IndexLockedError, StorageError, UsageError, and
    what loading the model raises.
    """
    folder = Path(index)
    read_state(folder)
    earlier = sound_form(folder)
    if model is None or isinstance(model, str):
        loaded = load_token_model(model or (earlier.settings.model if earlier is not None else None), device)
    else:
        loaded = model
    settings = settings_for(loaded, earlier, dims, bits)
    report = progress or silent
    with writer_lock(folder):
        snapshot = Snapshot.open(folder, dense=False)
        try:
            form = sound_form(folder)
            if form is None or replace(form.settings, model=settings.model) != settings:
                matrices = (
                    learn_matrices(loaded, snapshot, settings.dims, report) if settings.reduced else None
                )
                create_store(folder, settings, matrices)
                form = read_form(folder / TOKENS)
            added, dropped = _fill(folder / TOKENS, form, loaded, snapshot, report)
        finally:
            snapshot.close()
        return _report(folder, loaded.passage_tokens, added, dropped)


def forget_tokens(index: str | os.PathLike[str]) -> bool:
    """Remove the token vectors that the index has stored; True where there were any.

    Raises IndexNotFoundError, IndexLockedError, StorageError.
    """
    folder = Path(index)
    read_state(folder)
    with writer_lock(folder):
        return remove_tokens(folder)


def sound_form(index: Path) -> TokenForm | None:
    """The form of the index's token vectors; None where there are none, or where it is damaged."""
    try:
        return stored_form(index)
    except IndexDamagedError:
        return None


def settings_for(
    model: TokenModel, earlier: TokenForm | None, dims: int | None, bits: Bits | None
) -> TokenSettings:
    """What is given, else what is stored of this model, else the default. Raises UsageError."""
    probe = model.queries(["how many dimensions?"])
    dimensions = probe.tokens[0].shape[1]
    known = (
        earlier.settings
        if earlier is not None and earlier.settings.fingerprint == model.fingerprint
        else None
    )
    return TokenSettings(
        model=model.name,
        fingerprint=model.fingerprint,
        dimensions=dimensions,
        dims=dims if dims is not None else known.dims if known is not None else dimensions,
        bits=bits if bits is not None else known.bits if known is not None else _DEFAULT_BITS,
        whole=probe.texts.shape[1] if probe.texts is not None else 0,
    )


def _fill(
    store: Path, form: TokenForm, model: TokenModel, snapshot: Snapshot, report: Progress
) -> tuple[int, int]:
    """Make the store hold the live passages and no others; returns how many were added and dropped."""
    total = len(live_ordinals(snapshot))
    keys = live_keys(snapshot, lambda done: report("reading passages", done, total))
    wanted, firsts = np.unique(keys, return_index=True)
    blocks = mend(store, form)
    held = TokenStore(store, form, blocks).find(wanted).blocks >= 0
    dropped = sum(int((~mask).sum()) for mask in kept_of(blocks, wanted))
    missing = live_ordinals(snapshot)[np.sort(firsts[~held])]
    batches = Batches(model.budget, "passage")
    for start in range(0, len(missing), AT_ONCE):
        contents = [
            content(one.title, one.text) for one in snapshot.passages.get(missing[start : start + AT_ONCE])
        ]
        coded: list[PassageCodes] = []
        for passage in _coded(model, batches, form, contents):
            coded.append(passage)
            if len(coded) % _REPORTED_EVERY == 0 or len(coded) == len(contents):
                report("storing token vectors", start + len(coded), len(missing))
        blocks.append(add_block(store, form, sorted(coded, key=lambda passage: passage.key)))
        if sum(block.size < FULL for block in blocks) > _SMALL_BLOCKS:
            blocks = tidy(store, form, blocks, wanted)
    tidy(store, form, blocks, wanted)
    return len(missing), dropped


def _coded(
    model: TokenModel, batches: Batches, form: TokenForm, contents: Sequence[str]
) -> Iterator[PassageCodes]:
    """The passages' vectors as they are stored, in any order."""
    keys, lengths = keys_of(contents), model.lengths(contents).tolist()

    def run(numbers: list[int]) -> TokenVectors:
        return model.passages([contents[number] for number in numbers])

    for numbers, read in batches.run(lengths, range(len(contents)), run):
        for number, (tokens, text) in zip(numbers, finite_tokens(read), strict=True):
            if form.matrices is not None:
                tokens = tokens @ form.matrices.passages.T
            whole = encode(text[np.newaxis], WHOLE_BITS) if text is not None else None
            yield PassageCodes(
                bytes(keys[number]), lengths[number], encode(tokens, form.settings.bits), whole
            )


def _report(index: Path, limit: int | None, added: int, dropped: int) -> TokenReport:
    store = TokenStore.open(index)
    if store is None:
        raise IndexDamagedError(
            f"'{index / TOKENS}' was removed by another process while it was being filled"
        )
    return TokenReport.of(
        store,
        path=str(store.folder),
        cut=sum(int((block.lengths > limit).sum()) for block in store.blocks) if limit is not None else 0,
        added=added,
        dropped=dropped,
    )


def create_store(index: Path, settings: TokenSettings, matrices: Matrices | None) -> None:
    """An empty store in place of whatever is there. Raises StorageError."""
    remove_tokens(index)
    with storage_errors(index), draft_folder(index / TOKENS) as draft:
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
        return not sealed_problems(block / BLOCK_FILE) and form_of(block) == form.digest
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
        (folder / BLOCK_FILE).unlink(missing_ok=True)  # first: without it the rest is no block
        shutil.rmtree(folder, ignore_errors=True)
