"""Merging small segments: which of them and when, and in a thread beside the writer.

A merge takes no lock of the index. It reads committed segments, which never change, and writes a draft that no catalog
names; the writer commits it at its next change. What was deleted meanwhile is deleted in the merged segment too.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from filelock import FileLock, Timeout

from leanseek.encode.corpus import Encoding
from leanseek.errors import IndexDamagedError
from leanseek.files import sync
from leanseek.indexing.catalog import LOCK, SEGMENTS, Change, SegmentRecord, State
from leanseek.indexing.intake import SEGMENT_PASSAGES
from leanseek.indexing.integrity import file_problem, storage_errors
from leanseek.indexing.segment import Segment, open_segments
from leanseek.indexing.segment_writer import Merged, merge_segments
from leanseek.types import Progress

MERGED_AT_ONCE: Final = 5
MERGED_AT_LEAST: Final = 3
"""So many segments of similar size are merged, and so many where there are more than `MOST_SEGMENTS`."""
SIMILAR: Final = 4
"""A segment is merged with smaller ones if it is at most so many times as large as they are together."""
MOST_SEGMENTS = 8
"""So many are not too many for a search, and large ones among them are left alone."""
LARGE = 50_000
"""Passages that take seconds to merge."""

DRAFT: Final = "merge-"
DRAFT_SEGMENT: Final = "segment"


def due(segments: Sequence[SegmentRecord]) -> list[SegmentRecord]:
    """The segments to merge now: the smallest that are of similar size, with all that are smaller still.

    A passage that is merged gets into a segment at least a quarter larger, so that n adds of one document copy
    O(n log n) passages: each 12 times at 10,000 documents and 15 times at 100,000, where five to six segments are
    there on average and nine at most.
    """
    # Full segments stay as they are: copying them again and again would make adding quadratic.
    growing = sorted(
        (segment for segment in segments if segment.passages < SEGMENT_PASSAGES),
        key=lambda segment: (segment.passages, segment.number),
    )
    many = len(growing) > MOST_SEGMENTS
    enough = MERGED_AT_LEAST if many else MERGED_AT_ONCE
    similar = together = 0
    for place, segment in enumerate(growing):
        if segment.passages > SIMILAR * together or (segment.passages >= LARGE and not many):
            if similar >= enough:
                return growing[:place]
            similar = 0
        similar += 1
        together += segment.passages
    return growing if similar >= enough else []


class AbandonedError(Exception):
    """Raised inside a merge that is no longer wanted."""


class Merge:
    """One merge of committed segments of the index at `path`, into a draft under `segments/`.

    It is made under the writer lock. `run` does the work, and `start` does it in a thread, which needs no lock.
    """

    def __init__(
        self,
        path: Path,
        state: State,
        records: Sequence[SegmentRecord],
        encoding: Callable[[], Encoding],
        progress: Progress,
    ) -> None:
        self.records = tuple(records)
        self.failure: BaseException | None = None
        self._path = path
        self._state = state
        self._encoding = encoding
        self._progress = progress
        self._merged: Merged | None = None
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._process = os.getpid()
        self._draft = path / SEGMENTS / f"{DRAFT}{secrets.token_hex(8)}"
        self._draft.mkdir()
        # Held while the draft is wanted: other writers remove those of processes that are gone.
        self._lock = FileLock(self._draft / LOCK, timeout=0, is_singleton=False)
        self._lock.acquire()

    @property
    def running(self) -> bool:
        """Whether the thread is at work."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Merge in a thread; what it raises becomes `failure`."""

        def work() -> None:
            try:
                self.run()
            except BaseException as error:
                self.failure = error
            finally:
                if self._stopped.is_set():
                    self._remove()

        # A daemon: the interpreter does not wait for it, `discard` does, for as long as the caller will.
        self._thread = threading.Thread(target=work, name="leanseek-merge", daemon=True)
        self._thread.start()

    def run(self) -> None:
        """Merge now. Raises IndexDamagedError, StorageError, and what the encoder raises where it has to learn."""

        def tell(what: str, done: int, total: int | None) -> None:
            if self._stopped.is_set():
                raise AbandonedError
            self._progress(what, done, total)

        opened: list[Segment] = []
        try:
            with storage_errors(self._path):
                opened = open_segments(self._path, self._state, self.records)
                check_files(self._path, self.records)
                folder = self._draft / DRAFT_SEGMENT
                settings = self._state.settings
                self._merged = merge_segments(opened, folder, 0, settings, tell, self._encoding)
        finally:
            for segment in opened:
                segment.close()

    def wait(self, seconds: float | None) -> bool:
        """Wait for the thread; whether it has ended."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(seconds)
        return not self.running

    def place(self, state: State) -> Change | None:
        """Put the finished segment where it belongs; returns the change that commits it under `state`.

        None where nothing it holds is left: compaction, a rebuild or another process was faster. The caller holds
        the writer lock.
        """
        if self._merged is None:
            return None
        record, origin, ordinals = self._merged
        present = set(state.segments)
        gone = np.zeros(len(origin), dtype=np.bool_)
        for place, source in enumerate(self.records):
            mine = origin == place
            if source not in present:
                gone[mine] = True  # deleted whole, or in another segment by now
            elif source.number in state.tombstones:
                gone[mine] = np.isin(ordinals[mine], state.tombstones[source.number])
        if gone.all():
            return None
        record = record._replace(number=state.next_segment)
        (self._draft / DRAFT_SEGMENT).rename(self._path / record.folder)
        sync(self._path / SEGMENTS)
        tombstones = {record.number: np.flatnonzero(gone)} if gone.any() else {}
        removed = [source.number for source in self.records if source in present]
        return Change(added=[record], removed=removed, tombstones=tombstones, origin=state.origin)

    def discard(self, seconds: float = 0.0) -> None:
        """Stop the merge and remove its draft, waiting so many seconds; if it goes on longer it removes it itself.

        The draft of a process that is killed is removed by the next writer.
        """
        self._stopped.set()
        if self.wait(seconds):
            self._remove()

    def _remove(self) -> None:
        if os.getpid() == self._process:  # a forked process has a copy of this object, and of the lock
            self._lock.release()
            shutil.rmtree(self._draft, ignore_errors=True)


def check_files(path: Path, records: Sequence[SegmentRecord]) -> None:
    """Raise IndexDamagedError where a file of these segments is not as it was written.

    Merging gives new checksums: damage must be found while the old ones still show it.
    """
    for record in records:
        for file in record.files:
            if (problem := file_problem(path / record.folder, file)) is not None:
                raise IndexDamagedError(
                    f"'{path}': {record.folder}/{file.name} {problem}. "
                    "Restore the index from a copy, or index again."
                )


def remove_abandoned(segments: Path) -> None:
    """Remove the drafts of merges whose process is gone. The caller holds the writer lock."""
    for draft in segments.glob(f"{DRAFT}*"):
        lock = FileLock(draft / LOCK, timeout=0, is_singleton=False)
        try:
            lock.acquire()
        except (Timeout, OSError):
            continue
        lock.release()
        shutil.rmtree(draft, ignore_errors=True)
