"""New segments: from documents, or from older segments without their deleted passages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from leanseek.encode.corpus import Encoding, Tick, TruncationReport
from leanseek.encode.learned_vectors import LearnedVectors
from leanseek.indexing.catalog import SegmentRecord
from leanseek.indexing.dense.registry import kind_for
from leanseek.indexing.document_expansion import Expand
from leanseek.indexing.integrity import record_files
from leanseek.indexing.learned.impact_builder import merge_impacts, write_impacts
from leanseek.indexing.learning_queries import Lesson, learn_from
from leanseek.indexing.passage_store import PassageStore
from leanseek.indexing.passages import PassageWriter, StoredPassage
from leanseek.indexing.segment import DENSE, LEARNED, NGRAMS, SPARSE, Segment, largest_learned, word_analyzer
from leanseek.indexing.settings import IndexSettings
from leanseek.indexing.sparse.builder import SparseBuilder, merge_sparse
from leanseek.reading.outline import own_part
from leanseek.text import Analyzer
from leanseek.text.chunking import Chunking
from leanseek.types import Document, Float32Array, Int64Array, Progress, content

if TYPE_CHECKING:
    from leanseek.indexing.ngrams.decoder_tokens import DecoderTokens

EXPANDED_TOGETHER = 64
"""Passages that wait to be expanded together: several of a decoder's blocks."""
BLOCK = 8192
"""Passages encoded or merged at a time: enough that sorting them by length leaves little padding."""


EncodeLearned: TypeAlias = "Callable[[Sequence[str], Tick], LearnedVectors]"
"""The learned sparse vectors of documents."""


class SideEncoding(NamedTuple):
    """What gives a new segment's texts their vectors, for each side that has some.

    `expand` gives passages the texts that the sparse side finds them by as well, `tokens` those of a decoder, of which
    n-grams are kept.
    """

    dense: Encoding | None = None
    learned: EncodeLearned | None = None
    expand: Expand | None = None
    tokens: DecoderTokens | None = None


class SegmentBuilder:
    """Collects documents into a new segment folder."""

    def __init__(
        self,
        folder: Path,
        number: int,
        settings: IndexSettings,
        analyzer: Analyzer | None,
        chunking: Chunking | None,
        expand: Expand | None = None,
    ) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self._number = number
        self._settings = settings
        self._passages = PassageWriter(folder)
        self._sparse = SparseBuilder(analyzer) if analyzer is not None else None
        self._chunking = chunking
        self._expand = expand
        self._unexpanded: list[str] = []

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
        passages = [*passages_of(document, self._chunking)]
        self._passages.add(passages)
        if self._sparse is not None:
            texts = [content(passage.title, passage.text) for passage in passages]
            if self._expand is None:
                for text in texts:
                    self._sparse.add(text)
            else:
                self._unexpanded += texts
                if len(self._unexpanded) >= EXPANDED_TOGETHER:
                    self._add_expanded(self._sparse, self._expand)

    def discard(self, document: str) -> None:
        """Take a document back, for a later one of the same id."""
        self._passages.discard(document)

    def finish(self, encoding: SideEncoding, progress: Progress) -> SegmentRecord:
        """Write everything, flushed to the disk; `encoding` gives the vectors of the sides that have some."""
        documents = len(self._passages.documents)
        rows = self._passages.finish()
        if self._sparse is not None:
            if self._expand is not None:
                self._add_expanded(self._sparse, self._expand)
            (self.folder / SPARSE).mkdir()
            self._sparse.write(self.folder / SPARSE, rows)
        report = TruncationReport()
        if encoding.dense is not None:
            report = self._write_vectors(encoding.dense, progress)
        if encoding.learned is not None:
            self._write_learned(encoding.learned, progress)
        if self._settings.ngrams is not None:
            self._write_ngrams(encoding.tokens, progress)
        return _record(self.folder, self._number, documents, len(rows), report)

    def abandon(self) -> None:
        """Close the files: the folder will be removed."""
        self._passages.close()

    def _add_expanded(self, sparse: SparseBuilder, expand: Expand) -> None:
        texts, self._unexpanded = self._unexpanded, []
        for text, words in zip(texts, expand(texts), strict=True):
            sparse.add(content(text, words))

    def _write_vectors(self, encoding: Encoding, progress: Progress) -> TruncationReport:
        reports: list[TruncationReport] = []
        store = PassageStore(self.folder)

        def blocks() -> Iterator[Float32Array]:
            for ordinals in store.blocks(BLOCK):
                before = int(ordinals[0])
                vectors, report = encoding.documents(
                    store.contents(ordinals),
                    lambda done, before=before: progress("encoding", before + done, store.size),  # type: ignore[misc]
                )
                reports.append(report)
                yield vectors

        def lesson() -> Lesson:
            progress("learning from queries", 0, None)
            return learn_from(encoding, store)

        try:
            _write_dense(self.folder, self._settings, store.size, blocks(), lesson, encoding.device)
        finally:
            store.close()
        return sum(reports, TruncationReport())

    def _write_learned(self, encode: EncodeLearned, progress: Progress) -> None:
        assert self._settings.learned is not None, "the index has a learned side"
        (self.folder / LEARNED).mkdir()
        store = PassageStore(self.folder)

        def blocks() -> Iterator[LearnedVectors]:
            for ordinals in store.blocks(BLOCK):
                before = int(ordinals[0])
                yield encode(
                    store.contents(ordinals),
                    lambda done, before=before: progress("weighing terms", before + done, store.size),  # type: ignore[misc]
                )

        try:
            write_impacts(self.folder / LEARNED, blocks(), self._settings.learned)
        finally:
            store.close()

    def _write_ngrams(self, tokens: DecoderTokens | None, progress: Progress) -> None:
        from leanseek.indexing.ngrams import write_ngrams
        from leanseek.indexing.occurrence import Sequences

        (self.folder / NGRAMS).mkdir()
        store = PassageStore(self.folder)

        def blocks() -> Iterator[list[str]]:
            for ordinals in store.blocks(BLOCK):
                progress("collecting n-grams", int(ordinals[0]), store.size)
                yield store.contents(ordinals)
            progress("sorting n-grams", 0, None)

        try:
            sequences = Sequences(word_analyzer(self._settings))
            write_ngrams(self.folder / NGRAMS, blocks(), sequences, tokens)
        finally:
            store.close()


