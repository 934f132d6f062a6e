"""Stores the token vectors of an index's passages, in blocks: an interruption costs a block at most."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
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
from leanseek.indexing.integrity import storage_errors
from leanseek.indexing.quantisation import Bits
from leanseek.indexing.snapshot import Snapshot
from leanseek.indexing.tokens.block import WHOLE_BITS, PassageCodes, encode, keys_of
from leanseek.indexing.tokens.block_upkeep import FULL, BlockUpkeep
from leanseek.indexing.tokens.form import FILE, TokenForm, TokenSettings, read_form, write_form
from leanseek.indexing.tokens.matrices import learn_matrices
from leanseek.indexing.tokens.store import TokenStore, TokenSummary, live_keys, stored_form
from leanseek.types import Progress, content, silent

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
                remove_tokens(folder)
                with storage_errors(folder), draft_folder(folder / TOKENS) as draft:
                    write_form(draft, settings, matrices)
                form = read_form(folder / TOKENS)
            added, dropped = _fill(folder / TOKENS, form, loaded, snapshot, report)
        finally:
            snapshot.close()
        store, limit = TokenStore.open(folder), loaded.passage_tokens
        if store is None:
            raise IndexDamagedError(
                f"'{folder / TOKENS}' was removed by another process while it was being filled"
            )
        return TokenReport.of(
            store,
            path=str(store.folder),
            cut=sum(int((block.lengths > limit).sum()) for block in store.blocks) if limit is not None else 0,
            added=added,
            dropped=dropped,
        )


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
    known_dims, known_bits = dimensions, _DEFAULT_BITS
    if earlier is not None and earlier.settings.fingerprint == model.fingerprint:
        known_dims, known_bits = earlier.settings.dims, earlier.settings.bits
    return TokenSettings(
        model=model.name,
        fingerprint=model.fingerprint,
        dimensions=dimensions,
        dims=known_dims if dims is None else dims,
        bits=known_bits if bits is None else bits,
        whole=probe.texts.shape[1] if probe.texts is not None else 0,
    )


def _fill(
    store: Path, form: TokenForm, model: TokenModel, snapshot: Snapshot, report: Progress
) -> tuple[int, int]:
    """Make the store hold the live passages and no others; returns how many were added and dropped."""
    ordinals = snapshot.ordinals()
    keys = live_keys(snapshot, lambda done: report("reading passages", done, len(ordinals)))
    wanted, firsts = np.unique(keys, return_index=True)
    upkeep = BlockUpkeep(store, form)
    stored = TokenStore(store, form, upkeep.blocks).find(wanted).blocks >= 0
    dropped = upkeep.superfluous(wanted)
    missing = ordinals[np.sort(firsts[~stored])]
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
        upkeep.add(sorted(coded, key=lambda passage: passage.key))
        if upkeep.small > _SMALL_BLOCKS:
            upkeep.tidy(wanted)
    upkeep.tidy(wanted)
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
