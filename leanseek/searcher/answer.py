"""From rankings to answers: cut to what is wanted, re-ranked where there is a second stage, shown as hits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from leanseek.indexing.passages import StoredPassage
from leanseek.indexing.search_source import SearchSource
from leanseek.reading.outline import marks, without_outline
from leanseek.searcher.diversity import diverse_hits, diverse_list, ordinals_of
from leanseek.searcher.ranking import Ranking, SideView
from leanseek.searcher.relevance.judge import Cut, cut
from leanseek.searcher.request import Request
from leanseek.searcher.search import first
from leanseek.text import Analyzer
from leanseek.types import (
    Answer,
    ExpandedTerm,
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

if TYPE_CHECKING:
    from leanseek.rerank.base import Reranked
    from leanseek.searcher.second_stage import SecondStage

TOGETHER = 16
"""Queries whose hits are re-ranked together."""


def answers(request: Request, rankings: Iterable[Ranking]) -> Iterator[Answer]:
    """The answer to each query: at most k hits that reach the threshold, and what the threshold left out."""
    snapshot, second, done = request.snapshot, request.second, 0
    pairs = zip(request.queries, rankings, strict=True)
    while block := list(islice(pairs, TOGETHER if second is not None else 1)):
        queries = [query for query, _ in block]
        cuts = [cut(ranking, request.threshold, request.reach) for _, ranking in block]
        hits = [shown_hits(request, query, one.kept) for (query, _), one in zip(block, cuts, strict=True)]
        reranked: list[Reranked] | None = None
        if second is not None:
            reranked = rerank(request, second, queries, [one.kept for one in cuts], hits, done)
        done += len(block)
        for place, (query, ranking) in enumerate(block):
            best, reached = hits[place], None
            if reranked is not None:
                best, reached = reranked[place].hits, Reached(reranked[place].reached, reranked[place].asked)
            if request.diversity:
                best = diverse_hits(snapshot, best, request.diversity)
            yield Answer(
                with_snippets(best[: request.k], worded(request, query), snapshot.passages.analyzer),
                request.threshold,
                cuts[place].left_out,
                nearest_hit(request, query, ranking, cuts[place]),
                reached,
                operators=ranking.operators,
                expansion=ranking.expanded,
                constraints=ranking.constraints,
                ngrams=ranking.ngrams,
                coverage=snapshot.coverage,
            )
        if request.progress is not None and second is None and len(request.queries) > 1:
            request.progress("searching", done, len(request.queries))


def ranked_lists(request: Request, rankings: Iterable[Ranking]) -> Iterator[list[Ranked]]:
    """At most k documents for each query, without their texts: those are read only where they are re-ranked."""
    snapshot, second, done = request.snapshot, request.second, 0
    kept = (cut(ranking, request.threshold, request.reach).kept for ranking in rankings)
    if second is None:
        for done, ranking in enumerate(kept, 1):
            found = ranked(snapshot, ranking if request.diversity else first(ranking, request.k))
            yield diverse_list(snapshot, ranking.ordinals, found, request.diversity)[: request.k]
            if request.progress is not None:
                request.progress("searching", done, len(request.queries))
        return
    from leanseek.rerank.base import excess_over

    pairs = zip(request.queries, kept, strict=True)
    while block := list(islice(pairs, TOGETHER)):
        # A document that adaptive re-ranking adds may stand anywhere in the ranking.
        tops = [ranking if second.adaptive else first(ranking, second.reach) for _, ranking in block]
        heads = [make_hits(snapshot, top) for top in tops]
        reranked = rerank(request, second, [query for query, _ in block], tops, heads, done)
        done += len(block)
        for (_, ranking), head, one in zip(block, heads, reranked, strict=True):
            tail = ranked(snapshot, ranking.take(np.arange(len(head), len(ranking.ordinals))))
            if one.reached and tail:
                excess = excess_over(one.hits[-1].score, tail[0].score)
                tail = [Ranked(identifier, score - excess) for identifier, score in tail]
            found = [*(Ranked(hit.id, hit.score) for hit in one.hits), *tail]
            if request.diversity:
                ordinals = np.concatenate([ordinals_of(snapshot, one.hits), ranking.ordinals[len(head) :]])
                found = diverse_list(snapshot, ordinals, found, request.diversity)
            yield found[: request.k]


def rerank(
    request: Request,
    second: SecondStage,
    queries: Sequence[str],
    rankings: Sequence[Ranking],
    hits: Sequence[Sequence[Hit]],
    done: int,
) -> list[Reranked]:
    """The queries' hits re-ranked; `rankings` are those that the hits were made of, `done` queries came before."""
    if not second.adaptive:
        return second.rerank(queries, hits, block_progress(request, done, len(queries)))
    from leanseek.searcher.feedback import rerank_adaptively

    return [
        rerank_adaptively(
            request.alone(done + place),
            second,
            query,
            ranking,
            hits[place],
            lambda passages, query=query: shown_hits(request, query, passages),  # type: ignore[misc]
            block_progress(request, done + place, 1),
        )
        for place, (query, ranking) in enumerate(zip(queries, rankings, strict=True))
    ]


