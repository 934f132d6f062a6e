"""Many queries at once: blocks of them encoded and ranked together, their passages rolled up to documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from leanseek.errors import UsageError
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.ranking import Mode, Ranking, Sides, rank, rank_given, search_sides
from leanseek.searcher.relevance.features import LIST_DEPTH
from leanseek.searcher.relevance.judge import Lists, search_with_lists
from leanseek.searcher.request import Request, Serving
from leanseek.types import Float32Array, Int64Array

BLOCK = 256
"""Queries of a batch ranked together."""

NOTHING = Ranking(np.zeros(0, np.int64), np.zeros(0, np.float32), None, None, complete=True)


def search_all(serving: Serving, queries: Sequence[str], request: Request) -> Iterator[Ranking]:
    """The ranking of each query, from the whole index; a blank query has none."""
    snapshot = serving.snapshot
    for start in range(0, len(queries), BLOCK):
        block = queries[start : start + BLOCK]
        asked, texts, vectors = encoded(serving, block, request.mode)
        rankings = [NOTHING] * len(block)
        reach = min(request.depth, max(snapshot.size, 1))
        while asked:
            short = []
            for row, (found, lists) in enumerate(search(snapshot, texts, vectors, reach, request)):
                vector = vectors[row] if vectors is not None else None
                ranking = rank(snapshot, texts[row], vector, found, reach, request.fusion)
                best = first_of_each(ranking, request.documents, request.most)
                place = asked[row]
                rankings[place] = judged(snapshot, texts[row], vector, ranking.take(best), lists, request)
                if len(best) < request.k and not ranking.complete and reach < snapshot.size:
                    short.append(row)
            # Many of the candidates were parts of the same documents: look deeper.
            asked, texts = [asked[row] for row in short], [texts[row] for row in short]
            vectors = vectors[short] if vectors is not None else None
            reach = min(reach * 4, snapshot.size)
        yield from rankings


def rank_all(
    serving: Serving, queries: Sequence[str], candidates: Sequence[Sequence[str]], request: Request
) -> Iterator[Ranking]:
    """The ranking of each query's candidates, given as document ids; those that are not in the index are left out.

    Raises UsageError, at the end, where none of all the candidates is in the index.
    """
    snapshot = serving.snapshot
    known = False
    for start in range(0, len(queries), BLOCK):
        block, given = queries[start : start + BLOCK], candidates[start : start + BLOCK]
        parts = snapshot.find(list(dict.fromkeys(identifier for ids in given for identifier in ids)))
        known = known or bool(parts)
        asked, texts, vectors = encoded(serving, block, request.mode)
        rankings = [NOTHING] * len(block)
        # The candidates are given; what the whole index would answer is what they are judged beside.
        lists: list[Lists | None] = [None] * len(asked)
        if request.judge is not None:
            lists = [found for _, found in search(snapshot, texts, vectors, LIST_DEPTH, request)]
        for row, place in enumerate(asked):
            ordinals = np.unique([part for identifier in given[place] for part in parts.get(identifier, ())])
            ordinals = ordinals.astype(np.int64)
            if request.allowed is not None:
                ordinals = ordinals[request.allowed[ordinals]]
            vector = vectors[row] if vectors is not None else None
            ranking = rank_given(snapshot, texts[row], vector, ordinals, request.mode, request.fusion)
            best = ranking.take(first_of_each(ranking, request.documents, request.most))
            rankings[place] = judged(snapshot, texts[row], vector, best, lists[row], request)
        yield from rankings
    strangers = list(dict.fromkeys(identifier for ids in candidates for identifier in ids))
    if strangers and not known:
        first = ", ".join(map(repr, strangers[:3]))
        raise UsageError(
            f"none of the {len(strangers):,} candidates is in the index ({first}, ...); they seem to be "
            "documents of another collection. Give the index that was made of theirs"
        )


def search(
    snapshot: Snapshot, texts: Sequence[str], vectors: Float32Array | None, depth: int, request: Request
) -> Sequence[tuple[Sides, Lists | None]]:
    """What each side finds for each query, and the lists to judge it by where it is to be judged."""
    if request.judge is None or vectors is None:
        sides = search_sides(snapshot, texts, vectors, depth, request.mode, request.allowed)
        return [(found, None) for found in sides]
    return search_with_lists(snapshot, texts, vectors, depth, request.mode, request.allowed)


def judged(
    snapshot: Snapshot,
    text: str,
    vector: Float32Array | None,
    ranking: Ranking,
    lists: Lists | None,
    request: Request,
) -> Ranking:
    """The ranking of a query (its text, its vector (D,)) with probabilities, where they are wanted."""
    if request.judge is None or vector is None or lists is None:
        return ranking
    return request.judge.judged(snapshot, text, vector, ranking, lists)


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


def encoded(
    serving: Serving, block: Sequence[str], mode: Mode
) -> tuple[list[int], list[str], Float32Array | None]:
    """Places in the block, texts and vectors (m, D) of the queries that are not blank; no vectors in sparse mode."""
    asked = [place for place, query in enumerate(block) if query.strip()]
    texts = [block[place] for place in asked]
    return asked, texts, serving.encoder.encode(texts) if mode != "sparse" else None


def first_of_each(ranking: Ranking, documents: Int64Array | None, k: int | None) -> Int64Array:
    """Places (at most k; None: all) of the best passage of each document, best first."""
    if documents is None:
        return np.arange(len(ranking.ordinals))[:k]
    _, first = np.unique(documents[ranking.ordinals], return_index=True)
    return np.sort(first)[:k]
