"""Changes to an index under its writer lock; each is committed whole."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache as cached
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from leanseek.encode import Encoder
from leanseek.encode.corpus import Encoding, Tick, TruncationReport, encoder_errors, make_encoding
from leanseek.encode.learned_vectors import LearnedCache, LearnedEncoder, LearnedVectors, encode_learned
from leanseek.errors import IndexDamagedError, InputError, LeanseekError, UsageError
from leanseek.filters import Filter, check_fields
from leanseek.indexing.background import has_grown, measure_background
from leanseek.indexing.catalog import (
    SEGMENTS,
    Change,
    SegmentRecord,
    State,
    commit,
    read_roots,
    read_sources,
    read_state,
    stamp,
)
from leanseek.indexing.creation import Plan, recorded_encoder, recorded_learned
from leanseek.indexing.dense.registry import DENSE
from leanseek.indexing.document_expansion import (
    DocumentExpansion,
    Expand,
    ExpansionCache,
    recorded_expansion,
)
from leanseek.indexing.folder import is_segment_name, writer_lock
from leanseek.indexing.intake import Intake, OnDuplicate
from leanseek.indexing.integrity import storage_errors
from leanseek.indexing.merges import AbandonedError, Merge, check_files, due, remove_abandoned
from leanseek.indexing.segment import Segment, held_segments, missing_file
from leanseek.indexing.segment_writer import (
    EncodeLearned,
    SideEncoding,
    chunking_of,
    merge_segments,
    passages_of,
    truncation,
)
from leanseek.indexing.settings import ExpansionSettings, LearnedSettings, NGramSettings, with_learned
from leanseek.indexing.source_records import SourceChange, holds_all, sources_of
from leanseek.indexing.synchronisation import Synchronisation, SyncReport
from leanseek.reading import Reading
from leanseek.text.chunking import Chunking
from leanseek.types import Document, Int64Array, Progress, silent

if TYPE_CHECKING:
    from leanseek.indexing.ngrams.decoder_tokens import DecoderTokens

MOST_UNMERGED = 16
"""With more segments that are in no merge, an add merges some of them itself before it returns."""
STOPPED_WITHIN = 5.0
"""Seconds that a merge which is no longer wanted has to stop: it looks after every block of some thousand passages."""


@dataclass(frozen=True, slots=True)
class AddReport:
    """What an add did.

    `truncation` is None for an index without vectors; `learned_truncation` is what the learned sparse encoder has cut,
    None for an index without that side. `unmerged` is why small segments could not be merged since the
    last call; the documents are in the index nevertheless, and `compact` merges them. `unlearned` is what was learned
    from judged queries and does not hold for the rebuilt index. `left_out` are the metadata fields that were not
    stored, each with the reason.
    """

    documents: int
    passages: int
    replaced: int
    generation: int
    truncation: TruncationReport | None
    unmerged: str | None = None
    unlearned: str | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    learned_truncation: TruncationReport | None = None


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What a compact did."""

    segments_before: int
    segments: int
    removed: int
    generation: int


class Deletion(NamedTuple):
    """What a delete takes from one segment: ordinals (c,) of these documents, all that are left if `empties`."""

    ordinals: Int64Array
    ids: Sequence[str]
    empties: bool


