"""The command that trains a relevance model."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import count, file_size, print_json, progress_bar


def relevance(
    collections: Annotated[
        list[str],
        typer.Argument(
            metavar="COLLECTION…",
            help="Collections with judgments: a folder, a BEIR name or irds:ID; add :SPLIT where it is not train.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the model goes.")],
    features: Annotated[
        Literal["all", "query"],
        typer.Option(help="Judge by the query's whole list, or, as published, by its vector alone."),
    ] = "all",
    map: Annotated[
        Literal["linear", "sqrt", "quadratic", "power"] | None,
        typer.Option("--map", help="The form of the curve, with --features query; by default power."),
    ] = None,
    encoder: opt.EncoderOption = None,
    seed: Annotated[int, typer.Option(help="Another seed draws other samples and begins elsewhere.")] = 0,
    work: Annotated[
        Path, typer.Option("--work", metavar="DIR", help="Where indexes go, as with 'eval collection --out'.")
    ] = Path("results"),
    device: opt.Device = None,
    no_cache: opt.NoCache = False,
    as_json: opt.Json = False,
) -> None:
    """Train a relevance model: from what a query finds to the probability that each candidate is relevant.

    The same collections and seed give the same file. Use it with: leanseek search INDEX QUERY --relevance FILE
    """
    from leanseek.encode import DEFAULT_MODEL
    from leanseek.errors import UsageError
    from leanseek.eval.collections import open_collection
    from leanseek.train.relevance import train_relevance

    if map is not None and features != "query":
        raise UsageError("--map goes with --features query: the curve that the query's vector shapes")
    check_place(out)
    named = [name_and_split(given) for given in collections]
    with progress_bar(as_json) as progress:
        model = train_relevance(
            [(open_collection(name), split) for name, split in named],
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
    """Raise UsageError where no file can be written at `out`: to be told before minutes of training, not after."""
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


def name_and_split(given: str) -> tuple[str, str]:
    """`scifact:dev` is the collection scifact and its split dev; without one the split is train."""
    name, colon, split = given.rpartition(":")
    if not colon or name in ("beir", "irds") or "/" in split or "\\" in split:
        return given, "train"
    return name, split