def chunking_of(settings: IndexSettings, encoding: Encoding | None) -> Chunking | None:
    """How an index splits documents; None where it does not. `encoding` counts the tokens of passages that must fit."""
    if settings.chunk_words is None:
        return None
    limit = settings.chunk_tokens
    count = encoding.tokens if encoding is not None else None
    return Chunking(settings.chunk_words, settings.chunk_overlap, count if limit is not None else None, limit)


def passages_of(document: Document, chunking: Chunking | None) -> Iterator[StoredPassage]:
    """The parts that a document is split into, or the one that it is."""
    chunks = chunking.split(document.text, document.title) if chunking is not None else []
    if not chunks:
        yield StoredPassage(document.id, 0, 1, 0, document.title, document.text, document.metadata)
    for number, chunk in enumerate(chunks):
        metadata = document.metadata
        if number:  # the first keeps all of the outline, for the whole document
            metadata = own_part(metadata, chunk.start, chunk.start + len(chunk.text))
        yield StoredPassage(
            document.id, number, len(chunks), chunk.start, document.title, chunk.text, metadata
        )


class Merged(NamedTuple):
    """A merge's new segment: its passage i was passage `ordinals[i]` of segment `origin[i]` of those merged."""

    record: SegmentRecord
    origin: Int64Array
    ordinals: Int64Array


