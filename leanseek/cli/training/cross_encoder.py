"""The command that trains a cross-encoder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import count, print_json, progress_bar
from leanseek.cli.training.relevance import name_and_split


def cross_encoder(
    collections: Annotated[
        list[str],
        typer.Argument(
            metavar="COLLECTION…",
            help="Collections with judgments: a folder, a BEIR name or irds:ID; add :SPLIT where it is not train.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the model goes.")],
    base: Annotated[
        str | None, typer.Option("--base", metavar="MODEL", help="The model to start from.")
    ] = None,
    joint_layers: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Layers that read query and passage together, the others being kept as they are; 0 for an "
            "ordinary cross-encoder, all of whose layers are trained.",
        ),
    ] = 2,
    negatives: Annotated[int, typer.Option(metavar="N", help="Passages beside the relevant one.")] = 7,
    most: Annotated[
        int | None,
        typer.Option("--most", metavar="N", help="Queries of each collection; all where not given."),
    ] = None,
    epochs: Annotated[float, typer.Option(help="How often each query is seen.")] = 1.0,
    batch: Annotated[int, typer.Option(metavar="N", help="Queries of one step.")] = 8,
    learning_rate: Annotated[float, typer.Option(help="The highest, after warming up.")] = 5e-5,
    max_tokens: Annotated[int, typer.Option(metavar="N", help="A pair's length in training.")] = 160,
    mix: Annotated[
        float,
        typer.Option(
            help="The share of what was learned that is kept, with --joint-layers; less holds on other texts."
        ),
    ] = 0.5,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    work: Annotated[
        Path, typer.Option("--work", metavar="DIR", help="Where indexes go, as with 'eval collection --out'.")
    ] = Path("results"),
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Train a cross-encoder from judged queries, with hard negatives out of the hybrid search.

    Interrupted, the same command goes on from the last checkpoint.
    """
    from leanseek.encode import DEFAULT_MODEL
    from leanseek.eval.collections import open_collection
    from leanseek.train.crossencoder.learning import Source, train_cross_encoder
    from leanseek.train.crossencoder.training import Recipe

    recipe = Recipe(
        base=base or DEFAULT_MODEL,
        joint_layers=joint_layers or None,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        max_tokens=max_tokens,
        mix=mix,
        seed=seed,
    )
    with progress_bar(as_json) as progress:
        report = train_cross_encoder(
            [Source(open_collection(name), split) for name, split in map(name_and_split, collections)],
            out,
            recipe,
            negatives=negatives,
            most=most,
            work=work,
            device=device,
            progress=progress,
        )
    if as_json:
        print_json({"out": str(out), **asdict(report)})
        return
    for taken in report.sources:
        typer.echo(
            f"{taken.collection} ({taken.split}): {count(taken.queries, 'query', 'queries')}, "
            f"{taken.held_out:,} held out"
        )
    typer.echo(
        f"{count(report.steps, 'step')}; loss on the held-out queries {report.before:.4f} before, "
        f"{report.after:.4f} after"
    )
    typer.echo(f"Use it: leanseek search INDEX QUERY --rerank {quote(f'cross-encoder:{out}')}")
