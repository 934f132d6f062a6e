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
    """A query's `sides` over all shards; `ids` of the documents of their candidates, by global ordinal.

    `ordinals` (c,) ascending are all that any shard returned, and `scores` theirs on each side.
    """

    sides: Sides
    ids: dict[int, str]
    ordinals: Int64Array
    scores: Scored


def merge(bases: Int64Array, found: Sequence[Found], depth: int, listed: int) -> Merged:
    """What the shards whose global ordinals begin at `bases` (s,) have `found`, as one index with all their passages.

    `depth` candidates of each side are kept, and `listed` scores of each list.
    """
    ordinals = np.concatenate([one.ordinals + base for one, base in zip(found, bases.tolist(), strict=True)])
    ids = [identifier for one in found for identifier in one.ids]

    def keys(asked: Int64Array) -> list[tuple[str, int]]:
        places = np.searchsorted(ordinals, asked).tolist()
        return [(ids[place], ordinal) for place, ordinal in zip(places, asked.tolist(), strict=True)]

    def side(views: Sequence[SideView | None]) -> tuple[Candidates | None, Float32Array | None]:
        there = [view for view in views if view is not None]
        if not there:
            return None, None
        scores = np.concatenate([view.scores for view in there])
        mine = np.flatnonzero(np.concatenate([view.ranks for view in there]))
        best = mine[best_first(scores[mine], ordinals[mine], keys)[:depth]]
        return Candidates(scores[best], ordinals[best]), scores

    sparse, by_terms = side([one.sparse for one in found])
    dense, by_vector = side([one.dense for one in found])
    learned, by_expansion = side([one.learned for one in found])
    sides = with_settled_list(Sides(sparse, dense, merged_lists(found, listed), learned))
    kept = np.unique(np.concatenate([one.ordinals for one in (sparse, dense, learned) if one is not None]))
    names = dict(
        zip(kept.tolist(), (ids[place] for place in np.searchsorted(ordinals, kept).tolist()), strict=True)
    )
    return Merged(sides, names, ordinals, Scored(by_terms, by_vector, by_expansion))


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
