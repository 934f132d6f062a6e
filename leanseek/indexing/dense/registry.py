"""Dense indexes over the vectors of one segment: exact ones, and reduced ones."""

from __future__ import annotations

from pathlib import Path
from typing import Final, get_args

from leanseek.errors import UsageError
from leanseek.indexing.dense.base import DenseIndex
from leanseek.indexing.settings import LeanSettings

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
