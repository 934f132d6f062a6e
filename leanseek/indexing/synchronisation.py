"""Bringing an index up to its sources: which files changed, which documents differ, and what is gone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from leanseek.encode.corpus import TruncationReport
from leanseek.errors import DuplicateIdError, UsageError
from leanseek.indexing.intake import batches, checked
from leanseek.indexing.passages import StoredPassage
from leanseek.indexing.segment import Segment
from leanseek.indexing.source_records import SourceChange, Sources, with_former
from leanseek.reading.folders import (
    UNLISTED,
    Found,
    SourceFile,
    digest_of,
    found_files,
    holds,
    real_path,
    stamp_of,
)
from leanseek.reading.sources import Reading, readable
from leanseek.reading.streams import STANDARD_INPUT, ReadReport
from leanseek.types import Document


@dataclass(frozen=True, slots=True)
class FileChange:
    """What differs between a file and the index: how many documents are added, replaced and deleted."""

    file: str
    added: int
    replaced: int
    deleted: int


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a synchronisation did, in documents, or would do if `dry_run`; `files` are those that it was for.

    `reading` tells what could not be read or was left out. `truncation` is that of the documents added and replaced,
    None without vectors or where there are none. `unmerged` is as in `AddReport`.
    """

    added: int
    replaced: int
    deleted: int
    unchanged: int
    generation: int
    dry_run: bool
    files: tuple[FileChange, ...]
    reading: ReadReport
    truncation: TruncationReport | None = None
    unmerged: str | None = None


