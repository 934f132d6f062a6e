"""The title that a query is about, such as a page's: by its words, and by the titles of what the query finds."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence, Set
from typing import Final, NamedTuple

from leanseek.filters import Comparison, Element
from leanseek.text import Analyzer
from leanseek.types import Constraint
from leanseek.understanding.field_table import TITLE

CANDIDATES: Final = 20
"""So many of the first candidates that have a title are looked at."""
LEAST: Final = 0.65
"""A title that is less sure is not linked."""
BIAS: Final = 0.0
WEIGHTS: Final = (0.75, -0.7, 1.65, 6.1)
"""Of the logistic function of `Evidence`, fitted to development questions of WikiQA and SelQA, of sparse and of hybrid
search (benchmarks/constraints.py)."""
_ASIDE: Final = re.compile(r"\s*\([^)]*\)\s*$")
"""What tells a title from others of the same words: Tissue (biology)."""


Rarity = Callable[[str], Sequence[float]]
"""How rare each of a text's different terms is, in the order of their first occurrence."""


class Evidence(NamedTuple):
    """What speaks for a title: the share of its terms that the query has, by how rare they are; the best score among
    the candidates with it, on a scale from their least to their best, 0 to 1; and by how much it leads before the next
    title in both."""

    cover: float
    standing: float
    cover_lead: float
    standing_lead: float


def link_title(
    query: str, candidates: Sequence[tuple[str, float]], analyzer: Analyzer, rarity: Rarity | None = None
) -> Constraint | None:
    """The title that a query is most probably about, of those of its candidates (title and score, best first).

    None where none is probable enough, such as where every document has a title of its own that the query does not
    name. The characters are those of the words that the title and the query share. Without `rarity` all terms weigh
    the same.
    """
    spans = analyzer.spans(query)
    found = title_evidence({span.token for span in spans}, candidates, analyzer, rarity)
    if not found:
        return None
    title, evidence = found[0]
    sure = confidence(evidence)
    if sure < LEAST:
        return None
    terms = set(analyzer.tokens(title))
    shared = [span for span in spans if span.token in terms]
    start, end = (min(span.start for span in shared), max(span.end for span in shared)) if shared else (0, 0)
    condition = Comparison(TITLE, "=", Element(title, "string"))
    return Constraint(TITLE, str(condition), start, end, sure)


def title_evidence(
    asked: Set[str],
    candidates: Sequence[tuple[str, float]],
    analyzer: Analyzer,
    rarity: Rarity | None = None,
) -> list[tuple[str, Evidence]]:
    """What speaks for each title of the candidates (an empty one is none), the most probable first.

    `asked` are the terms of the query. Where all scores are equal none stands out.
    """
    titled = [one for one in candidates if one[0]][:CANDIDATES]
    least = min((score for _, score in titled), default=0.0)
    reach = max((score for _, score in titled), default=0.0) - least
    standings: dict[str, float] = {}
    for title, score in titled:
        scaled = (score - least) / reach if reach > 0 else 0.0
        standings[title] = max(standings.get(title, 0.0), scaled)
    covers = {title: cover_of(title, asked, analyzer, rarity) for title in standings}
    found = [
        (title, Evidence(covers[title], standing, lead(covers, title), lead(standings, title)))
        for title, standing in standings.items()
    ]
    return sorted(found, key=lambda one: (-logit(one[1]), one[0]))


def cover_of(title: str, asked: Set[str], analyzer: Analyzer, rarity: Rarity | None) -> float:
    """The share of a title's terms, without what stands in brackets behind it, that are among those asked."""
    bare = _ASIDE.sub("", title) or title
    terms = list(dict.fromkeys(analyzer.tokens(bare)))
    weights = [1.0] * len(terms) if rarity is None else rarity(bare)
    total = sum(weights)
    return (
        sum(weight for term, weight in zip(terms, weights, strict=True) if term in asked) / total
        if total
        else 0.0
    )


def lead(values: dict[str, float], title: str) -> float:
    """By how much the value of a title is above the best of the others."""
    return values[title] - max((value for other, value in values.items() if other != title), default=0.0)


def logit(evidence: Evidence) -> float:
    """The log-odds of a title."""
    return BIAS + sum(weight * value for weight, value in zip(WEIGHTS, evidence, strict=True))


def confidence(evidence: Evidence) -> float:
    """How probable it is that a query is about a title, in (0, 1)."""
    return 1 / (1 + math.exp(-logit(evidence)))
