"""Fitting a `ListCurve`: its shape by what it gains in every field, its scale by likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from leanseek.numbers import zscore
from leanseek.searcher.relevance.features import LEAST_SPREAD
from leanseek.searcher.relevance.list_curve import ListCurve
from leanseek.searcher.relevance.model import Judged
from leanseek.train.relevance.material import Candidates
from leanseek.types import BoolArray, Float64Array, Progress

RANKS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
LEADS: Final = (0.0, 0.5, 1.0)
LEXICAL: Final = (0.2, 0.4)
MATCHED: Final = (2.0, 4.0, 6.0)
MOST_TRIED: Final = 200
"""Queries of a field by which shapes are compared."""
TOLERATED: Final = 0.005
"""How much less PR-AUC than the z score a collection may have."""
DEARER: Final = 10.0
"""What a loss beyond that costs, in units of the mean gain."""
RIDGE: Final = 0.05
ROUNDS: Final = 100


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """The lists of one collection's judged queries, called `name` (as `scifact:train`)."""

    name: str
    lists: Sequence[Candidates]

    @property
    def relevant(self) -> BoolArray:
        """(n,) which of the candidates of all queries are relevant, where their relevance is known."""
        return np.concatenate([one.relevant[one.counts] for one in self.lists])

    def standings(self, curve: ListCurve) -> Float64Array:
        """(n,) what the log odds rise with, of the same candidates."""
        return np.concatenate([standing(one, curve)[one.counts] for one in self.lists])

    def zscores(self) -> Float64Array:
        """(n,) z scores of what the lists are ordered by."""
        return np.concatenate([zscore(one.score, least=LEAST_SPREAD)[one.counts] for one in self.lists])

    def best(self, curve: ListCurve) -> float:
        """The mean strength of the queries' best candidates."""
        strengths = [strength(one, curve) for one in self.lists]
        return float(np.mean([found.max() for found in strengths if len(found)]))


def strength(one: Candidates, curve: ListCurve) -> Float64Array:
    """(c,) see `ListCurve.strength`."""
    return curve.strength(*(part.astype(np.float64) for part in (one.z, one.lexical, one.matched)))


def standing(one: Candidates, curve: ListCurve) -> Float64Array:
    """(c,) see `ListCurve.standing`."""
    found = strength(one, curve)
    if not len(found):
        return found
    listed = np.sort(found)[::-1] if curve.lexical or curve.matched else one.listed.astype(np.float64)
    return curve.standing(found, listed)


class Tried(NamedTuple):
    """PR-AUC of every shape (s, f) on every field, and of the z score (f,)."""

    shapes: tuple[ListCurve, ...]
    areas: Float64Array
    zscores: Float64Array

    def best(self, rows: Sequence[int]) -> ListCurve:
        """The shape with the highest mean gain over the z score on the fields `rows`; a loss of more than `TOLERATED`
        on any of them counts `DEARER` times. Of equal ones the first, which is the simplest."""
        gains = self.areas[:, rows] - self.zscores[rows]
        beyond = np.minimum(gains + TOLERATED, 0.0)
        return self.shapes[int(np.argmax(gains.mean(axis=1) + DEARER * beyond.mean(axis=1)))]


def shapes(mode: Judged) -> tuple[ListCurve, ...]:
    """All curves that are tried, of slope 1, the plain ones first."""
    lexical, matched = (LEXICAL, MATCHED) if mode == "hybrid" else ((0.0,), (0.0,))
    return tuple(
        ListCurve(share, worth, rank, lead, 1.0, 0.0)
        for share in lexical
        for worth in matched
        for rank in RANKS
        for lead in LEADS
    )


