"""From a query to a ranking of passages: candidates from each side, exact scores for all, one fused order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np

from leanseek.errors import UsageError
from leanseek.indexing.settings import IndexSettings
from leanseek.indexing.snapshot import Snapshot
from leanseek.indexing.sparse.base import Candidates
from leanseek.searcher.fusion.methods import Fusion, Side, ranks
from leanseek.text import each_term_once
from leanseek.types import BoolArray, Float32Array, Float64Array, Int64Array, Operator

Mode = Literal["hybrid", "dense", "sparse"]
MODES: tuple[Mode, ...] = ("hybrid", "dense", "sparse")


class SideView(NamedTuple):
    """One side's view of a ranking's passages: `ranks` (c,) from 1, 0 where not a candidate; `scores` (c,)."""

    ranks: Int64Array
    scores: Float32Array


class Ranking(NamedTuple):
    """Passages best first: `ordinals` (c,) global, `scores` (c,). `complete`: no other passage could follow.

    `probabilities` (c,) float64: how probable it is that each is relevant; None where that was not computed.
    `copies`: of some ordinals those of the passages with the same text that they stand for. `operators`: the query's,
    with what they leave.
    """

    ordinals: Int64Array
    scores: Float32Array
    sparse: SideView | None
    dense: SideView | None
    complete: bool
    probabilities: Float64Array | None = None
    copies: Mapping[int, Int64Array] = MappingProxyType({})
    operators: tuple[Operator, ...] = ()

    def take(self, places: Int64Array) -> Ranking:
        """The same for some of the places."""
        sparse, dense = (
            SideView(view.ranks[places], view.scores[places]) if view is not None else None
            for view in (self.sparse, self.dense)
        )
        chances = self.probabilities[places] if self.probabilities is not None else None
        return self._replace(
            ordinals=self.ordinals[places],
            scores=self.scores[places],
            sparse=sparse,
            dense=dense,
            probabilities=chances,
        )


class Lists(NamedTuple):
    """Each side's best scores (l,), descending, which relevance is judged by; `sparse` is None in dense mode.

    They are the sparse side's for the query's terms, each once (see `evidence_on`).
    """

    dense: Float32Array
    sparse: Float32Array | None


class Sides(NamedTuple):
    """Each side's candidates for a query, best first; None where the mode leaves the side out."""

    sparse: Candidates | None
    dense: Candidates | None
    lists: Lists | None = None


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
    listed: int = 0,
) -> list[Sides]:
    """The best passages of each side of the mode, at least `depth` where there are as many, for each query.

    `vectors` (m, D) are the queries', None in sparse mode. `listed` is how many scores of each side the lists for
    relevance hold; 0: no lists, as in sparse mode.
    """
    nothing = [None] * len(queries)
    reach = max(depth, listed) if vectors is not None else depth
    sparse = snapshot.sparse.search_batch(queries, reach, allowed) if mode != "dense" else nothing
    if vectors is None or not listed:
        dense = snapshot.dense_search(vectors, depth, allowed) if vectors is not None else nothing
        return list(map(Sides, sparse, dense))
    listed_scores = scores_of_terms_once(snapshot, queries, sparse, listed, allowed)
    return [
        Sides(by_terms, by_vector, Lists(scores[:listed], once))
        for by_terms, once, (by_vector, scores) in zip(
            sparse, listed_scores, snapshot.dense_search_listed(vectors, depth, reach, allowed), strict=True
        )
    ]


def scores_of_terms_once(
    snapshot: Snapshot,
    queries: Sequence[str],
    found: Sequence[Candidates | None],
    listed: int,
    allowed: BoolArray | None,
) -> Iterator[Float32Array | None]:
    """The best sparse scores (l,) of each query with each of its terms once; those `found` where none repeats."""
    for query, candidates in zip(queries, found, strict=True):
        if candidates is None:
            yield None
            continue
        once = each_term_once(query, snapshot.passages.analyzer)
        best = candidates if once == query else snapshot.sparse.search(once, listed, allowed)
        yield best.scores[:listed]


def rank(
    snapshot: Snapshot, query: str, vector: Float32Array | None, sides: Sides, depth: int, fusion: Fusion
) -> Ranking:
    """The ranking of the candidates of both sides, at most `depth` of each: their union, scored exactly by both.

    `vector` (D,) is the query's; where only one side was searched its list is the ranking.
    """
    sparse, dense = (
        Candidates(found.scores[:depth], found.ordinals[:depth]) if found is not None else None
        for found in (sides.sparse, sides.dense)
    )
    if sparse is not None and dense is not None and vector is not None:
        union = snapshot.passages.in_order(np.union1d(sparse.ordinals, dense.ordinals))
        by_terms = view_of(union, sparse, lambda rest: snapshot.sparse.score(query, rest))
        by_vector = view_of(union, dense, lambda rest: snapshot.dense_score(vector, rest))
        complete = len(sparse.ordinals) < depth and len(dense.ordinals) < depth
        return fused(union, by_terms, by_vector, fusion, complete)
    found = sparse if sparse is not None else dense
    assert found is not None, "every mode searches a side"
    view = SideView(np.arange(1, len(found.ordinals) + 1), found.scores)
    return Ranking(
        found.ordinals,
        found.scores,
        view if sparse is not None else None,
        view if sparse is None else None,
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
