"""A command over queries with constraints: does a search return all that they ask for, and nothing else?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import console, print_json, progress_bar
from leanseek.cli.score_commands import plain_table

if TYPE_CHECKING:
    from leanseek.eval.constraints import ConstraintReport


def constraints(
    index: opt.IndexPath,
    queries: Annotated[
        str,
        typer.Argument(
            metavar="QUERIES",
            help="JSON lines with text and two filters: base, what the query is about, and gold, what it asks of that; "
            "- for standard input.",
        ),
    ],
    k: Annotated[
        int | None,
        typer.Option(
            "-k",
            metavar="N",
            help="How many documents a query may return: with --strict 1000, else as many as meet its constraints.",
        ),
    ] = None,
    understand: opt.Understand = False,
    strict: opt.Strict = False,
    mode: opt.Mode = None,
    per_query: Annotated[bool, typer.Option("--per-query", help="Print each query's values too.")] = False,
    encoder: opt.Encoder = None,
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Measure whether searches meet the constraints of queries.

    The shares of what is returned that are irrelevant, satisfy the constraints and do not; completeness; the share of
    queries that are answered all correctly; and how much the constraints leave out.
    """
    from leanseek.eval import evaluate_constraints, read_constraints
    from leanseek.searcher import Searcher

    asked = read_constraints(queries)
    with (
        progress_bar(as_json) as progress,
        Searcher.open(index, encoder=encoder, mode=mode, device=device, relevance=None) as searcher,
    ):
        report = evaluate_constraints(
            searcher, asked, k, understand=understand, strict=strict, progress=progress
        )
    if as_json:
        if per_query:
            for id, scores in report.scores.items():
                print_json({"id": id, **scores._asdict()})
        for group in report.groups:
            print_json({"constraints": group.constraints, "queries": group.queries, **group.means._asdict()})
    else:
        print_constraints(report, per_query)


def print_constraints(report: ConstraintReport, per_query: bool) -> None:
    """The measures by the number of constraints, and each query's where they are wanted."""
    names = [name.replace("_", " ") for name in report.groups[0].means._fields]
    if per_query:
        each = plain_table("query", *names)
        for id, scores in report.scores.items():
            each.add_row(id, *(f"{value:.3f}" for value in scores))
        console().print(each)
    table = plain_table("constraints", "queries", *names)
    for group in report.groups:
        number = "all" if group.constraints is None else str(group.constraints)
        table.add_row(number, f"{group.queries:,}", *(f"{value:.3f}" for value in group.means))
    console().print(table)
