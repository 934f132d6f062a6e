"""From a ranking of passages to the hits that a user sees."""

from __future__ import annotations

from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.explaining import explain_hits
from leanseek.searcher.ranking import Ranking
from leanseek.types import Hit, Passage


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
