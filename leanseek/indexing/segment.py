"""A segment: an immutable folder with the passages, postings and vectors of documents added together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from leanseek.encode.corpus import Encoding, TruncationReport
from leanseek.errors import IndexDamagedError
from leanseek.files import checksum, sync
from leanseek.indexing.catalog import FileRecord, SegmentRecord, State
from leanseek.indexing.dense.base import DenseIndex
from leanseek.indexing.dense.registry import Lesson, learn_from, open_dense, write_vectors
from leanseek.indexing.passage_store import PassageStore
from leanseek.indexing.passages import PassageWriter, StoredPassage
from leanseek.indexing.settings import IndexSettings
from leanseek.indexing.sparse.builder import SparseBuilder
from leanseek.indexing.sparse.postings import PostingsReader
from leanseek.text import Analyzer
from leanseek.text.chunking import Chunking
from leanseek.types import BoolArray, Document, Float32Array, Int64Array, Progress, content

SPARSE = "sparse"
DENSE = "dense"
ENCODE_BLOCK = 8192
"""Passages encoded at a time: enough that sorting them by length leaves little padding."""


class SegmentBuilder:
    """Collects documents into a new segment folder."""

    def __init__(self, folder: Path, number: int, settings: IndexSettings, analyzer: Analyzer | None) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.number = number
        self._settings = settings
        self._passages = PassageWriter(folder)
        self._sparse = SparseBuilder(analyzer) if analyzer is not None else None
        words = settings.chunk_words
        self._chunking = Chunking(words, settings.chunk_overlap) if words is not None else None

    @property
    def passages(self) -> int:
        """How many passages have been added."""
        return self._passages.rows

    @property
    def tokens(self) -> int:
        """How many index terms have been added."""
        return self._sparse.tokens if self._sparse is not None else 0

    def __contains__(self, document: str) -> bool:
        return document in self._passages.documents

    def add(self, document: Document) -> None:
        """Append a document whose id is not here yet."""
        passages = [*self._split(document)]
        self._passages.add(passages)
        if self._sparse is not None:
            for passage in passages:
                self._sparse.add(content(passage.title, passage.text))

    def discard(self, document: str) -> None:
        """Take a document back, for a later one of the same id."""
        self._passages.discard(document)

    def finish(self, encoding: Encoding | None, progress: Progress) -> SegmentRecord:
        """Write everything, flushed to the disk; `encoding` gives the vectors where the index has a dense side."""
        documents = len(self._passages.documents)
        rows = self._passages.finish()
        if self._sparse is not None:
            (self.folder / SPARSE).mkdir()
            self._sparse.write(self.folder / SPARSE, rows)
        report = TruncationReport()
        if encoding is not None:
            report = self._write_vectors(encoding, progress)
        return seal_segment(self.folder, self.number, documents, len(rows), report)

    def abandon(self) -> None:
        """Close the files: the folder will be removed."""
        self._passages.close()

    def _split(self, document: Document) -> Iterator[StoredPassage]:
        whole = (document.title, document.text, document.metadata)
        if self._chunking is None:
            yield StoredPassage(document.id, 0, 1, 0, *whole)
            return
        chunks = self._chunking.split(document.text)
        if not chunks:
            yield StoredPassage(document.id, 0, 1, 0, *whole)
        for number, chunk in enumerate(chunks):
            yield StoredPassage(
                document.id, number, len(chunks), chunk.start, document.title, chunk.text, document.metadata
            )

    def _write_vectors(self, encoding: Encoding, progress: Progress) -> TruncationReport:
        reports: list[TruncationReport] = []
        store = PassageStore(self.folder)

        def blocks() -> Iterator[Float32Array]:
            for ordinals in store.blocks(ENCODE_BLOCK):
                tick = partial(report_encoded, progress, int(ordinals[0]), store.size)
                vectors, report = encoding.documents(store.contents(ordinals), tick)
                reports.append(report)
                yield vectors

        def lesson() -> Lesson:
            progress("learning from queries", 0, None)
            return learn_from(encoding, store)

        (self.folder / DENSE).mkdir()
        try:
            write_vectors(self.folder / DENSE, self._settings, store.size, blocks(), lesson)
        finally:
            store.close()
        return sum(reports, TruncationReport())


class Segment:
    """A committed segment, opened for reading: its files stay readable even after they are removed."""

    def __init__(self, index: Path, record: SegmentRecord, state: State, dense: bool = True) -> None:
        settings, tombstones = state.settings, state.tombstones.get(record.number)
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
        if tombstones is not None:
            self.deleted = np.zeros(record.passages, dtype=np.bool_)
            self.deleted[tombstones] = True
        self.postings = PostingsReader(folder / SPARSE) if stores_postings(settings) else None
        self.dense: DenseIndex | None = None
        if dense and settings.dense is not None:
            self.dense = open_dense(folder / DENSE)

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

    def find_live(self, documents: Sequence[str]) -> dict[str, list[int]]:
        """The ordinals of the parts of each of these documents that is here and not deleted."""
        found = self.passages.find(documents)
        if self.deleted is None:
            return found
        return {document: parts for document, parts in found.items() if not self.deleted[parts[0]]}

    def close(self) -> None:
        """Let the files go."""
        self.passages.close()


def report_encoded(progress: Progress, before: int, total: int, done: int) -> None:
    """`done` passages of the block that follows the first `before` are encoded."""
    progress("encoding", before + done, total)


def stores_postings(settings: IndexSettings) -> bool:
    """Whether segments carry our own postings: the other sparse back ends are built from the texts."""
    return settings.sparse is not None and settings.sparse.backend == "bm25"


def open_segments(
    index: Path, state: State, records: Iterable[SegmentRecord], dense: bool = True
) -> list[Segment]:
    """Open segments for reading. Raises FileNotFoundError for a missing file, IndexDamagedError for a damaged one."""
    opened: list[Segment] = []
    try:
        for record in records:
            opened.append(Segment(index, record, state, dense))
    except BaseException:
        for segment in opened:
            segment.close()
        raise
    return opened


@contextmanager
def held_segments(
    index: Path, state: State, records: Iterable[SegmentRecord], dense: bool = True
) -> Iterator[list[Segment]]:
    """Segments for the writer, whom nobody can have removed them from: a missing file is damage."""
    try:
        opened = open_segments(index, state, records, dense)
    except FileNotFoundError as error:
        raise IndexDamagedError(missing_file(index, error)) from error
    try:
        yield opened
    finally:
        for segment in opened:
            segment.close()


def missing_file(index: Path, error: FileNotFoundError) -> str:
    """What to tell of a file that the catalog names and the disk has not."""
    return f"'{index}' lacks the file '{error.filename}'. Restore the index from a copy, or index again."


def seal_segment(
    folder: Path, number: int, documents: int, passages: int, report: TruncationReport
) -> SegmentRecord:
    """Flush a finished segment to the disk and describe it for the catalog."""
    files = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        sync(path)
        files.append(FileRecord(path.relative_to(folder).as_posix(), path.stat().st_size, checksum(path)))
    for path in sorted(path for path in folder.rglob("*") if path.is_dir()):
        sync(path)
    sync(folder)
    sync(folder.parent)
    return SegmentRecord(
        number, documents, passages, report.tokens, report.truncated, report.tokens_lost, tuple(files)
    )
