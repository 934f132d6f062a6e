"""Documents to an index on the disk, and the parts it is made of."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leanseek.indexing.dense.lean import LeanVecIndex

__all__ = ["LeanVecIndex"]


def __getattr__(name: str) -> object:
    if name == "LeanVecIndex":
        return importlib.import_module("leanseek.indexing.dense.lean").LeanVecIndex
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
