"""From a cross-encoder's raw score to a probability."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from leanseek.errors import ModelError, UsageError
from leanseek.files import replacing
from leanseek.numbers import alike
from leanseek.types import BoolArray, Float64Array

CALIBRATION_FILE = "calibration.json"
"""The file's name, in the folder of the model that it belongs to."""

_LEAST_SPREAD = 1e-150
"""Squares of smaller differences are no numbers any more, so that they count as none."""
_ROUNDS = 100
_ENOUGH = 1e-10


@dataclass(frozen=True, slots=True)
class Calibration:
    """P(relevant) = 1 / (1 + exp(-(slope * score + intercept))), computed in float64.

    `pairs` says from how many judged pairs it was fitted.
    """

    slope: float
    intercept: float
    pairs: int

    def probabilities(self, scores: Float64Array) -> Float64Array:
        """(n,) from raw scores (n,); NaN stays NaN."""
        with np.errstate(invalid="ignore"):
            found: Float64Array = np.exp(-np.logaddexp(0.0, -(self.slope * scores + self.intercept)))
        return found

    def write(self, folder: Path) -> None:
        """Write it into a model's folder. Raises StorageError where that cannot be written."""
        with replacing(folder / CALIBRATION_FILE) as draft:
            draft.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def of(cls, folder: Path) -> Calibration | None:
        """That of the model in a folder; None where it has none. Raises ModelError for one that is damaged."""
        path = folder / CALIBRATION_FILE
        if not path.is_file():
            return None
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            found = cls(float(fields["slope"]), float(fields["intercept"]), int(fields["pairs"]))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ModelError(f"{path} is no calibration ({error}); delete it, or fit it anew") from error
        if not (math.isfinite(found.slope) and math.isfinite(found.intercept)):
            raise ModelError(f"{path} is no calibration (not finite); delete it, or fit it anew")
        return found


def fit_calibration(
    scores: Sequence[float] | Float64Array,
    relevant: Sequence[bool] | BoolArray,
    weights: Sequence[float] | Float64Array | None = None,
) -> Calibration:
    """The logistic curve through judged pairs: raw `scores` (n,) and whether each pair is `relevant` (n,).

    `weights` (n,) say how many pairs each represents, where they are a sample; by default 1.

    Maximum likelihood with Platt's targets, (n+ + 1) / (n+ + 2) and 1 / (n- + 2), which keep it finite where the
    classes do not overlap (Platt, 1999; computed as Lin, Lin and Weng, 2007).

    Raises UsageError where either class is missing, the lengths differ, a score is not finite or a weight not
    positive.
    """
    given = np.asarray(scores, dtype=np.float64)
    labels = np.asarray(relevant, dtype=np.bool_)
    counts = np.ones(given.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if given.shape != labels.shape or given.ndim != 1 or not np.isfinite(given).all():
        raise UsageError(
            f"a calibration needs one finite score and one label a pair; given are {given.size} scores and "
            f"{labels.size} labels"
        )
    if counts.shape != given.shape or not (np.isfinite(counts) & (counts > 0)).all():
        raise UsageError(f"a calibration's weights must be {given.size} positive numbers, one a pair")
    if labels.all() or not labels.any():
        raise UsageError(
            f"a calibration needs relevant and irrelevant pairs; given are {labels.sum()} and {(~labels).sum()}"
        )
    positive, negative = float(counts[labels].sum()), float(counts[~labels].sum())
    target = np.where(labels, (positive + 1.0) / (positive + 2.0), 1.0 / (negative + 2.0))
    centre, spread = float(given.mean()), float(given.std())
    if alike(given) or spread < _LEAST_SPREAD:
        spread = 1.0
    total = counts.sum()
    x = (given - centre) / spread
    slope, intercept = 0.0, math.log((positive + 1.0) / (negative + 1.0))
    loss = _loss(x, target, counts, slope, intercept)
    for _ in range(_ROUNDS):
        p = 0.5 * (1.0 + np.tanh(0.5 * (slope * x + intercept)))
        off = counts * (p - target)
        gradient = np.array([(x * off).sum(), off.sum()])
        w = counts * p * (1.0 - p)
        hessian = np.array([[(w * x * x).sum(), (w * x).sum()], [(w * x).sum(), w.sum()]])
        step = np.linalg.solve(hessian + 1e-12 * total * np.eye(2), gradient)
        share = 1.0
        while share > 1e-8:
            tried = slope - share * step[0], intercept - share * step[1]
            now = _loss(x, target, counts, *tried)
            if now <= loss:
                break
            share /= 2.0
        else:
            break
        (slope, intercept), gained, loss = tried, loss - now, now
        if gained <= _ENOUGH * total:
            break
    return Calibration(float(slope / spread), float(intercept - slope * centre / spread), len(given))


def _loss(
    x: Float64Array, target: Float64Array, counts: Float64Array, slope: float, intercept: float
) -> float:
    z = slope * x + intercept
    return float((counts * (np.logaddexp(0.0, z) - target * z)).sum())
