"""Fusion: by scores, each side brought to a common scale, or by ranks alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias, get_args

import numpy as np

from leanseek.numbers import alike, minmax, zscore
from leanseek.types import BoolArray, Float32Array, Float64Array, Int64Array

LEAST_BM25: Final = 0.0
LEAST_COSINE: Final = -1.0
LEARNED_WEIGHT: Final = 0.05
"""The learned side's share in a fusion by default."""
AGREEMENT_DEPTH: Final = 10
"""How many of the best of each side are compared."""


class Side(NamedTuple):
    """One side's view of the union of all sides' candidates, in ascending order of (id, part).

    `scores` (c,) float32: the exact, finite score of every candidate of the union on this side, also of
    those that only another side returned. `found` (c,) bool: whether this side itself returned the
    candidate within its depth.
    """

    scores: Float32Array
    found: BoolArray


class Fusion(Protocol):
    """Makes one list of two or three.

    What every method keeps: the fused scores are finite; a candidate that is at least as good as another on
    all sides is never below it; nothing depends on how many queries are fused together; no candidates give
    an empty array.

    A method of one's own may take two sides alone: the learned one is asked only where the method has a
    `learned_weight` above 0.
    """

    def fuse(self, sparse: Side, dense: Side | None, learned: Side | None = None) -> Float32Array:
        """(c,) float32 fused scores of the union, higher is better, comparable only inside this query.

        `dense` is None where an index has no vectors, and then `learned` is not; `learned` is None where an index has
        no learned side, or it is not asked.
        """
        ...


class Weights(NamedTuple):
    """The shares of the sides, which add up to 1."""

    sparse: float
    dense: float
    learned: float


class WeightedFusion(ABC):
    """A fusion by the weighted mean of what the sides say, each on a scale.

    `dense_weight` is the dense side's share. `learned_weight` is the learned side's where it is asked, at most what the
    dense side leaves; the sparse side has the rest. Where there is no dense side the two others keep their proportion.
    """

    __slots__ = ()

    dense_weight: float
    learned_weight: float

    def fuse(self, sparse: Side, dense: Side | None, learned: Side | None = None) -> Float32Array:
        """(c,) float32."""
        return weighted_mean(
            self._sparse(sparse),
            self._dense(dense) if dense is not None else None,
            self._learned(learned) if learned is not None else None,
            self.dense_weight,
            self.learned_weight,
        )

    @abstractmethod
    def _sparse(self, side: Side) -> Float64Array:
        """(c,) what the sparse side says."""

    def _dense(self, side: Side) -> Float64Array:
        return self._sparse(side)

    def _learned(self, side: Side) -> Float64Array:
        return self._sparse(side)


def weighted_mean(
    sparse: Float64Array,
    dense: Float64Array | None,
    learned: Float64Array | None,
    dense_weight: float,
    learned_weight: float,
) -> Float32Array:
    """(c,) float32: the sides' scores, each times its share (see `WeightedFusion`)."""
    weights = shares(dense_weight, learned_weight if learned is not None else 0.0, dense is not None)
    fused = weights.sparse * sparse
    for weight, scores in ((weights.dense, dense), (weights.learned, learned)):
        if scores is not None:
            fused = fused + weight * scores
    return fused.astype(np.float32)


def shares(dense_weight: float, learned_weight: float, has_dense: bool = True) -> Weights:
    """The shares of the sides; `learned_weight` is 0 where the learned side is absent."""
    learned = min(learned_weight, 1.0 - dense_weight)
    sparse = 1.0 - dense_weight - learned
    if has_dense:
        return Weights(sparse, dense_weight, learned)
    # All to the dense side leaves nothing that the others could share in proportion.
    total = sparse + learned
    return Weights(sparse / total, 0.0, learned / total) if total else Weights(1.0, 0.0, 0.0)


def theoretical_minmax(scores: Float32Array, infimum: float) -> Float64Array:
    """(c,) float64 in [0, 1]: (s - infimum) / (max - infimum); all 0 where the maximum is not above it.

    A score below the infimum counts as the infimum: a cosine of -1.0000001, or the negative scores that some
    BM25 variants give to very frequent words.
    """
    values: Float64Array = scores.astype(np.float64)
    span = float(values.max(initial=infimum)) - infimum
    if span <= 0.0:
        return np.zeros_like(values)
    scaled: Float64Array = np.maximum((values - infimum) / span, 0.0)
    return scaled


