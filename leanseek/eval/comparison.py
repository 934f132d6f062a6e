"""Runs compared with a baseline, query by query: means, intervals, tests, and the queries that changed most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from leanseek.errors import InputError, UsageError
from leanseek.eval.base import Rules, Scores
from leanseek.eval.measures import DEFAULT_MEASURES, score
from leanseek.eval.providers import PrAuc, is_quality, parse_measures
from leanseek.eval.significance import (
    CONFIDENCE,
    RESAMPLES,
    Interval,
    Values,
    bootstrap,
    effect_size,
    holm,
    paired_t,
    randomisation,
)
from leanseek.types import Qrels, Run

TOLERANCE: Final = 1e-6
CHANGED: Final = 5


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of one measure for one run, with its bootstrap interval."""

    run: str
    measure: str
    value: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Change:
    """A query whose value differs between the two runs; `text` is None where the texts are not given."""

    query: str
    text: str | None
    baseline: float
    value: float

    @property
    def difference(self) -> float:
        """How much the query gained over the baseline."""
        return self.value - self.baseline


@dataclass(frozen=True, slots=True)
class Contrast:
    """One run against the baseline in one measure.

    `difference` is the run's mean less the baseline's, `interval` its bootstrap interval, `effect` Cohen's d
    for pairs (None: see `effect_size`). `t_test` and `randomisation` are two-sided p values, and the `_holm`
    ones are corrected over all tested contrasts of the comparison; all are None where the measure is not one of
    quality (`is_quality`) and so is not tested. A query whose values differ by no more than the tolerance is a
    tie.
    """

    run: str
    measure: str
    difference: float
    interval: Interval
    effect: float | None
    t_test: float | None
    t_test_holm: float | None
    randomisation: float | None
    randomisation_holm: float | None
    wins: int
    ties: int
    losses: int
    changed: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs compared with the first of them: `means` and `contrasts` measure by measure, in the runs' order."""

    baseline: str
    runs: tuple[str, ...]
    measures: tuple[str, ...]
    queries: int
    means: tuple[Mean, ...]
    contrasts: tuple[Contrast, ...]
    rules: Rules
    warnings: tuple[str, ...]
    seed: int
    resamples: int
    confidence: float
    tolerance: float

    @property
    def tested(self) -> int:
        """How many contrasts Holm's correction is over."""
        return sum(contrast.t_test is not None for contrast in self.contrasts)


