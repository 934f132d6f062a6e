"""Intervals and p values of stored scores, by the same statistics as `leanseek eval compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from leanseek.errors import InputError
from leanseek.eval.naming import is_quality
from leanseek.eval.report.study import Cell
from leanseek.eval.significance import RESAMPLES, bootstrap, holm, randomisation

SEED = 0


class Assessed(NamedTuple):
    """System → measure → cell, and how they were computed, in a sentence."""

    cells: Mapping[str, Mapping[str, Cell]]
    method: str


def assess(
    scores: Mapping[str, Mapping[str, Mapping[str, float]]], measures: Sequence[str], level: float
) -> Assessed:
    """Means, intervals and p values of systems, of which the first is the baseline.

    `scores` is system → query → measure → value. p is that of the paired randomisation test, corrected after
    Holm over all systems and all measures of quality.

    Raises InputError where the systems were not scored on the same queries.
    """
    systems = list(scores)
    order = sorted(scores[systems[0]])
    for name in systems[1:]:
        if scores[name].keys() != set(order):
            raise InputError(
                f"the results of {systems[0]} and {name} are of other queries; evaluate both again with --force"
            )
    values = np.array([[[scores[name][query][m] for m in measures] for query in order] for name in systems])
    intervals = bootstrap(np.concatenate(list(values), axis=1), seed=SEED, confidence=level)
    # No two queries, no comparison.
    tested = [measure for measure in measures if is_quality(measure)] if len(order) > 1 else []
    columns = [measures.index(measure) for measure in tested]
    p_values: dict[tuple[str, str], float] = {}
    if len(systems) > 1 and tested:
        differences = [values[place][:, columns] - values[0][:, columns] for place in range(1, len(systems))]
        corrected = holm(randomisation(np.concatenate(differences, axis=1), seed=SEED))
        p_values = dict(zip(product(systems[1:], tested), corrected, strict=True))
    cells: dict[str, dict[str, Cell]] = {}
    for place, name in enumerate(systems):
        cells[name] = {}
        for column, measure in enumerate(measures):
            interval = intervals[place * len(measures) + column]
            p = p_values.get((name, measure))
            mean = float(values[place, :, column].mean())
            difference = mean - float(values[0, :, column].mean()) if place else None
            cells[name][measure] = Cell(
                mean, interval.low, interval.high, p, p is not None and p < 1 - level, difference
            )
    return Assessed(cells, method(bool(p_values), level))


def method(tested: bool, level: float) -> str:
    """How the numbers of `assess` came about."""
    drawn = f"{RESAMPLES:,} resamples, seed {SEED}"
    intervals = f"The {level:.0%} intervals are percentile bootstrap over queries ({drawn})."
    if not tested:
        return intervals
    return (
        f"{intervals} p is that of the paired randomisation test ({drawn}), corrected after Holm over all systems "
        "and all measures of quality."
    )
