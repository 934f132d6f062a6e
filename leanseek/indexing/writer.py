"""Changes to an index under its writer lock; each is committed whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from leanseek.encode import Encoder
from leanseek.encode.corpus import Encoding, TruncationReport, make_encoding
from leanseek.errors import IndexDamagedError, InputError, UsageError
from leanseek.filters import Filter, check_fields
from leanseek.indexing.catalog import SEGMENTS, Change, SegmentRecord, State, commit, read_state
from leanseek.indexing.creation import Plan, recorded_encoder
from leanseek.indexing.dense.registry import DENSE
from leanseek.indexing.folder import is_segment_name, writer_lock
from leanseek.indexing.intake import SEGMENT_PASSAGES, Intake, OnDuplicate
from leanseek.indexing.integrity import file_problem, storage_errors
from leanseek.indexing.segment import held_segments
from leanseek.indexing.segment_writer import merge_segments, truncation
from leanseek.indexing.settings import with_learned
from leanseek.types import Document, Int64Array, Progress

MOST_SEGMENTS = 8
"""With more, an add merges the smaller ones, so that a search visits few."""


@dataclass(frozen=True, slots=True)
class AddReport:
    """What an add did.

    `truncation` is None for an index without vectors. `unmerged` is why many small segments were not merged; the
    documents are in the index nevertheless, and `compact` merges them. `unlearned` is what was learned from judged
    queries and does not hold for the rebuilt index. `left_out` are the metadata fields that were not stored, each
    with the reason.
    """

    documents: int
    passages: int
    replaced: int
    generation: int
    truncation: TruncationReport | None
    unmerged: str | None = None
    unlearned: str | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What a compact did."""

    segments_before: int
    segments: int
    removed: int
    generation: int


class Deletion(NamedTuple):
    """What a delete takes from one segment: ordinals (c,) of so many documents, all that are left if `empties`."""

    ordinals: Int64Array
    documents: int
    empties: bool


