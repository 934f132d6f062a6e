"""The command that measures a relevance model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import count, print_json, progress_bar

if TYPE_CHECKING:
    from leanseek.eval.relevance import RelevanceResult


def relevance(
    name: Annotated[
        str,
        typer.Argument(metavar="PATH_OR_NAME", help="A collection's folder, a BEIR name, or irds:ID."),
    ],
    split: Annotated[str, typer.Option("--split", help="Which judgments.")] = "test",
    mode: Annotated[
        Literal["hybrid", "dense"], typer.Option("--mode", help="Which searches to judge.")
    ] = "dense",
    model: Annotated[
        str, typer.Option("--relevance", metavar="FILE", help="A model's file; by default the packaged one.")
    ] = "default",
    foreign: Annotated[
        list[str] | None,
        typer.Option(
            "--foreign",
            metavar="COLLECTION",
            help="Put its queries too, which find nothing here; repeatable.",
        ),
    ] = None,
    encoder: opt.EncoderOption = None,
    k: Annotated[int, typer.Option("-k", help="How many candidates of each query.")] = 1000,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where indexes go.")] = Path("results"),
    index: Annotated[
        Path | None, typer.Option("--index", metavar="INDEX", help="Where the index is or goes instead.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write a page with table and figure.")
    ] = None,
    device: opt.Device = None,
    no_cache: opt.NoCache = False,
    as_json: opt.Json = False,
) -> None:
    """Measure how well one threshold on a relevance model's probabilities keeps what is relevant and drops the rest.

    All candidates of all queries of the split are pooled, beside the same for controls: ranks, scores, shares of the
    best score, z scores, and curves over the score alone.
    """
    from leanseek.encode import DEFAULT_MODEL
    from leanseek.eval.collections import open_collection
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
        from leanseek.eval.report.relevance import write_page

        write_page(result, report)
    if as_json:
        print_json(result_record(result))
    else:
        show(result)
        if report is not None:
            typer.echo(f"Written to {report}")


def result_record(result: RelevanceResult) -> dict[str, Any]:
    """A result as one JSON object."""
    return asdict(result)


def show(result: RelevanceResult) -> None:
    """A result for people: a row a system, then how the stored threshold does, then foreign queries."""
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
    for other in result.foreign:
        told = ", ".join(f"{system} {share:.1%}" for system, share in other.empty.items())
        typer.echo(
            f"  nothing kept of the {count(other.queries, 'query', 'queries')} of {other.collection}: {told}; "
            f"adapter at its stored threshold {other.stored:.1%}"
        )