def merge_segments(
    segments: Sequence[Segment],
    folder: Path,
    number: int,
    settings: IndexSettings,
    progress: Progress,
    encoding: Callable[[], Encoding],
    relearn: bool = False,
) -> Merged:
    """Write the live passages of `segments` as one new segment into `folder`, which must not exist.

    Nothing is analysed or encoded again. Reduced vectors keep the reduction of the largest segment, unless
    `relearn`; `encoding` is called only where one is learned. What `progress` raises ends the merge.
    """
    folder.mkdir(parents=True)
    kept = [segment.live for segment in segments]
    total = sum(len(ordinals) for ordinals in kept)
    writer = PassageWriter(folder)
    documents = 0
    try:
        for place, (segment, ordinals) in enumerate(zip(segments, kept, strict=True)):
            rows = segment.passages.rows[ordinals]
            arrived = np.argsort(rows)
            kept[place] = ordinals[arrived]
            documents += writer.copy(
                segment.passages.folder, rows[arrived], lambda done: progress("merging", done, total)
            )
        new_rows = writer.finish()
    except BaseException:
        writer.close()
        raise
    # Rows were appended segment by segment: where each new ordinal comes from follows from its row.
    origin = np.repeat(np.arange(len(segments)), [len(ordinals) for ordinals in kept])[new_rows]
    ordinals = np.concatenate(kept)[new_rows]
    del kept
    if segments[0].postings is not None:
        (folder / SPARSE).mkdir()
        postings = [segment.postings for segment in segments if segment.postings is not None]
        merge_sparse(postings, origin, ordinals, folder / SPARSE, lambda: progress("merging", total, total))
    if settings.learned is not None:
        (folder / LEARNED).mkdir()
        impacts = [segment.impacts for segment in segments if segment.impacts is not None]
        merge_impacts(impacts, origin, ordinals, folder / LEARNED, lambda: progress("merging", total, total))
    if settings.ngrams is not None:
        from leanseek.indexing.ngrams import merge_ngrams

        (folder / NGRAMS).mkdir()
        ngrams = [segment.ngrams for segment in segments if segment.ngrams is not None]
        merge_ngrams(ngrams, origin, ordinals, folder / NGRAMS, lambda: progress("merging", total, total))
    if settings.dense is not None and settings.encoder is not None:
        vectors = _merged_vectors(segments, origin, ordinals, settings.encoder.dimensions)
        blocks = _told(vectors, lambda: progress("merging", total, total))

        def lesson() -> Lesson:
            known = None if relearn else largest_learned(segments)
            if known is not None:
                return Lesson(known, known.source)
            progress("learning from queries", 0, None)
            passages = PassageStore(folder)
            try:
                return learn_from(encoding(), passages)
            finally:
                passages.close()

        _write_dense(folder, settings, len(new_rows), blocks, lesson)
    report = truncation((segment.record for segment in segments), settings)
    return Merged(_record(folder, number, documents, len(new_rows), report), origin, ordinals)


def truncation(records: Iterable[SegmentRecord], settings: IndexSettings) -> TruncationReport:
    """What encoding the segments' passages cut off, those deleted since included."""
    limit = settings.encoder.max_tokens if settings.encoder is not None else None
    reports = (
        TruncationReport(record.passages, record.tokens, record.truncated, record.tokens_lost, limit)
        for record in records
    )
    return sum(reports, TruncationReport())


def _merged_vectors(
    segments: Sequence[Segment], origin: Int64Array, ordinals: Int64Array, dimensions: int
) -> Iterator[Float32Array]:
    """The vectors (c, D) of the merged passages, block by block in their new order."""
    for start in range(0, len(origin), BLOCK):
        here = slice(start, start + BLOCK)
        block = np.empty((len(origin[here]), dimensions), dtype=np.float32)
        for number, segment in enumerate(segments):
            mine = origin[here] == number
            if segment.dense is not None and mine.any():
                block[mine] = segment.dense.vectors(ordinals[here][mine])
        yield block


def _told(blocks: Iterable[Float32Array], tell: Callable[[], None]) -> Iterator[Float32Array]:
    for block in blocks:
        tell()
        yield block


def _write_dense(
    folder: Path,
    settings: IndexSettings,
    size: int,
    blocks: Iterable[Float32Array],
    lesson: Callable[[], Lesson],
    device: str | None = None,
) -> None:
    """Make the dense index of a segment's vectors, given in blocks (c, D), on a device."""
    if settings.dense is None or settings.encoder is None:
        return
    (folder / DENSE).mkdir()
    shape = (size, settings.encoder.dimensions)
    kind_for(settings.dense, size).build(folder / DENSE, blocks, shape, settings.lean, lesson, device)


def _record(
    folder: Path, number: int, documents: int, passages: int, report: TruncationReport
) -> SegmentRecord:
    """Flush a finished segment to the disk and describe it for the catalog."""
    return SegmentRecord(
        number,
        documents,
        passages,
        report.tokens,
        report.truncated,
        report.tokens_lost,
        record_files(folder),
    )
