"""Several wordings of one question: each is searched, each scores what all have found, one ranking comes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from leanseek.errors import UsageError
from leanseek.indexing.sparse.base import Candidates
from leanseek.numbers import distinct
from leanseek.searcher.collapse import may_have_more
from leanseek.searcher.fusion.methods import Fusion, Side, ranks
from leanseek.searcher.ranking import Ranking, Sides, SideView, WordingView, fused_scores, views_of
from leanseek.searcher.request import Request
from leanseek.searcher.search import (
    EMPTY,
    Asked,
    adjusted,
    asked_of,
    first,
    first_of_each,
    judged,
    search_all,
    searched,
    with_operators,
    with_query,
)
from leanseek.types import Float64Array


def wordings_of(query: str | None, queries: Sequence[str] | None) -> list[str]:
    """The wordings of one question, each once, blank ones left out; where all are blank, one of them.

    Raises UsageError where there is none, or `queries` is no list of strings.
    """
    if isinstance(queries, str) or not all(isinstance(one, str) for one in queries or ()):
        raise UsageError(f"queries is {queries!r}; give a list of strings, the wordings of one question")
    given = [*([query] if query is not None else []), *(queries or ())]
    if not given:
        raise UsageError("there is nothing to search for: give a query, or at least one wording in queries")
    return list(dict.fromkeys(one for one in given if not isinstance(one, str) or one.strip())) or given[:1]


def rankings_of(request: Request) -> Iterator[Ranking]:
    """The ranking of each query of a request over the whole index; of one with several wordings, that of all."""
    if not request.wordings:
        yield from search_all(request)
        return
    alone = request.alone(0)
    yield from with_operators(alone, [search_wordings(alone)])


def search_wordings(request: Request) -> Ranking:
    """The ranking of a request's only query and its other wordings, over the whole index.

    The encoders get all wordings at once, and every wording scores all passages, whichever has found them. The
    probability of a passage is the mean of those that the wordings give it, which are estimates of the same: on
    SciFact's training claims it has a Brier score of .094, the largest .134, the first wording's .104.
    """
    snapshot = request.snapshot
    asked = asked_of(replace(request, queries=[*request.queries, *request.wordings]))[1]
    if not asked:
        return EMPTY
    depth = min(request.depth, max(snapshot.size, 1))
    while True:
        sides = searched(request, asked, depth)
        ranking = adjusted(rank_wordings(request, asked, sides, depth), request, asked[0].as_typed)
        results = first_of_each(ranking, request)
        seen = seen_by(first(results, request.k))
        copied = request.collapse and any(
            may_have_more(one, found, depth) for one, found in zip(seen, sides, strict=True)
        )
        enough = len(results.ordinals) >= request.reach and not copied
        if enough or ranking.complete or depth >= snapshot.size:
            break
        # Many of the candidates were passages of the same documents, or copies: search deeper.
        depth = min(depth * 4, snapshot.size)
    results = with_query(results, asked[0])
    chances = [
        judged(request, one, view, found).probabilities
        for one, view, found in zip(asked, seen_by(results), sides, strict=True)
    ]
    known = [one for one in chances if one is not None]
    return results._replace(probabilities=np.mean(known, axis=0) if known else None)


def seen_by(ranking: Ranking) -> list[Ranking]:
    """The ranking as each of its wordings sees the passages on the sparse and the dense side."""
    return [ranking._replace(sparse=view.sparse, dense=view.dense) for view in ranking.wordings]


def rank_wordings(request: Request, asked: Sequence[Asked], sides: Sequence[Sides], depth: int) -> Ranking:
    """The ranking of all candidates of all wordings, at most `depth` of each side for each; see `combined`.

    Ranks and scores by side are those of the first wording.
    """
    snapshot, fusion = request.snapshot, request.generation.fusion
    lists = [
        Sides(cut_at(mine.sparse, depth), cut_at(mine.dense, depth), learned=cut_at(mine.learned, depth))
        for mine in sides
    ]
    found = [one for mine in lists for one in (mine.sparse, mine.dense, mine.learned) if one is not None]
    union = snapshot.passages.in_order(distinct(np.concatenate([one.ordinals for one in found])))
    by_side = [
        views_of(snapshot, one.text, one.vector, mine, union, one.learned)
        for one, mine in zip(asked, lists, strict=True)
    ]
    views = tuple(wording_view(*one, fusion) for one in by_side)
    scores = combined(np.stack([view.fused.scores for view in views]).astype(np.float64)).astype(np.float32)
    # Stable: equal scores stay in order of ids.
    order = np.argsort(-scores, kind="stable")
    complete = all(len(one.ordinals) < depth for one in found)
    sparse, dense, learned = by_side[0]
    return Ranking(union, scores, sparse, dense, complete, learned=learned, wordings=views).take(order)


def cut_at(found: Candidates | None, depth: int) -> Candidates | None:
    """The first `depth` of a side's candidates."""
    return None if found is None else Candidates(found.scores[:depth], found.ordinals[:depth])


def wording_view(
    sparse: SideView | None, dense: SideView | None, learned: SideView | None, fusion: Fusion
) -> WordingView:
    """What a wording makes of passages, given in order of their ids, by the views of its sides."""
    seen = [view for view in (sparse, dense, learned) if view is not None]
    scores = fused_scores(sparse, dense, learned, fusion) if len(seen) > 1 else seen[0].scores
    mine = np.logical_or.reduce([view.ranks > 0 for view in seen])
    return WordingView(SideView(ranks(Side(scores, mine)), scores), sparse, dense)


def combined(scores: Float64Array) -> Float64Array:
    """(c,) in [0, 1]: what several wordings' scores (m, c) come to, halfway between the best and the mean.

    Each wording's scores are first put on a scale from its least to its best, 0 to 1; where all are equal they are 1.
    The mean prefers what several wordings agree on, the best what answers one of them: on SciFact's training claims
    that cite the same abstracts the two together are as good as the mean (nDCG@10 .781; best .766, reciprocal ranks
    .755), and for two claims about different abstracts they find both as often as the best does (.73, mean .62).
    """
    if not scores.size:
        return np.zeros(scores.shape[1])
    least, best = scores.min(axis=1, keepdims=True), scores.max(axis=1, keepdims=True)
    reach = best - least
    scaled = np.where(reach > 0, (scores - least) / np.where(reach > 0, reach, 1.0), 1.0)
    found: Float64Array = (scaled.max(axis=0) + scaled.mean(axis=0)) / 2
    return found
