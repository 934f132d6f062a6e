"""From a ranking of passages to the hits that a user sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.explaining import explain_hits
from leanseek.searcher.ranking import Ranking
from leanseek.searcher.relevance.serving import cut
from leanseek.types import Answer, Hit, Passage


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


def make_answer(
    snapshot: Snapshot, query: str, ranking: Ranking, threshold: float | None, k: int, explain: bool = False
) -> Answer:
    """At most k hits that reach the threshold, and what it left out."""
    found = cut(ranking, threshold, k)
    hits = make_hits(snapshot, query, found.kept, explain)
    if found.nearest is None:
        return Answer(hits, threshold, found.left_out)
    [nearest] = make_hits(snapshot, query, ranking.take(np.array([found.nearest])), explain)
    return Answer(hits, threshold, found.left_out, replace(nearest, rank=found.nearest + 1))
