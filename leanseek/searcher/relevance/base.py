"""What a query's candidates are judged by."""

from __future__ import annotations

from typing import NamedTuple

from leanseek.types import Float32Array

LIST_DEPTH = 1000
"""How much of each side's own list the judgment of a query rests on; less where the index holds less."""


class DenseEvidence(NamedTuple):
    """The dense side: `query` (D,) the query's vector; `cosines` (c,) of the candidates, in any order;
    `listed` (l,) the side's own best cosines in the whole index, descending, l at most `LIST_DEPTH`."""

    query: Float32Array
    cosines: Float32Array
    listed: Float32Array


class SparseEvidence(NamedTuple):
    """The sparse side: `scores` (c,) exact BM25 of the candidates, 0 where no term is shared; `listed` (l,)
    the side's own best scores, descending; `idf` (t,) of the query's different terms, 0 for one that the
    index does not have."""

    scores: Float32Array
    listed: Float32Array
    idf: Float32Array


class Evidence(NamedTuple):
    """Both sides' view of one query's c candidates; `sparse` is None where the dense side was asked alone.

    `size`: the passages that were searched (those that a filter leaves, where there is one).
    """

    dense: DenseEvidence
    sparse: SparseEvidence | None
    size: int
