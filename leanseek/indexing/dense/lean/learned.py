"""What an index has learned from queries, kept for its successor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np

from leanseek.indexing.dense.lean.files import read, write
from leanseek.indexing.leanvec import Reduction
from leanseek.indexing.leanvec.moments import sample
from leanseek.types import Float32Array

Source: TypeAlias = Literal["given", "corpus", "vectors"]

_VECTORS: Final = 8_192
_QUERIES: Final = 512
"""A loss is measured on at most so many."""


@dataclass(frozen=True, eq=False)
class Learned:
    """A reduction, the queries (m, D) it was learned from and measured with, and its loss at that time.

    `source` tells what the queries are: `given` by the user, made from the `corpus`, or `vectors`: the indexed
    ones, for want of queries.
    """

    reduction: Reduction
    queries: Float32Array
    loss: float
    source: Source

    def save(self, folder: Path) -> None:
        """Write it into an existing folder."""
        write(folder, "learned", np.stack([self.reduction.queries, self.reduction.data]))
        write(folder, "queries", np.ascontiguousarray(self.queries, dtype=np.float32))

    @classmethod
    def open(cls, folder: Path, dimensions: int, method: str, loss: float, source: Source) -> Learned:
        """What `save` wrote. Raises IndexDamagedError where it cannot be read."""
        matrices = read(folder, "learned", "float32", (2, None, dimensions))
        queries = read(folder, "queries", "float32", (None, dimensions))
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
