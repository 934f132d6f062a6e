"""Several segments into one, without their deleted passages: nothing is analysed or encoded again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from leanseek.encode.corpus import Encoding, TruncationReport
from leanseek.indexing.catalog import SegmentRecord
from leanseek.indexing.dense.lean import LeanVecIndex
from leanseek.indexing.dense.lean.meta import Learned
from leanseek.indexing.dense.registry import Lesson, learn_from, write_vectors
from leanseek.indexing.passage_store import PassageStore
from leanseek.indexing.passages import PassageWriter
from leanseek.indexing.segment import DENSE, SPARSE, Segment, seal_segment
from leanseek.indexing.settings import IndexSettings
from leanseek.indexing.sparse.builder import merge_sparse
from leanseek.types import Float32Array, Int64Array, Progress

BLOCK = 8192


def merge_segments(
    segments: Sequence[Segment],
    folder: Path,
    number: int,
    settings: IndexSettings,
    progress: Progress,
    encoding: Callable[[], Encoding],
    relearn: bool = False,
) -> SegmentRecord:
    """Write the live passages of `segments` as one new segment into `folder`, which must not exist.

    Reduced vectors keep the reduction that most of them have, unless it is to be learned anew (`relearn`).
    `encoding` is asked only where one is to be learned.
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
        merge_sparse(postings, origin, ordinals, folder / SPARSE)
    if settings.dense is not None and settings.encoder is not None:
        blocks = gather(segments, origin, ordinals, settings.encoder.dimensions)
        (folder / DENSE).mkdir()

        def lesson() -> Lesson | Learned:
            known = None if relearn else learned(segments)
            if known is not None:
                return known
            progress("learning from queries", 0, None)
            passages = PassageStore(folder)
            try:
                return learn_from(encoding(), passages)
            finally:
                passages.close()

        write_vectors(folder / DENSE, settings, len(new_rows), blocks, lesson)
    report = truncation((segment.record for segment in segments), settings)
    return seal_segment(folder, number, documents, len(new_rows), report)


def learned(segments: Sequence[Segment]) -> Learned | None:
    """What the largest of the segments with reduced vectors has learned."""
    lean = [segment for segment in segments if isinstance(segment.dense, LeanVecIndex)]
    largest = max(lean, key=lambda segment: segment.size, default=None)
    return largest.dense.learned if largest is not None and isinstance(largest.dense, LeanVecIndex) else None


def gather(
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


def truncation(records: Iterable[SegmentRecord], settings: IndexSettings) -> TruncationReport:
    """What encoding the segments' passages cut off, those deleted since included."""
    limit = settings.encoder.max_tokens if settings.encoder is not None else None
    reports = (
        TruncationReport(record.passages, record.tokens, record.truncated, record.tokens_lost, limit)
        for record in records
    )
    return sum(reports, TruncationReport())
