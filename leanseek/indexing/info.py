"""What an index holds, for `leanseek info`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from leanseek.encode.corpus import TruncationReport
from leanseek.errors import LeanseekError
from leanseek.indexing.catalog import State
from leanseek.indexing.compaction import learned, truncation
from leanseek.indexing.dense.lean import LeanVecIndex
from leanseek.indexing.dense.lean.recall import CurvePoint
from leanseek.indexing.segment import Segment
from leanseek.indexing.settings import IndexSettings
from leanseek.indexing.snapshot import Snapshot
from leanseek.indexing.tokens.store import TokenStore, live_keys, live_ordinals

_COUNTED: Final = 100_000
"""Live passages that are looked up at most: all their texts have to be read for it."""

Summary = TypeVar("Summary", bound="TokenSummary")


@dataclass(frozen=True, slots=True)
class TokenSummary:
    """Token vectors of `model`: of its `dimensions` `dims` are kept, each in `bits`.

    `passages` of different texts have so many `tokens`, in so many `bytes`; `bytes_per_passage` leaves out what was
    learned for all of them.
    """

    model: str
    dimensions: int
    dims: int
    bits: int
    passages: int
    tokens: int
    bytes: int
    bytes_per_passage: float

    @classmethod
    def of(cls: type[Summary], store: TokenStore, **more: Any) -> Summary:
        """The summary of what is stored; `more` are fields that a kind of summary adds."""
        settings = store.settings
        return cls(
            model=settings.model,
            dimensions=settings.dimensions,
            dims=settings.dims,
            bits=settings.bits,
            passages=store.passages,
            tokens=store.tokens,
            bytes=store.bytes,
            bytes_per_passage=store.bytes_per_passage,
            **more,
        )


@dataclass(frozen=True, slots=True)
class TokenInfo(TokenSummary):
    """What is stored, and how many of the index's live passages are not: None where it would take long to count."""

    lacking: int | None


def describe_tokens(snapshot: Snapshot) -> TokenInfo | str | None:
    """What is stored; why it cannot be read; None where there is nothing. Raises IndexDamagedError for the index."""
    try:
        store = TokenStore.open(snapshot.folder)
    except (LeanseekError, OSError) as error:
        return str(error)
    if store is None:
        return None
    lacking = None
    if len(live_ordinals(snapshot)) <= _COUNTED:
        lacking = int((store.find(live_keys(snapshot)).blocks < 0).sum())
    return TokenInfo.of(store, lacking=lacking)


FEWEST = 200
"""Fewer vectors do not tell whether they are of another kind."""
DRIFTED = 1.5
"""Above it, what is lost is beyond the chance of which documents came first."""


@dataclass(frozen=True, slots=True)
class LeanInfo:
    """The reduced vectors of one segment; see the properties of `LeanVecIndex`."""

    vectors: int
    bytes: int
    kind: str
    dims: int
    primary: str
    precision: str
    method: str
    source: str
    recall: float
    curve: tuple[CurvePoint, ...]
    points: tuple[CurvePoint, ...]
    drift: float
    notes: tuple[str, ...]


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
    lean: tuple[LeanInfo, ...]
    tokens: TokenInfo | None
    tokens_unusable: str | None
    """Why the token vectors that are stored cannot be read; None where they can, or where there are none."""
    drift: float | None
    """How many times as much the reduction loses on the segments where it loses most as on those that it was
    learned from; None where nothing was learned."""

    @property
    def drifted(self) -> bool:
        """Whether documents of another kind have come since the reduction was learned."""
        return self.drift is not None and self.drift > DRIFTED

    @property
    def total_bytes(self) -> int:
        """Everything the segments take on the disk."""
        return self.text_bytes + self.sparse_bytes + self.dense_bytes


def describe_index(path: str | os.PathLike[str]) -> IndexInfo:
    """Count what the index at `path` holds. Raises IndexNotFoundError, IndexFormatError or IndexDamagedError."""
    snapshot = Snapshot.open(Path(path))
    state = snapshot.state
    fields = sorted({field for segment in snapshot.segments for field in segment.passages.fields()})
    gone = sum(
        number == 0
        for segment in snapshot.segments
        if segment.deleted is not None
        for _, number in segment.passages.keys(segment.deleted.nonzero()[0])
    )
    deleted = sum(len(ordinals) for ordinals in state.tombstones.values())
    reduced = [segment.dense for segment in snapshot.segments if isinstance(segment.dense, LeanVecIndex)]
    drift = drift_of(snapshot.segments)
    tokens = describe_tokens(snapshot)
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
        lean=tuple(lean_info(index) for index in reduced),
        tokens=tokens if isinstance(tokens, TokenInfo) else None,
        tokens_unusable=tokens if isinstance(tokens, str) else None,
        drift=drift,
    )


def lean_info(index: LeanVecIndex) -> LeanInfo:
    """What a reduced index tells of itself."""
    return LeanInfo(
        vectors=index.size,
        bytes=index.bytes,
        kind=index.kind,
        dims=index.dims,
        primary=index.primary,
        precision=index.secondary,
        method=index.method,
        source=index.learned.source,
        recall=index.recall,
        curve=index.calibration.curve,
        points=index.calibration.points,
        drift=index.drift,
        notes=index.notes,
    )


def drift_of(segments: Sequence[Segment]) -> float | None:
    """The greatest drift of any segment: of its own reduction, or of the one that compacting would give it."""
    known = learned(segments)
    if known is None:
        return None
    drifts = [1.0]
    for segment in segments:
        if isinstance(segment.dense, LeanVecIndex):
            drifts.append(segment.dense.drift)
        elif segment.dense is not None and segment.size >= FEWEST:
            chosen = np.unique(np.linspace(0, segment.size - 1, 2_000).astype(np.int64))
            drifts.append(known.drift(segment.dense.vectors(chosen)))
    return max(drifts)


def part_bytes(state: State, prefix: str) -> int:
    """Bytes of the files whose names start so, over all segments."""
    return sum(
        file.size for segment in state.segments for file in segment.files if file.name.startswith(prefix)
    )
