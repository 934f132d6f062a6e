"""Whether a difference is more than chance: intervals and tests over queries, seeded and vectorised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from leanseek.errors import MissingPackageError

RESAMPLES: Final = 10_000
CONFIDENCE: Final = 0.95
_CELLS: Final = 4_000_000
"""Random numbers drawn at a time, which bounds memory."""
_ROUNDING: Final = 1e-12
"""Equal values may differ in their last bits."""

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """The bounds of a mean at some level of confidence."""

    low: float
    high: float


def bootstrap(
    values: Values, *, seed: int, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> list[Interval]:
    """Percentile bootstrap intervals of the column means of `values`, float64 of shape (queries, columns).

    Queries are drawn with replacement, as many as there are, the same ones for every column (Efron,
    Tibshirani: "An Introduction to the Bootstrap", 1993; in retrieval: Sakai, SIGIR 2006).
    """
    count = len(values)
    generator = np.random.default_rng(seed)
    means = np.empty((resamples, values.shape[1]))
    for start, stop in _chunks(resamples, count):
        drawn = generator.integers(0, count, size=(stop - start, count))
        drawn += np.arange(stop - start)[:, np.newaxis] * count
        times = np.bincount(drawn.ravel(), minlength=(stop - start) * count).reshape(-1, count)
        means[start:stop] = times @ values / count
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return [Interval(float(one), float(other)) for one, other in zip(low, high, strict=True)]


def randomisation(differences: Values, *, seed: int, resamples: int = RESAMPLES) -> list[float]:
    """Two-sided p of the paired randomisation test for each column of `differences`, float64 (queries,
    columns): how often a random swap of the two systems' answers, query by query, makes the difference of the
    means as large as it is (Smucker, Allan, Carterette, CIKM 2007).

    All 2^queries swaps are tried where that is no more than `resamples`; otherwise p = (hits + 1) /
    (resamples + 1), so it is never 0.
    """
    count = len(differences)
    observed = np.abs(differences.sum(axis=0))
    limit = observed - _ROUNDING * np.maximum(np.abs(differences).sum(axis=0), 1e-300)
    exact = 2**count <= resamples
    total = 2**count if exact else resamples
    generator = np.random.default_rng(seed)
    hits = np.zeros(differences.shape[1], np.int64)
    for start, stop in _chunks(total, count):
        if exact:
            swapped = np.arange(start, stop)[:, np.newaxis] >> np.arange(count) & 1
        else:
            swapped = generator.integers(0, 2, size=(stop - start, count), dtype=np.int8)
        sums = (1.0 - 2.0 * swapped) @ differences
        hits += (np.abs(sums) >= limit).sum(axis=0)
    p = hits / total if exact else (hits + 1) / (total + 1)
    return [float(one) for one in p]


def paired_t(differences: Values) -> float:
    """Two-sided p of the paired t-test for differences, float64 (queries,), of at least two queries.

    1 where all differences are 0, and 0 where all are the same otherwise. Raises MissingPackageError without
    SciPy.
    """
    if _all_equal(differences):
        return 1.0 if _all_equal(np.append(differences, 0)) else 0.0
    try:
        from scipy.stats import ttest_rel
    except ImportError as error:
        raise MissingPackageError("the t-test", "scipy", "eval") from error
    return float(ttest_rel(differences, np.zeros_like(differences)).pvalue)


def effect_size(differences: Values) -> float | None:
    """Cohen's d for pairs: the mean difference in standard deviations of the differences (n - 1).

    0 where all differences are 0; None where all are the same otherwise, which have no deviation.
    """
    if _all_equal(differences):
        return 0.0 if _all_equal(np.append(differences, 0)) else None
    return float(differences.mean() / differences.std(ddof=1))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values corrected for being several, in the same order (Holm, Scand. J. Statist. 1979).

    In ascending order the i-th of m, counted from 0, is multiplied by m - i, and is no less than the one
    before it and at most 1.
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for position, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        highest = max(highest, min(1.0, p_values[place] * (len(p_values) - position)))
        corrected[place] = highest
    return corrected


def _all_equal(values: Values) -> bool:
    return bool(np.ptp(values) <= _ROUNDING)


def _chunks(total: int, width: int) -> Iterator[tuple[int, int]]:
    step = max(1, _CELLS // width)
    for start in range(0, total, step):
        yield start, min(start + step, total)
