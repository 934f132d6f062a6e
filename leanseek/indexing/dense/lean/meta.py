"""What an index stores besides its two levels: what was learned, and its properties."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, get_args

import numpy as np

from leanseek.errors import IndexDamagedError, IndexFormatError
from leanseek.indexing.arrays import open_array, write_array
from leanseek.indexing.dense.base import LEAN_FILE
from leanseek.indexing.dense.lean.engine import Effort
from leanseek.indexing.dense.lean.recall import Calibration, CurvePoint
from leanseek.indexing.leanvec import Reduction
from leanseek.indexing.settings import Precision, Primary, Source
from leanseek.indexing.vectors import sample
from leanseek.types import Float32Array

VERSION: Final = 2
_KINDS: Final = ("flat", "ivf", "hnsw")
_VECTORS: Final = 8_192
_QUERIES: Final = 512
"""A loss is measured on at most so many."""


@dataclass(frozen=True, eq=False)
class Learned:
    """A reduction, the queries (m, D) it was learned from and measured with, and its loss at that time."""

    reduction: Reduction
    queries: Float32Array
    loss: float
    source: Source

    def save(self, folder: Path) -> None:
        """Write it into an existing folder."""
        write_array(folder / "learned.npy", np.stack([self.reduction.queries, self.reduction.data]))
        write_array(folder / "queries.npy", np.ascontiguousarray(self.queries, dtype=np.float32))

    @classmethod
    def open(cls, folder: Path, dimensions: int, method: str, loss: float, source: Source) -> Learned:
        """What `save` wrote. Raises IndexDamagedError where it cannot be read."""
        matrices = open_array(folder / "learned.npy", "float32", (2, None, dimensions))
        queries = open_array(folder / "queries.npy", "float32", (None, dimensions))
        return cls(Reduction(matrices[0], matrices[1], method, loss), queries, loss, source)

    def drift(self, vectors: Float32Array) -> float:
        """How many times as much the reduction loses on vectors (n, D) as on those it was learned from."""
        now = sampled_loss(self.reduction, vectors, self.queries, 0)
        return now / self.loss if self.loss else 1.0


def sampled_loss(reduction: Reduction, vectors: Float32Array, queries: Float32Array, seed: int) -> float:
    """The reduction's loss on vectors (n, D) and queries (m, D), of many on some evenly drawn."""
    some, few = sample(len(vectors), seed, _VECTORS), sample(len(queries), seed, _QUERIES)
    return reduction.loss_on(
        vectors if some is None else vectors[some], queries if few is None else queries[few]
    )


@dataclass(frozen=True)
class Meta:
    """The properties of LeanVecIndex that its arrays do not hold."""

    size: int
    dimensions: int
    dims: int
    kind: str
    primary: Primary
    secondary: Precision
    recall: float
    method: str
    source: Source
    """What the queries were that it was learned from, see `Learned`."""
    learned_loss: float
    """The relative loss of inner products when the reduction was learned."""
    loss: float
    """The same on the vectors that are indexed: greater where they are of another kind."""
    notes: tuple[str, ...]
    calibration: Calibration


def save_meta(folder: Path, meta: Meta) -> None:
    """Write it into an existing folder. Raises OSError where the disk refuses."""
    text = json.dumps({"version": VERSION, **asdict(meta)}, indent=1)
    (folder / LEAN_FILE).write_text(text + "\n", encoding="utf-8")


def open_meta(folder: Path) -> Meta:
    """What `save_meta` wrote.

    Raises IndexDamagedError where it cannot be read, IndexFormatError where a newer version wrote it, and
    FileNotFoundError where there is none.
    """
    path = folder / LEAN_FILE
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        version = given.pop("version")
        if version > VERSION:
            raise IndexFormatError(
                f"'{path}' has format {version}, and this leanseek reads up to {VERSION}; install a newer leanseek"
            )
        if version == 1:
            given["primary"] = "sq8" if given["kind"] == "hnsw" else "pq4"
        points, curve = (
            tuple(CurvePoint(k, Effort(*effort), recall) for k, effort, recall in part)
            for part in given.pop("calibration")
        )
        meta = Meta(**{**given, "notes": tuple(given["notes"]), "calibration": Calibration(points, curve)})
        known = meta.primary in get_args(Primary) and meta.secondary in get_args(Precision)
        if not points or meta.kind not in _KINDS or not known:
            raise ValueError(f"no such index: {meta.kind}, {meta.primary}, {meta.secondary}")
    except (UnicodeDecodeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise IndexDamagedError(f"'{path}' cannot be read: {error}") from error
    return meta
