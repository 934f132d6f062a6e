"""The index as its owner sees it: create, add, delete, compact. One writer at a time; every change commits whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from leanseek.encode import DEFAULT_MODEL, Encoder
from leanseek.encode.corpus import Encoding, TruncationReport, make_encoding
from leanseek.errors import IndexDamagedError, IndexExistsError, InputError, UsageError
from leanseek.filters import Filter, parse_filter
from leanseek.indexing.catalog import (
    CATALOG,
    SEGMENTS,
    Change,
    SegmentRecord,
    State,
    commit,
    create_catalog,
    file_problem,
    read_state,
    storage_errors,
)
from leanseek.indexing.compaction import merge_segments, truncation
from leanseek.indexing.creation import (
    Plan,
    claimed,
    given_encoder,
    is_segment_name,
    make_plan,
    recorded_encoder,
    remove_files,
    writer_lock,
)
from leanseek.indexing.dense.registry import is_lean
from leanseek.indexing.segment import held_segments
from leanseek.indexing.settings import (
    FusionSettings,
    IndexSettings,
    LeanSettings,
    SparseSettings,
    with_learned,
)
from leanseek.indexing.writer import SEGMENT_PASSAGES, Intake, OnDuplicate
from leanseek.types import Document, Int64Array, Progress, silent

RESTORE = "Restore the index from a copy, or index again."
MOST_SEGMENTS = 8
"""Above this many, an add merges the smaller ones, so that each search has few to visit."""


@dataclass(frozen=True, slots=True)
class AddReport:
    """What an add did.

    `truncation` is None for an index without vectors. `unmerged` says why many small segments were left as
    they are; the documents are in all the same, and `compact` makes up for it. `unlearned` says what had been learned
    from judged queries and does not hold for the rebuilt index.
    """

    documents: int
    passages: int
    replaced: int
    generation: int
    truncation: TruncationReport | None
    unmerged: str | None = None
    unlearned: str | None = None


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What a compact did."""

    segments_before: int
    segments: int
    removed: int
    generation: int


class Doomed(NamedTuple):
    """What a delete takes from one segment: ordinals (c,) of so many documents, all that are left if `empties`."""

    ordinals: Int64Array
    documents: int
    empties: bool