class Writer:
    """The writer of the index at `path`. `state` is that of the last commit it has seen."""

    def __init__(self, path: Path, state: State, encoder: Encoder | None = None) -> None:
        self.path = path
        self.state = state
        self._encoder = encoder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the writer lock, with the state of now. Raises IndexLockedError where another process has it."""
        with writer_lock(self.path):
            self.state = read_state(self.path)
            self.remove_orphans()
            yield

    def commit(self, change: Change) -> None:
        """Make a change the index's next generation."""
        commit(self.path, change)
        self.state = read_state(self.path)
        self.remove_orphans()

    def remove_orphans(self) -> None:
        """Remove what no catalog names: left by a crash, or replaced by the last commit."""
        named = {segment.folder for segment in self.state.segments}
        for folder in (self.path / SEGMENTS).glob("*"):
            if f"{SEGMENTS}/{folder.name}" not in named and is_segment_name(folder.name):
                shutil.rmtree(folder, ignore_errors=True)

    def add(
        self, documents: Iterable[Document], on_duplicate: OnDuplicate, progress: Progress, cache: bool
    ) -> AddReport:
        """See Index.add."""
        return self._add(documents, on_duplicate, progress, cache, self.state, Change())

    def rebuild(
        self,
        documents: Iterable[Document],
        plan: Plan | None,
        origin: str | None,
        on_duplicate: OnDuplicate,
        progress: Progress,
        cache: bool,
    ) -> AddReport:
        """See Index.rebuild."""
        state = self.state
        settings = with_learned(plan.settings, state.settings) if plan is not None else state.settings
        given = plan.learning_queries if plan is not None else state.learning_queries
        blank = replace(state, segments=(), tombstones={}, settings=settings, learning_queries=given)
        removed = [segment.number for segment in state.segments]
        change = Change(removed=removed, origin=origin, settings=settings, learning_queries=given)
        previous = self._encoder
        if plan is not None:
            self._encoder = plan.encoder
        try:
            report = self._add(documents, on_duplicate, progress, cache, blank, change)
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

    def delete(self, ids: Sequence[str], condition: Filter | None, ignore_missing: bool) -> int:
        """See Index.delete."""
        deletions, missing = self._deletions(ids, condition)
        if missing and not ignore_missing:
            some = ", ".join(repr(document) for document in missing[:5])
            raise InputError(
                f"{len(missing)} of the ids are not in '{self.path}': {some}"
                f"{', …' if len(missing) > 5 else ''}. Nothing was deleted; --ignore-missing deletes the others."
            )
        if deletions:
            # A segment that has nothing left goes whole.
            emptied = [number for number, part in deletions.items() if part.empties]
            kept = {number: part.ordinals for number, part in deletions.items() if not part.empties}
            self.commit(Change(removed=emptied, tombstones=kept))
        return sum(part.documents for part in deletions.values())

    def compact(self, relearn: bool, progress: Progress) -> CompactReport:
        """See Index.compact."""
        state = self.state
        before = len(state.segments)
        removed = sum(len(ordinals) for ordinals in state.tombstones.values())
        if relearn:
            if state.settings.dense not in ("auto", "lean"):
                raise UsageError(f"'{self.path}' has no reduced vectors, so there is nothing to learn anew")
            live = sum(segment.passages for segment in state.segments) - removed
            if not DENSE["lean"].fits(state.settings.dense, live):
                raise UsageError(
                    f"the {live:,} vectors of '{self.path}' are so few that they are compared exactly, so there is "
                    "nothing to learn anew; compact it without --relearn"
                )
            self._encoding(state)  # an encoder that is gone is reported before the work is done, not after
        if before > 1 or removed or relearn:
            self._merge(state.segments, progress, relearn)
        return CompactReport(before, len(self.state.segments), removed, self.state.generation)

    def _add(
        self,
        documents: Iterable[Document],
        on_duplicate: OnDuplicate,
        progress: Progress,
        cache: bool,
        state: State,
        change: Change,
    ) -> AddReport:
        """Add documents to what `state` has, in one commit with the rest of the change."""
        if on_duplicate not in ("reject", "replace"):
            raise UsageError(f"on_duplicate is '{on_duplicate}'; it can be 'reject' or 'replace'")
        encoding = None
        if state.settings.dense is not None and state.settings.encoder is not None:
            encoding = self._encoding(state, cache)
        intake = Intake(self.path, state, self.state.next_segment, encoding, progress)
        try:
            intake.add(documents, on_duplicate)
            added, tombstones = intake.finish()
            # A segment whose last passages are replaced goes whole.
            removed = [*change.removed, *_emptied(state, tombstones)]
            tombstones = {number: rows for number, rows in tombstones.items() if number not in removed}
            if change.removed and not added:
                raise InputError(f"the input holds no documents; '{self.path}' was left as it was")
            progress("committing", 0, None)
            renewed = change.settings not in (None, self.state.settings)
            if added or tombstones or removed or change.origin or renewed:
                self.commit(replace(change, added=added, tombstones=tombstones, removed=removed))
        except BaseException:
            intake.abandon()
            raise
        unmerged = self._limit_segments(progress)
        documents_again, passages_again = intake.superseded
        return AddReport(
            documents=sum(segment.documents for segment in added) - documents_again,
            passages=sum(segment.passages for segment in added) - passages_again,
            replaced=intake.replaced,
            generation=self.state.generation,
            truncation=truncation(added, state.settings) if state.settings.encoder is not None else None,
            unmerged=unmerged,
            left_out=intake.left_out,
        )

    def _encoding(self, state: State, cache: bool = True) -> Encoding:
        recorded = state.settings.encoder
        if recorded is None:
            raise UsageError(f"'{self.path}' has no vectors to learn from")
        if self._encoder is None or self._encoder.fingerprint != recorded.fingerprint:
            # Not loaded yet, or another process has rebuilt the index with another encoder since.
            self._encoder = recorded_encoder(recorded)
        return make_encoding(self._encoder, state.learning_queries, cache)

    def _deletions(
        self, ids: Sequence[str], condition: Filter | None
    ) -> tuple[dict[int, Deletion], list[str]]:
        """What a delete takes from each segment, by its number, and the ids that no segment has."""
        deletions: dict[int, Deletion] = {}
        missing = dict.fromkeys(ids)
        with held_segments(self.path, self.state, self.state.segments, dense=False) as segments:
            if condition is not None and segments:
                check_fields(condition, [segment.passages for segment in segments])
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
                    deletions[segment.record.number] = Deletion(ordinals, documents, empties)
        return deletions, list(missing)

    def _merge(self, records: Sequence[SegmentRecord], progress: Progress, relearn: bool = False) -> None:
        """Put one new segment in the place of several."""
        state = self.state
        folder = self.path / SEGMENTS / f"{state.next_segment:06d}"
        try:
            with storage_errors(self.path), held_segments(self.path, state, records) as segments:
                for record in records:
                    # Merging gives new checksums: damage must be found while the old ones still show it.
                    for file in record.files:
                        if (problem := file_problem(self.path / record.folder, file)) is not None:
                            raise IndexDamagedError(
                                f"'{self.path}': {record.folder}/{file.name} {problem}. "
                                "Restore the index from a copy, or index again."
                            )
                merged = merge_segments(
                    segments,
                    folder,
                    state.next_segment,
                    state.settings,
                    progress,
                    lambda: self._encoding(state),
                    relearn,
                )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self.commit(
            Change(added=[merged], removed=[record.number for record in records], origin=state.origin)
        )

    def _limit_segments(self, progress: Progress) -> str | None:
        """Merge the smaller segments where there are many; returns what hindered it, or None.

        The documents are in by now. Whatever happens here, Ctrl-C included, only leaves searching slower, so
        it must not look as if the add had failed.
        """
        # Full segments stay as they are: copying them again and again would make adding quadratic.
        growing = [segment for segment in self.state.segments if segment.passages < SEGMENT_PASSAGES]
        if len(growing) <= MOST_SEGMENTS:
            return None
        growing.sort(key=lambda segment: segment.passages)
        try:
            self._merge(growing[: len(growing) - MOST_SEGMENTS // 2], progress)
        except KeyboardInterrupt:
            return "merging small segments was interrupted"
        except Exception as error:
            return f"merging small segments failed: {str(error) or type(error).__name__}"
        return None


def _emptied(state: State, tombstones: Mapping[int, Int64Array]) -> list[int]:
    """The committed segments that have nothing left once these ordinals are deleted too."""
    gone = {number: len(rows) + len(state.tombstones.get(number, ())) for number, rows in tombstones.items()}
    return [record.number for record in state.segments if gone.get(record.number) == record.passages]
