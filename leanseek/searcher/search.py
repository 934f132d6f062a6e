"""From a request to rankings: its queries searched in blocks, their passages rolled up to documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from leanseek.errors import UsageError
from leanseek.searcher.collapse import collapsed, may_have_more
from leanseek.searcher.ranking import Ranking, Sides, rank, rank_given, search_sides
from leanseek.searcher.relevance.features import LIST_DEPTH
from leanseek.searcher.request import Request
from leanseek.types import Float32Array, Int64Array

EMPTY = Ranking(np.zeros(0, np.int64), np.zeros(0, np.float32), None, None, complete=True)
"""The ranking of a blank query."""


def search_all(request: Request) -> Iterator[Ranking]:
    """The ranking of each query over the whole index; a blank query has an empty one."""
    for _, part in request.parts():
        yield from with_operators(part, search_part(part))


def search_part(request: Request) -> list[Ranking]:
    """The rankings of queries that the same passages are admitted for."""
    snapshot = request.snapshot
    places, texts, vectors = encoded(request)
    rankings = [EMPTY] * len(request.queries)
    depth = min(request.depth, max(snapshot.size, 1))
    while places:
        short = []
        for row, sides in enumerate(searched(request, texts, vectors, depth)):
            vector = vectors[row] if vectors is not None else None
            ranking = rank(snapshot, texts[row], vector, sides, depth, request.generation.fusion)
            results = first_of_each(ranking, request)
            rankings[places[row]] = judged(request, texts[row], vector, results, sides)
            if ranking.complete or depth >= snapshot.size:
                continue
            if len(results.ordinals) < request.reach or (
                request.collapse and may_have_more(first(results, request.k), sides, depth)
            ):
                short.append(row)
        # Many of the candidates were passages of the same documents, or copies: search deeper.
        places, texts = [places[row] for row in short], [texts[row] for row in short]
        vectors = vectors[short] if vectors is not None else None
        depth = min(depth * 4, snapshot.size)
    return rankings


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
    places, texts, vectors = encoded(request)
    rankings = [EMPTY] * len(request.queries)
    # Relevance is judged beside what a search of the whole index finds.
    found: Sequence[Sides | None] = [None] * len(places)
    if request.judge is not None:
        found = searched(request, texts, vectors, LIST_DEPTH)
    for row, place in enumerate(places):
        ordinals = np.unique(
            [one for identifier in candidates[place] for one in passages.get(identifier, ())]
        )
        ordinals = ordinals.astype(np.int64)
        if request.allowed is not None:
            ordinals = ordinals[request.allowed[ordinals]]
        vector = vectors[row] if vectors is not None else None
        ranking = rank_given(snapshot, texts[row], vector, ordinals, request.mode, request.generation.fusion)
        results = first_of_each(ranking, request)
        rankings[place] = judged(request, texts[row], vector, results, found[row])
    return rankings


def with_operators(request: Request, rankings: Sequence[Ranking]) -> Sequence[Ranking]:
    """The rankings, with the operators of the query where it is alone."""
    if not request.operators:
        return rankings
    [operators] = request.operators
    return [ranking._replace(operators=tuple(operators)) for ranking in rankings]


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


def encoded(request: Request) -> tuple[list[int], list[str], Float32Array | None]:
    """Places, texts and vectors (m, D) of the queries that are not blank; no vectors in sparse mode."""
    places = [place for place, query in enumerate(request.queries) if query.strip()]
    texts = [request.queries[place] for place in places]
    if request.mode == "sparse":
        return places, texts, None
    vectors, report = request.generation.encoder.encode(texts)
    request.cut.append(report)
    return places, texts, vectors


def searched(
    request: Request, texts: Sequence[str], vectors: Float32Array | None, depth: int
) -> Sequence[Sides]:
    """What each side finds for each query, with the score lists for relevance where it is judged."""
    listed = LIST_DEPTH if request.judge is not None else 0
    return search_sides(request.snapshot, texts, vectors, depth, request.mode, request.allowed, listed)


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


def judged(
    request: Request, text: str, vector: Float32Array | None, ranking: Ranking, sides: Sides | None
) -> Ranking:
    """The ranking of a query (its text, its vector (D,)) with probabilities where the request has a judge."""
    if request.judge is None or vector is None or sides is None:
        return ranking
    return request.judge.judged(request.snapshot, text, vector, ranking, sides)
