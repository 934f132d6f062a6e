"""One result of all with the same text: the best by rank, which then stands for the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from leanseek.indexing.search_source import SearchSource
from leanseek.searcher.ranking import Ranking, Sides, SideView
from leanseek.types import BoolArray, Hit

SAME_SCORE = 1e-5
"""The dense side scores a passage within this however it comes to it."""


def text_key(title: str, text: str) -> str:
    """What two results with the same text share: the text but for its white space, or the title of one without."""
    return " ".join(text.split()) or " ".join(title.split())


def collapsed(ranking: Ranking, snapshot: SearchSource) -> Ranking:
    """The first of all passages with the same text, in the order of the ranking; `copies` are the others."""
    first: dict[str, int] = {}
    copies: dict[int, list[int]] = {}
    kept = []
    for place, passage in enumerate(snapshot.passages.get(ranking.ordinals)):
        key = text_key(passage.title, passage.text)
        if key in first:
            copies.setdefault(first[key], []).append(int(ranking.ordinals[place]))
        else:
            first[key] = int(ranking.ordinals[place])
            kept.append(place)
    return ranking.take(np.array(kept, np.int64))._replace(
        copies={ordinal: np.array(others, np.int64) for ordinal, others in copies.items()}
    )


def may_have_more(results: Ranking, sides: Sides, depth: int) -> bool:
    """Whether copies of the results may be beyond the `depth` candidates of each side.

    Copies have the same scores, so that a side has found all those of what scores higher than its last candidate.
    """
    beyond = np.ones(len(results.ordinals), np.bool_)
    for view, found, least in (
        (results.sparse, sides.sparse, 0.0),
        (results.dense, sides.dense, -np.inf),
        (results.learned, sides.learned, 0.0),
    ):
        if view is not None and found is not None:
            last = float(found.scores[depth - 1]) if len(found.scores) >= depth else least
            beyond &= not_above(view, last)
    return bool(beyond.any())


def not_above(view: SideView, score: float) -> BoolArray:
    """(c,) whether the scores of a side are not above one, as far as rounding tells."""
    found: BoolArray = view.scores <= score + SAME_SCORE
    return found


def collapse_hits(hits: Sequence[Hit]) -> list[Hit]:
    """The first of all hits with the same text, which takes over the ids of the others; ranks from 1."""
    first: dict[str, Hit] = {}
    for hit in hits:
        key = text_key(hit.title, hit.text)
        better = first.get(key)
        if better is None:
            first[key] = replace(hit, rank=len(first) + 1)
        else:
            others = dict.fromkeys((*better.copies, hit.id, *hit.copies))
            others.pop(better.id, None)
            first[key] = replace(better, copies=tuple(others))
    return list(first.values())