def make_hits(snapshot: SearchSource, ranking: Ranking, explain: bool = False) -> list[Hit]:
    """The hits of a ranking, in its order, with its probabilities.

    With `explain` each has an explanation of its place on both sides; `with_snippets` adds terms and snippet, which
    take far longer, to the hits that are returned.
    """
    passages = snapshot.passages.get(ranking.ordinals)
    chances: list[float] | list[None] = [None] * len(passages)
    if ranking.probabilities is not None:
        chances = ranking.probabilities.tolist()
    return [
        hit_of(
            stored,
            place + 1,
            score,
            chance,
            Explanation(
                stage(ranking.sparse, place),
                stage(ranking.dense, place),
                (),
                Snippet(""),
                learned=stage(ranking.learned, place),
                wordings=tuple(stage_in(view.fused, place) for view in ranking.wordings),
            )
            if explain
            else None,
            copies_of(snapshot, ranking, stored.id, place) if ranking.copies else (),
        )
        for place, (stored, score, chance) in enumerate(zip(passages, ranking.scores, chances, strict=True))
    ]


def hit_of(
    stored: StoredPassage,
    rank: int,
    score: float,
    probability: float | None = None,
    explanation: Explanation | None = None,
    copies: tuple[str, ...] = (),
) -> Hit:
    """A passage of the index as a hit; where its pages and sections begin becomes its marks."""
    return Hit(
        rank=rank,
        id=stored.id,
        score=float(score),
        title=stored.title,
        text=stored.text,
        metadata=without_outline(stored.metadata),
        passage=Passage(stored.number, stored.parts, stored.start) if stored.parts > 1 else None,
        probability=probability,
        explanation=explanation,
        copies=copies,
        marks=marks(stored.metadata, stored.start, stored.start + len(stored.text)),
    )


def shown_hits(request: Request, query: str, ranking: Ranking) -> list[Hit]:
    """The hits of a query's ranking; explained where the request asks for it, with what the learned side matched."""
    hits = make_hits(request.snapshot, ranking, request.explain)
    if request.recency is not None and request.explain:
        hits = [
            replace(hit, explanation=replace(hit.explanation, freshness=request.recency.of(hit.metadata)))
            for hit in hits
            if hit.explanation is not None
        ]
    if request.history is not None and request.explain and hits:
        likeness = request.history.likeness(request.snapshot, ranking.ordinals).tolist()
        hits = [
            replace(hit, explanation=replace(hit.explanation, interest=one))
            for hit, one in zip(hits, likeness, strict=True)
            if hit.explanation is not None
        ]
    expansion = ranking.expansion
    if not request.explain or expansion is None:
        return hits
    encoder = request.generation.learned.load()
    asked = encoder.own_terms(query)
    explained = []
    for hit, ordinal in zip(hits, ranking.ordinals.tolist(), strict=True):
        matched = request.snapshot.learned.matched(expansion, ordinal)
        terms = np.array([one.term for one in matched], np.int32)
        own = np.isin(terms, np.intersect1d(asked, encoder.own_terms(content(hit.title, hit.text))))
        expanded = tuple(
            ExpandedTerm(word, one.score, not here)
            for word, one, here in zip(encoder.words(terms), matched, own.tolist(), strict=True)
        )
        assert hit.explanation is not None, "the request explains hits"
        explained.append(replace(hit, explanation=replace(hit.explanation, expanded=expanded)))
    return explained


