"""The command that learns how an index's two sides are best fused."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import count, print_json, progress_bar

if TYPE_CHECKING:
    from leanseek.train.fusion import LearnedFusion


def fusion(
    index: opt.IndexPath,
    qrels: Annotated[
        Path | None,
        typer.Option("--qrels", metavar="QRELS", help="Judgments: TREC's four columns, or BEIR's three."),
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option("--queries", metavar="QUERIES", help="BEIR queries.jsonl, TSV, or TREC topics."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be learned, and leave the index as it is.")
    ] = False,
    reset: Annotated[
        bool, typer.Option("--reset", help="Forget what was learned: fuse by the default again.")
    ] = False,
    encoder: opt.EncoderOption = None,
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Learn from a few judged queries how much the dense side should count in an index's hybrid searches.

    What is learned is kept in the index and used by its searches; where the judged queries do not speak for a
    change, the default is kept.
    """
    from leanseek.errors import UsageError
    from leanseek.eval.judgments import read_qrels
    from leanseek.indexing.queries import read_queries
    from leanseek.train.fusion import reset_fusion, train_fusion

    if reset:
        if qrels is not None or queries is not None or dry_run:
            raise UsageError("--reset learns nothing; leave out --qrels, --queries and --dry-run")
        former = reset_fusion(index)
        if as_json:
            print_json({"forgotten": asdict(former) if former is not None else None})
        elif former is None:
            typer.echo("Nothing had been learned; searches fuse by the default: convex, dense weight 0.8.")
        else:
            typer.echo(
                f"{former.fusion}, dense weight {former.dense_weight:g}, is forgotten; searches fuse by the default "
                "again: convex, dense weight 0.8."
            )
        return
    if qrels is None or queries is None:
        raise UsageError("give the judged queries: --queries QUERIES --qrels QRELS; or --reset")
    asked, judgments = read_queries(queries), read_qrels(qrels)
    with progress_bar(as_json) as progress:
        learned = train_fusion(
            index, asked, judgments, encoder=encoder, device=device, dry_run=dry_run, progress=progress
        )
    if as_json:
        print_json({**asdict(learned), "stored": learned.kept is None and not dry_run})
    else:
        show(index, learned, dry_run)


def show(index: Path, learned: LearnedFusion, dry_run: bool) -> None:
    """What was learned, how sure it is, and what follows."""
    for note in learned.notes:
        typer.echo(f"note: {note}")
    typer.echo(
        f"{count(learned.queries, 'judged query', 'judged queries')}; the default, convex with dense weight 0.8: "
        f"nDCG@10 {learned.default:.4f}"
    )
    if learned.kept is not None:
        typer.echo(f"The default is kept: {learned.kept}.")
    else:
        relative = f" ({learned.gain / learned.default:+.1%})" if learned.default > 0 else ""
        typer.echo(
            f"Learned: {learned.fusion}, dense weight {learned.dense_weight:g}: nDCG@10 {learned.ndcg:.4f}; on "
            f"held-out queries {learned.gain:+.4f} ± {learned.error:.4f}{relative}"
        )
    if dry_run:
        typer.echo(f"{index} was left as it is.")
    elif learned.kept is None:
        again = f"leanseek train fusion {quote(str(index))} --reset"
        typer.echo(
            f"Searches of {index} use it where --fusion and --dense-weight do not say otherwise. Back: {again}"
        )
