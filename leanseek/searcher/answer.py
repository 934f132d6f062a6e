"""Why each hit is where it is: its standing on both sides, the terms it shares with the query, a snippet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final, NamedTuple

import numpy as np

from leanseek.indexing.snapshot import Snapshot
from leanseek.rerank.base import append, past
from leanseek.searcher.ranking import Ranking, SideView
from leanseek.searcher.relevance.judge import cut
from leanseek.searcher.request import Request
from leanseek.searcher.second_stage import SecondStage
from leanseek.searcher.snippets import matched_terms, snippet
from leanseek.text import Analyzer
from leanseek.types import (
    Answer,
    Explanation,
    Hit,
    Passage,
    Progress,
    Ranked,
    Reached,
    Snippet,
    Stage,
    content,
)


def explain_hits(hits: Sequence[Hit], ranking: Ranking, query: str, analyzer: Analyzer) -> list[Hit]:
    """The same hits, each with its `Explanation`; the ranking's places are the hits'."""
    terms = tuple(dict.fromkeys(analyzer.tokens(query)))
    return [
        replace(
            hit,
            explanation=Explanation(
                sparse=stage(ranking.sparse, place),
                dense=stage(ranking.dense, place),
                terms=matched_terms(content(hit.title, hit.text), analyzer, terms),
                snippet=snippet(hit.text, analyzer, terms),
            ),
        )
        for place, hit in enumerate(hits)
    ]


def stage(view: SideView | None, place: int) -> Stage | None:
    """One side's rank and score of the hit at a place of the ranking; None where that side was not asked."""
    if view is None:
        return None
    rank = int(view.ranks[place])
    return Stage(rank or None, float(view.scores[place]))


def make_hits(snapshot: Snapshot, query: str, ranking: Ranking, explain: bool = False) -> list[Hit]:
    """The hits of a ranking, in its order, with its probabilities."""
    passages = snapshot.passages.get(ranking.ordinals)
    chances: list[float] | list[None] = [None] * len(passages)
    if ranking.probabilities is not None:
        chances = ranking.probabilities.tolist()
    hits = [
        Hit(
            rank=rank,
            id=stored.id,
            score=float(score),
            title=stored.title,
            text=stored.text,
            metadata=stored.metadata,
            passage=Passage(stored.number, stored.parts, stored.start) if stored.parts > 1 else None,
            probability=chance,
        )
        for rank, (stored, score, chance) in enumerate(zip(passages, ranking.scores, chances, strict=True), 1)
    ]
    return explain_hits(hits, ranking, query, snapshot.passages.analyzer) if explain else hits


TOGETHER = 16
"""Queries whose hits are re-ranked together."""

TO_EXPLAIN: Final = Explanation(None, None, (), Snippet(""))
"""Tells a re-ranker that its hits are to be explained; the search explains, later, those that are shown."""


class Finished(NamedTuple):
    """A query's hits, and how far their re-ranking came; None where there was none."""

    hits: list[Hit]
    reached: Reached | None


def finish(
    snapshot: Snapshot,
    queries: Sequence[str],
    rankings: Iterable[Ranking],
    k: int,
    *,
    explain: bool = False,
    second: SecondStage | None = None,
    progress: Progress | None = None,
) -> Iterator[Finished]:
    """At most k hits of each query's ranking."""
    if second is None:
        for query, ranking in zip(queries, rankings, strict=True):
            yield Finished(make_hits(snapshot, query, first(ranking, k), explain), None)
        return
    pairs, done = zip(queries, rankings, strict=True), 0
    while block := list(islice(pairs, TOGETHER)):
        hits = [make_hits(snapshot, query, ranking) for query, ranking in block]
        if explain:
            hits = [[replace(hit, explanation=TO_EXPLAIN) for hit in one] for one in hits]
        found = second.rerank([query for query, _ in block], hits, within(progress, done, queries))
        done += len(block)
        for (query, ranking), one in zip(block, found, strict=True):
            best = one.hits[:k]
            if explain:
                # A hit's first standing is its place in the ranking.
                places = np.array([past(hit)[0].rank - 1 for hit in best], np.int64)
                shown = explain_hits(best, ranking.take(places), query, snapshot.passages.analyzer)
                best = list(map(with_both, best, shown))
            yield Finished(best, Reached(one.reached, one.asked))


def with_both(judged: Hit, found: Hit) -> Hit:
    """The hit as the search explains it, with what a re-ranker has said of it beyond that, its snippet first."""
    said, why = judged.explanation, found.explanation
    if said is None or said is TO_EXPLAIN or why is None:
        return found
    return replace(found, explanation=replace(said, sparse=why.sparse, dense=why.dense, terms=why.terms))


def make_answer(
    snapshot: Snapshot,
    query: str,
    ranking: Ranking,
    request: Request,
    k: int,
    *,
    explain: bool = False,
    second: SecondStage | None = None,
    progress: Progress | None = None,
) -> Answer:
    """At most k hits of a query's ranking that reach the request's threshold, and what that left out."""
    kept, left_out, place = cut(ranking, request.threshold, request.k)
    [(hits, reached)] = finish(
        snapshot, [query], [kept], k, explain=explain, second=second, progress=progress
    )
    nearest = None
    if place is not None:
        [nearest] = make_hits(snapshot, query, ranking.take(np.array([place])), explain)
        nearest = replace(nearest, rank=place + 1)
    return Answer(hits, request.threshold, left_out, nearest, reached)


def finish_ranked(
    snapshot: Snapshot,
    queries: Sequence[str],
    rankings: Iterable[Ranking],
    k: int,
    *,
    second: SecondStage | None = None,
    progress: Progress | None = None,
) -> Iterator[list[Ranked]]:
    """The same without texts: they are read of those hits alone that may be judged."""
    if second is None:
        for ranking in rankings:
            yield ranked(snapshot, first(ranking, k))
        return
    pairs, done = zip(queries, rankings, strict=True), 0
    while block := list(islice(pairs, TOGETHER)):
        heads = [make_hits(snapshot, query, first(ranking, second.reach)) for query, ranking in block]
        found = second.rerank([query for query, _ in block], heads, within(progress, done, queries))
        done += len(block)
        for (_, ranking), head, one in zip(block, heads, found, strict=True):
            tail = ranked(snapshot, ranking.take(np.arange(len(head), len(ranking.ordinals))))
            if not one.reached:
                yield [*(Ranked(hit.id, hit.score) for hit in one.hits), *tail][:k]
                continue
            rest = [Hit(0, identifier, score, "", "", {}) for identifier, score in tail]
            yield [Ranked(hit.id, hit.score) for hit in append(one.hits, rest)[:k]]


def within(progress: Progress | None, done: int, queries: Sequence[str]) -> Progress | None:
    """Tells of a block's pairs as so many queries, after the first `done` of all; of a single query's as they are."""
    if progress is None or len(queries) == 1:
        return progress
    block = min(TOGETHER, len(queries) - done)
    return lambda stage, pairs, total: progress(
        stage, done + block * pairs // max(total or 0, 1), len(queries)
    )


def first(ranking: Ranking, k: int) -> Ranking:
    """The first k of a ranking."""
    return ranking.take(np.arange(min(k, len(ranking.ordinals))))


def ranked(snapshot: Snapshot, ranking: Ranking) -> list[Ranked]:
    """Ids and scores of a ranking."""
    ids = snapshot.passages.ids(ranking.ordinals)
    return list(map(Ranked._make, zip(ids, ranking.scores.tolist(), strict=True)))
