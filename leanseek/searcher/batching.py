"""Many queries at once: blocks of them encoded and ranked together, their passages rolled up to documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from leanseek.errors import UsageError
from leanseek.searcher.fusion import Fusion
from leanseek.searcher.ranking import Mode, Ranking, rank_batch, rank_given
from leanseek.searcher.serving import Serving
from leanseek.types import BoolArray, Float32Array, Int64Array

BLOCK = 256
"""Queries of a batch ranked together."""

NOTHING = Ranking(np.zeros(0, np.int64), np.zeros(0, np.float32), None, None, complete=True)


@dataclass(frozen=True, slots=True)
class Request:
    """How the queries of one call are answered: at most `k` results each, of `depth` candidates from each side.

    `allowed` (n,) keeps the passages that are True. `documents` (n,) numbers each passage's document, None
    where every passage is a result of its own.
    """

    mode: Mode
    fusion: Fusion
    k: int
    depth: int
    allowed: BoolArray | None
    documents: Int64Array | None


def search_all(serving: Serving, queries: Sequence[str], request: Request) -> Iterator[Ranking]:
    """The ranking of each query, from the whole index; a blank query has none."""
    snapshot = serving.snapshot
    for start in range(0, len(queries), BLOCK):
        block = queries[start : start + BLOCK]
        asked, texts, vectors = encoded(serving, block, request.mode)
        rankings = [NOTHING] * len(block)
        reach = min(request.depth, max(snapshot.size, 1))
        while asked:
            found = rank_batch(snapshot, texts, vectors, reach, request.mode, request.fusion, request.allowed)
            short = []
            for row, (place, ranking) in enumerate(zip(asked, found, strict=True)):
                best = first_of_each(ranking, request.documents, request.k)
                rankings[place] = ranking.take(best)
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
        for row, place in enumerate(asked):
            ordinals = np.unique([part for identifier in given[place] for part in parts.get(identifier, ())])
            ordinals = ordinals.astype(np.int64)
            if request.allowed is not None:
                ordinals = ordinals[request.allowed[ordinals]]
            vector = vectors[row] if vectors is not None else None
            ranking = rank_given(snapshot, texts[row], vector, ordinals, request.mode, request.fusion)
            rankings[place] = ranking.take(first_of_each(ranking, request.documents, request.k))
        yield from rankings
    strangers = list(dict.fromkeys(identifier for ids in candidates for identifier in ids))
    if strangers and not known:
        first = ", ".join(map(repr, strangers[:3]))
        raise UsageError(
            f"none of the {len(strangers):,} candidates is in the index ({first}, ...); they seem to be "
            "documents of another collection. Give the index that was made of theirs"
        )


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


def first_of_each(ranking: Ranking, documents: Int64Array | None, k: int) -> Int64Array:
    """Places (at most k) of the best passage of each document, best first."""
    if documents is None:
        return np.arange(min(k, len(ranking.ordinals)))
    _, first = np.unique(documents[ranking.ordinals], return_index=True)
    return np.sort(first)[:k]
