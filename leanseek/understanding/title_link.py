"""The title that a query is about, such as a page's: by its words, and by the titles of what the query finds."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from leanseek.filters import Comparison, Element
from leanseek.text import Analyzer
from leanseek.types import Constraint
from leanseek.understanding.field_table import TITLE

VOTERS: Final = 20
"""So many of the first candidates that have a title vote for theirs."""
LEAST: Final = 0.5
"""A title that is less sure is not linked."""
BIAS: Final = -1.1
WEIGHTS: Final = (2.0, -1.5, 3.4, 7.0)
"""Of the logistic function of `Evidence`, fitted to WikiQA's development questions (benchmarks/constraints.py)."""
_ASIDE: Final = re.compile(r"\s*\([^)]*\)\s*$")
"""What tells a title from others of the same words: Tissue (biology)."""


class Evidence(NamedTuple):
    """What speaks for a title: the share of its terms that the query has, the share of the voters' weight that is for
    it, and by how much it leads before the next title in both."""

    cover: float
    vote: float
    cover_lead: float
    vote_lead: float


def link_title(query: str, titles: Sequence[str], analyzer: Analyzer) -> Constraint | None:
    """The title, of those of the query's candidates (best first), that the query is most probably about.

    None where none is probable enough, such as where every document has a title of its own that the query does not
    name. The characters are those of the words that the title and the query share.
    """
    spans = analyzer.spans(query)
    found = title_evidence([span.token for span in spans], titles, analyzer)
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
    terms: Sequence[str], titles: Sequence[str], analyzer: Analyzer
) -> list[tuple[str, Evidence]]:
    """What speaks for each of the titles (of candidates, best first; empty for none), the most probable first."""
    asked = set(terms)
    voters = [title for title in titles if title][:VOTERS]
    votes: dict[str, float] = {}
    for place, title in enumerate(voters):
        votes[title] = votes.get(title, 0.0) + 1 / (1 + place)
    total = sum(votes.values())
    covers = {title: cover_of(title, asked, analyzer) for title in votes}
    shares = {title: vote / total for title, vote in votes.items()}
    found = [
        (title, Evidence(covers[title], shares[title], lead(covers, title), lead(shares, title)))
        for title in votes
    ]
    return sorted(found, key=lambda one: (-logit(one[1]), one[0]))


def cover_of(title: str, asked: set[str], analyzer: Analyzer) -> float:
    """The share of a title's terms, without what stands in brackets behind it, that are among those asked."""
    terms = set(analyzer.tokens(_ASIDE.sub("", title))) or set(analyzer.tokens(title))
    return len(terms & asked) / len(terms) if terms else 0.0


def lead(values: dict[str, float], title: str) -> float:
    """By how much the value of a title is above the best of the others."""
    return values[title] - max((value for other, value in values.items() if other != title), default=0.0)


def logit(evidence: Evidence) -> float:
    """The log-odds of a title."""
    return BIAS + sum(weight * value for weight, value in zip(WEIGHTS, evidence, strict=True))


def confidence(evidence: Evidence) -> float:
    """How probable it is that a query is about a title, in (0, 1)."""
    return 1 / (1 + math.exp(-logit(evidence)))
