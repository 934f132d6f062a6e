"""The index that an evaluation searches: built once from a collection, and reused while it fits."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from leanseek.encode import Encoder
from leanseek.encode.base import Encoded
from leanseek.errors import DuplicateIdError, IndexExistsError, InputError, UsageError
from leanseek.eval.base import Collection
from leanseek.eval.provenance import digest, folder_size, index_fingerprint, peak_memory, this_machine
from leanseek.eval.results import IndexBuild, build_path, index_folder, read_build, write_build
from leanseek.indexing.catalog import CATALOG, State, read_state
from leanseek.indexing.creation import Plan
from leanseek.indexing.index import Index
from leanseek.indexing.settings import IndexSettings
from leanseek.searcher.searcher import Searcher
from leanseek.types import Progress

BLOCK: Final = 10_000
"""Documents that an index is asked for at a time."""


class Prepared(NamedTuple):
    """An index to search, as committed, and what building it cost (None: not recorded)."""

    folder: Path
    state: State
    build: IndexBuild | None

    @property
    def documents(self) -> int:
        """How many documents it holds: as many as the collection, since nothing was deleted."""
        return sum(segment.documents for segment in self.state.segments)

    @property
    def fingerprint(self) -> str:
        """See `index_fingerprint`."""
        return index_fingerprint(self.state)


class Stored(Protocol):
    """An index that is there and is evaluated as it is, such as a cluster."""

    build: IndexBuild | None

    @property
    def name(self) -> str:
        """Where it is, for messages."""
        ...

    @property
    def settings(self) -> IndexSettings:
        """What it was made with."""
        ...

    @property
    def documents(self) -> int:
        """How many it holds."""
        ...

    @property
    def fingerprint(self) -> str:
        """A digest of its settings and its files."""
        ...

    def open(self, **options: Any) -> Searcher:
        """A searcher of it, as `Searcher.open` with the same options."""
        ...


def check_stored(stored: Stored, settings: IndexSettings) -> None:
    """Raise UsageError where an index was made with other settings than a system needs."""
    if not covers(stored.settings, settings):
        raise UsageError(
            f"'{stored.name}' was made with other settings than this system has; give it those of the index"
        )


def check_holds(stored: Stored, searcher: Searcher, collection: Collection) -> None:
    """Raise InputError where an index holds other documents than the collection, by their ids."""
    documents, count = (document.id for document in collection.documents()), 0
    while block := list(islice(documents, BLOCK)):
        count += len(block)
        if missing := searcher.missing(block):
            raise InputError(
                f"'{stored.name}' does not hold the document {missing[0]!r} of the collection '{collection.name}'; "
                "make it from this collection's documents"
            )
    if count != stored.documents:
        raise InputError(
            f"'{stored.name}' holds {stored.documents:,} documents, and the collection '{collection.name}' has "
            f"{count:,}; make it from this collection's documents"
        )


class CountingEncoder:
    """An encoder that counts the documents it encodes: those that are not in the vector cache."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.name = encoder.name
        self.fingerprint = encoder.fingerprint
        self.dimensions = encoder.dimensions
        self.max_tokens = encoder.max_tokens
        self.documents = 0

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """See `Encoder`."""
        return self._encoder.encode_queries(texts)

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """See `Encoder`."""
        self.documents += len(texts)
        return self._encoder.encode_documents(texts)


def collection_index(
    collection: Collection,
    plan: Plan,
    out: Path,
    index: Path | None = None,
    *,
    cache: bool = True,
    progress: Progress | None = None,
) -> Prepared:
    """The collection's index in the folder `index`, or in its place below `out`, where another one is replaced.

    Raises as `prepare_index` does.
    """
    folder = index or index_folder(out, collection.name, settings_digest(plan))
    return prepare_index(collection, folder, plan, replaceable=index is None, cache=cache, progress=progress)


def settings_digest(plan: Plan) -> str:
    """A short digest of the settings of an index, whatever name the encoder goes by."""
    settings = plan.settings
    encoder = replace(settings.encoder, name="") if settings.encoder is not None else None
    values = asdict(replace(settings, encoder=encoder))
    if settings.learned is None:
        del values["learned"]  # as earlier releases named the folders
    else:
        values["learned"]["name"] = ""
    return digest(values)[:12]


def prepare_index(
    collection: Collection,
    folder: Path,
    plan: Plan,
    *,
    replaceable: bool,
    cache: bool = True,
    progress: Progress | None = None,
) -> Prepared:
    """Make sure that `folder` holds the collection's index.

    An index is reused where it was made from the same collection (by its checksum) with the plan's settings.
    Otherwise it is built; an index of something else is replaced only if `replaceable`.

    Raises IndexExistsError where another index is in the way, DuplicateIdError, and what `Index.make` raises.
    """
    origin = json.dumps(["collection", collection.name, collection.checksum])
    if (folder / CATALOG).exists():
        state = read_state(folder)
        if state.segments and state.origin == origin and covers(state.settings, plan.settings):
            return Prepared(folder, state, read_build(folder))

    def check(state: State) -> None:
        if state.segments and not replaceable:
            raise IndexExistsError(
                f"'{folder}' holds {what_it_holds(state)}, not the collection '{collection.name}' (checksum "
                f"{collection.checksum[:12]}) with these settings. Give another folder with --index, or remove it."
            )
        build_path(folder).unlink(missing_ok=True)

    started = time.perf_counter()
    counting = CountingEncoder(plan.encoder) if plan.encoder is not None else None
    try:
        report = Index.make(
            folder,
            collection.documents(),
            plan._replace(encoder=counting),
            origin=origin,
            check=check,
            progress=progress,
            cache=cache,
        )
    except DuplicateIdError as error:
        what, _, _ = str(error).partition(". ")
        raise DuplicateIdError(
            f"{what}. Judgments are by id, so the two are the same to them: give each document of the collection "
            f"'{collection.name}' an id of its own"
        ) from error
    seconds = time.perf_counter() - started
    build = IndexBuild(
        seconds=seconds,
        documents=report.documents,
        passages=report.passages,
        documents_per_second=report.documents / seconds,
        encoded=counting.documents if counting is not None else 0,
        bytes_on_disk=folder_size(folder),
        peak_memory_bytes=peak_memory(),
        machine=this_machine(),
    )
    write_build(folder, build)
    return Prepared(folder, read_state(folder), build)


def covers(held: IndexSettings, wanted: IndexSettings) -> bool:
    """Whether an index with the settings `held` can answer all that one with `wanted` can, in the same way.

    It may have a side more; the encoder may go by another name.
    """
    if (held.chunk_words, held.chunk_overlap) != (wanted.chunk_words, wanted.chunk_overlap):
        return False
    if wanted.sparse is not None and held.sparse != wanted.sparse:
        return False
    if wanted.learned is not None and (
        held.learned is None or replace(held.learned, name="") != replace(wanted.learned, name="")
    ):
        return False
    if wanted.dense is None or wanted.encoder is None:
        return True
    if held.encoder is None:
        return False
    return held.dense == wanted.dense and replace(held.encoder, name="") == replace(wanted.encoder, name="")


def what_it_holds(state: State) -> str:
    """What an index was made from, for a message."""
    try:
        kind, name, checksum = json.loads(state.origin or "null")
    except (ValueError, TypeError):
        return "an index of other documents"
    if kind != "collection":
        return "an index of other documents"
    return f"an index of the collection '{name}' (checksum {str(checksum)[:12]}) with settings of its own"
