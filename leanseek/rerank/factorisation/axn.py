"""Search by an expensive scorer from dense vectors alone, adapting to its scores as they come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leanseek.errors import UsageError
from leanseek.rerank.factorisation.calls import Calls, Found, PairScores, in_order
from leanseek.rerank.factorisation.fitting import Fit, Ridge
from leanseek.types import Float32Array, Float64Array

ROUNDS = 10


class Axn:
    """Looks where the scores so far point to, in rounds.

    The first round scores the items nearest to the query's own vector. After each, a vector is fitted to all scores
    so far, and the next round scores the unscored items nearest to that. With one round it is retrieve-and-rerank;
    with a budget of all items it is exact. (Yadav et al.: "Adaptive Retrieval and Scalable Indexing for k-NN Search
    with Cross-Encoders", ICLR 2024, with the item vectors of the dense encoder as they are.)
    """

    def __init__(
        self, ids: Sequence[str], vectors: Float32Array, *, rounds: int = ROUNDS, fit: Fit | None = None
    ) -> None:
        """`vectors` (m, D) are those of the items `ids`; `fit` is `Ridge()` where None is given.

        Raises UsageError for shapes that do not fit or rounds below 1, InputError for no ids or repeated ones.
        """
        if vectors.ndim != 2 or len(vectors) != len(ids):
            raise UsageError(
                f"there are {len(ids)} ids and vectors of shape {vectors.shape}; give one vector each"
            )
        if rounds < 1:
            raise UsageError(f"{rounds} rounds are given; it must be at least 1")
        order = in_order(ids)
        self._ids = [ids[place] for place in order]
        self._vectors = np.ascontiguousarray(vectors[order], dtype=np.float32)
        self._rounds = rounds
        self._fit = fit if fit is not None else Ridge()

    def search(
        self, score: PairScores, query: str, vector: Float32Array, k: int = 10, *, budget: int
    ) -> Found:
        """The k best items found for a query with its `vector` (D,), with at most `budget` calls of the scorer.

        Raises UsageError for a vector of another length, k or a budget below 1; ModelError where the scorer does not
        give one finite score for each item.
        """
        if vector.shape != self._vectors.shape[1:]:
            raise UsageError(
                f"the query's vector has the shape {vector.shape}; that of the items is {self._vectors.shape[1:]}"
            )
        calls = Calls(score, query, self._ids, budget)
        own = vector.astype(np.float64)
        towards = own
        for count in shares(calls.budget, self._rounds):
            calls.ask_best(self._products(towards), count)
            if calls.left:
                known = calls.known
                towards = self._fit(self._vectors[known].astype(np.float64), calls.scores[known], own)
        return calls.best(k)

    def _products(self, vector: Float64Array) -> Float64Array:
        """(m,) the items' inner products with a vector."""
        return (self._vectors @ vector.astype(np.float32)).astype(np.float64)


def shares(budget: int, rounds: int) -> list[int]:
    """The budget in at most so many parts as equal as can be, the larger first."""
    each, more = divmod(budget, rounds)
    return [each + (number < more) for number in range(rounds) if each + (number < more)]