def try_shapes(fields: Sequence[Field], mode: Judged, progress: Progress | None = None) -> Tried:
    """The PR-AUC of every shape on every field."""
    tried = shapes(mode)
    areas = np.zeros((len(tried), len(fields)))
    plain = np.zeros(len(fields))
    for column, whole in enumerate(fields):
        field = Field(whole.name, whole.lists[:: max(len(whole.lists) // MOST_TRIED, 1)])
        relevant = field.relevant
        plain[column] = area(relevant, field.zscores())
        for row, shape in enumerate(tried):
            areas[row, column] = area(relevant, field.standings(shape))
        if progress is not None:
            progress(f"choosing a curve ({mode})", column + 1, len(fields))
    return Tried(tried, areas, plain)


def area(relevant: BoolArray, scores: Float64Array) -> float:
    """Average precision of scores (n,), ties in the order of the candidates; 0 where none is relevant."""
    hits = relevant[np.argsort(-scores, kind="stable")]
    found = np.flatnonzero(hits) + 1.0
    return float(np.mean(np.arange(1, len(found) + 1) / found)) if len(found) else 0.0


def fit_curve(fields: Sequence[Field], shape: ListCurve) -> ListCurve:
    """The shape with slope, offset and breadth fitted to all fields.

    The slope is the likeliest one where each field has an offset of its own. The offset is the likeliest one for all
    of them together. Fields have equal weights but for the square root of the share of their candidates that is
    relevant: neither those with dozens of relevant documents a query nor those with one decide alone. `breadth` and
    `best` are a line through what each field's log odds lack, over the logarithm of its best candidates' mean strength.
    """
    standings = [field.standings(shape) for field in fields]
    labels = [field.relevant.astype(np.float64) for field in fields]
    weights = [1.0 / len(found) / max(found.mean(), 1e-9) ** 0.5 for found in labels]
    slope = common_slope(standings, labels, weights)
    everything = np.concatenate(
        [np.full(len(found), weight) for found, weight in zip(labels, weights, strict=True)]
    )
    raised = slope * np.concatenate(standings)
    offset = missing(raised, np.concatenate(labels), everything)
    curve = replace(shape, slope=slope, offset=offset)
    lacking = [
        missing(slope * found + offset, relevant) for found, relevant in zip(standings, labels, strict=True)
    ]
    heights = np.log([max(field.best(shape), 0.1) for field in fields])
    centred = heights - heights.mean()
    breadth = float(centred @ np.array(lacking)) / (float(centred @ centred) + RIDGE)
    if len(fields) < 3 or abs(breadth) < 1e-6:
        return curve
    at_zero = float(np.mean(lacking)) - breadth * float(heights.mean())
    return replace(curve, breadth=breadth, best=float(np.exp(np.clip(-at_zero / breadth, -20.0, 20.0))))


def common_slope(
    standings: Sequence[Float64Array], labels: Sequence[Float64Array], weights: Sequence[float]
) -> float:
    """The likeliest slope where every field has its own offset; at least 0."""
    slope = 0.5
    for _ in range(ROUNDS):
        gradient = curvature = 0.0
        for scores, relevant, weight in zip(standings, labels, weights, strict=True):
            raised = slope * scores
            chance = 1.0 / (1.0 + np.exp(-np.clip(raised + missing(raised, relevant), -500.0, 500.0)))
            sure = chance * (1.0 - chance)
            centred = scores - float(sure @ scores) / max(float(sure.sum()), 1e-12)
            gradient += weight * float((relevant - chance) @ scores)
            curvature += weight * float(sure @ centred**2)
        step = float(np.clip(gradient / max(curvature, 1e-12), -0.5, 0.5))
        slope = max(slope + step, 0.0)
        if abs(step) < 1e-6:
            break
    return slope


def logistic(
    scores: Float64Array,
    labels: Float64Array,
    weights: Float64Array,
    start: tuple[float, float] = (0.5, -4.0),
    prior: tuple[float, float] = (0.0, 0.0),
) -> tuple[float, float]:
    """(slope, offset) of the likeliest logistic curve by Newton's method; the slope is at least 0.

    `prior` are the precisions of a normal distribution around `start`, in units of the weights' mean.
    """
    weights = weights / weights.sum() * len(weights)
    found, centre, held = np.array(start), np.array(start), np.diag(prior)
    for _ in range(ROUNDS):
        chance = 1.0 / (1.0 + np.exp(-np.clip(found[0] * scores + found[1], -500.0, 500.0)))
        error, sure = weights * (labels - chance), weights * chance * (1.0 - chance)
        slope = np.array([error @ scores, error.sum()]) - held @ (found - centre)
        curved = np.array([[sure @ scores**2, sure @ scores], [sure @ scores, sure.sum()]]) + held
        step = np.linalg.solve(curved + 1e-9 * np.eye(2), slope)
        found = found + step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        found[0] = max(found[0], 0.0)
        if np.abs(step).max() < 1e-9:
            break
    return float(found[0]), float(found[1])


def missing(logits: Float64Array, labels: Float64Array, weights: Float64Array | None = None) -> float:
    """What log odds (n,) lack so that as many candidates are expected to be relevant as are, each of its weight."""
    counts = weights if weights is not None else np.ones(len(labels))
    found = 0.0
    for _ in range(ROUNDS):
        chance = 1.0 / (1.0 + np.exp(-np.clip(logits + found, -500.0, 500.0)))
        step = float(counts @ (labels - chance)) / max(float(counts @ (chance * (1.0 - chance))), 1e-12)
        found += float(np.clip(step, -1.0, 1.0))
        if abs(step) < 1e-9:
            break
    return found