def covered(share: float) -> str:
    """The sentence on a share of a cluster's passages that was searched."""
    return f"only {share:.1%} of the passages were searched: not all shards answered"


def copies_of(snapshot: SearchSource, ranking: Ranking, document: str, place: int) -> tuple[str, ...]:
    """The ids of the other documents that the one at a place of the ranking stands for."""
    copies = ranking.copies.get(int(ranking.ordinals[place]))
    found = dict.fromkeys(snapshot.passages.ids(copies) if copies is not None else ())
    found.pop(document, None)
    return tuple(found)


def stage(view: SideView | None, place: int) -> Stage | None:
    """One side's rank and score of the hit at a place of the ranking; None where that side was not searched."""
    return None if view is None else stage_in(view, place)


def stage_in(view: SideView, place: int) -> Stage:
    """The rank and the score in a view of the hit at a place of the ranking."""
    return Stage(int(view.ranks[place]) or None, float(view.scores[place]))


def worded(request: Request, query: str) -> str:
    """The text whose words a hit's explanation looks for: the query, with its further wordings if there are any."""
    return " ".join([query, *request.wordings]) if request.wordings else query


def with_snippets(hits: Sequence[Hit], query: str, analyzer: Analyzer) -> list[Hit]:
    """The hits; explanations gain the query's terms in the text, and a snippet unless a re-ranker gave one."""
    if all(hit.explanation is None for hit in hits):
        return list(hits)
    from leanseek.searcher.snippets import matched_terms, snippet

    terms = tuple(dict.fromkeys(analyzer.tokens(query)))
    return [
        hit
        if hit.explanation is None
        else replace(
            hit,
            explanation=replace(
                hit.explanation,
                terms=matched_terms(content(hit.title, hit.text), analyzer, terms),
                snippet=hit.explanation.snippet
                if hit.explanation.snippet.text
                else snippet(hit.text, analyzer, terms),
            ),
        )
        for hit in hits
    ]


def nearest_hit(request: Request, query: str, ranking: Ranking, kept: Cut) -> Hit | None:
    """The most probable hit where none reaches the threshold, with the rank it would have had; else None."""
    if kept.nearest is None:
        return None
    snapshot = request.snapshot
    [hit] = with_snippets(
        shown_hits(request, query, ranking.take(np.array([kept.nearest]))),
        worded(request, query),
        snapshot.passages.analyzer,
    )
    return replace(hit, rank=kept.nearest + 1)


def block_progress(request: Request, done: int, block: int) -> Progress | None:
    """Reports the re-ranked hits of a block as so many queries after the first `done`; a single query's as they are."""
    progress, total = request.progress, len(request.queries)
    if progress is None or total == 1:
        return progress
    return lambda stage, pairs, of: progress(stage, done + block * pairs // max(of or 0, 1), total)


def ranked(snapshot: SearchSource, ranking: Ranking) -> list[Ranked]:
    """Ids and scores of a ranking."""
    ids = snapshot.passages.ids(ranking.ordinals)
    return list(map(Ranked._make, zip(ids, ranking.scores.tolist(), strict=True)))
