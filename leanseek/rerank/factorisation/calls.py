"""Calls of an expensive scorer, counted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from leanseek.errors import InputError, ModelError, UsageError
from leanseek.rerank.base import ByScore
from leanseek.types import BoolArray, Float64Array, Hit, Int64Array

PairScores: TypeAlias = "Callable[[str, Sequence[str]], Sequence[float] | NDArray[Any]]"
"""A scorer: (query, ids of c items) to their c scores, the higher the better. Each id counts as one call."""


class Found(NamedTuple):
    """The best items by their exact scores (k,), equal ones by id; `calls` is what they have cost."""

    ids: list[str]
    scores: Float64Array
    calls: int


class Calls:
    """One query's calls, never more than the budget. The items are known by their places in `ids`, which ascend."""

    def __init__(self, score: PairScores, query: str, ids: Sequence[str], budget: int) -> None:
        """Raises UsageError for a budget below 1."""
        if budget < 1:
            raise UsageError(f"a budget of {budget} calls is given; it must be at least 1")
        self._score = score
        self._query = query
        self._ids = ids
        self.budget = min(budget, len(ids))
        """How many calls may be made; an item is never scored twice, so no more than there are items."""
        self.scores: Float64Array = np.full(len(ids), np.nan)
        """(m,) what is known; NaN for items not scored."""

    @property
    def left(self) -> int:
        """How many calls the budget still has."""
        return self.budget - int(self.known.sum())

    @property
    def known(self) -> BoolArray:
        """(m,) which items are scored."""
        known: BoolArray = ~np.isnan(self.scores)
        return known

    def ask(self, places: Int64Array) -> None:
        """Have the items at distinct `places` (c,) scored, which must not be scored yet; as many as the budget has.

        Raises ModelError where the scorer does not give one finite score for each.
        """
        places = places[: self.left]
        if len(places):
            self.scores[places] = scored(self._score, self._query, [self._ids[place] for place in places])

    def ask_best(self, estimates: Float64Array, count: int) -> None:
        """Have the `count` items scored whose `estimates` (m,) are highest among those not scored yet."""
        open_places = np.flatnonzero(~self.known)
        # Stable, and places ascend by id: equal estimates by id.
        self.ask(open_places[np.argsort(-estimates[open_places], kind="stable")][:count])

    def best(self, k: int) -> Found:
        """The k best of what is scored. Raises UsageError for k below 1."""
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1")
        places = np.flatnonzero(self.known)
        order = places[np.argsort(-self.scores[places], kind="stable")][:k]
        return Found([self._ids[place] for place in order], self.scores[order], len(places))


def scored(score: PairScores, query: str, ids: Sequence[str]) -> Float64Array:
    """(c,) the scorer's scores. Raises ModelError where it does not give one finite score for each id."""
    found = np.asarray(score(query, ids), dtype=np.float64)
    if found.shape != (len(ids),) or not np.isfinite(found).all():
        raise ModelError(
            f"the scorer gave scores of shape {found.shape} for {len(ids)} items; one finite score for each is needed"
        )
    return found


def in_order(ids: Sequence[str]) -> Int64Array:
    """(m,) the places of distinct ids, ascending. Raises InputError for none or one that is there twice."""
    order = np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.int64)
    if not len(ids):
        raise InputError("there are no items to search; give at least one")
    twice = next((ids[a] for a, b in itertools.pairwise(order) if ids[a] == ids[b]), None)
    if twice is not None:
        raise InputError(f"the item '{twice}' is there twice; ids must be distinct")
    return order


def scores_of(reranker: ByScore, hits: Mapping[str, Hit]) -> PairScores:
    """A re-ranker as a scorer of the items in `hits`, which are known by their ids.

    What it gives a hit must not depend on the other hits of the call: items are scored a few at a time, and these
    scores are then compared.

    >>> search = Axn(ids, vectors)
    >>> search.search(scores_of(load_reranker("cross-encoder"), hits), query, vector, k=10, budget=200)

    Raises UsageError for re-rankers in context, for interpolated ones and for late interaction with a mix of several
    measures, whose scores tell the hits of one call apart.
    """
    check_alone(reranker)

    def score(query: str, ids: Sequence[str]) -> Float64Array:
        return reranker.judge([query], [[hits[identifier] for identifier in ids]])[0].scores

    return score


def check_alone(reranker: ByScore) -> None:
    """Raise UsageError for a re-ranker whose score of a hit depends on the others of the call."""
    from leanseek.rerank.combined import Interpolated
    from leanseek.rerank.incontext import InContextReranker
    from leanseek.rerank.lateinteraction import LateInteractionReranker

    if isinstance(reranker, InContextReranker):
        raise UsageError(
            f"'{reranker.name}' reads all hits in one prompt, so that scores of different calls cannot be compared; "
            "take a cross-encoder, or late interaction with MaxSim alone"
        )
    if isinstance(reranker, Interpolated) or (
        isinstance(reranker, LateInteractionReranker) and not reranker.alone
    ):
        raise UsageError(
            f"'{reranker.name}' mixes what tells the hits of one call apart, so that scores of different calls cannot "
            "be compared; take MaxSim alone: leanseek.rerank.lateinteraction.load(None, mix=Mix())"
        )