class Index:
    """An index directory, to write to. Search it with `Searcher`.

    >>> index = Index.create("papers.index", encoder=None)
    >>> index.add([Document("1", "Statins lower cholesterol.")]).documents
    1
    """

    def __init__(self, path: Path, state: State, encoder: Encoder | None = None) -> None:
        self.path = path
        self._state = state
        self._encoder = encoder

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        encoder: str | Encoder | None = DEFAULT_MODEL,
        dense: str | None = "auto",
        lean: LeanSettings = LeanSettings(),  # noqa: B008 - frozen
        learning_queries: Iterable[str] = (),
        sparse: SparseSettings | None = SparseSettings(),  # noqa: B008 - frozen
        chunk_words: int | None = None,
        chunk_overlap: int = 0,
        device: str | None = None,
    ) -> Index:
        """Make a new, empty index at `path`, which must not exist or be an empty folder.

        `encoder` is a model's name (see `load_encoder`) or an object of your own that follows the `Encoder`
        protocol; None, or `dense=None`, makes an index without vectors. `dense` is "flat" (exact), "lean"
        (reduced, see `LeanVecIndex`; `lean` says how, and `learning_queries` are texts to learn from, in
        place of some made from the documents), or "auto": lean from 20,000 vectors on. `sparse=None` makes one without
        postings. `chunk_words` splits documents into passages of about so many words.

        Raises IndexExistsError, ModelError, MissingPackageError, UsageError or StorageError.
        """
        folder = Path(path)
        plan = make_plan(
            encoder=encoder,
            dense=dense,
            lean=lean,
            learning_queries=learning_queries,
            sparse=sparse,
            chunk_words=chunk_words,
            chunk_overlap=chunk_overlap,
            device=device,
        )
        if (folder / CATALOG).exists():
            raise IndexExistsError(
                f"'{folder}' already holds an index. Open it with Index.open, or choose another path."
            )
        with claimed(folder):
            if (folder / CATALOG).exists():
                raise IndexExistsError(f"'{folder}' was made into an index by another process just now.")
            create_catalog(folder, plan.settings, plan.learning_queries)
        return cls(folder, read_state(folder), plan.encoder)

    @classmethod
    def make(
        cls,
        path: str | os.PathLike[str],
        documents: Iterable[Document],
        plan: Plan,
        *,
        origin: str | None = None,
        check: Callable[[State], None] | None = None,
        on_duplicate: OnDuplicate = "reject",
        progress: Progress | None = None,
        cache: bool = True,
    ) -> AddReport:
        """Make `path` an index of just these documents, whether it is new or refreshed, under one lock.

        `check` is called with the state of an index that is there already, and raises to leave it alone. An
        index that was not there before the call is not there after an error either.
        """
        folder = Path(path)
        with claimed(folder):
            fresh = not (folder / CATALOG).exists()
            if fresh:
                create_catalog(folder, plan.settings, plan.learning_queries)
            state = read_state(folder)
            if check is not None and not fresh:
                check(state)
            index = cls(folder, state)
            index._remove_orphans()
            try:
                return index._rebuild(state, documents, plan, origin, on_duplicate, progress or silent, cache)
            except BaseException:
                if fresh and index.generation == 0:
                    remove_files(folder)
                raise

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, encoder: str | Encoder | None = None) -> Index:
        """Open an existing index for writing.

        `encoder` replaces the recorded one: another name for the same model, or the object given to
        `create`. Raises IndexNotFoundError, IndexFormatError, IndexDamagedError or ModelError.
        """
        folder = Path(path)
        state = read_state(folder)
        return cls(folder, state, given_encoder(state.settings, encoder))

    @property
    def settings(self) -> IndexSettings:
        """What the index was created with, or rebuilt with since."""
        return self._state.settings

    @property
    def generation(self) -> int:
        """The number of the last commit that this object has seen."""
        return self._state.generation

    def add(
        self,
        documents: Iterable[Document],
        *,
        on_duplicate: OnDuplicate = "reject",
        progress: Progress | None = None,
        cache: bool = True,
    ) -> AddReport:
        """Add documents, all in one commit: after an error, or Ctrl-C, the index is as it was.

        An id that the index or an earlier document has raises DuplicateIdError, or takes its place with
        `on_duplicate="replace"`. Vectors go through the cache, so repeating an interrupted add encodes only
        what is missing; `cache=False` leaves it alone.
        """
        with self._writing() as state:
            return self._add(state, documents, on_duplicate, progress or silent, cache)

    def rebuild(
        self,
        documents: Iterable[Document],
        *,
        plan: Plan | None = None,
        origin: str | None = None,
        on_duplicate: OnDuplicate = "reject",
        progress: Progress | None = None,
        cache: bool = True,
    ) -> AddReport:
        """Replace everything in the index by `documents`, in one commit; until then the old content stands.

        No documents raise InputError where that would empty the index.

        `plan` (see `make_plan`) brings new settings; `origin` is recorded, see `State`.
        """
        with self._writing() as state:
            return self._rebuild(state, documents, plan, origin, on_duplicate, progress or silent, cache)

    def delete(
        self, ids: Iterable[str] = (), *, filter: str | None = None, ignore_missing: bool = False
    ) -> int:
        """Delete documents by id, by a metadata filter, or both; returns how many were deleted.

        An unknown id raises InputError and nothing is deleted, unless `ignore_missing`.
        """
        wanted = given_ids(ids)
        condition = parse_filter(filter) if filter is not None else None
        with self._writing() as state:
            doomed, missing = self._doomed(state, wanted, condition)
            if missing and not ignore_missing:
                some = ", ".join(repr(document) for document in missing[:5])
                raise InputError(
                    f"{len(missing)} of the ids are not in '{self.path}': {some}"
                    f"{', …' if len(missing) > 5 else ''}. Nothing was deleted; --ignore-missing deletes the others."
                )
            if doomed:
                # A segment that has nothing left goes whole.
                emptied = [number for number, part in doomed.items() if part.empties]
                kept = {number: part.ordinals for number, part in doomed.items() if not part.empties}
                self._commit(Change(removed=emptied, tombstones=kept))
            return sum(part.documents for part in doomed.values())

    def compact(self, *, relearn: bool = False, progress: Progress | None = None) -> CompactReport:
        """Merge all segments into one and drop what was deleted; searching gives the same answers, faster.

        A reduction of the vectors is kept, or learned anew from the documents of today with `relearn`, which
        raises UsageError where they are too few to be reduced. Learning takes the encoder, also where segments
        that had none get their first reduction together: ModelError where it cannot be loaded.
        """
        with self._writing() as state:
            before = len(state.segments)
            removed = sum(len(ordinals) for ordinals in state.tombstones.values())
            if relearn and state.settings.dense not in ("auto", "lean"):
                raise UsageError(f"'{self.path}' has no reduced vectors, so there is nothing to learn anew")
            live = sum(segment.passages for segment in state.segments) - removed
            if relearn and not is_lean(state.settings.dense, live):
                raise UsageError(
                    f"the {live:,} vectors of '{self.path}' are so few that they are compared exactly, so there is "
                    "nothing to learn anew; compact it without --relearn"
                )
            if before > 1 or removed or relearn:
                record = self._merge(state, state.segments, progress or silent, relearn)
                numbers = [segment.number for segment in state.segments]
                self._commit(Change(added=[record], removed=numbers, origin=state.origin))
            return CompactReport(before, len(self._state.segments), removed, self.generation)

    def choose_fusion(self, choose: Callable[[], FusionSettings | None]) -> FusionSettings | None:
        """Have searches fuse by what `choose` returns, None being the default; returns it.

        `choose` is called while nobody else can write, so that what it learns from is what its choice is for. Raises
        IndexLockedError, and what `choose` raises, and the fusion is as it was.
        """
        with self._writing() as state:
            settings = state.settings
            chosen = choose()
            if chosen != settings.fusion:
                self._commit(Change(settings=replace(settings, fusion=chosen), origin=state.origin))
            return chosen

    def _doomed(
        self, state: State, ids: list[str], condition: Filter | None
    ) -> tuple[dict[int, Doomed], list[str]]:
        """What a delete takes from each segment, by its number, and the ids that no segment has."""
        doomed: dict[int, Doomed] = {}
        missing = dict.fromkeys(ids)
        with held_segments(self.path, state, state.segments, dense=False) as segments:
            for segment in segments:
                found = segment.find_live(ids)
                for document in found:
                    missing.pop(document, None)
                mask = np.zeros(segment.size, dtype=np.bool_)
                mask[[ordinal for parts in found.values() for ordinal in parts]] = True
                if condition is not None:
                    mask |= condition.mask(segment.passages, segment.size)
                if segment.deleted is not None:
                    mask &= ~segment.deleted
                ordinals = np.flatnonzero(mask)
                if len(ordinals):
                    documents = sum(number == 0 for _, number in segment.passages.keys(ordinals))
                    empties = len(ordinals) == len(segment.live)
                    doomed[segment.record.number] = Doomed(ordinals, documents, empties)
        return doomed, list(missing)

    def _add(
        self,
        state: State,
        documents: Iterable[Document],
        on_duplicate: OnDuplicate,
        progress: Progress,
        cache: bool,
        change: Change = Change(),  # noqa: B008 - frozen
    ) -> AddReport:
        if on_duplicate not in ("reject", "replace"):
            raise UsageError(f"on_duplicate is '{on_duplicate}'; it can be 'reject' or 'replace'")
        intake = Intake(self.path, state, self._first_number(), self._encoding(state, cache), progress)
        try:
            intake.add(documents, on_duplicate)
            added, tombstones = intake.finish()
            # A segment whose last passages are replaced goes whole.
            removed = [*change.removed, *emptied(state, tombstones)]
            tombstones = {number: rows for number, rows in tombstones.items() if number not in removed}
            if change.removed and not added:
                raise InputError(f"the input holds no documents; '{self.path}' was left as it was")
            progress("committing", 0, None)
            renewed = change.settings not in (None, self.settings)
            if added or tombstones or removed or change.origin or renewed:
                self._commit(replace(change, added=added, tombstones=tombstones, removed=removed))
        except BaseException:
            intake.abandon()
            raise
        unmerged = self._limit_segments(progress)
        encoded = state.settings.encoder is not None
        documents_again, passages_again = intake.superseded
        return AddReport(
            documents=sum(segment.documents for segment in added) - documents_again,
            passages=sum(segment.passages for segment in added) - passages_again,
            replaced=intake.replaced,
            generation=self.generation,
            truncation=truncation(added, state.settings) if encoded else None,
            unmerged=unmerged,
        )

    def _rebuild(
        self,
        state: State,
        documents: Iterable[Document],
        plan: Plan | None,
        origin: str | None,
        on_duplicate: OnDuplicate,
        progress: Progress,
        cache: bool,
    ) -> AddReport:
        settings = with_learned(plan.settings, state.settings) if plan is not None else state.settings
        given = plan.learning_queries if plan is not None else state.learning_queries
        blank = replace(state, segments=(), tombstones={}, settings=settings, learning_queries=given)
        removed = [segment.number for segment in state.segments]
        change = Change(removed=removed, origin=origin, settings=settings, learning_queries=given)
        previous = self._encoder
        if plan is not None:
            self._encoder = plan.encoder
        try:
            report = self._add(blank, documents, on_duplicate, progress, cache, change)
        except BaseException:
            self._encoder = previous
            raise
        if state.settings.fusion is None or settings.fusion is not None:
            return report
        return replace(
            report,
            unlearned=f"the fusion learned from {state.settings.fusion.queries:,} judged queries was for other scores "
            "and is dropped; searches fuse by the default",
        )

    def _encoding(self, state: State, cache: bool) -> Encoding | None:
        settings = state.settings
        if settings.dense is None or settings.encoder is None:
            return None
        if self._encoder is None or self._encoder.fingerprint != settings.encoder.fingerprint:
            # Not loaded yet, or another process has rebuilt the index with another encoder since.
            self._encoder = recorded_encoder(settings.encoder)
        return make_encoding(self._encoder, state.learning_queries, cache)

    def _merge(
        self, state: State, records: Sequence[SegmentRecord], progress: Progress, relearn: bool = False
    ) -> SegmentRecord:
        number = self._first_number()
        folder = self.path / SEGMENTS / f"{number:06d}"

        def encoding() -> Encoding:
            found = self._encoding(state, cache=True)
            if found is None:
                raise UsageError(f"'{self.path}' has no vectors to learn from")
            return found

        if relearn:
            encoding()  # an encoder that is gone is told before the work is done, not after
        try:
            with storage_errors(self.path), held_segments(self.path, state, records) as segments:
                for record in records:
                    # Merging gives new checksums: damage must be found while the old ones still tell it.
                    for file in record.files:
                        if (problem := file_problem(self.path, record, file)) is not None:
                            raise IndexDamagedError(f"'{self.path}': {problem}. {RESTORE}")
                return merge_segments(segments, folder, number, state.settings, progress, encoding, relearn)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _limit_segments(self, progress: Progress) -> str | None:
        """Merge the smaller segments where there are many; returns what hindered it, or None.

        The documents are in by now. Whatever happens here, Ctrl-C included, only leaves searching slower, so
        it must not look as if the add had failed.
        """
        state = self._state
        # Full segments stay as they are: copying them again and again would make adding quadratic.
        growing = [segment for segment in state.segments if segment.passages < SEGMENT_PASSAGES]
        if len(growing) <= MOST_SEGMENTS:
            return None
        growing.sort(key=lambda segment: segment.passages)
        small = growing[: len(growing) - MOST_SEGMENTS // 2]
        try:
            record = self._merge(state, small, progress)
            self._commit(
                Change(added=[record], removed=[segment.number for segment in small], origin=state.origin)
            )
        except KeyboardInterrupt:
            return "merging small segments was interrupted"
        except Exception as error:
            return f"merging small segments failed: {str(error) or type(error).__name__}"
        return None

    def _first_number(self) -> int:
        return self._state.next_segment

    def _commit(self, change: Change) -> None:
        commit(self.path, change)
        self._state = read_state(self.path)
        self._remove_orphans()

    def _remove_orphans(self) -> None:
        """Remove what no catalog names: left by a crash, or replaced by the last commit."""
        named = {segment.folder for segment in self._state.segments}
        for folder in (self.path / SEGMENTS).glob("*"):
            if f"{SEGMENTS}/{folder.name}" not in named and is_segment_name(folder.name):
                shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _writing(self) -> Iterator[State]:
        with writer_lock(self.path):
            self._state = read_state(self.path)
            self._remove_orphans()
            yield self._state


def emptied(state: State, tombstones: Mapping[int, Int64Array]) -> list[int]:
    """The committed segments that have nothing left once these ordinals are deleted too."""
    gone = {number: len(rows) + len(state.tombstones.get(number, ())) for number, rows in tombstones.items()}
    return [record.number for record in state.segments if gone.get(record.number) == record.passages]


def given_ids(ids: Iterable[str]) -> list[str]:
    """The ids as a list. Raises UsageError for a single string, which would count as its characters."""
    if isinstance(ids, str):
        raise UsageError(f"ids is the string {ids!r}; give a list of ids, such as [{ids!r}]")
    return list(ids)
