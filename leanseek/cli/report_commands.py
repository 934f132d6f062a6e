"""Commands that show what evaluations measured: the BEIR table, reports, and relevance models."""

from __future__ import annotations

from dataclasses import asdict
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import console, count, print_json, progress_bar

if TYPE_CHECKING:
    from leanseek.eval.leaderboard import Leaderboard
    from leanseek.eval.relevance import RelevanceResult
    from leanseek.eval.reports import Format


def leaderboard(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where results of evaluations are.")],
    measure: Annotated[str, typer.Option(metavar="NAME", help="Which measure the table shows.")] = "nDCG@10",
    markdown: Annotated[bool, typer.Option("--markdown", help="The table for a README.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="The table for a spreadsheet.")] = False,
    mteb: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write MTEB result JSON into this folder.")
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """Show the BEIR table of stored results.

    Missing collections are marked, and means are labelled with the collections they cover.
    """
    from leanseek.errors import UsageError
    from leanseek.eval import leaderboard as boards
    from leanseek.eval.leaderboard import export
    from leanseek.eval.results import read_results

    if markdown + as_csv + as_json > 1:
        raise UsageError("--markdown, --csv and --json are three forms of one table; give one of them")
    results = [stored.result for stored in read_results(folder)]
    board = boards.leaderboard(results, measure)
    if as_json:
        print_json(asdict(board))
    elif markdown:
        typer.echo(boards.as_markdown(board), nl=False)
    elif as_csv:
        typer.echo(boards.as_csv(board), nl=False)
    else:
        show_leaderboard(board)
    if mteb is not None:
        done = export(results, mteb)
        typer.echo(f"{count(len(done.files), 'MTEB result')} written to {mteb}.", err=True)
        if done.left_out:
            typer.echo(f"MTEB has no task for: {', '.join(done.left_out)}.", err=True)


def show_leaderboard(board: Leaderboard) -> None:
    """The table on a terminal."""
    from rich.measure import Measurement
    from rich.table import Table

    from leanseek.eval.leaderboard import table

    head, *lines = table(board)
    out = console()
    drawn = Table(box=None, pad_edge=False)
    for column, name in enumerate(head):
        drawn.add_column(name, justify="right" if column else "left", overflow="fold")
    for line in lines:
        drawn.add_row(*line)
    if Measurement.get(out, out.options.update_width(10_000), drawn).maximum > out.width:
        # Shortened names would no longer tell systems apart.
        for number, system in enumerate(drawn.columns[1:], 1):
            out.print(f"{number}: {system.header}", markup=False)
            system.header = str(number)
    out.print(drawn)


def report(
    results: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder that 'leanseek eval collection --out' filled.")
    ],
    html: Annotated[bool, typer.Option("--html", help="One page with tables and figures.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The table as Markdown.")] = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="The table with all digits, intervals, p values and costs.")
    ] = False,
    latex: Annotated[bool, typer.Option("--latex", help="The table for a paper (booktabs).")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to write, by default into DIR.")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="SYSTEM", help="Compare with this one, by default the sparse system."),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What the figures show, by default the first measure."),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="On the page: what in-context re-rankers attended to, for the queries that changed most; these are "
            "searched again.",
        ),
    ] = False,
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Write a report of stored results, by default a page of HTML."""
    from leanseek.errors import UsageError
    from leanseek.eval.reports import FORMATS, gather, write_report

    wanted = {"html": html, "markdown": markdown, "csv": csv, "latex": latex}
    formats: list[Format] = [name for name in FORMATS if wanted[name]] or ["html"]
    if explain and "html" not in formats:
        raise UsageError("--explain is for the page; add --html")
    if device is not None and not explain:
        raise UsageError("--device goes with --explain, which searches again")
    with progress_bar(as_json) as progress:
        study = gather(
            results, baseline=baseline, measure=measure, explain=explain, device=device, progress=progress
        )
    paths = write_report(study, out or results, formats)
    systems = sum(len(group.systems) for group in study.groups)
    if as_json:
        print_json(
            {
                "collections": len(study.groups),
                "results": systems,
                "files": {name: str(path) for name, path in zip(formats, paths, strict=True)},
            }
        )
        return
    written = ", ".join(str(path) for path in paths)
    typer.echo(f"{count(systems, 'result')} of {count(len(study.groups), 'collection')}: {written}")


def relevance(
    name: opt.CollectionName,
    split: Annotated[str, typer.Option(metavar="SPLIT", help="Which judgments.")] = "test",
    foreign: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLLECTION",
            help="Search its queries too, which have nothing relevant here. Repeatable.",
        ),
    ] = None,
    index: Annotated[
        Path | None, typer.Option(metavar="INDEX", help="Where the index is or goes instead of into --out.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where indexes go.")] = Path("results"),
    k: Annotated[int, typer.Option("-k", metavar="N", help="How many candidates of each query.")] = 1000,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with table and figure.")
    ] = None,
    mode: Annotated[Literal["hybrid", "dense"], typer.Option(help="Which searches to measure.")] = "dense",
    model: Annotated[
        str, typer.Option("--relevance", metavar="FILE", help="A model's file; default is the packaged one.")
    ] = "default",
    encoder: opt.Encoder = None,
    device: opt.Device = None,
    no_cache: opt.NoCache = False,
    as_json: opt.Json = False,
) -> None:
    """Measure how well one threshold on probabilities separates relevant hits.

    All candidates of all queries of the split are pooled. Controls are measured the same way: ranks, scores, shares
    of the best score, z-scores, and curves over the score alone.
    """
    from leanseek.encode import DEFAULT_MODEL
    from leanseek.eval import open_collection
    from leanseek.eval.relevance import evaluate_relevance

    with progress_bar(as_json) as progress:
        result = evaluate_relevance(
            open_collection(name),
            split=split,
            mode=mode,
            relevance=model,
            encoder=encoder or DEFAULT_MODEL,
            k=k,
            foreign=[open_collection(other) for other in foreign or ()],
            out=out,
            index=index,
            device=device,
            cache=not no_cache,
            progress=progress,
        )
    if report is not None:
        from leanseek.eval.reports.page import write_page

        write_page(result, report)
    if as_json:
        print_json(asdict(result))
    else:
        show_relevance(result)
        if report is not None:
            typer.echo(f"Written to {report}")


def show_relevance(result: RelevanceResult) -> None:
    """Print a row for each system, then the results at the stored threshold and those of foreign queries."""
    typer.echo(
        f"{result.collection} {result.split}, {result.mode}: {count(result.queries, 'query', 'queries')}, "
        f"{result.candidates:,} candidates, {result.relevant:,} of them relevant"
    )
    header = ("", "PR-AUC", "P@R95", "dropped", "kept/query", "ECE", "ECE top 10")
    typer.echo("  " + f"{header[0]:<14}" + "".join(f"{title:>12}" for title in header[1:]))
    for system, scores in result.systems.items():
        cells = [
            f"{scores.pr_auc:.4f}",
            f"{scores.p_at_r95:.4f}",
            f"{scores.dropped_at_r95:.1%}",
            f"{scores.kept_per_query:.1f}",
            "-" if scores.ece is None else f"{scores.ece:.4f}",
            "-" if scores.ece_top10 is None else f"{scores.ece_top10:.4f}",
        ]
        typer.echo("  " + f"{system:<14}" + "".join(f"{cell:>12}" for cell in cells))
    typer.echo(
        f"  at the stored threshold, {result.stored_threshold:.3g}: recall {result.stored_recall:.1%}, dropped "
        f"{result.stored_dropped:.1%}, kept {result.stored_kept_per_query:.1f} a query"
    )
    if result.shift:
        typer.echo(
            f"  the lists show other shares of relevant documents than the model learned: its odds x "
            f"{exp(result.shift):.2g} (as 'train relevance --unlabelled INDEX --queries FILE' stores it)"
        )
    for other in result.foreign:
        shares = ", ".join(f"{system} {share:.1%}" for system, share in other.empty.items())
        typer.echo(
            f"  nothing kept of the {count(other.queries, 'query', 'queries')} of {other.collection}: {shares}; "
            f"adapter at its stored threshold {other.stored:.1%}"
        )
