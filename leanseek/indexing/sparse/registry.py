"""Sparse back ends by name; none but our own is imported before it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Protocol, TypeAlias

import numpy as np

from leanseek.errors import MissingPackageError, UsageError
from leanseek.indexing.settings import SparseSettings
from leanseek.indexing.sparse.base import SparseIndex
from leanseek.indexing.sparse.bm25 import Bm25Index
from leanseek.indexing.sparse.parameters import Bm25Parameters, Bm25Variant
from leanseek.indexing.sparse.postings import PostingsReader
from leanseek.text import Analyzer
from leanseek.types import BoolArray, Int64Array, content

_BLOCK = 8192


class PassageText(Protocol):
    """What a passage is searched by."""

    @property
    def title(self) -> str: ...

    @property
    def text(self) -> str: ...


class SparseSegment(Protocol):
    """The sparse side of a segment: `deleted` (n,), and its postings where the index keeps them."""

    @property
    def size(self) -> int: ...

    @property
    def deleted(self) -> BoolArray | None: ...

    @property
    def postings(self) -> PostingsReader | None: ...


class SparseSource(Protocol):
    """A generation of an index, as far as a sparse back end needs it. Ordinals are global."""

    @property
    def segments(self) -> Sequence[SparseSegment]: ...

    @property
    def analyzer(self) -> Analyzer: ...

    def get(self, ordinals: Int64Array) -> Sequence[PassageText]:
        """The passages at these ordinals."""
        ...

    def keys(self, ordinals: Int64Array) -> Sequence[tuple[str, int]]:
        """(document id, part number) of the passages at these ordinals."""
        ...


_Opener: TypeAlias = Callable[[SparseSource, Bm25Parameters], SparseIndex]


def check_sparse(settings: SparseSettings) -> None:
    """Raise UsageError for an unknown back end or variant, MissingPackageError where its package is absent."""
    if settings.backend not in SPARSE_BACKENDS:
        allowed = ", ".join(SPARSE_BACKENDS)
        raise UsageError(f"unknown sparse back end {settings.backend!r}. Allowed: {allowed}.")
    parameters = _parameters(settings)
    if settings.lossy_lengths and settings.backend not in _LOSSY:
        raise UsageError(
            f"the back end {settings.backend} has no lossy lengths. Allowed with them: {', '.join(_LOSSY)}."
        )
    if settings.backend == "rank-bm25":
        from leanseek.indexing.sparse.peers import check_rank_bm25

        check_rank_bm25(parameters)
    if settings.backend == "lucene":
        from leanseek.indexing.sparse.lucene import check_lucene

        check_lucene(parameters)
    package = _PACKAGES.get(settings.backend)
    if package is not None and find_spec(package) is None:
        raise MissingPackageError(f"the sparse back end {settings.backend}", settings.backend, "peers")


def open_sparse(settings: SparseSettings, source: SparseSource) -> SparseIndex:
    """The sparse index over a generation's live passages. Raises as `check_sparse` does."""
    check_sparse(settings)
    return SPARSE_BACKENDS[settings.backend](source, _parameters(settings))


def _parameters(settings: SparseSettings) -> Bm25Parameters:
    allowed = [variant.value for variant in Bm25Variant]
    if settings.variant not in allowed:
        raise UsageError(f"unknown BM25 variant {settings.variant!r}. Allowed: {', '.join(allowed)}.")
    return Bm25Parameters(
        Bm25Variant(settings.variant), settings.k1, settings.b, settings.delta, settings.lossy_lengths
    )


def _open_bm25(source: SparseSource, parameters: Bm25Parameters) -> SparseIndex:
    readers = [segment.postings for segment in source.segments if segment.postings is not None]
    if len(readers) < len(source.segments):
        raise UsageError("this index keeps no postings; it was made for another sparse back end.")
    deleted = [segment.deleted for segment in source.segments]
    return Bm25Index(readers, deleted, source.analyzer, parameters, source.keys)


def _open_bm25s(source: SparseSource, parameters: Bm25Parameters) -> SparseIndex:
    from leanseek.indexing.sparse.peers import Bm25sIndex

    return Bm25sIndex(*_analysed(source), source.analyzer, parameters)


def _open_rank_bm25(source: SparseSource, parameters: Bm25Parameters) -> SparseIndex:
    from leanseek.indexing.sparse.peers import RankBm25Index

    return RankBm25Index(*_analysed(source), source.analyzer, parameters)


def _open_lucene(source: SparseSource, parameters: Bm25Parameters) -> SparseIndex:
    from leanseek.indexing.sparse.lucene import LuceneIndex

    ordinals, size = _live(source)
    return LuceneIndex(_texts(source, ordinals), ordinals, size, source.analyzer, parameters)


def _analysed(source: SparseSource) -> tuple[list[list[str]], Int64Array, int]:
    """The terms of all live passages, their ordinals (r,), and how many ordinals there are."""
    ordinals, size = _live(source)
    return [list(source.analyzer.tokens(text)) for text in _texts(source, ordinals)], ordinals, size


def _live(source: SparseSource) -> tuple[Int64Array, int]:
    """The ordinals (r,) of all live passages in the order of (document id, part), and how many ordinals there are."""
    live = [np.zeros(0, np.bool_)]
    for segment in source.segments:
        live.append(np.ones(segment.size, np.bool_) if segment.deleted is None else ~segment.deleted)
    mask = np.concatenate(live)
    ordinals = np.flatnonzero(mask)
    keys = source.keys(ordinals)
    return ordinals[sorted(range(len(keys)), key=keys.__getitem__)], len(mask)


def _texts(source: SparseSource, ordinals: Int64Array) -> Iterator[str]:
    """What each of these passages is searched by, fetched a block at a time."""
    for start in range(0, len(ordinals), _BLOCK):
        for passage in source.get(ordinals[start : start + _BLOCK]):
            yield content(passage.title, passage.text)


SPARSE_BACKENDS: dict[str, _Opener] = {
    "bm25": _open_bm25,
    "bm25s": _open_bm25s,
    "rank-bm25": _open_rank_bm25,
    "lucene": _open_lucene,
}
_LOSSY = ("bm25", "lucene")
_PACKAGES = {"bm25s": "bm25s", "rank-bm25": "rank_bm25"}
