"""Dense indexes over the vectors of one segment: exact ones, and reduced ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast, get_args

import numpy as np

from leanseek.encode.corpus import Encoding
from leanseek.errors import UsageError
from leanseek.indexing.dense.base import DenseIndex
from leanseek.indexing.learning_queries import (
    FEWEST_QUERIES,
    Source,
    given_learning_queries,
    make_learning_queries,
)
from leanseek.indexing.passage_store import PassageStore
from leanseek.indexing.settings import IndexSettings, LeanSettings
from leanseek.types import Document, Float32Array

if TYPE_CHECKING:
    from leanseek.indexing.dense.lean import LeanVecIndex
    from leanseek.indexing.dense.lean.meta import Learned, Primary

__all__ = ["DENSE_KINDS", "DenseIndex", "check_dense", "is_lean", "open_dense"]

DENSE_KINDS: Final = ("auto", "flat", "lean")
LEAN_FROM: Final = 20_000
"""With fewer vectors an exact search answers in less time than encoding the query takes."""
LEAN_AT_ALL_FROM: Final = 1_000
"""Fewer have nothing to learn from, even where a reduced index is asked for."""


def check_dense(kind: str, lean: LeanSettings) -> None:
    """Raise UsageError where there is no such dense index, or its settings are out of range."""
    from leanseek.indexing.dense.lean.construction import Kind
    from leanseek.indexing.dense.lean.meta import Primary
    from leanseek.indexing.dense.lean.rows import Precision

    if kind not in DENSE_KINDS:
        raise UsageError(f"'{kind}' is not a dense index. Choose from: {', '.join(DENSE_KINDS)}, none")
    for value, allowed, name in (
        (lean.kind, get_args(Kind), "kind"),
        (lean.precision, get_args(Precision), "precision"),
        (lean.primary or "pq4", get_args(Primary), "primary"),
    ):
        if value not in allowed:
            raise UsageError(
                f"the {name} of a reduced index is '{value}'; choose one of {', '.join(allowed)}"
            )
    if lean.kind == "hnsw" and lean.primary not in (None, "sq8"):
        raise UsageError(f"primary is '{lean.primary}'; a graph (kind hnsw) stores sq8")
    if not 0.0 < lean.recall <= 1.0:
        raise UsageError(f"recall is {lean.recall}; it must lie above 0 and at most at 1 (0.95 is usual)")
    if lean.dims is not None and lean.dims < 1:
        raise UsageError(f"dims is {lean.dims}; it must be at least 1, or 'auto'")


def is_lean(kind: str | None, size: int) -> bool:
    """Whether `size` vectors of one segment are indexed reduced."""
    return size >= {"lean": LEAN_AT_ALL_FROM, "auto": LEAN_FROM}.get(kind or "", size + 1)


def open_dense(folder: Path) -> DenseIndex:
    """The index saved in `folder`, of whichever kind. Raises IndexDamagedError where it cannot be read."""
    from leanseek.indexing.dense.lean import LeanVecIndex
    from leanseek.indexing.dense.lean.meta import FILE

    if (folder / FILE).is_file():
        return LeanVecIndex.open(folder)
    from leanseek.indexing.dense.flat import FlatIndex

    return FlatIndex.open(folder)


_SPOOL: Final = "spool.f32"


@dataclass(frozen=True)
class Lesson:
    """Queries (m, D) for a reduction to learn from, and whether they were `given` or made from the `corpus`."""

    queries: Float32Array
    source: Source


def learn_from(encoding: Encoding, passages: PassageStore) -> Lesson:
    """The user's learning queries, or for want of them the titles, first sentences and questions of the texts."""
    chosen = given_learning_queries(encoding.learning_queries)
    if len(chosen.texts) + len(chosen.held_out) < FEWEST_QUERIES:
        chosen = make_learning_queries(
            Document(stored.id, stored.text, stored.title)
            for ordinals in passages.blocks(8192)
            for stored in passages.get(ordinals)
        )
    return Lesson(encoding.queries([*chosen.texts, *chosen.held_out]), chosen.source)


def write_vectors(
    folder: Path,
    settings: IndexSettings,
    size: int,
    blocks: Iterable[Float32Array],
    lesson: Callable[[], Lesson | Learned],
) -> None:
    """Make the dense index of `size` vectors, given in blocks (c, D), in an existing folder.

    `lesson` is asked only where the vectors are to be reduced, once all of them are there.
    """
    dimensions = settings.encoder.dimensions if settings.encoder is not None else 0
    if is_lean(settings.dense, size):
        spooled = folder / _SPOOL
        try:
            reduced = build_lean(spool(spooled, blocks, (size, dimensions)), lesson(), settings.lean)
            reduced.save(folder)
        finally:
            spooled.unlink(missing_ok=True)
        return
    from leanseek.indexing.dense.flat import FlatIndex

    flat = FlatIndex.empty(dimensions)
    for block in blocks:
        flat.add(block)
    flat.save(folder)


def spool(path: Path, blocks: Iterable[Float32Array], shape: tuple[int, int]) -> Float32Array:
    """A read-only memory map (n, D) of the blocks, written to `path` one after another."""
    # Written, not mapped for writing: on a full disk a write is an error, and a map ends the process.
    with path.open("wb") as file:
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype=np.float32).data)
    return np.memmap(path, np.float32, "r", shape=shape)


def with_margin(recall: float) -> float:
    """What to calibrate for where the queries are none of the users' own: half as much may be missed.

    Texts of the documents are easier queries than people's: calibrated for .95 on the former, searches found
    .914 (SciFact), .941 (CoSQA) and .956 (Vaswani) of the true best ten for the latter.
    """
    return 1.0 - (1.0 - recall) / 2


def build_lean(vectors: Float32Array, lesson: Lesson | Learned, settings: LeanSettings) -> LeanVecIndex:
    from leanseek.indexing.dense.lean import LeanVecIndex
    from leanseek.indexing.dense.lean.construction import Kind
    from leanseek.indexing.dense.lean.rows import Precision

    return LeanVecIndex.build(
        vectors,
        lesson.queries if isinstance(lesson, Lesson) else lesson,
        settings.dims or "auto",
        cast(Kind, settings.kind),
        settings.recall if lesson.source == "given" else with_margin(settings.recall),
        primary=cast("Primary | None", settings.primary),
        secondary=cast(Precision, settings.precision),
        source=lesson.source,
    )
