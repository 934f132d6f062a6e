"""Adaptive re-ranking over an index: the re-ranker's scores lead to passages that the search did not return."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from leanseek.rerank.adaptive import ADAPTIVE, adaptive_scores, check_scorer
from leanseek.rerank.base import Judged, Reranked, reorder
from leanseek.searcher.collapse import collapse_hits
from leanseek.searcher.ranking import Ranking, Sides, SideView
from leanseek.searcher.relevance.features import LIST_DEPTH
from leanseek.searcher.request import Request
from leanseek.searcher.search import asked_of, judged, searched
from leanseek.searcher.second_stage import SecondStage, part_of
from leanseek.types import Float32Array, Float64Array, Hit, Int64Array, Progress, Standing

MakeHits = Callable[[Ranking], list[Hit]]


def rerank_adaptively(
    request: Request,
    second: SecondStage,
    query: str,
    ranking: Ranking,
    hits: Sequence[Hit],
    make_hits: MakeHits,
    progress: Progress | None = None,
) -> Reranked:
    """The `hits` of a query's ranking and those that its re-ranker's scores led to, best first.

    Scored hits come first by their scores, equal ones by id; the rest of the ranking follows in its order. Of a
    document the passage is shown that was scored. A hit that the search did not return begins its history with its
    place among the candidates of the round that found it. `reached` is how many passages were scored of `asked`.
    """
    if not len(ranking.ordinals):
        return Reranked([], 0, 0)
    reranker, depth = second.cascade.steps[0]
    budget = depth if isinstance(depth, int) else len(ranking.ordinals)
    scorer, deadline = check_scorer(reranker), second.deadline()
    candidates = PassageCandidates(request, query, ranking, hits, make_hits)
    probabilities: dict[int, float] = {}
    calls = 0

    def score(ordinals: Int64Array) -> Float64Array:
        nonlocal calls
        given = [candidates.hits[ordinal] for ordinal in ordinals.tolist()]
        tell = part_of(progress, calls, len(given), budget) if progress is not None else None
        [one] = scorer.judge([query], [given], progress=tell, deadline=deadline)
        calls += len(given)
        if one.probabilities is not None:
            probabilities.update(zip(ordinals.tolist(), one.probabilities.tolist(), strict=True))
        scored: Float64Array = one.scores
        return scored

    scores = adaptive_scores(
        ranking.ordinals, candidates.vector, candidates, score, budget, deadline=deadline
    )
    reached = [ordinal for ordinal, one in scores.items() if not np.isnan(one)]
    asked = len(scores)
    if deadline is not None and (len(reached) < asked or not deadline.allows()):
        asked = max(asked, min(budget, candidates.count))
    shown = candidates.shown(reached)
    by_scorer = Judged(
        np.array([scores.get(ordinal, np.nan) for ordinal in shown]),
        np.array([probabilities.get(ordinal, np.nan) for ordinal in shown]),
    )
    best = reorder([candidates.hits[ordinal] for ordinal in shown], by_scorer, reranker.name)
    result = Reranked(collapse_hits(best.hits) if request.collapse else best.hits, len(reached), asked)
    second.record([result])
    return result


class PassageCandidates:
    """The passages that a request may return for a query, by their global ordinals; one of each document."""

    def __init__(
        self, request: Request, query: str, ranking: Ranking, hits: Sequence[Hit], make_hits: MakeHits
    ) -> None:
        self._request = request
        self._query = query
        self._ranked = ranking.ordinals.tolist()
        self._make_hits = make_hits
        self._sides: Sides | None = None
        [self._asked] = asked_of(replace(request, queries=[query], cut=[]))[1]
        assert self._asked.vector is not None, "a search without vectors is refused"
        self.vector: Float32Array = self._asked.vector
        """(D,) the query's own."""
        self.hits: dict[int, Hit] = dict(zip(self._ranked, hits, strict=True))
        """Those of the ranking and of every round so far."""

    @property
    def count(self) -> int:
        """How many passages the request admits."""
        return self._request.snapshot.count(self._request.allowed)

    def nearest(self, vector: Float64Array, count: int, called: Int64Array) -> Int64Array:
        """See `CandidateSource`. They become `hits`."""
        request, snapshot = self._request, self._request.snapshot
        depth = min(count + len(called), snapshot.size)
        while True:
            [found] = snapshot.dense_search(vector[None].astype(np.float32), depth, request.allowed)
            documents = self._documents(found.ordinals)
            _, first = np.unique(documents, return_index=True)
            places = np.sort(first[~np.isin(documents[first], self._documents(called))])[:count]
            if len(places) == count or len(found.ordinals) < depth or depth == snapshot.size:
                break
            # Many of them were passages of the same documents: search deeper.
            depth = min(depth * 4, snapshot.size)
        standings = {
            int(found.ordinals[place]): Standing(ADAPTIVE, rank, float(found.scores[place]))
            for rank, place in enumerate(places.tolist(), 1)
        }
        self._add({ordinal: one for ordinal, one in standings.items() if ordinal not in self.hits})
        return found.ordinals[places]

    def vectors(self, numbers: Int64Array) -> Float32Array:
        """See `CandidateSource`."""
        return self._request.snapshot.vectors(numbers)

    def shown(self, reached: list[int]) -> list[int]:
        """The passages to show where those `reached` were scored: the ranking's in its order, then the others.

        Of a document that has a scored passage it is this one. What the search did not return has to reach the
        request's threshold, like everything else.
        """
        least, ranked = self._request.threshold, set(self._ranked)
        others = [
            ordinal
            for ordinal in reached
            if ordinal not in ranked and (least is None or (self.hits[ordinal].probability or 0.0) >= least)
        ]
        replaced = np.isin(
            self._documents(np.array(self._ranked)), self._documents(np.array(others, np.int64))
        )
        kept = [ordinal for ordinal, gone in zip(self._ranked, replaced.tolist(), strict=True) if not gone]
        return [*kept, *others]

    def _documents(self, ordinals: Int64Array) -> Int64Array:
        """(c,) the numbers of the passages' documents; of the passages where each is a result of its own."""
        documents = self._request.documents
        return ordinals if documents is None else documents[ordinals]

    def _add(self, standings: dict[int, Standing]) -> None:
        """Make hits of passages that the search did not return, with their standing as the start of their history."""
        if not standings:
            return
        request, snapshot = self._request, self._request.snapshot
        ordinals = np.array(sorted(standings), dtype=np.int64)
        by_vector = snapshot.dense_score(self.vector, ordinals)
        no_rank = np.zeros(len(ordinals), dtype=np.int64)
        sparse = learned = None
        if request.mode == "hybrid":
            sparse = SideView(no_rank, snapshot.sparse.score(self._asked.text, ordinals))
        if self._asked.learned is not None:
            learned = SideView(no_rank, snapshot.learned.score(self._asked.learned, ordinals))
        dense = SideView(no_rank, by_vector)
        ranking = Ranking(ordinals, by_vector, sparse, dense, complete=False, learned=learned)
        ranking = ranking._replace(expansion=self._asked.learned)
        if request.judge is not None:
            if self._sides is None:
                [self._sides] = searched(request, [self._asked], LIST_DEPTH)
            ranking = judged(request, self._asked, ranking, self._sides)
        for ordinal, hit in zip(ordinals.tolist(), self._make_hits(ranking), strict=True):
            one = standings[ordinal]
            self.hits[ordinal] = replace(hit, rank=one.rank, score=one.score, history=(one,))
