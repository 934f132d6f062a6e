"""Judging what a search has found: the evidence of a query gathered, its passages given probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.ranking import Mode, Ranking, Sides
from leanseek.searcher.relevance.base import LIST_DEPTH, DenseEvidence, Evidence, SparseEvidence
from leanseek.searcher.relevance.model import RelevanceModel
from leanseek.types import BoolArray, Float32Array


class Lists(NamedTuple):
    """Each side's best scores (l,), descending, at most `LIST_DEPTH`; `sparse` is None where it was not asked."""

    dense: Float32Array
    sparse: Float32Array | None


@dataclass(frozen=True, slots=True)
class Judge:
    """How the hits of one call are judged: by `model`, as some of the `searched` passages (those a filter leaves).

    `threshold`: those that are less probable are left out; None leaves out none.
    """

    model: RelevanceModel
    searched: int
    threshold: float | None = None

    def judged(
        self, snapshot: Snapshot, query: str, vector: Float32Array, ranking: Ranking, lists: Lists
    ) -> Ranking:
        """The ranking with its probabilities. Only the passages in it are judged, so cut it first where it may be."""
        if not len(ranking.ordinals):
            return ranking._replace(probabilities=np.zeros(0))
        evidence = evidence_on(snapshot, query, vector, ranking, lists, self.searched)
        return ranking._replace(probabilities=self.model.probabilities(evidence))


def evidence_on(
    snapshot: Snapshot, query: str, vector: Float32Array, ranking: Ranking, lists: Lists, searched: int
) -> Evidence:
    """What the passages of a query's ranking are judged by; `searched`: the passages there were to find."""
    sparse = None
    if lists.sparse is not None and ranking.sparse is not None:
        sparse = SparseEvidence(ranking.sparse.scores, lists.sparse, snapshot.sparse.idf(query))
    cosines = ranking.dense.scores if ranking.dense is not None else ranking.scores
    return Evidence(DenseEvidence(vector, cosines, lists.dense), sparse, searched)


class Cut(NamedTuple):
    """A judged ranking cut at a threshold: what is `kept`, how many are `left_out`.

    `nearest`: the place, in the ranking, of the most probable one where none is kept; else None.
    """

    kept: Ranking
    left_out: int
    nearest: int | None


def cut(ranking: Ranking, threshold: float | None, k: int) -> Cut:
    """The first k of a ranking that reach the threshold, in its order; where all miss it, the first of the nearest."""
    if threshold is None or ranking.probabilities is None or not len(ranking.ordinals):
        return Cut(ranking.take(np.arange(min(k, len(ranking.ordinals)))), 0, None)
    passing = ranking.probabilities >= threshold
    nearest = None if passing.any() else int(np.argmax(ranking.probabilities))
    return Cut(ranking.take(np.flatnonzero(passing)[:k]), int(np.count_nonzero(~passing)), nearest)


def search_with_lists(
    snapshot: Snapshot,
    queries: Sequence[str],
    vectors: Float32Array,
    depth: int,
    mode: Mode,
    allowed: BoolArray | None,
) -> list[tuple[Sides, Lists]]:
    """What `search_sides` finds to a `depth`, and the lists that the judgment rests on, for each query."""
    reach = max(depth, LIST_DEPTH)
    dense = snapshot.dense_search_listed(vectors, depth, reach, allowed)
    if mode != "hybrid":
        return [(Sides(None, found), Lists(listed[:LIST_DEPTH], None)) for found, listed in dense]
    sparse = snapshot.sparse.search_batch(queries, reach, allowed)
    return [
        (Sides(by_terms, by_vector), Lists(listed[:LIST_DEPTH], by_terms.scores[:LIST_DEPTH]))
        for by_terms, (by_vector, listed) in zip(sparse, dense, strict=True)
    ]
