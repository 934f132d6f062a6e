"""What an index holds, for `leanseek info`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from leanseek.encode.corpus import TruncationReport
from leanseek.errors import LeanseekError
from leanseek.indexing.catalog import State
from leanseek.indexing.segment import Segment, largest_learned
from leanseek.indexing.segment_writer import truncation
from leanseek.indexing.settings import IndexSettings
from leanseek.indexing.snapshot import Snapshot
from leanseek.indexing.tokens.store import TokenStore, TokenSummary, live_keys

if TYPE_CHECKING:
    from leanseek.indexing.dense.lean.lean_index import LeanInfo

FEWEST: Final = 200
"""Fewer vectors do not show whether they are of another kind."""
DRIFTED: Final = 1.5
"""Above it, what is lost is beyond the chance of which documents came first."""
_COUNTED: Final = 100_000
"""Live passages that are looked up at most: all their texts have to be read for it."""


@dataclass(frozen=True, slots=True)
class TokenInfo(TokenSummary):
    """What is stored, and how many of the index's live passages are not: None where it would take long to count."""

    lacking: int | None


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
    learned_bytes: int
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
        return self.text_bytes + self.sparse_bytes + self.dense_bytes + self.learned_bytes


def describe_index(path: str | os.PathLike[str]) -> IndexInfo:
    """Count what the index at `path` holds. Raises IndexNotFoundError, IndexFormatError or IndexDamagedError."""
    snapshot = Snapshot.open(Path(path))
    state = snapshot.state
    fields = sorted({field for segment in snapshot.segments for field in segment.passages.fields()})
    documents = live_documents(snapshot)
    deleted = sum(len(ordinals) for ordinals in state.tombstones.values())
    lean = tuple(segment.lean for segment in snapshot.segments if segment.lean is not None)
    drift = drift_of(snapshot.segments)
    tokens = describe_tokens(snapshot)
    snapshot.close()
    return IndexInfo(
        path=str(path),
        generation=state.generation,
        documents=documents,
        passages=sum(segment.passages for segment in state.segments) - deleted,
        deleted_passages=deleted,
        segments=len(state.segments),
        settings=state.settings,
        fields=tuple(fields),
        text_bytes=part_bytes(state, "passages.sqlite") + part_bytes(state, "rows.npy"),
        sparse_bytes=part_bytes(state, "sparse/"),
        dense_bytes=part_bytes(state, "dense/"),
        learned_bytes=part_bytes(state, "learned/"),
        truncation=truncation(state.segments, state.settings),
        lean=lean,
        tokens=tokens if isinstance(tokens, TokenInfo) else None,
        tokens_unusable=tokens if isinstance(tokens, str) else None,
        drift=drift,
    )


def live_documents(snapshot: Snapshot) -> int:
    """How many documents are not deleted."""
    gone = sum(
        number == 0
        for segment in snapshot.segments
        if segment.deleted is not None
        for _, number in segment.passages.keys(segment.deleted.nonzero()[0])
    )
    return sum(segment.documents for segment in snapshot.state.segments) - gone


def describe_tokens(snapshot: Snapshot) -> TokenInfo | str | None:
    """What is stored; why it cannot be read; None where there is nothing. Raises IndexDamagedError for the index."""
    try:
        store = TokenStore.open(snapshot.folder)
    except (LeanseekError, OSError) as error:
        return str(error)
    if store is None:
        return None
    lacking = None
    if snapshot.count() <= _COUNTED:
        lacking = int((store.find(live_keys(snapshot)).blocks < 0).sum())
    return TokenInfo.of(store, lacking=lacking)


def drift_of(segments: Sequence[Segment]) -> float | None:
    """The greatest drift of any segment: of its own reduction, or of the one that compacting would give it."""
    known = largest_learned(segments)
    if known is None:
        return None
    drifts = [1.0]
    for segment in segments:
        if segment.lean is not None:
            drifts.append(segment.lean.drift)
        elif segment.dense is not None and segment.size >= FEWEST:
            chosen = np.unique(np.linspace(0, segment.size - 1, 2_000).astype(np.int64))
            drifts.append(known.drift(segment.dense.vectors(chosen)))
    return max(drifts)


def part_bytes(state: State, prefix: str) -> int:
    """Bytes of the files whose names start so, over all segments."""
    return sum(
        file.size for segment in state.segments for file in segment.files if file.name.startswith(prefix)
    )
