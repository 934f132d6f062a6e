"""From what the shards find for a query to what one index finds: the same candidates, lists and scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from leanseek.cluster.questions import Found, Scored
from leanseek.indexing.snapshot import best_first
from leanseek.indexing.sparse.base import Candidates
from leanseek.searcher.ranking import Lists, Sides, SideView, with_settled_list
from leanseek.types import Float32Array, Int64Array


class Merged(NamedTuple):
    """A query's `sides` over all shards; `ids` of the documents of all passages that any returned, by global
    ordinal; none where nobody needs them.

    `ordinals` (c,) ascending are those passages', and `scores` theirs on each side.
    """

    sides: Sides
    ids: dict[int, str]
    ordinals: Int64Array
    scores: Scored


def merge(ordinals: Sequence[Int64Array], found: Sequence[Found], depth: int, listed: int) -> Merged:
    """What shards have `found`, each time some together, as one index with all their passages.

    `ordinals` are the global ones (u,) of each of `found`. `depth` candidates of each side are kept, and `listed`
    scores of each list.
    """
    # One that has all of the collection gives no ids: the others have nothing then.
    some = [place for place, ours in enumerate(ordinals) if len(ours)] or [0]
    parts = [found[place] for place in some]
    order, together = None, ordinals[some[0]]
    if len(some) > 1:
        together = np.concatenate([ordinals[place] for place in some])
        order = np.argsort(together)
        together = together[order]
    names = [identifier for one in parts for identifier in one.ids]
    ids = names if order is None else [names[place] for place in order.tolist()]

    def keys(asked: Int64Array) -> list[tuple[str, int]]:
        places = np.searchsorted(together, asked).tolist()
        return [(ids[place], ordinal) for place, ordinal in zip(places, asked.tolist(), strict=True)]

    def side(views: Sequence[SideView | None]) -> tuple[Candidates | None, Float32Array | None]:
        there = [view for view in views if view is not None]
        if not there:
            return None, None
        if order is None:  # in their order already
            [(ranks, scores)] = there
            mine = np.flatnonzero(ranks)
            best = mine[np.argsort(ranks[mine])[:depth]]
        else:
            scores = np.concatenate([view.scores for view in there])[order]
            mine = np.flatnonzero(np.concatenate([view.ranks for view in there])[order])
            best = mine[best_first(scores[mine], together[mine], keys)[:depth]]
        return Candidates(scores[best], together[best]), scores

    sparse, by_terms = side([one.sparse for one in parts])
    dense, by_vector = side([one.dense for one in parts])
    learned, by_expansion = side([one.learned for one in parts])
    sides = with_settled_list(Sides(sparse, dense, merged_lists(found, listed), learned))
    named = dict(zip(together.tolist(), ids, strict=True)) if ids else {}
    return Merged(sides, named, together, Scored(by_terms, by_vector, by_expansion))


def merged_lists(found: Sequence[Found], listed: int) -> Lists | None:
    """The best scores of each side over all shards, unsettled."""
    lists = [one.lists for one in found if one.lists is not None]
    if not lists:
        return None
    sparse = [one.sparse for one in lists if one.sparse is not None]
    return Lists(
        descending([one.dense for one in lists])[:listed],
        descending(sparse)[:listed] if sparse else None,
    )


def descending(parts: Sequence[Float32Array]) -> Float32Array:
    """All scores of several lists, best first."""
    merged: Float32Array = np.sort(np.concatenate(parts))[::-1]
    return merged
