"""From a query to a ranking of passages: candidates from each side, exact scores for all, one fused order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from leanseek.errors import UsageError
from leanseek.indexing.dense.base import settled
from leanseek.indexing.learned import ImpactQuery
from leanseek.indexing.search_source import Allowed, SearchSource
from leanseek.indexing.settings import IndexSettings
from leanseek.indexing.sparse.base import Candidates, SparseQuery, WeightedQuery
from leanseek.numbers import distinct
from leanseek.searcher.fusion.methods import Fusion, Side, ranks
from leanseek.text import each_term_once
from leanseek.types import (
    Constraint,
    Float32Array,
    Float64Array,
    Int64Array,
    Operator,
    QueryExpansion,
    QueryNGram,
)

Mode = Literal["hybrid", "dense", "sparse", "learned", "ngram"]
MODES: tuple[Mode, ...] = ("hybrid", "dense", "sparse", "learned", "ngram")


class SideView(NamedTuple):
    """One side's view of a ranking's passages: `ranks` (c,) from 1, 0 where not a candidate; `scores` (c,)."""

    ranks: Int64Array
    scores: Float32Array

    def take(self, places: Int64Array) -> SideView:
        """The same for some of the places."""
        return SideView(self.ranks[places], self.scores[places])


class WordingView(NamedTuple):
    """What one of several wordings makes of a ranking's passages: fused as a search for it alone, and by side."""

    fused: SideView
    sparse: SideView | None
    dense: SideView | None

    def take(self, places: Int64Array) -> WordingView:
        """The same for some of the places."""
        sparse, dense = (None if side is None else side.take(places) for side in (self.sparse, self.dense))
        return WordingView(self.fused.take(places), sparse, dense)


