"""Why each hit is where it is: its standing on both sides, the terms it shares with the query, a snippet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from leanseek.indexing.analysis import Analyzer
from leanseek.searcher.ranking import Ranking, SideView
from leanseek.searcher.snippets import matched_terms, snippet
from leanseek.types import Explanation, Hit, Stage, content


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