@dataclass(frozen=True, slots=True)
class ConvexFusion(WeightedFusion):
    """Convex combination with theoretical min-max scaling (TM2C2), the default.

    scale(s) = (s - m) / (max - m), where m is the least score there can be: 0 for BM25 and the learned side, -1 for a
    cosine.
    Unlike the minimum of a list, m is the same for every query, so a side whose candidates are all about
    equally good does not have their small differences blown up.

    - Equal scores of a side become equal parts; with a maximum at or below m the side gives 0 to all (a query
      without known terms: the order is the dense one).
    - One hit: its scale is 1 on each side whose score is above m.
    - Scores below m count as m.
    - BM25L and BM25+ raise matching documents by a constant; m stays 0 for them.

    Sebastian Bruch, Siyu Gai, Amir Ingber: An Analysis of Fusion Functions for Hybrid Retrieval. ACM TOIS
    42(1), 2023, arXiv:2210.11934. The weight 0.8 on dense is theirs.
    """

    dense_weight: float = 0.8
    learned_weight: float = LEARNED_WEIGHT

    def _sparse(self, side: Side) -> Float64Array:
        return theoretical_minmax(side.scores, LEAST_BM25)

    def _dense(self, side: Side) -> Float64Array:
        return theoretical_minmax(side.scores, LEAST_COSINE)


def agreement_weights(dense_weight: float, learned_weight: float, agrees: bool) -> Weights:
    """The shares of three sides where the learned side agrees with the dense one more than BM25 does, and elsewhere."""
    sparse = (1.0 - dense_weight) / 2.0
    if not agrees:
        return shares(dense_weight, learned_weight / 4.0)
    learned = min(learned_weight, 1.0 - sparse)
    return Weights(sparse, 1.0 - sparse - learned, learned)


def agrees_more(sparse: Side, dense: Side, learned: Side) -> bool:
    """Whether more of the dense side's ten best are among the learned side's ten best than among BM25's."""
    terms, vectors, expanded = (
        (rank > 0) & (rank <= AGREEMENT_DEPTH) for rank in map(ranks, (sparse, dense, learned))
    )
    return int((expanded & vectors).sum()) > int((terms & vectors).sum())


@dataclass(frozen=True, slots=True)
class AgreementFusion(ConvexFusion):
    """`ConvexFusion` with shares that follow the query, the default where an index has a learned side.

    A learned sparse encoder is strong on the kind of texts it was trained for and weak elsewhere, and the dense side
    shows which: where the ten best of the learned side share more with its ten best than BM25's do, the shares are 0.1
    BM25, 0.7 dense and 0.2 learned; elsewhere 0.15, 0.8 and 0.05 (at the default weights). With one of the sides absent
    it is `ConvexFusion`, and equal shares of BM25 and the learned side without vectors.
    """

    learned_weight: float = 0.2

    def fuse(self, sparse: Side, dense: Side | None, learned: Side | None = None) -> Float32Array:
        """(c,) float32 in [0, 1]."""
        if learned is None:
            return weighted_mean(
                self._sparse(sparse), self._dense(dense) if dense else None, None, self.dense_weight, 0.0
            )
        if dense is None:
            return weighted_mean(self._sparse(sparse), None, self._learned(learned), 0.0, 0.5)
        weights = agreement_weights(
            self.dense_weight, self.learned_weight, agrees_more(sparse, dense, learned)
        )
        return weighted_mean(
            self._sparse(sparse), self._dense(dense), self._learned(learned), weights.dense, weights.learned
        )


@dataclass(frozen=True, slots=True)
class MinMaxFusion(WeightedFusion):
    """Weighted mean of min-max scaled scores: scale(s) = (s - min) / (max - min) over the union.

    - The best candidate of a side gets 1 and its worst 0, whatever they are; negative scores need no care.
    - Equal scores, one hit, or a side that knows none of the candidates: the side gives 0 to all.
    """

    dense_weight: float = 0.5
    learned_weight: float = LEARNED_WEIGHT

    def _sparse(self, side: Side) -> Float64Array:
        return minmax(side.scores)


@dataclass(frozen=True, slots=True)
class ZScoreFusion(WeightedFusion):
    """Weighted mean of z-scores: scale(s) = (s - mean) / standard deviation (population) over the union.

    - Fused scores are negative for candidates below the mean; none exceeds √(c - 1) in size.
    - Equal scores, one hit, or a side that knows none of the candidates: the side gives 0 to all.
    """

    dense_weight: float = 0.5
    learned_weight: float = LEARNED_WEIGHT

    def _sparse(self, side: Side) -> Float64Array:
        return zscore(side.scores)