class Ranking(NamedTuple):
    """Passages best first: `ordinals` (c,) global, `scores` (c,). `complete`: no other passage could follow.

    `probabilities` (c,) float64: how probable it is that each is relevant; None where that was not computed.
    `copies`: of some ordinals those of the passages with the same text that they stand for. `operators`: the query's,
    with what they leave. `expansion`: the query as the learned side was asked it. `wordings`: the views of each where
    there are several, in their order. `constraints`: what the query was understood to ask of fields.
    """

    ordinals: Int64Array
    scores: Float32Array
    sparse: SideView | None
    dense: SideView | None
    complete: bool
    probabilities: Float64Array | None = None
    copies: Mapping[int, Int64Array] = MappingProxyType({})
    operators: tuple[Operator, ...] = ()
    learned: SideView | None = None
    expansion: ImpactQuery | None = None
    expanded: QueryExpansion | None = None
    """How the query was expanded; None: it was not."""
    wordings: tuple[WordingView, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    ngrams: tuple[QueryNGram, ...] = ()
    """The n-grams that the query was searched by, the heaviest first."""

    def take(self, places: Int64Array) -> Ranking:
        """The same for some of the places."""
        sparse, dense, learned = (
            view.take(places) if view is not None else None
            for view in (self.sparse, self.dense, self.learned)
        )
        chances = self.probabilities[places] if self.probabilities is not None else None
        return self._replace(
            ordinals=self.ordinals[places],
            scores=self.scores[places],
            sparse=sparse,
            dense=dense,
            learned=learned,
            probabilities=chances,
            wordings=tuple(view.take(places) for view in self.wordings),
        )


def rescored(ranking: Ranking, scores: Float32Array, snapshot: SearchSource) -> Ranking:
    """The ranking in the order of new scores (c,) of its passages; equal ones in the order of ids."""
    ordinals = ranking.ordinals
    rising = np.argsort(ordinals)
    places = rising[np.searchsorted(ordinals[rising], snapshot.passages.in_order(ordinals[rising]))]
    order = places[np.argsort(-scores[places], kind="stable")]
    return ranking._replace(scores=scores).take(order)


def raised(ranking: Ranking, shares: Float64Array, weight: float, snapshot: SearchSource) -> Ranking:
    """The ranking fused, at a `weight` in [0, 1), with `shares` (c,) in [0, 1] that its passages have of something.

    The distance between its best score and its least, times weight / (1 - weight), is what the largest share adds.
    """
    scores = ranking.scores.astype(np.float64)
    reach = float(np.ptp(scores)) or 1.0
    return rescored(ranking, (scores + weight / (1 - weight) * reach * shares).astype(np.float32), snapshot)


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
    learned: Candidates | None = None


class SearchSides(Protocol):
    """What `search_sides` does, for one kind of source."""

    def __call__(
        self,
        snapshot: Any,
        queries: Sequence[SparseQuery],
        vectors: Float32Array | None,
        depth: int,
        mode: Mode,
        allowed: Allowed,
        listed: int = 0,
        learned: Sequence[ImpactQuery] | None = None,
    ) -> list[Sides]: ...


def choose_mode(settings: IndexSettings, mode: str | None) -> Mode:
    """The mode asked for, or the fullest that the index allows. Raises UsageError where it lacks a side."""
    if mode is None:
        if settings.sparse is None:
            return "dense"
        return "hybrid" if settings.dense is not None or settings.learned is not None else "sparse"
    if mode not in MODES:
        raise UsageError(f"'{mode}' is not a search mode. Choose from: {', '.join(MODES)}")
    if mode == "ngram" and settings.ngrams is None:
        raise UsageError(
            "the index was made without n-grams; index again with --ngrams, or search in another --mode"
        )
    sides = {"dense": settings.dense, "sparse": settings.sparse, "learned": settings.learned}
    present = [side for side, made in sides.items() if made is not None]
    for side in ("dense", "sparse", "learned"):
        needed = mode == side or (mode == "hybrid" and len(present) < 2 and side != "learned")
        if needed and side not in present:
            raise UsageError(
                f"the index was made without a {side} side; search it with --mode {' or '.join(present)}"
            )
    return mode


def search_sides(
    snapshot: SearchSource,
    queries: Sequence[SparseQuery],
    vectors: Float32Array | None,
    depth: int,
    mode: Mode,
    allowed: Allowed,
    listed: int = 0,
    learned: Sequence[ImpactQuery] | None = None,
) -> list[Sides]:
    """The best passages of each side of the mode, at least `depth` where there are as many, for each query.

    `vectors` (m, D) are the queries', None where the dense side is not asked, and `learned` theirs for the learned one.
    `listed` is how many scores of the sparse and the dense side the lists for relevance hold; 0: no lists, as without
    vectors.
    """
    found = sides_as_listed(snapshot, queries, vectors, depth, mode, allowed, listed, learned)
    return [with_settled_list(sides) for sides in found]


def sides_as_listed(
    snapshot: SearchSource,
    queries: Sequence[SparseQuery],
    vectors: Float32Array | None,
    depth: int,
    mode: Mode,
    allowed: Allowed,
    listed: int = 0,
    learned: Sequence[ImpactQuery] | None = None,
) -> list[Sides]:
    """`search_sides` with lists as the dense side sums them, so that those of several parts make one."""
    nothing = [None] * len(queries)
    expanded = snapshot.learned.search_batch(learned, depth, allowed) if learned is not None else nothing
    reach = max(depth, listed) if vectors is not None else depth
    sparse = snapshot.sparse.search_batch(queries, reach, allowed) if searches_terms(mode) else nothing
    if vectors is None or not listed:
        dense = snapshot.dense_search(vectors, depth, allowed) if vectors is not None else nothing
        return list(map(Sides, sparse, dense, nothing, expanded))
    listed_scores = scores_of_terms_once(snapshot, queries, sparse, listed, allowed)
    return [
        Sides(by_terms, by_vector, Lists(scores[:listed], once), by_expansion)
        for by_terms, once, (by_vector, scores), by_expansion in zip(
            sparse,
            listed_scores,
            snapshot.dense_search_listed(vectors, depth, reach, allowed),
            expanded,
            strict=True,
        )
    ]


def with_settled_list(sides: Sides) -> Sides:
    """The sides with a dense list that begins with the exact scores of the candidates."""
    if sides.lists is None or sides.dense is None:
        return sides
    return sides._replace(lists=sides.lists._replace(dense=settled(sides.lists.dense, sides.dense.scores)))


def searches_terms(mode: Mode) -> bool:
    """Whether BM25 is asked."""
    return mode in ("hybrid", "sparse")


def scores_of_terms_once(
    snapshot: SearchSource,
    queries: Sequence[SparseQuery],
    found: Sequence[Candidates | None],
    listed: int,
    allowed: Allowed,
) -> Iterator[Float32Array | None]:
    """The best sparse scores (l,) of each query with each of its terms once; those `found` where none repeats."""
    for query, candidates in zip(queries, found, strict=True):
        if candidates is None:
            yield None
            continue
        once = (
            query if isinstance(query, WeightedQuery) else each_term_once(query, snapshot.passages.analyzer)
        )
        best = candidates if once == query else snapshot.sparse.search(once, listed, allowed)
        yield best.scores[:listed]


def rank(
    snapshot: SearchSource,
    query: SparseQuery,
    vector: Float32Array | None,
    sides: Sides,
    depth: int,
    fusion: Fusion,
    learned: ImpactQuery | None = None,
) -> Ranking:
    """The ranking of the candidates of all sides, at most `depth` of each: their union, scored exactly by all.

    `vector` (D,) and `learned` are the query's; where only one side was searched its list is the ranking.
    """
    sparse, dense, expanded = (
        Candidates(found.scores[:depth], found.ordinals[:depth]) if found is not None else None
        for found in (sides.sparse, sides.dense, sides.learned)
    )
    asked = [found for found in (sparse, dense, expanded) if found is not None]
    complete = all(len(found.ordinals) < depth for found in asked)
    if len(asked) > 1:
        union = snapshot.passages.in_order(distinct(np.concatenate([found.ordinals for found in asked])))
        views = views_of(snapshot, query, vector, Sides(sparse, dense, learned=expanded), union, learned)
        return fused(union, *views, fusion, complete)
    [found] = asked
    view = SideView(np.arange(1, len(found.ordinals) + 1), found.scores)
    by_terms, by_vector, by_expansion = (
        view if candidates is not None else None for candidates in (sparse, dense, expanded)
    )
    return Ranking(found.ordinals, found.scores, by_terms, by_vector, complete, learned=by_expansion)


def views_of(
    snapshot: SearchSource,
    query: SparseQuery,
    vector: Float32Array | None,
    sides: Sides,
    union: Int64Array,
    learned: ImpactQuery | None = None,
) -> tuple[SideView | None, SideView | None, SideView | None]:
    """The views of the sparse, the dense and the learned side, where they were searched, of a union of passages."""
    by_terms = by_vector = by_expansion = None
    if sides.sparse is not None:
        by_terms = view_of(union, sides.sparse, lambda rest: snapshot.sparse.score(query, rest))
    if sides.dense is not None and vector is not None:
        by_vector = view_of(union, sides.dense, lambda rest: snapshot.dense_score(vector, rest))
    if sides.learned is not None and learned is not None:
        by_expansion = view_of(union, sides.learned, lambda rest: snapshot.learned.score(learned, rest))
    return by_terms, by_vector, by_expansion


def view_of(union: Int64Array, found: Candidates, score: Callable[[Int64Array], Float32Array]) -> SideView:
    """One side's ranks and scores for the union; `score` gives those of passages it did not find itself."""
    order = np.argsort(found.ordinals)
    places = np.searchsorted(found.ordinals, union, sorter=order)
    places = order[np.minimum(places, len(order) - 1)] if len(order) else np.zeros(len(union), dtype=np.int64)
    mine = found.ordinals[places] == union if len(order) else np.zeros(len(union), dtype=np.bool_)
    ranks = np.where(mine, places + 1, 0)
    scores = np.empty(len(union), dtype=np.float32)
    scores[mine] = found.scores[places[mine]]
    if not mine.all():
        scores[~mine] = score(union[~mine])
    return SideView(ranks, scores)


def rank_given(
    snapshot: SearchSource,
    query: SparseQuery,
    vector: Float32Array | None,
    ordinals: Int64Array,
    mode: Mode,
    fusion: Fusion,
    learned: ImpactQuery | None = None,
) -> Ranking:
    """A ranking of the given passages alone: global `ordinals` (c,) of live ones, ascending, each once.

    In hybrid mode they are what all sides have found; on the sparse and the learned side, as in a search, only those
    that share a term with the query. A passage without one keeps its place with a score of 0.
    """
    ordinals = snapshot.passages.in_order(ordinals)
    sparse = dense = expanded = None
    if searches_terms(mode):
        sparse = sharing(snapshot.sparse.score(query, ordinals))
    if vector is not None:
        scores = snapshot.dense_score(vector, ordinals)
        dense = SideView(ranks(Side(scores, np.ones(len(scores), dtype=np.bool_))), scores)
    if learned is not None:
        expanded = sharing(snapshot.learned.score(learned, ordinals))
    asked = [view for view in (sparse, dense, expanded) if view is not None]
    if len(asked) > 1:
        return fused(ordinals, sparse, dense, expanded, fusion, complete=True)
    scores = asked[0].scores
    order = np.argsort(-scores, kind="stable")
    return Ranking(ordinals, scores, sparse, dense, complete=True, learned=expanded).take(order)


def sharing(scores: Float32Array) -> SideView:
    """The view of a side that finds what shares a term with the query, by its scores (c,)."""
    return SideView(ranks(Side(scores, scores != 0)), scores)


def fused(
    union: Int64Array,
    sparse: SideView | None,
    dense: SideView | None,
    learned: SideView | None,
    fusion: Fusion,
    complete: bool,
) -> Ranking:
    """The ranking that a fusion makes of the sides' views of the same passages, given in order of their ids."""
    scores = fused_scores(sparse, dense, learned, fusion)
    # Stable: equal scores stay in order of ids.
    order = np.argsort(-scores, kind="stable")
    return Ranking(union, scores, sparse, dense, complete, learned=learned).take(order)


def fused_scores(
    sparse: SideView | None, dense: SideView | None, learned: SideView | None, fusion: Fusion
) -> Float32Array:
    """(c,) the scores that a fusion gives to the passages of the sides' views."""
    by_terms, by_vector, by_expansion = (
        Side(view.scores, view.ranks > 0) if view is not None else None for view in (sparse, dense, learned)
    )
    assert by_terms is not None, "what is fused has a sparse side"
    # A fusion of one's own may know two sides alone.
    more = () if by_expansion is None else (by_expansion,)
    return fusion.fuse(by_terms, by_vector, *more)
