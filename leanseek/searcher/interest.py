"""What a session's history says of a candidate: of the documents looked at, those that are like it, by hashing.

A history is long and has many interests; what counts for a candidate is the part of it that the candidate resembles.
Attention computes that from every item for every candidate. Hashing finds the items that resemble a candidate without
looking at the others: 16 times the items are put into 8 buckets, and a candidate sums the 16 buckets that it would be
put into itself (SDIM: Cao et al., "Sampling is all you need on modeling long-term user behaviors for CTR prediction",
CIKM 2022). Nothing is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from leanseek.errors import UsageError
from leanseek.indexing.search_source import SearchSource, check_vectors
from leanseek.searcher.ranking import rescored
from leanseek.types import Float32Array, Float64Array, Int64Array

if TYPE_CHECKING:
    from leanseek.searcher.ranking import Ranking
    from leanseek.searcher.request import Request

WEIGHT: Final = 0.1
"""How much the history counts where nothing else is said."""
PROJECTIONS: Final = 48
WIDTH: Final = 3
"""Projections of a group, whose signs name a bucket."""
GROUPS: Final = PROJECTIONS // WIDTH
BUCKETS: Final = 2**WIDTH


class InterestTable:
    """A history by its buckets: what a candidate of D dimensions needs of it, however long it is."""

    def __init__(self, items: Float32Array, shares: Float32Array | None = None) -> None:
        """`items` (h, D) are the unit vectors of the history; `shares` (h,) what each counts, by default 1."""
        self._projections = projections(items.shape[1])
        placed = self._placed(items)
        if shares is not None:
            placed *= shares[:, None]
        self._sums = placed.T @ items

    def interests(self, candidates: Float32Array) -> Float32Array:
        """(c, D) what the history has for each candidate (c, D): the sum of the buckets that the candidate is in.

        An item of the history at an angle of a counts (1 - a/π)³ in expectation, which is close to what softmax
        attention gives it: the weight of exp(2 cos a) but for its scale. It is 0 where the buckets are empty.
        """
        found: Float32Array = self._placed(candidates) @ self._sums
        return found

    def likeness(self, candidates: Float32Array) -> Float64Array:
        """(c,) the cosine of each candidate (c, D) with the interest for it; 0 where there is none."""
        interests = self.interests(candidates).astype(np.float64)
        norms = np.linalg.norm(interests, axis=1) * np.linalg.norm(candidates.astype(np.float64), axis=1)
        products = np.einsum("cd,cd->c", interests, candidates.astype(np.float64))
        found: Float64Array = np.divide(products, norms, out=np.zeros(len(norms)), where=norms > 0)
        return found

    def _placed(self, vectors: Float32Array) -> Float32Array:
        """(n, GROUPS · BUCKETS) 1 for the buckets that each vector (n, D) is in, one of each group."""
        signs = (vectors @ self._projections > 0).reshape(len(vectors), GROUPS, WIDTH)
        buckets = signs @ (1 << np.arange(WIDTH)) + BUCKETS * np.arange(GROUPS)
        placed = np.zeros((len(vectors), GROUPS * BUCKETS), np.float32)
        np.put_along_axis(placed, buckets, 1.0, axis=1)
        return placed


def projections(dimensions: int) -> Float32Array:
    """(D, PROJECTIONS) random directions, the same for all vectors of so many dimensions."""
    drawn = np.random.default_rng(dimensions).standard_normal((dimensions, PROJECTIONS))
    return drawn.astype(np.float32)


@dataclass(frozen=True, slots=True)
class History:
    """The documents of a session as their `table`, and how much they count: `weight` in [0, 1]."""

    table: InterestTable
    weight: float

    def likeness(self, snapshot: SearchSource, ordinals: Int64Array) -> Float64Array:
        """(c,) how like the passages at global ordinals (c,) are to what was looked at, in [-1, 1]."""
        return self.table.likeness(snapshot.vectors(ordinals))


def choose_history(snapshot: SearchSource, ids: Sequence[str] | None, weight: float | None) -> History | None:
    """The history of a session's documents; None without any.

    Every passage is an item of the history, and those of a document count as one together; a document that is named
    twice counts twice. Raises UsageError for a document that the index does not have, a weight that is none, and
    where there are no vectors to compare.
    """
    if ids is None:
        if weight is not None:
            raise UsageError(
                "history_weight is how much a history counts; give history too, the ids of documents"
            )
        return None
    if isinstance(ids, str) or not all(isinstance(one, str) for one in ids):
        raise UsageError(f"history is {ids!r}; give a list of document ids")
    share = WEIGHT if weight is None else weight
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise UsageError(f"history_weight is {share!r}; it must be from 0, no weight, to 1")
    if not ids:
        return None
    check_vectors(snapshot, "a history is compared by the vectors of the index", "leave history out")
    parts = snapshot.find(list(dict.fromkeys(ids)))
    unknown = [one for one in dict.fromkeys(ids) if one not in parts]
    if unknown:
        raise UsageError(
            f"the history names {', '.join(map(repr, unknown[:3]))}{', …' if len(unknown) > 3 else ''}, which the "
            f"index does not have; leave {'it' if len(unknown) == 1 else 'those'} out"
        )
    ordinals = np.array([ordinal for one in ids for ordinal in sorted(parts[one])], np.int64)
    shares = np.array([1 / len(parts[one]) for one in ids for _ in parts[one]], np.float32)
    return History(InterestTable(snapshot.vectors(ordinals), shares), float(share))


def drawn(ranking: Ranking, request: Request) -> Ranking:
    """The ranking with what is like the session's history raised, where the request has one.

    A score gains `weight` times the likeness, times the best score above the lowest one that is possible, which is
    about 1 for fused scores: so it means the same for cosines, for BM25 and for what fuses both.
    """
    history = request.history
    if history is None or not history.weight or not len(ranking.ordinals):
        return ranking
    scores = ranking.scores.astype(np.float64)
    reach = float(scores.max() - min(0.0, scores.min())) or 1.0
    gains = history.weight * reach * history.likeness(request.snapshot, ranking.ordinals)
    return rescored(ranking, (scores + gains).astype(np.float32), request.snapshot)
