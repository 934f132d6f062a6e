"""What an index holds, for `leanseek info`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from leanseek.encode.report import TruncationReport
from leanseek.indexing.catalog import State
from leanseek.indexing.merging import truncation
from leanseek.indexing.settings import IndexSettings
from leanseek.indexing.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """An index at one generation; sizes are in bytes."""

    path: str
    generation: int
    documents: int
    passages: int
    deleted_passages: int
    segments: int
    settings: IndexSettings
    fields: tuple[str, ...]
    text_bytes: int
    sparse_bytes: int
    dense_bytes: int
    truncation: TruncationReport

    @property
    def total_bytes(self) -> int:
        """Everything the segments take on the disk."""
        return self.text_bytes + self.sparse_bytes + self.dense_bytes


def describe_index(path: str | os.PathLike[str]) -> IndexInfo:
    """Count what the index at `path` holds. Raises IndexNotFoundError, IndexFormatError or IndexDamagedError."""
    snapshot = Snapshot.open(Path(path), dense=False)
    state = snapshot.state
    fields = sorted({field for segment in snapshot.segments for field in segment.passages.fields()})
    gone = sum(
        number == 0
        for segment in snapshot.segments
        if segment.deleted is not None
        for _, number in segment.passages.keys(segment.deleted.nonzero()[0])
    )
    deleted = sum(len(ordinals) for ordinals in state.tombstones.values())
    snapshot.close()
    return IndexInfo(
        path=str(path),
        generation=state.generation,
        documents=sum(segment.documents for segment in state.segments) - gone,
        passages=sum(segment.passages for segment in state.segments) - deleted,
        deleted_passages=deleted,
        segments=len(state.segments),
        settings=state.settings,
        fields=tuple(fields),
        text_bytes=part_bytes(state, "passages.sqlite") + part_bytes(state, "rows.npy"),
        sparse_bytes=part_bytes(state, "sparse/"),
        dense_bytes=part_bytes(state, "dense/"),
        truncation=truncation(state.segments, state.settings),
    )


def part_bytes(state: State, prefix: str) -> int:
    """Bytes of the files whose names start so, over all segments."""
    return sum(
        file.size for segment in state.segments for file in segment.files if file.name.startswith(prefix)
    )