class Writer:
    """The writer of the index at `path`. `state` is that of the last commit it has seen.

    Between changes it keeps what makes the next one cheap: the state, the segments opened for looking ids up, the
    encoder with its cache, and a merge in the background. `close` lets go of them.
    """

    def __init__(
        self,
        path: Path,
        state: State,
        encoder: Encoder | None = None,
        learned: LearnedEncoder | None = None,
        expansion: DocumentExpansion | None = None,
        tokens: DecoderTokens | None = None,
        device: str | None = None,
    ) -> None:
        self.path = path
        self.state = state
        self._stamp: tuple[int, ...] | None = None
        self._opened: dict[int, Segment] = {}
        self._encoder = encoder
        self._learned = learned
        self._expansion = expansion
        self._tokens = tokens
        self._device = device
        self._encodings: dict[bool, Encoding] = {}
        self._encoder_lock = threading.RLock()
        self._merge: Merge | None = None

    @property
    def merging(self) -> bool:
        """Whether a merge is under way in the background."""
        return self._merge is not None and self._merge.running

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the writer lock, with the state of now. Raises IndexLockedError where another process has it."""
        with writer_lock(self.path):
            if self._stamp is None or _stamp(self.path) != self._stamp:
                self.state = read_state(self.path)
                self._stamp = _stamp(self.path)
            self.remove_orphans()
            yield

    def commit(self, change: Change) -> None:
        """Make a change the index's next generation."""
        self._stamp = None
        generation = commit(self.path, change)
        if change.settings is None and change.learning_queries is None:
            self.state = self.state.after(change, generation)
        else:
            self.state = read_state(self.path)
        self._stamp = _stamp(self.path)
        self.remove_orphans()

    def remove_orphans(self) -> None:
        """Remove what no catalog names: left by a crash, or replaced by the last commit."""
        named = {segment.folder for segment in self.state.segments}
        for number in [number for number in self._opened if f"{SEGMENTS}/{number:06d}" not in named]:
            self._opened.pop(number).close()
        for folder in (self.path / SEGMENTS).glob("*"):
            if f"{SEGMENTS}/{folder.name}" not in named and is_segment_name(folder.name):
                shutil.rmtree(folder, ignore_errors=True)
        remove_abandoned(self.path / SEGMENTS)

    def close(self, patience: float | None = None) -> str | None:
        """Finish the merge under way, and let go of files; see Index.close."""
        try:
            return self._finish_merges(patience)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of everything at once; a merge under way stops and leaves nothing."""
        self._drop_merge()
        for segment in self._opened.values():
            segment.close()
        self._opened.clear()
        self._encodings.clear()

    def add(
        self, documents: Iterable[Document], on_duplicate: OnDuplicate, progress: Progress, cache: bool
    ) -> AddReport:
        """See Index.add."""
        if isinstance(documents, Reading):
            documents.below(read_roots(self.path))
        unmerged = self._commit_merge()
        report = self._add(documents, on_duplicate, progress, cache, self.state, Change())
        return replace(report, unmerged=self._begin_merge(progress) or unmerged)

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
        self._drop_merge()
        state = self.state
        settings = with_learned(plan.settings, state.settings) if plan is not None else state.settings
        given = plan.learning_queries if plan is not None else state.learning_queries
        blank = replace(state, segments=(), tombstones={}, settings=settings, learning_queries=given)
        removed = [segment.number for segment in state.segments]
        change = Change(removed=removed, origin=origin, settings=settings, learning_queries=given)
        previous = self._encoder, self._learned, self._expansion, self._tokens, self._device
        if plan is not None:
            self._encoder, self._learned, self._expansion = plan.encoder, plan.learned, plan.expansion
            self._tokens, self._device = plan.tokens, plan.device
        try:
            report = self._add(documents, on_duplicate, progress, cache, blank, change)
        except BaseException:
            self._encoder, self._learned, self._expansion, self._tokens, self._device = previous
            raise
        report = replace(report, unmerged=self._merge_now(progress))
        if state.settings.fusion is None or settings.fusion is not None:
            return report
        return replace(
            report,
            unlearned=f"the fusion learned from {state.settings.fusion.queries:,} judged queries was for other scores "
            "and is dropped; searches fuse by the default",
        )

    def measure_background(self, grown: bool = False) -> int:
        """Record the background of an index that was just built; returns the generation that has it.

        `grown`: only where the index holds enough for one, and twice as much as when it was last measured.
        """
        state = self.state
        known = state.settings.background
        if state.settings.dense is None:
            return state.generation
        deleted = sum(map(len, state.tombstones.values()))
        passages = sum(segment.passages for segment in state.segments) - deleted
        if grown and not has_grown(passages, known):
            return state.generation
        found = measure_background(self.path, state, self._encoding(state).encoder)
        if found is not None and found != known:
            settings = replace(state.settings, background=found)
            self.commit(Change(settings=settings, origin=state.origin))
        return self.state.generation

    def sync(self, reading: Reading, dry_run: bool, progress: Progress, cache: bool) -> SyncReport:
        """See Index.sync."""
        unmerged = self._commit_merge()
        state = self.state

        @cached
        def chunking() -> Chunking | None:
            return chunking_of(state.settings, self._encoding(state, cache) if state.settings.dense else None)

        work = Synchronisation(
            read_sources(self.path),
            reading,
            self._segments(state),
            lambda document: [*passages_of(document, chunking())],
        )
        documents = work.documents()
        first = next(documents, None)
        if dry_run:
            for _ in documents:
                pass
            return work.report(state.generation, dry_run)
        change = Change(origin=state.origin if holds_all(state.origin, reading.sources) else None)
        if first is not None:
            added = self._add(chain([first], documents), "replace", progress, cache, state, change, work)
            report = work.report(self.state.generation, dry_run)
            return replace(
                report, truncation=added.truncation, unmerged=self._begin_merge(progress) or unmerged
            )
        change = self._completed(change, work)
        if change.removed or change.tombstones or change.sources is not None:
            self.commit(change)
        return work.report(self.state.generation, dry_run)

    def _completed(self, change: Change, work: Synchronisation) -> Change:
        """The change with what a synchronisation deletes, and what it knows of its sources, added."""
        deletions, _ = self._deletions(work.gone(), None)
        none = np.zeros(0, dtype=np.int64)
        tombstones = dict(change.tombstones)
        for number, part in deletions.items():
            tombstones[number] = np.union1d(tombstones.get(number, none), part.ordinals)
        removed = [*change.removed, *_emptied(self.state, tombstones)]
        tombstones = {number: rows for number, rows in tombstones.items() if number not in removed}
        return replace(change, removed=removed, tombstones=tombstones, sources=work.sources())

    def delete(self, ids: Sequence[str], condition: Filter | None, ignore_missing: bool) -> int:
        """See Index.delete."""
        self._commit_merge()
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
            superseded = [id for part in deletions.values() for id in part.ids]
            self.commit(Change(removed=emptied, tombstones=kept, sources=SourceChange(superseded=superseded)))
        return sum(len(part.ids) for part in deletions.values())

    def compact(self, relearn: bool, progress: Progress) -> CompactReport:
        """See Index.compact."""
        self._drop_merge()
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
            self._merge_all(state.segments, progress, relearn)
        return CompactReport(before, len(self.state.segments), removed, self.state.generation)

    def _add(
        self,
        documents: Iterable[Document],
        on_duplicate: OnDuplicate,
        progress: Progress,
        cache: bool,
        state: State,
        change: Change,
        work: Synchronisation | None = None,
    ) -> AddReport:
        """Add documents to what `state` has, in one commit with the rest of the change, and what `work` deletes."""
        if on_duplicate not in ("reject", "replace"):
            raise UsageError(f"on_duplicate is '{on_duplicate}'; it can be 'reject' or 'replace'")
        cut: list[TruncationReport] = []
        encoding = SideEncoding(
            self._encoding(state, cache) if state.settings.dense is not None else None,
            self._learned_encoding(state.settings.learned, cache, cut) if state.settings.learned else None,
            self._expand(state.settings.expansion, cache, progress) if state.settings.expansion else None,
            self._decoder_tokens(state.settings.ngrams) if state.settings.ngrams else None,
        )
        older = self._segments(state)
        intake = Intake(self.path, state, self.state.next_segment, encoding, progress, older)
        try:
            intake.add(documents, on_duplicate)
            added, tombstones = intake.finish()
            # A segment whose last passages are replaced goes whole.
            removed = [*change.removed, *_emptied(state, tombstones)]
            tombstones = {number: rows for number, rows in tombstones.items() if number not in removed}
            fresh = change.settings is not None
            if change.removed and not added:
                raise InputError(f"the input holds no documents; '{self.path}' was left as it was")
            progress("committing", 0, None)
            change = replace(change, added=added, tombstones=tombstones, removed=removed)
            if work is not None:
                change = self._completed(change, work)
            else:
                change = replace(change, sources=sources_of(documents, intake.replaced_ids, fresh))
            renewed = change.settings not in (None, self.state.settings)
            if added or change.tombstones or change.removed or change.origin or renewed:
                self.commit(change)
        except BaseException:
            intake.abandon()
            raise
        documents_again, passages_again = intake.superseded
        return AddReport(
            documents=sum(segment.documents for segment in added) - documents_again,
            passages=sum(segment.passages for segment in added) - passages_again,
            replaced=intake.replaced,
            generation=self.state.generation,
            truncation=truncation(added, state.settings) if state.settings.encoder is not None else None,
            left_out=intake.left_out,
            learned_truncation=sum(cut, TruncationReport()) if state.settings.learned else None,
        )

    def _encoding(self, state: State, cache: bool = True) -> Encoding:
        """How this index encodes; called by a merge in its thread too, where that has to learn."""
        recorded = state.settings.encoder
        if recorded is None:
            raise UsageError(f"'{self.path}' has no vectors to learn from")
        with self._encoder_lock:
            if self._encoder is None or self._encoder.fingerprint != recorded.fingerprint:
                # Not loaded yet, or another process has rebuilt the index with another encoder since.
                self._encoder = recorded_encoder(recorded)
            known = self._encodings.get(cache)
            if (
                known is None
                or known.encoder is not self._encoder
                or known.learning_queries != state.learning_queries
            ):
                known = make_encoding(self._encoder, state.learning_queries, cache, self._device)
                self._encodings[cache] = known
            return known

    def _learned_encoding(
        self, settings: LearnedSettings, cache: bool, cut: list[TruncationReport]
    ) -> EncodeLearned:
        """How this index encodes for its learned side; what is cut off texts is added to `cut`."""
        if self._learned is None or self._learned.fingerprint != settings.fingerprint:
            self._learned = recorded_learned(settings)
        encoder = self._learned
        vectors = LearnedCache(encoder.fingerprint) if cache else None

        def encode(texts: Sequence[str], tick: Tick) -> LearnedVectors:
            with encoder_errors(encoder):
                found, report = encode_learned(encoder, texts, vectors, tick)
            cut.append(report)
            return found

        return encode

    def _decoder_tokens(self, settings: NGramSettings) -> DecoderTokens | None:
        """The tokens that this index has n-grams of; None where they are of words alone."""
        from leanseek.indexing.ngrams.decoder_tokens import recorded_tokens

        if self._tokens is None or self._tokens.vocabulary != settings.vocabulary:
            self._tokens = recorded_tokens(settings)
        return self._tokens

    def _expand(self, settings: ExpansionSettings, cache: bool, progress: Progress) -> Expand:
        """How this index expands the passages of documents."""
        if self._expansion is None or self._expansion.settings != settings:
            self._expansion = recorded_expansion(settings)
        expansion, known = self._expansion, ExpansionCache(settings.fingerprint) if cache else None
        done = 0

        def expand(passages: Sequence[str]) -> list[str]:
            nonlocal done
            found: list[str] = []
            for start in range(0, len(passages), expansion.block):
                progress("writing queries", done, None)
                part = expansion.words(passages[start : start + expansion.block], known)
                found += part
                done += len(part)
            return found

        return expand

    def _segments(self, state: State) -> list[Segment]:
        """The segments of `state`, opened once for looking up ids and metadata."""
        for record in state.segments:
            opened = self._opened.get(record.number)
            if opened is not None and opened.record != record:
                self._opened.pop(record.number).close()
                opened = None
            if opened is None:
                try:
                    opened = Segment(self.path, record, state, dense=False, sparse=False)
                except FileNotFoundError as error:
                    # Under the writer lock no file is removed.
                    raise IndexDamagedError(missing_file(self.path, error)) from error
                self._opened[record.number] = opened
            opened.delete(state)
        return [self._opened[record.number] for record in state.segments]

    def _deletions(
        self, ids: Sequence[str], condition: Filter | None
    ) -> tuple[dict[int, Deletion], list[str]]:
        """What a delete takes from each segment, by its number, and the ids that no segment has."""
        deletions: dict[int, Deletion] = {}
        missing = dict.fromkeys(ids)
        segments = self._segments(self.state)
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
                gone = [id for id, number in segment.passages.keys(ordinals) if number == 0]
                empties = len(ordinals) == len(segment.live)
                deletions[segment.record.number] = Deletion(ordinals, gone, empties)
        return deletions, list(missing)

    def _merge_all(self, records: Sequence[SegmentRecord], progress: Progress, relearn: bool) -> None:
        """Put one new segment in the place of these, under the lock."""
        state = self.state
        folder = self.path / SEGMENTS / f"{state.next_segment:06d}"
        try:
            with storage_errors(self.path), held_segments(self.path, state, records) as segments:
                check_files(self.path, records)
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
        removed = [record.number for record in records]
        self.commit(Change(added=[merged.record], removed=removed, origin=state.origin))

    # Whatever happens in a merge of small segments, Ctrl-C included, only leaves searching slower: the documents are
    # in, and it must not look as if the add had failed. What hindered it is returned.

    def _begin_merge(self, progress: Progress) -> str | None:
        """Merge what is due in the background; where too much waits for the merge under way, some of it now."""
        if self._merge is None:
            return self._start_merge()
        waiting = set(self.state.segments) - set(self._merge.records)
        if len(waiting) <= MOST_UNMERGED or not (records := due(list(waiting))):
            return None
        return self._merge_some(records, progress)

    def _start_merge(self) -> str | None:
        """Begin to merge what is due in the background."""
        if records := due(self.state.segments):
            try:
                with storage_errors(self.path):
                    encoding = partial(self._encoding, self.state)
                    self._merge = Merge(self.path, self.state, records, encoding, silent)
                    self._merge.start()
            except Exception as error:
                self._merge = None
                return _hindrance(error)
        return None

    def _drop_merge(self) -> None:
        merge, self._merge = self._merge, None
        if merge is not None:
            merge.discard(STOPPED_WITHIN)

    def _commit_merge(self) -> str | None:
        """Commit the merge that has ended since the last call, if there is one."""
        if self._merge is None or self._merge.running:
            return None
        merge, self._merge = self._merge, None
        return self._commit_one(merge)

    def _commit_one(self, merge: Merge) -> str | None:
        try:
            if merge.failure is not None:
                # Another process may have been faster, and removed the files.
                present = set(merge.records) <= set(self.state.segments)
                return _hindrance(merge.failure) if present else None
            with storage_errors(self.path):
                change = merge.place(self.state)
            if change is not None:
                self.commit(change)
        except Exception as error:
            with suppress(LeanseekError):  # a folder put in its place must not be in the next segment's way
                self.state = read_state(self.path)
                self.remove_orphans()
            return _hindrance(error)
        finally:
            merge.discard()
        return None

    def _merge_some(self, records: Sequence[SegmentRecord], progress: Progress) -> str | None:
        """Merge segments now."""
        merge = None
        try:
            encoding = partial(self._encoding, self.state)
            merge = Merge(self.path, self.state, records, encoding, progress)
            merge.run()
        except (Exception, KeyboardInterrupt) as error:
            if merge is not None:
                merge.discard()
            return _hindrance(error)
        return self._commit_one(merge)

    def _merge_now(self, progress: Progress) -> str | None:
        """Merge all that is due."""
        unmerged = None
        while unmerged is None and (records := due(self.state.segments)):
            unmerged = self._merge_some(records, progress)
        return unmerged

    def _finish_merges(self, patience: float | None) -> str | None:
        """Wait for the merge under way and for what is due after it, for at most so many seconds, and commit them."""
        until = None if patience is None else time.monotonic() + patience
        unmerged = None
        while unmerged is None and self._merge is not None:
            try:
                left = None if until is None else max(0.0, until - time.monotonic())
                if not self._merge.wait(left):
                    return f"merging small segments took more than {patience:g} seconds"
                with self.locked():
                    unmerged = self._commit_merge() or self._start_merge()
            except (LeanseekError, KeyboardInterrupt) as error:
                unmerged = _hindrance(error)
        return unmerged


def _hindrance(error: BaseException) -> str | None:
    """Why small segments were not merged, for a report; None where that is as it should be."""
    if isinstance(error, AbandonedError):
        return None
    if isinstance(error, KeyboardInterrupt):
        return "merging small segments was interrupted"
    return f"merging small segments failed: {str(error) or type(error).__name__}"


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        return stamp(path)
    except OSError:
        return None


def _emptied(state: State, tombstones: Mapping[int, Int64Array]) -> list[int]:
    """The committed segments that have nothing left once these ordinals are deleted too."""
    gone = {number: len(rows) + len(state.tombstones.get(number, ())) for number, rows in tombstones.items()}
    return [record.number for record in state.segments if gone.get(record.number) == record.passages]