class Synchronisation:
    """The differences between an index and the sources of a reading.

    A file whose stamp or checksum is the recorded one is not read. The documents of the others are compared with
    those in the index, so that only what differs is written.
    """

    def __init__(
        self,
        known: Sources,
        reading: Reading,
        segments: Sequence[Segment],
        passages: Callable[[Document], Sequence[StoredPassage]],
    ) -> None:
        """`passages` splits a document as the index does.

        Raises InputError for a source that is missing, UsageError for standard input.
        """
        if STANDARD_INPUT in reading.sources:
            raise UsageError(
                "standard input cannot be compared with what it was; name files and folders to sync"
            )
        self._known = known
        self._reading = reading
        self._segments = segments
        self._passages = passages
        self._records: dict[str, SourceFile] = {}
        self._changes: list[tuple[str, int, int, list[str]]] = []
        self._seen: set[str] = set()
        self._unchanged = 0
        reading.below(known.roots)
        kept = self._settle(
            [file for source in reading.sources for file in found_files(source, reading.report)]
        )
        places = [real_path(source) for source in reading.sources]
        covered = [
            file
            for file in known.files.values()
            if any(holds(place, reading.roots.real(file)) for place in places)
        ]
        read = {reading.roots.place(file.real)[1] for file in reading.files}
        hidden = [
            os.path.realpath(one)
            for out in reading.report.left_out
            if out.kind == UNLISTED
            for one in out.paths
        ]
        unseen = [
            file for file in covered if any(holds(folder, reading.roots.real(file)) for folder in hidden)
        ]
        self._unchanged += sum(file.documents for file in unseen)
        kept |= {file.id for file in unseen}
        self._vanished = [file for file in covered if file.id not in kept and file.id not in read]
        self._changing = {file.id for file in covered} - kept

    def documents(self) -> Iterator[Document]:
        """Those that the index lacks or has in another form: to be taken in so that they replace."""
        for file in self._reading.files:
            added = replaced = 0
            mine: set[str] = set()
            for batch in batches(self._reading.documents_of(file)):
                batch = [checked(document, place, {}) for place, document in enumerate(batch)]
                stored = self._stored([document.id for document in batch])
                for document in batch:
                    former = stored.get(document.id)
                    self._claim(document.id, file, former is not None)
                    mine.add(document.id)
                    if former is not None and alike(self._passages(document), former):
                        self._unchanged += 1
                        continue
                    added += former is None
                    replaced += former is not None
                    yield document
            self._changes.append(self._finished(self._reading.records[-1], mine, added, replaced))
        for vanished in self._vanished:
            self._changes.append((vanished.id, 0, 0, vanished.document_ids()))

    def gone(self) -> list[str]:
        """The ids of documents that the sources no longer have, once `documents` has come to its end."""
        return [id for ids in self._gone for id in ids]

    def sources(self) -> SourceChange | None:
        """What is known of the sources from now on; None where that is what was known."""
        vanished = [file.id for file in self._vanished]
        files = [record for id, record in self._records.items() if record != self._known.files.get(id)]
        roots, options = tuple(self._reading.roots.known), self._reading.options
        if not files and not vanished and (roots, options) == (self._known.roots, self._known.options):
            return None
        return SourceChange(roots, options, files, vanished, complete=True)

    def report(self, generation: int, dry_run: bool) -> SyncReport:
        """The counts, once `documents` has come to its end."""
        changes = [
            FileChange(file, added, replaced, len(gone))
            for (file, added, replaced, _), gone in zip(self._changes, self._gone, strict=True)
        ]
        files = tuple(change for change in changes if change.added or change.replaced or change.deleted)
        return SyncReport(
            added=sum(change.added for change in files),
            replaced=sum(change.replaced for change in files),
            deleted=sum(change.deleted for change in files),
            unchanged=self._unchanged,
            generation=generation,
            dry_run=dry_run,
            files=files,
            reading=self._reading.report,
        )

    def _settle(self, listing: Sequence[Found]) -> set[str]:
        """Leave in the reading what has to be read; record the other files and return their ids."""
        changed: dict[str, Found] = {}
        kept: set[str] = set()
        anew = self._reading.options != self._known.options
        for file in listing:
            _, id = self._reading.roots.place(file.real)
            if id in kept or id in changed:
                continue
            former = self._known.files.get(id)
            if former is not None and not os.access(file.path, os.R_OK):
                # What cannot be looked at may be as it was.
                self._reading.report.leave_out(
                    "file that may not be opened", "permission is denied", file.path
                )
                self._unchanged += former.documents
                kept.add(id)
            elif former is not None and not anew and (record := unchanged(file.path, former)) is not None:
                self._records[id] = record
                self._unchanged += former.documents
                kept.add(id)
            else:
                # Records that were numbered, as a folder's are, stay so where their file is named.
                numbered = former is not None and former.document_ids()[:1] == [f"{id}#1"]
                changed[id] = file._replace(named=file.named and not numbered)
        self._reading.files = readable(changed.values(), self._reading.report)
        return kept

    @cached_property
    def _gone(self) -> list[list[str]]:
        """The documents that are to be deleted, file by file; looked up once, before they are."""
        return [self._still_there(ids) for *_, ids in self._changes]

    @cached_property
    def _settled_ids(self) -> set[str]:
        """The ids of the documents of files that stay as they are."""
        settled = (file for file in self._known.files.values() if file.id not in self._changing)
        return {id for file in settled for id in file.document_ids()}

    @cached_property
    def _changing_ids(self) -> set[str]:
        """The ids of the documents that changed and vanished files had."""
        return {id for file in self._changing for id in self._known.files[file].document_ids()}

    def _claim(self, id: str, file: Found, stored: bool) -> None:
        """Raise DuplicateIdError where another document of the sources has this id."""
        if id in self._seen or (stored and id not in self._changing_ids and id in self._settled_ids):
            raise DuplicateIdError(
                f"{file.path}: another document of the sources has the id {id!r} too; give each document its own"
            )
        self._seen.add(id)

    def _finished(
        self, record: SourceFile, mine: set[str], added: int, replaced: int
    ) -> tuple[str, int, int, list[str]]:
        """Record a file that was read to its end: (its id, documents added, replaced, ids that it no longer has)."""
        former = self._known.files.get(record.id)
        lost = [id for id in former.document_ids() if id not in mine] if former is not None else []
        if former is not None and lost and not self._reading.whole:
            # A file that could not be read whole is no reason to lose what it held.
            record = with_former(record, former)
            self._unchanged += len(lost)
            self._reading.report.note(
                f"{record.id}: not all of it could be read; {len(lost):,} of its documents stay as they were",
                always=True,
            )
            lost = []
        self._records[record.id] = record
        return record.id, added, replaced, lost

    def _still_there(self, ids: Sequence[str]) -> list[str]:
        """Those of the ids that the index has and no file of the sources has."""
        left = [id for id in ids if id not in self._seen and id not in self._settled_ids]
        return [id for segment in self._segments for id in segment.find_live(left)] if left else []

    def _stored(self, ids: Sequence[str]) -> dict[str, list[StoredPassage]]:
        """The live passages, in order, of each of the documents that the index has."""
        return {
            id: segment.passages.get(np.array(sorted(ordinals), dtype=np.int64))
            for segment in self._segments
            for id, ordinals in segment.find_live(ids).items()
        }


def unchanged(path: str, former: SourceFile) -> SourceFile | None:
    """The record of a file that is as it was when it was read, with its present stamp; None where it is not."""
    if not former.sha256:
        return None
    stamp = stamp_of(path)
    if stamp and stamp == former.stamp:
        return former
    if digest_of(path) != former.sha256:
        return None
    return former._replace(stamp=stamp if stamp == stamp_of(path) else "")


def alike(passages: Sequence[StoredPassage], stored: Sequence[StoredPassage]) -> bool:
    """Whether a document's passages are the stored ones, in order."""
    if len(passages) != len(stored):
        return False
    return all(
        new[:6] == old[:6] and json.dumps(dict(new.metadata)) == json.dumps(dict(old.metadata))
        for new, old in zip(passages, stored, strict=True)
    )
