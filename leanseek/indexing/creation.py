"""From what the caller asked for to a new index: its settings, its encoder, and a folder held under the writer lock."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from leanseek.encode import DEFAULT_MODEL, Encoder, load_encoder, load_query_encoder
from leanseek.errors import IndexExistsError, IndexLockedError, ModelError, UsageError
from leanseek.files import sync
from leanseek.indexing.catalog import CATALOG, SEAL, SEGMENTS, storage_errors
from leanseek.indexing.dense.registry import check_dense
from leanseek.indexing.settings import EncoderSettings, IndexSettings, LeanSettings, SparseSettings
from leanseek.indexing.sparse import check_sparse
from leanseek.indexing.tokens.form import TOKENS
from leanseek.text import load_analyzer
from leanseek.text.chunking import Chunking

LOCK = "LOCK"


@contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Hold the index's writer lock. Raises IndexLockedError at once where another process has it."""
    lock = FileLock(folder / LOCK, timeout=0, is_singleton=False)
    with storage_errors(folder):
        try:
            lock.acquire()
        except Timeout:
            raise IndexLockedError(
                f"another process is writing to '{folder}'. Wait for it to end, then repeat the command; "
                "searching goes on meanwhile."
            ) from None
    try:
        yield
    finally:
        lock.release()


MOST_LEARNING_QUERIES = 10_000
"""More teach a reduction nothing new."""


class Plan(NamedTuple):
    """What an index is to be: its settings, and the encoder that they name."""

    settings: IndexSettings
    encoder: Encoder | None
    learning_queries: tuple[str, ...] = ()


def make_plan(
    *,
    encoder: str | Encoder | None = DEFAULT_MODEL,
    dense: str | None = "auto",
    lean: LeanSettings = LeanSettings(),  # noqa: B008 - frozen
    learning_queries: Iterable[str] = (),
    sparse: SparseSettings | None = SparseSettings(),  # noqa: B008 - frozen
    chunk_words: int | None = None,
    chunk_overlap: int = 0,
    device: str | None = None,
) -> Plan:
    """Check the wishes for a new index and load its encoder. Raises UsageError, ModelError or MissingPackageError."""
    if chunk_words is not None:
        Chunking(chunk_words, chunk_overlap)
    if sparse is not None:
        check_sparse(sparse)
        load_analyzer(sparse.analyzer)
    if dense == "none":
        dense = None
    if dense is not None:
        check_dense(dense, lean)
    given = tuple(text for text in learning_queries if text.strip())
    if dense not in ("auto", "lean") and (given or lean != LeanSettings()):
        raise UsageError(
            "dims, kind, recall, precision and learning queries are for reduced vectors; "
            f"choose the dense index 'lean' or 'auto' with them, not '{dense or 'none'}'"
        )
    if dense is None or encoder is None:
        if sparse is None:
            raise UsageError(
                "an index needs a dense side, a sparse side, or both; this one would have neither"
            )
        loaded = None
    else:
        try:
            loaded = load_encoder(encoder, device) if isinstance(encoder, str) else encoder
        except ModelError as error:
            raise ModelError(
                f"{error}\nTo index without vectors: --dense none, or encoder=None in Python."
            ) from error
    if loaded is not None and lean.dims is not None and lean.dims > loaded.dimensions:
        # Else it would be told only when everything is encoded.
        raise UsageError(
            f"dims is {lean.dims}; the vectors of '{loaded.name}' have {loaded.dimensions}, so it must be from 1 to "
            f"{loaded.dimensions}, or 'auto'"
        )
    settings = IndexSettings(
        dense=dense if loaded is not None else None,
        encoder=describe(loaded) if loaded is not None else None,
        lean=lean,
        sparse=sparse,
        chunk_words=chunk_words,
        chunk_overlap=chunk_overlap,
    )
    return Plan(settings, loaded, given[:MOST_LEARNING_QUERIES])


