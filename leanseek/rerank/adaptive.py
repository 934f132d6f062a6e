"""Adaptive re-ranking: the scores of the first candidates decide which candidates are scored next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol, TypeAlias, cast

import numpy as np

from leanseek.encode.batches import Deadline
from leanseek.errors import ModelError, UsageError
from leanseek.numbers import zscore
from leanseek.rerank.base import ByScore, Reranker
from leanseek.types import Float32Array, Float64Array, Int64Array

ADAPTIVE: Final = "adaptive"
"""Where the history of a hit begins that the search did not return."""

ROUNDS: Final = 5
STRENGTH: Final = 0.1
"""Of the ridge. Chosen on Vaswani, with late interaction as the scorer (see docs/adaptive.md)."""

ScoreItems: TypeAlias = Callable[[Int64Array], Float64Array]
"""From the numbers of c items to their c scores, higher is better. NaN: not scored, for lack of time or of tokens."""


class CandidateSource(Protocol):
    """The items that may be scored, known by their numbers."""

    def nearest(self, vector: Float64Array, count: int, called: Int64Array) -> Int64Array:
        """Numbers (at most `count`) of the items nearest to a vector (D,), best first.

        Items in `called` (c,), for which the scorer was called already, are left out.
        """
        ...

    def vectors(self, numbers: Int64Array) -> Float32Array:
        """(c, D) the vectors of c items."""
        ...


def check_scorer(reranker: Reranker) -> ByScore:
    """The re-ranker itself. Raises UsageError where its scores of different calls cannot be compared."""
    if not hasattr(reranker, "judge"):
        raise UsageError(
            f"'{reranker.name}' gives hits no scores of their own, which adaptive re-ranking needs; "
            "take a single cross-encoder"
        )
    # A re-ranker of one's own need not say so.
    if not getattr(reranker, "alone", True):
        raise UsageError(
            f"'{reranker.name}' scores the hits of a call beside each other (in one prompt, in a mix, or by extracts), "
            "so the scores of different calls cannot be compared. Adaptive re-ranking takes a cross-encoder that reads "
            "passages by maxp, top2 or firstp, or late interaction by MaxSim alone: "
            "leanseek.rerank.lateinteraction.load(RerankOptions(mix=Mix()))"
        )
    return cast("ByScore", reranker)


def adaptive_scores(
    first: Iterable[int],
    query: Float32Array,
    candidates: CandidateSource,
    score: ScoreItems,
    budget: int,
    *,
    rounds: int = ROUNDS,
    deadline: Deadline | None = None,
) -> dict[int, float]:
    """The scores of at most `budget` items by their numbers, in the order of the calls; NaN for those not scored.

    The first round scores items from `first`, in that order. After each round a vector is fitted to all scores so
    far (see `fitted`), and the next round scores the items nearest to it for which the scorer was not called yet.
    The rounds share the budget evenly. With one round it is plain re-ranking of `first`; with a budget of all items
    every item is scored. `query` (D,) is the query's own vector. No round begins after the `deadline`, nor after one
    that could not score all of its items in time.

    Yadav, Monath, Zaheer, Fergus, McCallum: "Adaptive Retrieval and Scalable Indexing for k-NN Search with
    Cross-Encoders", ICLR 2024; here with the item vectors of the dense encoder as they are.

    Raises UsageError for a budget or rounds below 1; ModelError where the scorer does not give one score for each
    item, or an infinite one.
    """
    if budget < 1:
        raise UsageError(f"a budget of {budget} calls is given; it must be at least 1")
    if rounds < 1:
        raise UsageError(f"{rounds} rounds are given; it must be at least 1")
    own = query.astype(np.float64)
    start = np.fromiter(first, dtype=np.int64)
    called = np.zeros(0, dtype=np.int64)
    scores = np.zeros(0)
    for number in range(rounds):
        # What a round leaves of its share, for lack of items, goes to the later ones.
        count = -(-(budget - len(called)) // (rounds - number))
        late = deadline is not None and (not deadline.allows() or bool(np.isnan(scores).any()))
        if not count or late:
            break
        if number:
            known = ~np.isnan(scores)
            items = candidates.vectors(called[known]).astype(np.float64)
            chosen = candidates.nearest(fitted(items, scores[known], own), count, called)[:count]
        else:
            chosen = start[:count]
        if len(chosen):
            called = np.concatenate([called, chosen])
            scores = np.concatenate([scores, checked(score(chosen), len(chosen))])
    return dict(zip(called.tolist(), scores.tolist(), strict=True))


def fitted(
    items: Float64Array, scores: Float64Array, query: Float64Array, strength: float = STRENGTH
) -> Float64Array:
    """(D,) the vector whose products with other items estimate their scores, up to scale and shift.

    u = argmin |Vu - a|² + strength * |u - q|², with V the vectors `items` (c, D) and a their `scores` (c,), scaled to
    the products of V with q, the `query` (D,). The query's own vector, moved as far as the scores ask for: with few
    scores u stays near q, so that it ranks no worse than the dense search; with more it follows them. Without any it
    is q.

    Raises UsageError for a strength that is not above 0.
    """
    if not 0 < strength < float("inf"):
        raise UsageError(f"the strength is {strength}; it must be more than 0")
    if not len(items):
        return query
    own = items @ query
    # On the scale of the products, the strength means the same for every scorer; equal scores are all the mean.
    wanted = own.mean() + own.std() * zscore(scores)
    # The dual form: one unknown for each score, usually fewer than dimensions.
    gram = items @ items.T + strength * np.eye(len(items))
    u: Float64Array = query + items.T @ np.linalg.solve(gram, wanted - own)
    return u


def checked(scores: Float64Array, count: int) -> Float64Array:
    """The scores (count,). Raises ModelError for another shape or infinite scores."""
    found = np.asarray(scores, dtype=np.float64)
    if found.shape != (count,) or np.isinf(found).any():
        raise ModelError(
            f"the scorer gave scores of shape {found.shape} for {count} items; one finite score for each is needed"
        )
    return found