def compare(
    runs: Sequence[Run],
    qrels: Qrels,
    measures: Sequence[str] = DEFAULT_MEASURES,
    *,
    queries: Mapping[str, str] | None = None,
    self_hits: bool = False,
    provider: str | None = None,
    tolerance: float = TOLERANCE,
    changed: int = CHANGED,
    seed: int = 0,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Comparison:
    """Compare runs with the first of them, the baseline, over all judged queries.

    `queries` are texts by query id, shown with the `changed` queries of each contrast that changed most.
    The same arguments give the same figures, whatever the order of the queries. For the scoring see `score`, for
    the statistics `leanseek.eval.significance`.

    Raises UsageError for fewer than two runs, two of one tag, or options out of range, InputError for fewer
    than two judged queries, and what `score` raises.
    """
    tags = [run.tag for run in runs]
    _check(tags, measures, tolerance, changed, resamples, confidence)
    scored = [_score(run, qrels, measures, self_hits, provider) for run in runs]
    names = scored[0].measures
    order = sorted(scored[0].per_query)
    if len(order) < 2:
        raise InputError("the judgments are of one query; a comparison needs at least two")
    values = np.array([[[one.per_query[query][name] for name in names] for query in order] for one in scored])
    intervals = bootstrap(
        np.concatenate([*values, *(values[1:] - values[0])], axis=1),
        seed=seed,
        resamples=resamples,
        confidence=confidence,
    )
    means = tuple(
        Mean(tag, measure, scored[place].means[measure], intervals[place * len(names) + column])
        for column, measure in enumerate(names)
        for place, tag in enumerate(tags)
    )
    contrasts = [
        _Pair(
            tag,
            measure,
            values[0, :, column],
            values[place, :, column],
            intervals[(len(runs) + place - 1) * len(names) + column],
        )
        for column, measure in enumerate(names)
        for place, tag in enumerate(tags)
        if place
    ]
    return Comparison(
        baseline=tags[0],
        runs=tuple(tags),
        measures=names,
        queries=len(order),
        means=means,
        contrasts=_contrasts(contrasts, order, queries or {}, tolerance, changed, seed, resamples),
        rules=scored[0].rules,
        warnings=tuple(
            f"{tag}: {text}" for tag, one in zip(tags, scored, strict=True) for text in one.warnings
        ),
        seed=seed,
        resamples=resamples,
        confidence=confidence,
        tolerance=tolerance,
    )


@dataclass(frozen=True, slots=True)
class _Pair:
    """The values of a run and of the baseline in one measure, by query."""

    run: str
    measure: str
    baseline: Values
    values: Values
    interval: Interval

    @property
    def differences(self) -> Values:
        return self.values - self.baseline


def _score(run: Run, qrels: Qrels, measures: Sequence[str], self_hits: bool, provider: str | None) -> Scores:
    try:
        return score(run.rankings, qrels, measures, self_hits=self_hits, provider=provider)
    except InputError as error:
        raise InputError(f"{run.tag}: {error}") from error


class _PValues(NamedTuple):
    """Two-sided p of both tests, as they are and corrected after Holm; None: not tested."""

    t_test: float | None
    t_test_holm: float | None
    randomisation: float | None
    randomisation_holm: float | None


UNTESTED: Final = _PValues(None, None, None, None)


def _contrasts(
    pairs: Sequence[_Pair],
    order: Sequence[str],
    texts: Mapping[str, str],
    tolerance: float,
    changed: int,
    seed: int,
    resamples: int,
) -> tuple[Contrast, ...]:
    tests = _tests([pair for pair in pairs if is_quality(pair.measure)], seed, resamples)
    return tuple(
        Contrast(
            run=pair.run,
            measure=pair.measure,
            difference=float(pair.differences.mean()),
            interval=pair.interval,
            effect=effect_size(pair.differences),
            t_test=p.t_test,
            t_test_holm=p.t_test_holm,
            randomisation=p.randomisation,
            randomisation_holm=p.randomisation_holm,
            wins=int((pair.differences > tolerance).sum()),
            ties=int((np.abs(pair.differences) <= tolerance).sum()),
            losses=int((pair.differences < -tolerance).sum()),
            changed=_changed(pair, order, texts, tolerance, changed),
        )
        for pair in pairs
        for p in (tests.get((pair.run, pair.measure), UNTESTED),)
    )


def _tests(pairs: Sequence[_Pair], seed: int, resamples: int) -> dict[tuple[str, str], _PValues]:
    """(run, measure) → the p values of a pair, corrected over all of these."""
    if not pairs:
        return {}
    t_tests = [paired_t(pair.differences) for pair in pairs]
    swaps = randomisation(
        np.stack([pair.differences for pair in pairs], axis=1), seed=seed, resamples=resamples
    )
    return {
        (pair.run, pair.measure): _PValues(*values)
        for pair, *values in zip(pairs, t_tests, holm(t_tests), swaps, holm(swaps), strict=True)
    }


def _changed(
    pair: _Pair, order: Sequence[str], texts: Mapping[str, str], tolerance: float, count: int
) -> tuple[Change, ...]:
    """The queries with the largest differences either way, largest first, equal ones by id."""
    size = np.abs(pair.differences)
    places = [int(place) for place in np.argsort(-size, kind="stable")[:count] if size[place] > tolerance]
    return tuple(
        Change(order[place], texts.get(order[place]), float(pair.baseline[place]), float(pair.values[place]))
        for place in places
    )


def _check(
    tags: Sequence[str],
    measures: Sequence[str],
    tolerance: float,
    changed: int,
    resamples: int,
    confidence: float,
) -> None:
    if len(tags) < 2:
        raise UsageError(f"{len(tags)} run to compare; give the baseline and at least one other")
    if twice := next((tag for place, tag in enumerate(tags) if tag in tags[:place]), None):
        raise UsageError(f"two runs are named {twice!r}; give each a tag of its own")
    pooled = next((name for name, one in parse_measures(measures).items() if one == PrAuc(pooled=True)), None)
    if pooled is not None:
        raise UsageError(f"{pooled} is one number for a whole run, without queries to compare; use PR-AUC")
    if not tolerance >= 0:
        raise UsageError(f"tolerance is {tolerance}; it must be 0 or more")
    if changed < 0:
        raise UsageError(f"changed is {changed}; it must be 0 or more")
    if resamples < 100:
        raise UsageError(f"resamples is {resamples}; it must be at least 100")
    if not 0 < confidence < 1:
        raise UsageError(f"confidence is {confidence}; it must lie between 0 and 1, such as 0.95")
