"""Commands over stored runs: score and compare."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import console, count, print_json, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from leanseek.eval.base import Rules, Scores
    from leanseek.eval.comparison import Comparison, Contrast
    from leanseek.types import Run

RUN_HELP = "A TREC run, or one of MS MARCO's (query, passage, rank); gzip too, - for stdin."
Qrels: TypeAlias = Annotated[str, typer.Option(metavar="FILE", help=opt.QRELS_HELP)]
Measures: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="NAMES", help="In quotes, such as 'nDCG@10 R@100'. Known: {measures}."),
]
SelfHits: TypeAlias = Annotated[
    bool,
    typer.Option("--drop-self-hits", help="Drop the document that has the query's own id (ArguAna, Quora)."),
]
Provider: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="What computes the measures: {providers}; the values are the same."),
]


def score(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)],
    qrels: Qrels,
    measures: Measures = None,
    per_query: Annotated[bool, typer.Option("--per-query", help="Print each query's values too.")] = False,
    drop_self_hits: SelfHits = False,
    provider: Provider = None,
    as_json: opt.Json = False,
) -> None:
    """Score a stored run."""
    from leanseek.eval import score as measure
    from leanseek.reading import read_qrels, read_run

    ranked = read_run(run)
    scores = measure(
        ranked.rankings,
        read_qrels(qrels),
        measure_names(measures),
        self_hits=drop_self_hits,
        provider=provider,
    )
    if as_json:
        print_scores_json(ranked, scores, per_query)
    else:
        print_scores(ranked, scores, per_query)


def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN", help="Two runs or more; the first is the baseline.")
    ],
    qrels: Qrels,
    measures: Measures = None,
    queries: Annotated[
        str | None, typer.Option(metavar="FILE", help="The queries, to print with those that changed most.")
    ] = None,
    changed: Annotated[
        int, typer.Option(metavar="N", help="How many of the queries that changed most to print.")
    ] = 5,
    tolerance: Annotated[float, typer.Option(metavar="N", help="Values this close are a tie.")] = 1e-6,
    confidence: Annotated[float, typer.Option(metavar="0..1", help="Of the intervals.")] = 0.95,
    resamples: Annotated[
        int, typer.Option(metavar="N", help="Of the bootstrap and of the randomisation test.")
    ] = 10_000,
    seed: opt.Seed = 0,
    drop_self_hits: SelfHits = False,
    provider: Provider = None,
    as_json: opt.Json = False,
) -> None:
    """Compare stored runs with the first: intervals, tests, largest changes."""
    from leanseek.eval import compare as contrast
    from leanseek.reading import read_qrels, read_queries

    texts = {query.id: query.text for query in read_queries(queries)} if queries is not None else None
    compared = contrast(
        read_runs(runs),
        read_qrels(qrels),
        measure_names(measures),
        queries=texts,
        self_hits=drop_self_hits,
        provider=provider,
        tolerance=tolerance,
        changed=changed,
        seed=seed,
        resamples=resamples,
        confidence=confidence,
    )
    if as_json:
        print_json(asdict(compared))
    else:
        print_comparison(compared)


def measure_names(measures: str | None) -> tuple[str, ...]:
    """The measures that an option names, or the default ones."""
    from leanseek.eval.measures import DEFAULT_MEASURES
    from leanseek.eval.providers import split_measures

    return DEFAULT_MEASURES if measures is None else split_measures(measures)


def read_runs(paths: Sequence[str]) -> list[Run]:
    """The runs by their tags, or by their files where two have the same tag."""
    from leanseek.reading import read_run

    found = [read_run(path) for path in paths]
    if len({run.tag for run in found}) == len(found):
        return found
    stems = [Path(path).name for path in paths]
    by = stems if len(set(stems)) == len(stems) else paths
    return [replace(run, tag=name) for run, name in zip(found, by, strict=True)]


def print_scores_json(run: Run, scores: Scores, per_query: bool) -> None:
    """One JSON object; with `per_query` the values of each query too."""

    record = {
        "run": run.tag,
        "queries": len(scores.per_query),
        "means": dict(scores.means),
        "rules": asdict(scores.rules),
        "warnings": list(scores.warnings),
    }
    if per_query:
        record["per_query"] = {query: dict(values) for query, values in scores.per_query.items()}
    print_json(record)


def print_scores(run: Run, scores: Scores, per_query: bool) -> None:
    """The means as a table, and below it the rules they follow."""
    out = console()
    if per_query:
        table = plain_table("query", *scores.measures)
        for query, values in scores.per_query.items():
            table.add_row(
                printable(query),
                *(f"{values[name]:.4f}" if name in values else "" for name in scores.measures),
            )
        out.print(table)
    table = plain_table("run", *scores.measures)
    table.add_row(printable(run.tag), *(f"{scores.means[name]:.4f}" for name in scores.measures))
    out.print(table)
    out.print(f"Means over {count(len(scores.per_query), 'judged query', 'judged queries')}.")
    print_rules(scores.rules, scores.warnings)


def print_comparison(compared: Comparison) -> None:
    """A table a measure: means with their intervals, and each run against the baseline."""
    out = console()
    percent = (
        f"{compared.confidence:.0%}" if compared.confidence * 100 % 1 < 1e-9 else f"{compared.confidence:.1%}"
    )
    for measure in compared.measures:
        for table in measure_tables(compared, measure, percent, out):
            out.print(table)
    for one in compared.contrasts:
        if one.changed:
            out.print(
                f"\nChanged most in {one.measure}, {printable(compared.baseline)} → {printable(one.run)}:"
            )
        for change in one.changed:
            text = f"  {printable(change.text)}" if change.text else ""
            out.print(
                f"  {change.difference:+.4f}  {change.baseline:.4f} → {change.value:.4f}  "
                f"{printable(change.query)}{text}",
                markup=False,
                soft_wrap=True,
            )
    untested = (
        ""
        if compared.tested == len(compared.contrasts)
        else ", without Judged, which is no measure of quality"
    )
    out.print(
        f"\n{compared.queries:,} judged queries; the baseline is {printable(compared.baseline)}. Intervals: "
        f"percentile bootstrap. p: two-sided paired t-test and randomisation test, Holm-corrected over all "
        f"{compared.tested} comparisons{untested}. {compared.resamples:,} resamples, seed {compared.seed}. "
        f"d: Cohen's, paired. A tie: no more than {compared.tolerance:g} apart.",
        markup=False,
    )
    print_rules(compared.rules, compared.warnings)


def measure_tables(compared: Comparison, measure: str, percent: str, out: Console) -> list[Table]:
    """The means of one measure beside their differences from the baseline; below them on a narrow terminal."""
    from rich.measure import Measurement

    interval = f"{percent} interval"
    means = [mean for mean in compared.means if mean.measure == measure]
    left = {
        mean.run: (f"{mean.value:.4f}", f"{mean.interval.low:.4f} to {mean.interval.high:.4f}")
        for mean in means
    }
    right = {one.run: contrast_cells(one) for one in compared.contrasts if one.measure == measure}
    against = ("difference", interval, "d", "p (t-test)", "p (random.)", "wins/ties/losses")
    table = plain_table("run", measure, interval, *against)
    for run, cells in left.items():
        table.add_row(printable(run), *cells, *right.get(run, ("",) * len(against)))
    if Measurement.get(out, out.options.update_width(10_000), table).maximum <= out.width:
        return [table]
    above = plain_table("run", measure, interval)
    for run, cells in left.items():
        above.add_row(printable(run), *cells)
    below = plain_table("to the baseline", "diff.", interval, "d", "p t-test", "p random.", "w/t/l")
    for run, others in right.items():
        below.add_row(printable(run), *others)
    return [above, below]


def plain_table(first: str, *others: str) -> Table:
    """A table without frames, numbers to the right."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def contrast_cells(one: Contrast) -> tuple[str, str, str, str, str, str]:
    """The cells of a run against the baseline."""
    return (
        f"{one.difference:+.4f}",
        f"{one.interval.low:+.4f} to {one.interval.high:+.4f}",
        f"{one.effect:+.2f}" if one.effect is not None else "",
        p_value(one.t_test_holm),
        p_value(one.randomisation_holm),
        f"{one.wins}/{one.ties}/{one.losses}",
    )


def p_value(p: float | None) -> str:
    """Four decimals, `<0.0001` for less, nothing for what was not tested."""
    if p is None:
        return ""
    return f"{p:.4f}" if p >= 0.0001 else "<0.0001"


def print_rules(rules: Rules, warnings: Sequence[str]) -> None:
    """How the numbers were computed; warnings go to standard error."""
    out = console()
    for what, rule in (
        ("ties", rules.ties),
        ("mean", rules.missing_queries),
        ("self hits", rules.self_hits),
        ("gains", rules.gains),
        ("titles", rules.titles),
        ("computed by", rules.provider),
    ):
        out.print(f"{what}: {rule}", style="dim", markup=False)
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
