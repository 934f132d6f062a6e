"""The study of a folder of results: systems grouped by collection and split, compared with a baseline."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from leanseek.errors import InputError, UsageError
from leanseek.eval.base import Rules
from leanseek.eval.comparison import TOLERANCE, Change
from leanseek.eval.measures import score
from leanseek.eval.providers import is_quality
from leanseek.eval.reports.explained import QUERIES, can_explain, explain_queries
from leanseek.eval.reports.study import Against, Cell, Curves, Group, Study, System
from leanseek.eval.results import StoredResult, read_results
from leanseek.eval.significance import RESAMPLES, bootstrap, holm, randomisation
from leanseek.reading.judgments import read_qrels
from leanseek.reading.runs import read_run
from leanseek.types import Progress, Qrels, Query, Rankings

DEPTHS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000)
LEVELS = tuple(step / 10 for step in range(11))
SEED = 0
LEVEL = 0.95


def gather(
    out: str | os.PathLike[str],
    *,
    baseline: str | None = None,
    measure: str | None = None,
    explain: bool = False,
    device: str | None = None,
    progress: Progress | None = None,
) -> Study:
    """Read every result below `out` and compare the systems of each collection and split.

    `baseline` is the system that the others are compared with; by default the sparse one, or else the first by
    name. `measure` is what plots and per-query differences show; by default the first of the results.

    With `explain` the attention of re-rankers in context is shown for the queries that changed most (the first ones,
    where there is nothing to compare with): these are searched again, by models on the `device`.

    Raises InputError where there are no results or their files are damaged, and UsageError for a baseline or
    measure that no collection has, listing the known ones. With `explain` also InputError where an index is
    not below `out` as it was, UsageError where no result is of such a re-ranker, and what searching raises.
    """
    stored = read_results(out)
    check_known("baseline", baseline, {one.result.system for one in stored})
    check_known("measure", measure, {name for one in stored for name in one.result.measures})
    if explain and not any(can_explain(one.result) for one in stored):
        raise UsageError(
            "none of these results is of a search re-ranked in context; evaluate one with --rerank in-context:MODEL, "
            "or leave out --explain"
        )
    parts: dict[tuple[str, str], list[StoredResult]] = {}
    for one in stored:
        parts.setdefault((one.result.collection, one.result.split), []).append(one)
    groups = []
    for part in parts.values():
        group = make_group(part, baseline, measure)
        if explain:
            by_name = {one.result.system: one for one in part}
            systems = (
                with_explained(system, by_name[system.name], Path(out), device, progress)
                for system in group.systems
            )
            group = replace(group, systems=tuple(systems))
        groups.append(group)
    return Study(tuple(groups), LEVEL)


def with_explained(
    system: System, stored: StoredResult, out: Path, device: str | None, progress: Progress | None
) -> System:
    """The system with the attention of its re-ranker in context, where it has one."""
    if not can_explain(system.result):
        return system
    changed = system.against.most_changed(QUERIES) if system.against is not None else ()
    queries = [Query(change.query, change.text or "") for change in changed]
    if not queries:
        queries = [Query(*one) for one in list(stored.queries().items())[:QUERIES]]
    qrels = read_qrels(stored.qrels_path)
    found = explain_queries(system.result, queries, qrels, out, device=device, progress=progress)
    return replace(system, explained=found)


def make_group(stored: Sequence[StoredResult], baseline: str | None, measure: str | None) -> Group:
    """The systems of one split of one collection, the baseline first."""
    ordered = baseline_first(stored, baseline)
    first = ordered[0].result
    measures = tuple(name for name in first.measures if all(name in one.result.measures for one in ordered))
    if not measures:
        raise UsageError(
            f"the results of {first.collection} · {first.split} have no measure in common; evaluate them with the same "
            "--measures"
        )
    main = measure if measure in measures else measures[0]
    scores = {one.result.system: one.per_query() for one in ordered}
    assessed = assess(scores, measures, LEVEL)
    texts = ordered[0].queries()
    systems = []
    for one in ordered:
        name = one.result.system
        against = compared(scores[first.system], scores[name], main, texts) if name != first.system else None
        found = curves(read_run(one.run_path).rankings, read_qrels(one.qrels_path), one.result.k)
        systems.append(System(one.result, assessed.cells[name], found, against))
    return Group(
        collection=first.collection,
        split=first.split,
        measures=measures,
        main=main,
        systems=tuple(systems),
        rules=rules_of(ordered),
        method=assessed.method,
        warnings=warnings_of(ordered, baseline, measure, measures),
    )


def baseline_first(stored: Sequence[StoredResult], baseline: str | None) -> list[StoredResult]:
    """The results in their order, with the baseline moved to the front."""
    chosen = next((one for one in stored if one.result.system == baseline), None)
    if chosen is None:
        chosen = next((one for one in stored if one.result.settings.mode == "sparse"), stored[0])
    return [chosen, *(one for one in stored if one is not chosen)]


def compared(
    before: Mapping[str, Mapping[str, float]],
    after: Mapping[str, Mapping[str, float]],
    measure: str,
    texts: Mapping[str, str],
) -> Against:
    """Every query that both have scores of, the greatest gain first."""
    changes = [
        Change(query, texts.get(query, ""), before[query][measure], after[query][measure])
        for query in before
        if query in after
    ]
    changes.sort(key=lambda change: (-change.difference, change.query))
    wins = sum(change.difference > TOLERANCE for change in changes)
    losses = sum(change.difference < -TOLERANCE for change in changes)
    return Against(tuple(changes), wins, len(changes) - wins - losses, losses)


def rules_of(stored: Sequence[StoredResult]) -> list[tuple[tuple[str, ...], Rules]]:
    """Each set of rules with the systems it holds for."""
    found: dict[Rules, list[str]] = {}
    for one in stored:
        found.setdefault(one.result.rules, []).append(one.result.system)
    return [(tuple(systems), rules) for rules, systems in found.items()]


def warnings_of(
    stored: Sequence[StoredResult],
    baseline: str | None,
    measure: str | None,
    measures: Sequence[str],
) -> tuple[str, ...]:
    """Warnings about the comparability of these numbers."""
    found: list[str] = []
    first = stored[0].result
    if baseline is not None and first.system != baseline:
        found.append(f"{baseline} was not evaluated here; the baseline is {first.system}.")
    if measure is not None and measure not in measures:
        found.append(f"{measure} was not measured for every system here; plots show {measures[0]}.")
    if len({one.result.provenance.collection_checksum for one in stored}) > 1:
        found.append("The systems were evaluated on different versions of the collection: compare with care.")
    if len({one.result.rules for one in stored}) > 1:
        found.append("The numbers were not all taken by the same rules: see the rules below.")
    dropped = sorted({name for one in stored for name in one.result.measures} - set(measures))
    if dropped:
        found.append(f"Left out, since not every system has them: {', '.join(dropped)}.")
    found += [f"{one.result.system}: {warning}" for one in stored for warning in one.result.warnings]
    return tuple(found)


def check_known(what: str, given: str | None, known: set[str]) -> None:
    """Raises UsageError for a name that no result has."""
    if given is not None and given not in known:
        raise UsageError(f"no result has the {what} {given!r}; there are: {', '.join(sorted(known))}")


def curves(rankings: Rankings, qrels: Qrels, k: int) -> Curves:
    """The curves of one run whose rankings reach down to k; averaged over all judged queries."""
    depths = tuple(depth for depth in DEPTHS if depth <= k) or (1,)
    recall = [f"R@{depth}" for depth in depths]
    precision = [f"P@{depth}" for depth in depths]
    interpolated = [f"IPrec@{level:.1f}" for level in LEVELS]
    means = score(rankings, qrels, [*recall, *precision, *interpolated]).means
    return Curves(
        depths=depths,
        recall=tuple(means[name] for name in recall),
        precision=tuple(means[name] for name in precision),
        levels=LEVELS,
        interpolated=tuple(means[name] for name in interpolated),
    )


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
    # A single query cannot be tested.
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
    """How `assess` computed its numbers, in words."""
    drawn = f"{RESAMPLES:,} resamples, seed {SEED}"
    intervals = f"The {level:.0%} intervals are percentile bootstrap over queries ({drawn})."
    if not tested:
        return intervals
    return (
        f"{intervals} p is that of the paired randomisation test ({drawn}), corrected after Holm over all systems "
        "and all measures of quality."
    )
