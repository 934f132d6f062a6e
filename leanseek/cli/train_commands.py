"""Commands that learn how to search: relevance and fusion."""

from __future__ import annotations

import os
from dataclasses import asdict
from math import exp
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import count, file_size, print_json, progress_bar

if TYPE_CHECKING:
    from leanseek.train.fusion import LearnedFusion
    from leanseek.train.relevance import FittedField


def relevance(
    collections: opt.RelevanceCollections = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the model of collections goes.")
    ] = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option(metavar="INDEX", help="Fit the packaged model to this index, without judgments."),
    ] = None,
    judged: Annotated[
        Path | None,
        typer.Option(metavar="INDEX", help="Fit the index's model to a few judged queries, 20 or more."),
    ] = None,
    reset: Annotated[
        Path | None, typer.Option(metavar="INDEX", help="Forget the model that was fitted to this index.")
    ] = None,
    queries: Annotated[str | None, typer.Option(metavar="FILE", help=opt.QUERIES_HELP)] = None,
    qrels: Annotated[Path | None, typer.Option(metavar="FILE", help=opt.QRELS_HELP)] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be fitted and leave the index as it is.")
    ] = False,
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
    """Train a relevance model, which gives each hit a probability, or fit it to an index.

    From collections with judgments a model's file is made: leanseek search INDEX QUERY --relevance FILE. Fitted to an
    index (--unlabelled, --judged), it is stored there and used by its searches.
    """
    from leanseek.errors import UsageError

    places = {"--unlabelled": unlabelled, "--judged": judged, "--reset": reset}
    given = [name for name, index in places.items() if index is not None]
    if len(given) + bool(collections) != 1:
        raise UsageError(
            "give collections to learn from, or one of --unlabelled INDEX, --judged INDEX and --reset INDEX"
        )
    if not given:
        if queries is not None or qrels is not None or dry_run:
            raise UsageError("--queries, --qrels and --dry-run go with --unlabelled INDEX or --judged INDEX")
        if out is None:
            raise UsageError("--out is missing: the file where the model goes")
        model_of_collections(
            collections or [], out, features, map, encoder, seed, work, device, not no_cache, as_json
        )
        return
    if out is not None or features != "all" or map is not None:
        raise UsageError(
            f"{given[0]} stores the model in the index; --out, --features and --map do not go with it"
        )
    if reset is not None:
        forget_relevance(reset, as_json)
    else:
        fit_to_index(unlabelled, judged, queries, qrels, encoder, device, dry_run, as_json)


def model_of_collections(
    collections: list[str],
    out: Path,
    features: Literal["all", "query"],
    map: Literal["linear", "sqrt", "quadratic", "power"] | None,
    encoder: str | None,
    seed: int,
    work: Path,
    device: str | None,
    cache: bool,
    as_json: bool,
) -> None:
    """Train on collections, write the file and print what it came from."""
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
            cache=cache,
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
        "  95 % of a collection's relevant candidates have at least, in the median of the collections, "
        f"{model.threshold('dense'):.2%} (dense), {model.threshold('hybrid'):.2%} (hybrid)"
    )


def fit_to_index(
    unlabelled: Path | None,
    judged: Path | None,
    queries: str | None,
    qrels: Path | None,
    encoder: str | None,
    device: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Fit a model to an index and print what that came to."""
    from leanseek.errors import UsageError
    from leanseek.reading import read_qrels, read_queries
    from leanseek.train.relevance import train_judged, train_unlabelled

    if judged is not None and (queries is None or qrels is None):
        raise UsageError("--judged takes judged queries: --queries QUERIES --qrels QRELS")
    if judged is None and qrels is not None:
        raise UsageError("--unlabelled looks at no judgments; with --qrels say --judged INDEX")
    asked = read_queries(queries) if queries is not None else []
    with progress_bar(as_json) as progress:
        if judged is not None and qrels is not None:
            index = judged
            fitted = train_judged(
                index,
                asked,
                read_qrels(qrels),
                encoder=encoder,
                device=device,
                dry_run=dry_run,
                progress=progress,
            )
        else:
            assert unlabelled is not None
            index = unlabelled
            fitted = train_unlabelled(
                index, asked, encoder=encoder, device=device, dry_run=dry_run, progress=progress
            )
    if as_json:
        print_json(
            {
                "index": str(index),
                "queries": fitted.queries,
                "judged": fitted.judged,
                "level": fitted.model.level.value,
                "modes": {mode: asdict(found) for mode, found in fitted.modes.items()},
                "stored": not dry_run,
            }
        )
    else:
        show_fitted(index, fitted, dry_run)


def show_fitted(index: Path, fitted: FittedField, dry_run: bool) -> None:
    """Print what was fitted, mode by mode."""
    by = f"{count(fitted.judged, 'judged query', 'judged queries')}" if fitted.judged else "no judgments"
    asked = f", {count(fitted.queries, 'query', 'queries')}" if fitted.queries and not fitted.judged else ""
    typer.echo(f"Relevance model fitted to {index} with {by}{asked}")
    typer.echo(f"  a list of vectors must reach {fitted.model.level.value:.3f} to hold an answer")
    for mode, found in fitted.modes.items():
        line = f"  {mode}: odds x {exp(found.shift):.2g}"
        if found.gain is not None and found.error is not None:
            shape = "kept" if found.kept else "another one taken"
            line += f"; shape {shape}: PR-AUC {found.gain:+.4f} ± {found.error:.4f} on held-out queries"
        typer.echo(line)
    if dry_run:
        typer.echo(f"{index} was left as it is.")
    else:
        again = f"leanseek train relevance --reset {quote(str(index))}"
        typer.echo(f"Searches of {index} use it where --relevance does not say otherwise. Back: {again}")


def forget_relevance(index: Path, as_json: bool) -> None:
    """Have an index's searches use the packaged model again."""
    from leanseek.train.relevance import reset_relevance

    forgotten = reset_relevance(index)
    if as_json:
        print_json({"index": str(index), "forgotten": forgotten})
    elif forgotten:
        typer.echo(f"The model fitted to {index} is forgotten; the packaged one is used where it fits.")
    else:
        typer.echo(f"No model had been fitted to {index}.")


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
            f"Learned: {learned.fusion}, dense weight {learned.dense_weight:g}"
            f"{f', learned weight {learned.learned_weight:g}' if learned.learned_weight else ''}: "
            f"nDCG@10 {learned.ndcg:.4f}; on held-out queries {learned.gain:+.4f} ± {learned.error:.4f}{relative}"
        )
    if dry_run:
        typer.echo(f"{index} was left as it is.")
    elif learned.kept is None:
        again = f"leanseek train fusion {quote(str(index))} --reset"
        typer.echo(
            f"Searches of {index} use it where --fusion and --dense-weight do not say otherwise. Back: {again}"
        )
