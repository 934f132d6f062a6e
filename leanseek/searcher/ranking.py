"""From a query to a ranking of passages: candidates from each side, exact scores for all, one fused order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from leanseek.errors import UsageError
from leanseek.indexing.settings import IndexSettings
from leanseek.indexing.snapshot import Snapshot
from leanseek.indexing.sparse.base import Candidates
from leanseek.searcher.fusion.methods import Fusion, Side, ranks
from leanseek.types import BoolArray, Float32Array, Float64Array, Int64Array

Mode = Literal["hybrid", "dense", "sparse"]
MODES: tuple[Mode, ...] = ("hybrid", "dense", "sparse")


NO_CANDIDATES = Candidates(np.zeros(0, np.float32), np.zeros(0, np.int64))


class SideView(NamedTuple):
    """What one side says of a ranking's passages: `ranks` (c,) from 1, 0 where not a candidate; `scores` (c,)."""

    ranks: Int64Array
    scores: Float32Array


class Ranking(NamedTuple):
    """Passages best first: `ordinals` (c,) global, `scores` (c,). `complete`: no other passage could follow.

    `probabilities` (c,) float64: how probable it is that each is relevant; None where nobody judged that.
    """

    ordinals: Int64Array
    scores: Float32Array
    sparse: SideView | None
    dense: SideView | None
    complete: bool
    probabilities: Float64Array | None = None

    def take(self, places: Int64Array) -> Ranking:
        """The same for some of the places."""
        sparse, dense = (
            SideView(view.ranks[places], view.scores[places]) if view is not None else None
            for view in (self.sparse, self.dense)
        )
        chances = self.probabilities[places] if self.probabilities is not None else None
        return Ranking(self.ordinals[places], self.scores[places], sparse, dense, self.complete, chances)


class Sides(NamedTuple):
    """What each side found for a query, best first; None where it was not asked."""

    sparse: Candidates | None
    dense: Candidates | None


def choose_mode(settings: IndexSettings, mode: str | None) -> Mode:
    """The mode asked for, or the fullest that the index allows. Raises UsageError where it lacks a side."""
    if mode is None:
        if settings.sparse is None:
            return "dense"
        return "hybrid" if settings.dense is not None else "sparse"
    if mode not in MODES:
        raise UsageError(f"'{mode}' is not a search mode. Choose from: {', '.join(MODES)}")
    for side, lacking in (("dense", settings.dense is None), ("sparse", settings.sparse is None)):
        if lacking and mode in (side, "hybrid"):
            other = "sparse" if side == "dense" else "dense"
            raise UsageError(f"the index was made without a {side} side; search it with --mode {other}")
    return mode


def search_sides(
    snapshot: Snapshot,
    queries: Sequence[str],
    vectors: Float32Array | None,
    depth: int,
    mode: Mode,
    allowed: BoolArray | None,
) -> list[Sides]:
    """The `depth` best passages of each side that the mode asks, for each query.

    `vectors` (m, D) are the queries', None in sparse mode.
    """
    nothing = [None] * len(queries)
    sparse = snapshot.sparse.search_batch(queries, depth, allowed) if mode != "dense" else nothing
    dense = snapshot.dense_search(vectors, depth, allowed) if vectors is not None else nothing
    return [Sides(by_terms, by_vector) for by_terms, by_vector in zip(sparse, dense, strict=True)]


def rank(
    snapshot: Snapshot, query: str, vector: Float32Array | None, sides: Sides, depth: int, fusion: Fusion
) -> Ranking:
    """The ranking that the candidates of both sides make, at most `depth` of each: the union, scored exactly by both.

    `vector` (D,) is the query's; where only one side was asked its list is the ranking.
    """
    sparse, dense = (
        Candidates(found.scores[:depth], found.ordinals[:depth]) if found is not None else None
        for found in sides
    )
    if sparse is not None and dense is not None and vector is not None:
        return fuse(snapshot, query, vector, sparse, dense, depth, fusion)
    if sparse is not None:
        return single(sparse, depth, "sparse")
    return single(dense or NO_CANDIDATES, depth, "dense")


def single(found: Candidates, depth: int, side: Literal["sparse", "dense"]) -> Ranking:
    """A ranking by one side alone."""
    view = SideView(np.arange(1, len(found.ordinals) + 1), found.scores)
    return Ranking(
        found.ordinals,
        found.scores,
        view if side == "sparse" else None,
        view if side == "dense" else None,
        complete=len(found.ordinals) < depth,
    )


def view_of(union: Int64Array, found: Candidates, score: Callable[[Int64Array], Float32Array]) -> SideView:
    """One side's ranks and scores for the union; `score` gives those of passages it did not find itself."""
    order = np.argsort(found.ordinals)
    places = np.searchsorted(found.ordinals, union, sorter=order)
    places = order[np.minimum(places, len(order) - 1)] if len(order) else np.zeros(len(union), dtype=np.int64)
    mine = found.ordinals[places] == union if len(order) else np.zeros(len(union), dtype=np.bool_)
    ranks = np.where(mine, places + 1, 0)
    scores = np.empty(len(union), dtype=np.float32)
    scores[mine] = found.scores[places[mine]]
    scores[~mine] = score(union[~mine])
    return SideView(ranks, scores)


def fuse(
    snapshot: Snapshot,
    query: str,
    vector: Float32Array,
    by_terms: Candidates,
    by_vector: Candidates,
    depth: int,
    fusion: Fusion,
) -> Ranking:
    """A ranking of the union of both sides' candidates."""
    union = snapshot.passages.in_order(np.union1d(by_terms.ordinals, by_vector.ordinals))
    sparse = view_of(union, by_terms, lambda rest: snapshot.sparse.score(query, rest))
    dense = view_of(union, by_vector, lambda rest: snapshot.dense_score(vector, rest))
    complete = len(by_terms.ordinals) < depth and len(by_vector.ordinals) < depth
    return fused(union, sparse, dense, fusion, complete)


def rank_given(
    snapshot: Snapshot,
    query: str,
    vector: Float32Array | None,
    ordinals: Int64Array,
    mode: Mode,
    fusion: Fusion,
) -> Ranking:
    """A ranking of the given passages alone: global `ordinals` (c,) of live ones, ascending, each once.

    In hybrid mode they are what both sides have found; on the sparse side, as in a search, only those that
    share a term with the query. A passage without one keeps its place with a score of 0.
    """
    ordinals = snapshot.passages.in_order(ordinals)
    sparse = dense = None
    if mode != "dense":
        scores = snapshot.sparse.score(query, ordinals)
        sparse = SideView(ranks(Side(scores, scores != 0)), scores)
    if vector is not None:
        scores = snapshot.dense_score(vector, ordinals)
        dense = SideView(ranks(Side(scores, np.ones(len(scores), dtype=np.bool_))), scores)
    if sparse is not None and dense is not None:
        return fused(ordinals, sparse, dense, fusion, complete=True)
    order = np.argsort(-scores, kind="stable")
    return Ranking(ordinals, scores, sparse, dense, complete=True).take(order)


def fused(union: Int64Array, sparse: SideView, dense: SideView, fusion: Fusion, complete: bool) -> Ranking:
    """The ranking that a fusion makes of two views of the same passages, given in order of their ids."""
    scores = fusion.fuse(Side(sparse.scores, sparse.ranks > 0), Side(dense.scores, dense.ranks > 0))
    # Stable: equal scores stay in order of ids.
    order = np.argsort(-scores, kind="stable")
    return Ranking(union, scores, sparse, dense, complete).take(order)
