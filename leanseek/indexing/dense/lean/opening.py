"""Which engine serves a kind of index."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, TypeAlias

from leanseek.errors import IndexDamagedError
from leanseek.indexing.dense.lean.engine import Engine
from leanseek.indexing.dense.lean.faiss_codes import FaissCodesEngine
from leanseek.indexing.dense.lean.graph import GraphEngine
from leanseek.indexing.dense.lean.lists import Lists
from leanseek.indexing.dense.lean.lvq import Bits, LvqEngine, LvqLists
from leanseek.indexing.dense.lean.portable import FaissEngine
from leanseek.indexing.dense.lean.rows import Rows, native
from leanseek.indexing.dense.lean.scanning import ScanEngine

Primary: TypeAlias = Literal["pq4", "lvq4", "lvq8", "sq8", "rabitq"]
"""How reduced vectors are stored."""

LVQ_BITS: Final[dict[str, Bits]] = {"lvq4": 4, "lvq8": 8}


def list_engine(lists: Lists, rows: Rows, *, portable: bool) -> Engine:
    """The compiled engine where there is one and `portable` does not forbid it, else FAISS's."""
    kernels = None if portable else native()
    return FaissEngine(lists, rows) if kernels is None else ScanEngine(lists, rows, kernels)


def open_engine(folder: Path, kind: str, primary: Primary, rows: Rows, *, portable: bool) -> Engine:
    """The first level that was saved in `folder`. Raises IndexDamagedError where it cannot be read."""
    if kind == "hnsw":
        return GraphEngine.open(folder, rows)
    try:
        if primary == "pq4":
            return list_engine(Lists.open(folder, rows.dimensions), rows, portable=portable)
        if primary in LVQ_BITS:
            lists = LvqLists.open(folder, rows.dimensions, rows.size, LVQ_BITS[primary])
            return LvqEngine(lists, rows, portable=portable)
        return FaissCodesEngine.open(folder, rows)
    except (ValueError, IndexError) as error:
        raise IndexDamagedError(
            f"the lists in '{folder}' do not fit together: {error}. Restore the index from a copy, or index again."
        ) from error
