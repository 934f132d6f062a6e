"""A segment: an immutable folder with the passages, postings and vectors of documents added together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from leanseek.errors import IndexDamagedError
from leanseek.indexing.catalog import SegmentRecord, State
from leanseek.indexing.dense.base import DenseIndex
from leanseek.indexing.dense.device_index import searched_on
from leanseek.indexing.dense.registry import DenseKind, kind_in
from leanseek.indexing.learned.impact_postings import ImpactReader
from leanseek.indexing.passage_store import PassageStore
from leanseek.indexing.settings import IndexSettings
from leanseek.indexing.sparse.postings import PostingsReader
from leanseek.text import Analyzer, load_analyzer
from leanseek.types import BoolArray, Int64Array

if TYPE_CHECKING:
    from leanseek.indexing.dense.lean.lean_index import LeanInfo
    from leanseek.indexing.dense.lean.meta import Learned
    from leanseek.indexing.ngrams.ngram_index import SegmentNGrams

SPARSE = "sparse"
DENSE = "dense"
LEARNED = "learned"
NGRAMS = "ngrams"
"""The folders of a segment's postings, vectors, impacts and n-grams."""


class Segment:
    """A committed segment, opened for reading: its files stay readable even after they are removed."""

    def __init__(
        self,
        index: Path,
        record: SegmentRecord,
        state: State,
        dense: bool = True,
        sparse: bool = True,
        device: str | None = None,
    ) -> None:
        """`dense`, `sparse`: what is opened; `device`: where its vectors are `searched`."""
        folder = index / record.folder
        for file in record.files:
            size = (folder / file.name).stat().st_size
            if size != file.size:
                raise IndexDamagedError(
                    f"'{folder / file.name}' has {size} bytes instead of {file.size}. Restore the index from "
                    "a copy, or index again; 'leanseek verify' lists all that is damaged."
                )
        self.record = record
        self.passages = PassageStore(folder)
        self.deleted: BoolArray | None = None
        self._tombstones: Int64Array | None = None
        self.delete(state)
        stored = sparse and stores_postings(state.settings)
        self.postings = PostingsReader(folder / SPARSE) if stored else None
        learned = sparse and state.settings.learned is not None
        self.impacts = ImpactReader(folder / LEARNED) if learned else None
        recorded = state.settings.ngrams if sparse else None
        self.ngrams: SegmentNGrams | None = None
        if recorded is not None:
            from leanseek.indexing.ngrams.ngram_index import SegmentNGrams

            self.ngrams = SegmentNGrams(folder / NGRAMS, recorded.generator is not None)
        self.dense: DenseIndex | None = None
        self.searched: DenseIndex | None = None
        self._kind: DenseKind | None = None
        if dense and state.settings.dense is not None:
            self._kind = kind_in(folder / DENSE)
            self.dense = self._kind.open(folder / DENSE)
            self.searched = searched_on(self.dense, device)

    @property
    def size(self) -> int:
        """Passages, deleted ones included."""
        return self.record.passages

    @property
    def live(self) -> Int64Array:
        """The ordinals that are not deleted."""
        if self.deleted is None:
            return np.arange(self.size, dtype=np.int64)
        return np.flatnonzero(~self.deleted)

    @property
    def lean(self) -> LeanInfo | None:
        """The properties of its reduced vectors, None where they are not reduced."""
        return self._kind.describe(self.dense) if self._kind is not None else None

    @property
    def learned(self) -> Learned | None:
        """What its vectors are reduced by, None where they are not."""
        return self._kind.carry(self.dense) if self._kind is not None else None

    def delete(self, state: State) -> None:
        """Take what is deleted as `state` has it. For the writer alone: a snapshot's segments never change."""
        tombstones = state.tombstones.get(self.record.number)
        if tombstones is not self._tombstones:
            self._tombstones = tombstones
            self.deleted = None
            if tombstones is not None:
                self.deleted = np.zeros(self.size, dtype=np.bool_)
                self.deleted[tombstones] = True

    def find_live(self, documents: Sequence[str]) -> dict[str, list[int]]:
        """The ordinals of the parts of each of these documents that is here and not deleted."""
        found = self.passages.find(documents)
        if self.deleted is None:
            return found
        return {document: parts for document, parts in found.items() if not self.deleted[parts[0]]}

    def close(self) -> None:
        """Close the files."""
        self.passages.close()


def stores_postings(settings: IndexSettings) -> bool:
    """Whether segments have postings of their own: the other sparse back ends are built from the texts."""
    return settings.sparse is not None and settings.sparse.backend == "bm25"


def word_analyzer(settings: IndexSettings) -> Analyzer:
    """What finds the words of an index's texts: the sparse side's analyser, without one the simplest."""
    return load_analyzer(settings.sparse.analyzer if settings.sparse is not None else "simple")


def largest_learned(segments: Iterable[Segment]) -> Learned | None:
    """What the largest of the segments with reduced vectors has learned."""
    lean = [(segment.size, segment.learned) for segment in segments if segment.learned is not None]
    return max(lean, key=lambda one: one[0], default=(0, None))[1]


def open_segments(
    index: Path,
    state: State,
    records: Iterable[SegmentRecord],
    dense: bool = True,
    device: str | None = None,
) -> list[Segment]:
    """Open segments for reading; `device`: where their vectors are searched.

    Raises FileNotFoundError for a missing file, IndexDamagedError for a damaged one.
    """
    opened: list[Segment] = []
    try:
        for record in records:
            opened.append(Segment(index, record, state, dense, device=device))
    except BaseException:
        for segment in opened:
            segment.close()
        raise
    return opened


@contextmanager
def held_segments(index: Path, state: State, records: Iterable[SegmentRecord]) -> Iterator[list[Segment]]:
    """Segments for the writer; under its lock no file is removed, so that a missing one is damage."""
    try:
        opened = open_segments(index, state, records)
    except FileNotFoundError as error:
        raise IndexDamagedError(missing_file(index, error)) from error
    try:
        yield opened
    finally:
        for segment in opened:
            segment.close()


def missing_file(index: Path, error: FileNotFoundError) -> str:
    """The message about a file that the catalog names and the disk does not have."""
    return f"'{index}' lacks the file '{error.filename}'. Restore the index from a copy, or index again."
