"""Search by an expensive scorer from what it said of anchor queries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leanseek.errors import UsageError
from leanseek.rerank.factorisation.calls import Calls, Found, PairScores, in_order, scored
from leanseek.rerank.factorisation.fitting import pseudo_inverse
from leanseek.types import Float32Array, Int64Array, Progress

RIDGE = 1e-5


class AnncurIndex:
    """A query's scores of all items, estimated as a combination of anchor queries' scores.

    Beforehand every item is scored with each of some anchor queries: R (queries, items). A query's scores of a few
    anchor items, c, then tell how it is made of the anchor queries, c R[:, anchors]⁺, and so its scores of all
    items: c R[:, anchors]⁺ R. The best of these are scored exactly. (Yadav, Monath, Angell, Zaheer, McCallum:
    "Efficient Nearest Neighbor Search for Cross-Encoder Models using Matrix Factorization", EMNLP 2022.)
    """

    def __init__(
        self, ids: Sequence[str], scores: Float32Array, *, ridge: float = RIDGE, seed: int = 0
    ) -> None:
        """From what is scored already: `scores` (queries, m) of the anchor queries with the items `ids`.

        `ridge` damps what the anchors hardly tell, see `pseudo_inverse`. `seed` draws the order of the anchor items.

        Raises UsageError for shapes that do not fit, scores that are not finite or a ridge below 0; InputError for
        no ids or repeated ones.
        """
        if scores.ndim != 2 or scores.shape[1] != len(ids) or not len(scores):
            raise UsageError(
                f"there are {len(ids)} ids and scores of shape {scores.shape}; give (queries, ids)"
            )
        if not np.isfinite(scores).all():
            raise UsageError("some of the anchor queries' scores are not finite; score them again")
        if not ridge >= 0:
            raise UsageError(f"the ridge is {ridge}; it must be 0 or more")
        order = in_order(ids)
        self._ids = [ids[place] for place in order]
        self._scores = np.ascontiguousarray(scores[:, order], dtype=np.float32)
        self._ridge = ridge
        self._anchors: Int64Array = np.random.default_rng(seed).permutation(len(ids))

    @classmethod
    def build(
        cls,
        score: PairScores,
        anchor_queries: Sequence[str],
        ids: Sequence[str],
        *,
        ridge: float = RIDGE,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> AnncurIndex:
        """Have every item scored with every anchor query: queries times items calls, which is the whole cost.

        Raises UsageError for no anchor queries, and what the constructor raises; ModelError where the scorer does not
        give one finite score for each item.
        """
        if not anchor_queries or isinstance(anchor_queries, str):
            raise UsageError("anchor_queries must be a list of at least one query")
        in_order(ids)
        rows = []
        for done, query in enumerate(anchor_queries, 1):
            rows.append(scored(score, query, ids).astype(np.float32))
            if progress is not None:
                progress("scoring anchor queries", done, len(anchor_queries))
        return cls(ids, np.stack(rows), ridge=ridge, seed=seed)

    @property
    def ids(self) -> list[str]:
        """The items, ascending."""
        return list(self._ids)

    @property
    def scores(self) -> Float32Array:
        """(queries, m) the anchor queries' scores of the items; what the constructor takes to make this index again."""
        return self._scores

    def search(
        self, score: PairScores, query: str, k: int = 10, *, budget: int, anchors: int | None = None
    ) -> Found:
        """The k best items found for a query, with at most `budget` calls of the scorer.

        `anchors` of these go to anchor items, half of them where None is given. Their exact scores count too.

        Raises UsageError for k or a budget below 1 or anchors that are not from 1 to the budget; ModelError where the
        scorer does not give one finite score for each item.
        """
        calls = Calls(score, query, self._ids, budget)
        anchors = (calls.budget + 1) // 2 if anchors is None else anchors
        if not 1 <= anchors <= budget:
            raise UsageError(
                f"{anchors} anchors are given; they must be from 1 to the budget, which is {budget}"
            )
        chosen = self._anchors[: min(anchors, calls.budget)]
        calls.ask(chosen)
        if calls.left:
            of_anchors = self._scores[:, chosen].astype(np.float64)
            parts = calls.scores[chosen] @ pseudo_inverse(of_anchors, self._ridge)
            calls.ask_best(parts @ self._scores, calls.left)
        return calls.best(k)