def three_sigma(side: Side) -> Float64Array:
    """(c,) float64: (s - (mean - 3σ)) / 6σ, at least 0; mean and σ over the candidates that the side found.

    Where all found scores are the same: 0.5 for those at least as high, 0 below. Where none was found: all 0.
    """
    values: Float64Array = side.scores.astype(np.float64)
    found = values[side.found]
    if not found.size:
        return np.zeros_like(values)
    if alike(found):
        return np.where(values >= found[0], 0.5, 0.0)
    # Only an approximate search leaves a better candidate to the other side; it counts as the best one found.
    scaled: Float64Array = (np.minimum(values, found.max()) - found.mean()) / (6.0 * found.std()) + 0.5
    return np.maximum(scaled, 0.0)


@dataclass(frozen=True, slots=True)
class DistributionFusion(WeightedFusion):
    """Distribution-based score fusion (DBSF): the weighted mean of scale(s) = (s - (mean - 3σ)) / 6σ.

    Mean and σ (population) are those of each side's own list (`Side.found`), as DBSF is commonly defined; the
    other fusions by score take the union. A candidate that a side did not find keeps its exact score there,
    where other implementations give it 0; one below mean - 3σ gets 0.

    - Nothing is cut at mean + 3σ. In a list of hundreds the best answers stand beyond it, and a cut makes
      them all equal: in lists of 1,000 it took nDCG@10 on SciFact from 0.74 to 0.53.
    - Equal scores or one hit: 0.5 for them, 0 for candidates below.
    - An empty side gives 0 to all. Negative scores need no care.
    - The sides are averaged; implementations that add them order alike.
    """

    dense_weight: float = 0.5
    learned_weight: float = LEARNED_WEIGHT

    def _sparse(self, side: Side) -> Float64Array:
        return three_sigma(side)


Scale: TypeAlias = Literal["theoretical", "minmax", "zscore"]
SCALES: tuple[Scale, ...] = get_args(Scale)


def scaled(scores: Float32Array, scale: Scale, infimum: float) -> Float64Array:
    """(c,) float64: one side's scores (c,) on a scale; `infimum`, the least there can be, is for `theoretical`."""
    if scale == "theoretical":
        return theoretical_minmax(scores, infimum)
    return minmax(scores) if scale == "minmax" else zscore(scores)


@dataclass(frozen=True, slots=True)
class MixedFusion(WeightedFusion):
    """Weighted mean of the sides' scores, the sparse and the dense ones each on a scale of their own.

    `theoretical` is that of `ConvexFusion`, `minmax` and `zscore` are those of the fusions of these names; what they
    say of equal scores, one hit and negative scores holds for the side that has the scale. Both sides on one scale
    give that fusion's scores.

    A weight means another thing on another scale: z-scores spread several times as widely as scaled cosines do, so
    `theoretical+zscore` with 0.2 ranks about as `ConvexFusion` with 0.8. The learned side has the sparse side's scale.
    """

    sparse_scale: Scale
    dense_scale: Scale
    dense_weight: float = 0.5
    learned_weight: float = LEARNED_WEIGHT

    def _sparse(self, side: Side) -> Float64Array:
        return scaled(side.scores, self.sparse_scale, LEAST_BM25)

    def _dense(self, side: Side) -> Float64Array:
        return scaled(side.scores, self.dense_scale, LEAST_COSINE)


def ranks(side: Side) -> Int64Array:
    """(c,) int64: the rank from 1 of each candidate in the side's own list, 0 for one it did not find.

    Equal scores are ranked by position, which is ascending (id, part).
    """
    found = np.flatnonzero(side.found)
    order = np.argsort(-side.scores[found].astype(np.float64), kind="stable")
    result = np.zeros(len(side.found), dtype=np.int64)
    result[found[order]] = np.arange(1, len(found) + 1)
    return result


@dataclass(frozen=True, slots=True)
class ReciprocalRankFusion(WeightedFusion):
    """Reciprocal rank fusion: fused = (1 - w) / (k + sparse rank) + w / (k + dense rank), w = `dense_weight`, and the
    learned side's part likewise.

    - Ranks start at 1 inside each side's own list (`Side.found`); a candidate that a side did not find gets 0
      from it, although its exact score is known: the usual contract.
    - The weights sum to 1, so at w = 0.5 the scores are half of the customary 1/(k + r) + 1/(k + r'); the
      order is the same.
    - Equal scores of a side get successive ranks, in ascending (id, part).
    - An empty side adds 0. The size and sign of scores play no part.

    Gordon V. Cormack, Charles L. A. Clarke, Stefan Büttcher: Reciprocal Rank Fusion outperforms Condorcet and
    individual Rank Learning Methods. SIGIR 2009. k = 60 is theirs.
    """

    dense_weight: float = 0.5
    k: int = 60
    learned_weight: float = LEARNED_WEIGHT

    def _sparse(self, side: Side) -> Float64Array:
        rank = ranks(side)
        return np.where(rank > 0, 1.0 / (self.k + rank), 0.0)
