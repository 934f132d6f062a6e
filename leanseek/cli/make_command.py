"""A command that makes an evaluation set from an index's own documents."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import count, print_json, progress_bar


def make(
    index: opt.IndexPath,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the set goes, a BEIR folder.")],
    queries: Annotated[int, typer.Option(metavar="N", help="How many queries, at most.")] = 200,
    generator: Annotated[
        str,
        typer.Option(
            metavar="none|MODEL",
            help="A decoder that writes the queries: its folder, GGUF file or name. none takes titles, questions and "
            "first sentences out of the documents.",
        ),
    ] = "none",
    seed: opt.Seed = 0,
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Make an evaluation set from your own documents, to compare systems where nobody has judged.

    Each query is for one document that many others resemble. Queries are kept where searches of this index disagree,
    more of them on topics that are hard or put these searches into another order.
    """
    from leanseek.train import SetRecipe, make_set

    recipe = SetRecipe(queries, generator, seed)
    with progress_bar(as_json) as progress:
        made = make_set(index, out, recipe, device=device, progress=progress)
    if as_json:
        print_json({"out": str(out), **asdict(made)})
        return
    typer.echo(
        f"{count(made.queries, 'query', 'queries')} of {made.tried:,} tried, for {count(made.corpus, 'document')} on "
        f"{count(len(made.topics), 'topic')}"
    )
    if made.queries < queries:
        typer.echo(
            f"note: {queries:,} were asked for; on the others all searches agree. --generator MODEL asks otherwise"
        )
    for name, value in made.systems.items():
        typer.echo(f"  {name:<12}{value:.4f} nDCG@10")
    typer.echo(f"Measure on it: leanseek eval collection {quote(str(out))}")
