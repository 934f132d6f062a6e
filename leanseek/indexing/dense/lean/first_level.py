"""The first level by its kind and by how reduced vectors are stored: built, or opened."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import numpy as np

from leanseek.errors import IndexDamagedError
from leanseek.indexing.dense.lean.engine import Engine, ScanEngine
from leanseek.indexing.dense.lean.faiss_engines import FaissCodesEngine, FaissEngine, GraphEngine
from leanseek.indexing.dense.lean.lists import Lists, balanced_order, build_lists
from leanseek.indexing.dense.lean.lvq import LvqEngine, LvqLists
from leanseek.indexing.dense.lean.rows import Rows, native
from leanseek.indexing.leanvec import Reduction
from leanseek.indexing.quantisation import Bits
from leanseek.indexing.settings import Primary
from leanseek.indexing.vectors import SAMPLE_ROWS, Vectors, VectorSource, drawn, gathered
from leanseek.types import Float32Array

DIMS_A_CODE: Final = 2
WIDTH: Final = 4 * DIMS_A_CODE
"""Reduced vectors are filled up with zeros to a multiple of it: the kernel takes four codes at a time."""
_LVQ_BITS: Final[dict[str, Bits]] = {"lvq4": 4, "lvq8": 8}


def build_engine(
    vectors: VectorSource,
    reduction: Reduction,
    rows: Rows,
    kind: str,
    primary: Primary,
    lists: int | None,
    seed: int,
    portable: bool,
    device: str | None = None,
) -> Engine:
    """The first level of vectors (n, D), whose second is `rows`; see LeanVecIndex.build."""
    if kind == "hnsw":
        even = reduction.orthonormal()
        return GraphEngine.build(gathered(_reduced(vectors, even.data)), even.queries.T, rows)
    fill = ((0, -reduction.dims % WIDTH), (0, 0))
    matrix, data = np.pad(reduction.queries, fill), np.pad(reduction.data, fill)
    count = 1 if kind == "flat" else lists or round(4 * math.sqrt(len(vectors)))
    if primary in _LVQ_BITS:
        reduced = gathered(_reduced(vectors, data))
        quantised = LvqLists.build(reduced, matrix.T, count, _LVQ_BITS[primary], seed, device)
        return LvqEngine(quantised, rows, portable=portable)
    if primary == "sq8" or primary == "rabitq":
        reduced = gathered(_reduced(vectors, data))
        return FaissCodesEngine.build(reduced, matrix.T, count, primary, rows, seed)
    # Where the reduction is fitted to queries they are white in it: an error weighs the same in each dimension.
    order = balanced_order((drawn(vectors, SAMPLE_ROWS, seed) @ data.T).var(axis=0), DIMS_A_CODE)
    made = build_lists(_reduced(vectors, data[order]), matrix[order].T, count, DIMS_A_CODE, seed, device)
    return list_engine(made, rows, portable)


def _reduced(vectors: VectorSource, matrix: Float32Array) -> Vectors:
    """The vectors (n, D) reduced by a matrix (d, D) as they are read."""
    turned = np.ascontiguousarray(matrix.T)
    return Vectors(vectors, lambda block: block @ turned, len(matrix))


def open_engine(folder: Path, kind: str, primary: Primary, rows: Rows, *, portable: bool) -> Engine:
    """The first level that was saved in `folder`. Raises IndexDamagedError where it cannot be read."""
    if kind == "hnsw":
        return GraphEngine.open(folder, rows)
    try:
        if primary == "pq4":
            return list_engine(Lists.open(folder, rows.dimensions), rows, portable)
        if primary in _LVQ_BITS:
            lists = LvqLists.open(folder, rows.dimensions, rows.size, _LVQ_BITS[primary])
            return LvqEngine(lists, rows, portable=portable)
        return FaissCodesEngine.open(folder, rows)
    except (ValueError, IndexError) as error:
        raise IndexDamagedError(
            f"the lists in '{folder}' do not fit together: {error}. Restore the index from a copy, or index again."
        ) from error


def list_engine(lists: Lists, rows: Rows, portable: bool) -> Engine:
    """The compiled engine where there is one and `portable` does not forbid it, else FAISS's."""
    kernels = None if portable else native()
    return FaissEngine(lists, rows) if kernels is None else ScanEngine(lists, rows, kernels)
