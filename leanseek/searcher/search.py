"""From a request to rankings: its queries searched in blocks, their passages rolled up to documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from leanseek.errors import UsageError
from leanseek.indexing.learned import ImpactQuery
from leanseek.indexing.sparse.base import SparseQuery
from leanseek.searcher.collapse import collapsed, may_have_more
from leanseek.searcher.field_boost import boosted
from leanseek.searcher.interest import drawn
from leanseek.searcher.ngram_search import ranked_by_ngrams, with_ngrams
from leanseek.searcher.ranking import Ranking, Sides, rank, rank_given, views_of
from leanseek.searcher.recency import aged
from leanseek.searcher.relevance.features import LIST_DEPTH
from leanseek.searcher.request import Request
from leanseek.types import Float32Array, Int64Array, QueryExpansion

EMPTY = Ranking(np.zeros(0, np.int64), np.zeros(0, np.float32), None, None, complete=True)
"""The ranking of a blank query."""


def search_all(request: Request) -> Iterator[Ranking]:
    """The ranking of each query over the whole index; a blank query has an empty one."""
    for _, part in request.parts():
        yield from with_operators(part, search_part(part))


def search_part(request: Request) -> list[Ranking]:
    """The rankings of queries that the same passages are admitted for."""
    snapshot = request.snapshot
    places, asked = asked_of(request)
    rankings = [EMPTY] * len(request.queries)
    depth = min(request.depth, max(snapshot.size, 1))
    while places:
        short = []
        for row, sides in enumerate(searched(request, asked, depth)):
            one = asked[row]
            if request.mode == "ngram":
                ranking = ranked_by_ngrams(request, one.as_typed, depth)
            else:
                fusion = request.generation.fusion
                ranking = rank(snapshot, one.text, one.vector, sides, depth, fusion, one.learned)
                ranking = with_ngrams(ranking, request, one.as_typed)
            ranking = adjusted(ranking, request, one.as_typed)
            results = with_query(first_of_each(ranking, request), one)
            rankings[places[row]] = judged(request, one, results, sides)
            if ranking.complete or depth >= snapshot.size:
                continue
            if len(results.ordinals) < request.reach or (
                request.collapse and may_have_more(first(results, request.k), sides, depth)
            ):
                short.append(row)
        # Many of the candidates were passages of the same documents, or copies: search deeper.
        places, asked = [places[row] for row in short], [asked[row] for row in short]
        depth = min(depth * 4, snapshot.size)
    return rankings


def adjusted(ranking: Ranking, request: Request, query: str) -> Ranking:
    """The ranking with what the request prefers: what is new, has the fields asked for, is like the history."""
    return drawn(boosted(aged(ranking, request), request, query), request)


def rank_all(request: Request, candidates: Sequence[Sequence[str]]) -> Iterator[Ranking]:
    """The ranking of each query's candidates, given as document ids; ids that are not in the index are left out.

    Raises UsageError where there is not one list of ids for each query and, at the end, where none of all the
    candidates is in the index.
    """
    known = False
    for start, part in request.parts():
        given = candidates[start : start + len(part.queries)]
        passages = request.snapshot.find(
            list(dict.fromkeys(identifier for ids in given for identifier in ids))
        )
        known = known or bool(passages)
        yield from with_operators(part, rank_part(part, given, passages))
    strangers = list(dict.fromkeys(identifier for ids in candidates for identifier in ids))
    if strangers and not known:
        some = ", ".join(map(repr, strangers[:3]))
        raise UsageError(
            f"none of the {len(strangers):,} candidates is in the index ({some}, ...); they seem to be "
            "documents of another collection. Give the index that was made of theirs"
        )


def rank_part(
    request: Request, candidates: Sequence[Sequence[str]], passages: Mapping[str, Sequence[int]]
) -> list[Ranking]:
    """The rankings of candidates for queries that the same passages are admitted for; `passages`: those of each id."""
    snapshot = request.snapshot
    places, asked = asked_of(request)
    rankings = [EMPTY] * len(request.queries)
    # Relevance is judged beside what a search of the whole index finds.
    found: Sequence[Sides | None] = [None] * len(places)
    if request.judge is not None and request.expansion is None:
        found = searched(request, asked, LIST_DEPTH)
    for row, place in enumerate(places):
        ordinals = np.unique(
            [one for identifier in candidates[place] for one in passages.get(identifier, ())]
        )
        ordinals = ordinals.astype(np.int64)
        if request.allowed is not None:
            ordinals = ordinals[request.allowed[ordinals]]
        one = asked[row]
        fusion = request.generation.fusion
        if request.mode == "ngram":
            ranking = ranked_by_ngrams(request, one.as_typed, len(ordinals), ordinals)
        else:
            ranking = rank_given(snapshot, one.text, one.vector, ordinals, request.mode, fusion, one.learned)
            ranking = with_ngrams(ranking, request, one.as_typed)
        ranking = adjusted(ranking, request, one.as_typed)
        results = with_query(first_of_each(ranking, request), one)
        rankings[place] = judged(request, one, results, found[row])
    return rankings


def with_operators(request: Request, rankings: Sequence[Ranking]) -> Sequence[Ranking]:
    """The rankings, with the operators and the constraints of the query where it is alone."""
    for operators in request.operators:
        rankings = [ranking._replace(operators=tuple(operators)) for ranking in rankings]
    for constraints in request.constraints:
        rankings = [ranking._replace(constraints=tuple(constraints)) for ranking in rankings]
    return rankings


def check_candidates(candidates: Sequence[Sequence[str]], queries: int, depth: int | None) -> None:
    """Raise UsageError where the candidates are not one list of ids for each query."""
    if depth is not None:
        raise UsageError("depth is for searching; candidates are all ranked. Leave one of the two out")
    if len(candidates) != queries:
        raise UsageError(
            f"there are {queries} queries and {len(candidates)} lists of candidates; give one each"
        )
    if any(isinstance(ids, str) for ids in candidates):
        raise UsageError("the candidates of each query must be a list of document ids, not a string")


class Asked(NamedTuple):
    """A query as the sides are asked it: its text, its vector (D,) for the dense side, its terms for the learned one;
    None for a side that is not asked. `typed`: what it was before it was expanded."""

    text: SparseQuery
    vector: Float32Array | None
    learned: ImpactQuery | None
    typed: Typed | None = None

    @property
    def as_typed(self) -> str:
        """The text of the query before its expansion."""
        text = self.text if self.typed is None else self.typed.asked.text
        assert isinstance(text, str), "only an expansion weighs terms"
        return text


class Typed(NamedTuple):
    """A query before its expansion, what the sides found for it (None: not asked), and how it was expanded."""

    asked: Asked
    sides: Sides | None
    expansion: QueryExpansion


def asked_of(request: Request) -> tuple[list[int], list[Asked]]:
    """The places of the queries that are not blank, and these as the sides are asked them, expanded where wanted."""
    places, asked = encoded(request)
    if request.expansion is None:
        return places, asked
    from leanseek.searcher.query_feedback import expanded_queries

    return places, expanded_queries(request, asked)


def with_query(ranking: Ranking, asked: Asked) -> Ranking:
    """The ranking with what its hits' explanations need of the query."""
    expansion = asked.typed.expansion if asked.typed is not None else None
    return ranking._replace(expansion=asked.learned, expanded=expansion)


