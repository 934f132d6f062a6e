"""Lists too short to tell anything, completed by the cosines that irrelevant passages usually have."""

from __future__ import annotations

from statistics import NormalDist
from typing import Final

import numpy as np

from leanseek.searcher.relevance.features import DENSE_LIST
from leanseek.types import Float32Array

LEAST_LENGTH: Final = 150
"""No list that a model learns from is shorter, but where a whole collection is smaller."""
LEAST_FALL: Final = 1e-3


def completed(listed: Float32Array, centre: Float32Array) -> Float32Array:
    """A list (l,) of cosines, descending, with as many usual ones as it lacks to `LEAST_LENGTH`.

    Among two or three passages the mean, the spread and the ranks say nothing: the best of three is the best of three
    whether it answers the query or not. The usual ones are a normal distribution's, at even shares; it is the one that
    has the hundredth and the last cosine of the mean list, which is what `centre` (22,) of a `MonotoneNetwork` tells of
    the collections that it was learned from. A list that is long enough stays as it is, and so do all where the mean
    list is itself short, or falls no further beyond its hundredth.
    """
    missing = LEAST_LENGTH - len(listed)
    usual = background(centre) if missing > 0 else None
    if usual is None:
        return listed
    shares = (np.arange(missing) + 0.5) / missing
    added = np.array([usual.inv_cdf(share) for share in shares], np.float32)
    return np.sort(np.concatenate([listed.astype(np.float32), added]))[::-1]


def background(centre: Float32Array) -> NormalDist | None:
    """The normal distribution of which the mean list's hundredth and last cosine are about the medians at their ranks;
    None where it has no such."""
    mean = dict(zip(DENSE_LIST, centre.astype(np.float64).tolist(), strict=True))
    length = float(np.exp(min(mean["log length"], 20.0)))
    fall = mean["hundredth"] - mean["last"]
    if length < LEAST_LENGTH or fall < LEAST_FALL:
        return None
    size = max(float(np.exp(min(mean["log size"], 30.0))), length)
    high, low = (NormalDist().inv_cdf(1.0 - (rank - 0.5) / size) for rank in (100.0, length))
    scale = fall / (high - low)
    return NormalDist(mean["last"] - scale * low, scale)
