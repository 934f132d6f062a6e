"""What a search needs of what it searches: a generation of one index, or an epoch of many shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from leanseek.errors import UsageError
from leanseek.filters import FieldSource, Filter
from leanseek.indexing.learned import ImpactQuery
from leanseek.indexing.learned.impact_index import MatchedTerm
from leanseek.indexing.metadata_column import ValueCounts
from leanseek.indexing.passages import StoredPassage
from leanseek.indexing.settings import IndexSettings
from leanseek.indexing.sparse import SparseIndex
from leanseek.indexing.sparse.base import Candidates
from leanseek.text import Analyzer
from leanseek.types import Document, Float32Array, Int64Array, Operator

Allowed: TypeAlias = Any
"""The passages that a search may return, None for all: a mask (n,) of one index, and what stands for it elsewhere.

Whatever it is, `allowed[ordinals]` is (c,) bool, and its source counts it.
"""
Documents: TypeAlias = Any
"""The number of each passage's document; `documents[ordinals]` is (c,) int64."""


class Counts(NamedTuple):
    """How many documents, and how many passages."""

    documents: int
    passages: int


class SourceState(Protocol):
    """Which state of the source is searched."""

    @property
    def settings(self) -> IndexSettings: ...

    @property
    def generation(self) -> int: ...


class PassageSource(Protocol):
    """The passages, by global ordinals (c,)."""

    @property
    def analyzer(self) -> Analyzer: ...

    def get(self, ordinals: Int64Array) -> list[StoredPassage]: ...

    def ids(self, ordinals: Int64Array) -> list[str]: ...

    def in_order(self, ordinals: Int64Array) -> Int64Array: ...


class LearnedSource(Protocol):
    """The learned side; see `ImpactIndex`."""

    def search_batch(
        self, queries: Sequence[ImpactQuery], k: int, allowed: Allowed = None
    ) -> list[Candidates]: ...

    def score(self, query: ImpactQuery, ordinals: Int64Array) -> Float32Array: ...

    def matched(self, query: ImpactQuery, ordinal: int) -> list[MatchedTerm]: ...


class SearchSource(Protocol):
    """Passages under global ordinals, deleted ones included, searched and scored by each side; see `Snapshot`."""

    @property
    def folder(self) -> Path: ...

    @property
    def state(self) -> SourceState: ...

    @property
    def with_dense(self) -> bool: ...

    @property
    def coverage(self) -> float | None: ...

    @property
    def size(self) -> int: ...

    @property
    def passages(self) -> PassageSource: ...

    @property
    def sparse(self) -> SparseIndex: ...

    @property
    def learned(self) -> LearnedSource: ...

    @property
    def documents(self) -> Documents: ...

    @property
    def fields(self) -> frozenset[str]: ...

    def find(self, documents: Sequence[str]) -> Mapping[str, Sequence[int]]: ...

    def whole(self, documents: Sequence[str], allowed: Allowed = None) -> list[Document]: ...

    def ids(self, allowed: Allowed = None) -> list[str]: ...

    def count(self, allowed: Allowed = None) -> int: ...

    def count_documents(self, allowed: Allowed = None) -> int: ...

    def sample(self, count: int) -> Int64Array: ...

    def field_sources(self, fields: Sequence[str]) -> Sequence[FieldSource]: ...

    def dated(self, field: str) -> bool: ...

    def value_counts(self, fields: Sequence[str], allowed: Allowed = None) -> list[ValueCounts]: ...

    def examples(self, allowed: Allowed = None) -> Mapping[str, Mapping[str, Any]]: ...

    def matching(self, condition: Filter) -> Allowed: ...

    def narrowed(
        self, allowed: Allowed, operators: Sequence[Operator]
    ) -> tuple[Allowed, tuple[Operator, ...]]: ...

    def dense_search(self, queries: Float32Array, k: int, allowed: Allowed) -> list[Candidates]: ...

    def dense_search_listed(
        self, queries: Float32Array, k: int, depth: int, allowed: Allowed
    ) -> list[tuple[Candidates, Float32Array]]: ...

    def dense_score(self, query: Float32Array, ordinals: Int64Array) -> Float32Array: ...

    def vectors(self, ordinals: Int64Array) -> Float32Array: ...

    def close(self) -> None: ...


def has_vectors(source: SearchSource) -> bool:
    """Whether the index has vectors, and was opened with them."""
    return source.state.settings.dense is not None and source.with_dense


def check_vectors(source: SearchSource, reason: str, otherwise: str = "") -> None:
    """Raise UsageError where there are no vectors to go by. `reason` says what for, `otherwise` how to do without."""
    without = f", or {otherwise}" if otherwise else ""
    if source.state.settings.dense is None:
        raise UsageError(f"{reason}, and this index has none: index again with an encoder{without}")
    if not source.with_dense:
        raise UsageError(
            f"{reason}, and this searcher was opened without them: open it with mode hybrid or dense{without}"
        )


def mean_vectors(
    source: SearchSource, ids: Sequence[str], parts: Mapping[str, Sequence[int]]
) -> Float32Array:
    """(n, D) the mean of the vectors of each document's passages, which are at the ordinals `parts` of its id."""
    if not ids:
        return source.vectors(np.zeros(0, np.int64))
    sizes = np.array([len(parts[id]) for id in ids], np.int64)
    ordinals = np.array([ordinal for id in ids for ordinal in sorted(parts[id])], np.int64)
    sums: Float32Array = np.add.reduceat(source.vectors(ordinals), np.cumsum(sizes) - sizes, axis=0)
    return sums / sizes.astype(np.float32)[:, None]