def encoded(request: Request) -> tuple[list[int], list[Asked]]:
    """The places of the queries that are not blank, and these queries as the sides are asked them."""
    places = [place for place, query in enumerate(request.queries) if query.strip()]
    texts = [request.queries[place] for place in places]
    vectors: Sequence[Float32Array | None] = [None] * len(texts)
    expanded: Sequence[ImpactQuery | None] = [None] * len(texts)
    if "dense" in request.sides:
        found, report = request.generation.encoder.encode(texts)
        request.cut.append(report)
        vectors = list(found)
    if "learned" in request.sides and texts:
        expanded, report = request.generation.learned.encode(texts)
        if "dense" not in request.sides:
            request.cut.append(report)
    return places, list(map(Asked, texts, vectors, expanded))


def searched(request: Request, asked: Sequence[Asked], depth: int) -> Sequence[Sides]:
    """What each side finds for each query, with the score lists for relevance where it is judged."""
    # Relevance is judged by the query before its expansion.
    judges = request.judge is not None and not any(one.typed is not None for one in asked)
    listed = LIST_DEPTH if judges else 0
    if request.mode == "ngram":
        return [Sides(None, None) for _ in asked]
    vectors = [one.vector for one in asked if one.vector is not None]
    expanded = [one.learned for one in asked if one.learned is not None]
    return request.generation.search_sides(
        request.snapshot,
        [one.text for one in asked],
        np.stack(vectors) if vectors else None,
        depth,
        request.mode,
        request.allowed,
        listed,
        expanded or None,
    )


def first_of_each(ranking: Ranking, request: Request) -> Ranking:
    """The best passage of each document, of each text where the request collapses them; as many as it wants."""
    if request.documents is None:
        places: Int64Array = np.arange(len(ranking.ordinals))
    else:
        _, best = np.unique(request.documents[ranking.ordinals], return_index=True)
        places = np.sort(best)
    if request.collapse:
        ranking = collapsed(ranking.take(places), request.snapshot)
        places = np.arange(len(ranking.ordinals))
    return ranking.take(places[: request.most])


def first(ranking: Ranking, k: int) -> Ranking:
    """The first k of a ranking."""
    return ranking.take(np.arange(min(k, len(ranking.ordinals))))


def judged(request: Request, asked: Asked, ranking: Ranking, sides: Sides | None) -> Ranking:
    """The ranking of a query with probabilities where the request has a judge; of one before its expansion."""
    if asked.typed is not None:
        former, found, _ = asked.typed
        if request.judge is None or found is None:
            return ranking
        text, vector = former.text, former.vector
        sparse, dense, _ = views_of(request.snapshot, text, vector, found, ranking.ordinals)
        seen = judged(request, former, ranking._replace(sparse=sparse, dense=dense), found)
        return ranking._replace(probabilities=seen.probabilities)
    if request.judge is None or asked.vector is None or sides is None or not isinstance(asked.text, str):
        return ranking
    return request.judge.judged(request.snapshot, asked.text, asked.vector, ranking, sides)
