"""Commands that learn how to search: relevance and fusion."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import count, file_size, print_json, progress_bar

if TYPE_CHECKING:
    from leanseek.train.fusion import LearnedFusion


def relevance(
    collections: opt.TrainingCollections,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the model goes.")],
    features: Annotated[
        Literal["all", "query"],
        typer.Option(help="Learn from the query's whole list, or, as published, from its vector alone."),
    ] = "all",
    map: Annotated[
        Literal["linear", "sqrt", "quadratic", "power"] | None,
        typer.Option(help="The form of the curve, with --features query; by default power."),
    ] = None,
    encoder: opt.Encoder = None,
    seed: opt.Seed = 0,
    work: opt.Work = Path("results"),
    device: opt.Device = None,
    no_cache: opt.NoCache = False,
    as_json: opt.Json = False,
) -> None:
    """Train a relevance model, which gives each hit a probability.

    The same collections and seed give the same file. Use it with: leanseek search INDEX QUERY --relevance FILE
    """
    from leanseek.encode import DEFAULT_MODEL
    from leanseek.errors import UsageError
    from leanseek.eval.collections import open_collection
    from leanseek.train.relevance import train_relevance

    if map is not None and features != "query":
        raise UsageError("--map goes with --features query: the curve that the query's vector shapes")
    check_place(out)
    sources = [opt.name_and_split(given) for given in collections]
    with progress_bar(as_json) as progress:
        model = train_relevance(
            [(open_collection(name), split) for name, split in sources],
            encoder=encoder or DEFAULT_MODEL,
            form=features,
            map=map,
            seed=seed,
            work=work,
            device=device,
            cache=not no_cache,
            progress=progress,
        )
        model.save(out)
    if as_json:
        print_json(
            {
                "file": str(out),
                "fingerprint": model.fingerprint,
                "thresholds": dict(model.thresholds),
                **asdict(model.provenance),
            }
        )
        return
    origin = model.provenance
    typer.echo(
        f"{out}: {file_size(out.stat().st_size)}, learned from {count(origin.queries, 'query', 'queries')} of "
        f"{', '.join(origin.trained_on)}"
    )
    typer.echo(
        "  95 % of the relevant candidates of held-out queries have at least "
        f"{model.threshold('dense'):.2%} (dense), {model.threshold('hybrid'):.2%} (hybrid)"
    )


def check_place(out: Path) -> None:
    """Raise UsageError where no file can be written at `out`: before minutes of training, not after."""
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    if out.is_dir():
        problem = "a folder"
    elif not folder.is_dir():
        problem = f"below {folder}, which is a file"
    elif not os.access(folder, os.W_OK):
        problem = f"in {folder}, which cannot be written to"
    else:
        return
    from leanseek.errors import UsageError

    raise UsageError(f"--out is {out}, {problem}; give the path of the model's file")


def fusion(
    index: opt.IndexPath,
    qrels: Annotated[Path | None, typer.Option(metavar="FILE", help=opt.QRELS_HELP)] = None,
    queries: Annotated[str | None, typer.Option(metavar="FILE", help=opt.QUERIES_HELP)] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be learned and leave the index as it is.")
    ] = False,
    reset: Annotated[
        bool, typer.Option("--reset", help="Forget what was learned and fuse by the default again.")
    ] = False,
    encoder: opt.Encoder = None,
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Learn from a few judged queries how to fuse an index's two sides.

    What is learned is stored in the index and used by its searches. Where the judged queries show no gain, the default
    remains.
    """
    from leanseek.errors import UsageError
    from leanseek.reading import read_qrels, read_queries
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
        show_fusion(index, learned, dry_run)


def show_fusion(index: Path, learned: LearnedFusion, dry_run: bool) -> None:
    """Print what was learned, how certain it is, and what follows."""
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
