"""Documents on their way into an index: checked, put into segments of bounded size, not yet committed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import numpy as np

from leanseek.errors import DuplicateIdError, InputError, LeanseekError, UsageError
from leanseek.indexing.catalog import SEGMENTS, SegmentRecord, State, read_state
from leanseek.indexing.integrity import storage_errors
from leanseek.indexing.segment import Segment, stores_postings
from leanseek.indexing.segment_writer import SegmentBuilder, SideEncoding, chunking_of
from leanseek.reading.fields import shortened, valid
from leanseek.reading.metadata import InfiniteError, MetadataBuilder, MetadataError
from leanseek.text import Analyzer, load_analyzer
from leanseek.types import Document, Int64Array, Progress

OnDuplicate = Literal["reject", "replace"]

BATCH = 1000
BATCH_CHARACTERS = 8_000_000
"""The most documents, and characters, that are taken in together, which bounds the memory."""
SEGMENT_TOKENS = 32_000_000
SEGMENT_PASSAGES = 1_000_000
"""A segment is closed at either: its postings and ids are held in memory until then."""


class Intake:
    """Documents on their way into new segments of an index."""

    def __init__(
        self,
        path: Path,
        state: State,
        number: int,
        encoding: SideEncoding,
        progress: Progress,
        older: Sequence[Segment],
    ) -> None:
        """Segments will be numbered from `number`; `older` are those of `state`, which stay open."""
        self.replaced = 0
        self.replaced_ids: list[str] = []
        """Of documents in older segments."""
        self.superseded = (0, 0)
        """Documents and passages of the new segments that later ones of the same input have replaced."""
        self.left_out: dict[str, str] = {}
        """The metadata fields that were left out, each with the reason."""
        self._first = number
        self._path = path
        self._state = state
        self._number = number
        self._encoding = encoding
        self._progress = progress
        sparse = state.settings.sparse
        self._analyzer: Analyzer | None = None
        if sparse is not None and stores_postings(state.settings):
            self._analyzer = load_analyzer(sparse.analyzer)
        self._older = list(older)
        self._chunking = chunking_of(state.settings, encoding.dense)
        self._held = ExitStack()
        self._tombstones: dict[int, set[int]] = {}
        self._finished: list[SegmentRecord] = []
        self._builder: SegmentBuilder | None = None

    def add(self, documents: Iterable[Document], on_duplicate: OnDuplicate) -> None:
        """Take documents in. Raises DuplicateIdError, InputError, and whatever iterating over them raises."""
        if isinstance(documents, Document):
            raise UsageError("documents is a single Document; give a list of them")
        seen = 0
        for batch in batches(documents):
            batch = [checked(document, place, self.left_out) for place, document in enumerate(batch, seen)]
            with storage_errors(self._path):
                self._check(batch, seen, on_duplicate)
                for place, document in enumerate(batch, seen):
                    self._add(document, place, on_duplicate)
            seen += len(batch)
            self._progress("reading", seen, None)
            builder = self._builder
            if builder and (builder.tokens >= SEGMENT_TOKENS or builder.passages >= SEGMENT_PASSAGES):
                self._close_segment()
                # Later documents of this input may repeat ids of this segment.
                done = Segment(self._path, self._finished[-1], self._state, dense=False, sparse=False)
                self._held.callback(done.close)
                self._older.append(done)

    def finish(self) -> tuple[list[SegmentRecord], dict[int, Int64Array]]:
        """The new segments, flushed to the disk, and the ordinals that later documents replace."""
        self._close_segment()
        self._held.close()
        tombstones = {
            number: np.array(sorted(ordinals), dtype=np.int64)
            for number, ordinals in self._tombstones.items()
            if ordinals
        }
        return self._finished, tombstones

    def abandon(self) -> None:
        """Remove all that has been written."""
        if self._builder is not None:
            self._builder.abandon()
            shutil.rmtree(self._builder.folder, ignore_errors=True)
        self._held.close()
        try:
            committed = {segment.number for segment in read_state(self._path).segments}
        except LeanseekError:
            return  # the next writer removes what no catalog names; the first error is the one to raise
        for record in self._finished:
            if record.number not in committed:
                shutil.rmtree(self._path / record.folder, ignore_errors=True)

    def _check(self, batch: Sequence[Document], seen: int, on_duplicate: OnDuplicate) -> None:
        """Reject, or mark as replaced, the ids that older segments have."""
        ids = [document.id for document in batch]
        for segment in self._older:
            ours = segment.record.number >= self._first
            found = segment.find_live(ids)
            for document, parts in found.items():
                marked = self._tombstones.setdefault(segment.record.number, set())
                if on_duplicate == "reject":
                    place = seen + ids.index(document)
                    who = "an earlier document has" if ours else f"'{self._path}' already has"
                    raise _duplicate(document, place, who)
                if parts[0] not in marked:
                    marked.update(parts)
                    self.replaced += 1
                    self.replaced_ids.append(document)
                    if ours:
                        documents, passages = self.superseded
                        self.superseded = (documents + 1, passages + len(parts))

    def _add(self, document: Document, place: int, on_duplicate: OnDuplicate) -> None:
        if self._builder is None:
            folder = self._path / SEGMENTS / f"{self._number:06d}"
            settings = self._state.settings
            self._builder = SegmentBuilder(
                folder, self._number, settings, self._analyzer, self._chunking, self._encoding.expand
            )
            self._number += 1
        if document.id in self._builder:
            if on_duplicate == "reject":
                raise _duplicate(document.id, place, "an earlier document has")
            self._builder.discard(document.id)
            self.replaced += 1
        self._builder.add(document)

    def _close_segment(self) -> None:
        if self._builder is None:
            return
        with storage_errors(self._path):
            record = self._builder.finish(self._encoding, self._progress)
        self._finished.append(record)
        self._builder = None


def batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """The documents in lists of at most `BATCH`, closed by the one that brings the texts to `BATCH_CHARACTERS`."""
    batch: list[Document] = []
    characters = 0
    for document in documents:
        batch.append(document)
        text = document.text if isinstance(document, Document) else ""
        characters += len(text) if isinstance(text, str) else 0
        if len(batch) == BATCH or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _duplicate(document: str, place: int, who: str) -> DuplicateIdError:
    return DuplicateIdError(
        f"document {place + 1} of the input: {who} the id {document!r}. "
        "Give each document its own id, or let later ones replace earlier ones with --on-duplicate replace. "
        "What changed in files since they were indexed is brought in by leanseek sync. (The id of a text file is its "
        "path below the folder that was indexed first.)"
    )


def checked(document: Document, place: int, left_out: dict[str, str]) -> Document:
    """The document as it can be stored: texts without NUL and lone surrogates, metadata as JSON has it.

    `left_out` gets the fields that cannot be stored and need not be, with the reason. Raises InputError, which names
    the document and the field, for what else cannot be stored.
    """
    if not isinstance(document, Document):
        raise InputError(
            f"document {place + 1} of the input is a {type(document).__name__}; "
            "give leanseek.Document objects, as leanseek.read yields them"
        )
    id = document.id
    if not isinstance(id, str):
        raise InputError(
            f"document {place + 1} of the input has the id {id!r:.60} ({type(id).__name__}); an id is a string"
        )
    if not id or any(mark in id for mark in "\t\r\n") or valid(id) != id:
        raise InputError(
            f"document {place + 1} of the input has the id {id!r}; "
            "an id is not empty and has no tab, line break, NUL or lone surrogate"
        )
    who = f"document {place + 1} of the input ({shortened(id)!r})"
    texts: dict[str, str] = {}
    for name, text in (
        ("text", document.text),
        ("title", "" if document.title is None else document.title),
    ):
        if not isinstance(text, str):
            raise InputError(
                f"{who} has the {name} {text!r:.60} ({type(text).__name__}); a {name} is a string"
            )
        texts[name] = valid(str.__str__(text))
    metadata = {} if document.metadata is None else document.metadata
    if not isinstance(metadata, Mapping):
        raise InputError(
            f"{who} has metadata of the type {type(metadata).__name__}; they are a mapping from names to values"
        )
    found = MetadataBuilder()
    try:
        found.add("", metadata)
    except MetadataError as error:
        raise InputError(f"{who}: the field {shortened(error.field)!r} {error}") from error
    for name, reason in found.left_out.items():
        if isinstance(reason, InfiniteError):
            raise InputError(f"{who}: the field {name!r} {reason}; give None, or leave it out")
        left_out.setdefault(name, str(reason))
    return Document(str.__str__(id), texts["text"], texts["title"], found.values)