def describe(encoder: Encoder) -> EncoderSettings:
    """What an index records of its encoder."""
    return EncoderSettings(encoder.name, encoder.fingerprint, encoder.dimensions, encoder.max_tokens)


def recorded_encoder(
    recorded: EncoderSettings, device: str | None = None, for_queries: bool = False
) -> Encoder:
    """Load the encoder that an index was made with; `for_queries` takes the back end that starts fastest.

    Raises ModelError where it cannot be loaded, or is another one by now.
    """
    try:
        encoder = (load_query_encoder if for_queries else load_encoder)(recorded.name, device)
    except ModelError as error:
        raise ModelError(
            f"the index was made with the encoder '{recorded.name}', which cannot be loaded: {error}"
        ) from error
    return fitting(encoder, recorded)


def given_encoder(
    settings: IndexSettings, encoder: str | Encoder | None, device: str | None = None
) -> Encoder | None:
    """The caller's encoder in place of the recorded one; None where the caller names none."""
    if encoder is None:
        return None
    if settings.encoder is None:
        raise UsageError("this index has no dense side, so it takes no encoder")
    loaded = load_encoder(encoder, device) if isinstance(encoder, str) else encoder
    return fitting(loaded, settings.encoder)


def fitting(encoder: Encoder, recorded: EncoderSettings) -> Encoder:
    """`encoder` itself where it makes the index's vectors. Raises ModelError otherwise."""
    if encoder.fingerprint != recorded.fingerprint:
        raise ModelError(
            f"the encoder '{encoder.name}' (fingerprint {encoder.fingerprint[:12]}) is not the one that the "
            f"index was made with: '{recorded.name}' (fingerprint {recorded.fingerprint[:12]}). "
            "Use that one, or index again."
        )
    return encoder


def is_segment_name(name: str) -> bool:
    """Whether a folder is named as a segment's is. A user's folder of a date has eight digits."""
    return re.fullmatch("[0-9]{6}", name) is not None


def check_vacant(folder: Path) -> None:
    """Raise IndexExistsError where a new index would mix with other files; an index itself passes."""
    if (folder / CATALOG).is_file():
        return
    if folder.exists() and not folder.is_dir():
        raise IndexExistsError(f"'{folder}' is a file; an index is a folder. Choose another path.")
    ours = (LOCK, SEGMENTS, CATALOG, SEAL)  # what a creation that was killed leaves, drafts included
    if not folder.is_dir():
        return
    names = {entry.name for entry in folder.iterdir()}
    segments = {entry.name for entry in (folder / SEGMENTS).glob("*")}
    # Whoever makes segments holds LOCK: without it even folders named like ours are somebody else's.
    strangers = segments and (LOCK not in names or not all(map(is_segment_name, segments)))
    if strangers or not all(name.startswith(ours) for name in names):
        raise IndexExistsError(
            f"'{folder}' is not empty and holds no index. Choose a new or an empty folder for --into."
        )


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold the writer lock of a folder that is an index, or free to become one; made where there is none.

    Raises IndexExistsError where other files are in it. A folder made here goes again if nothing came into it.
    """
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    check_vacant(folder)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for place in missing:
            sync(place.parent)
    try:
        with writer_lock(folder):
            try:
                check_vacant(folder)
                yield
            except BaseException:
                if not (folder / CATALOG).exists():
                    with suppress(OSError):
                        (folder / LOCK).unlink()  # while it is ours: nobody else's lock may be taken away
                raise
    except BaseException:
        if missing:
            with suppress(OSError):
                folder.rmdir()
        raise


def remove_files(folder: Path) -> None:
    """Remove an index's own files. The caller holds the writer lock."""
    for name in (CATALOG, SEAL):
        (folder / name).unlink(missing_ok=True)
    for name in (SEGMENTS, TOKENS):
        shutil.rmtree(folder / name, ignore_errors=True)
