"""Commands that make what can be learned from out of documents alone."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import count, print_json, progress_bar

if TYPE_CHECKING:
    from leanseek.train import GeneratedQueries


def queries(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE|INDEX", help="An index directory, or documents as 'leanseek index' reads them."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the BEIR folder goes.")],
    generator: Annotated[
        str,
        typer.Option(
            metavar="none|MODEL",
            help="A decoder that writes the queries: its folder, GGUF file or name. none takes titles, questions and "
            "first sentences of the documents.",
        ),
    ] = "none",
    per_document: Annotated[
        int, typer.Option(metavar="N", help="Queries of each document, of the grades 2, 1, 0 in turn.")
    ] = 3,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="Documents to make queries for, by default all.")
    ] = None,
    seed: opt.Seed = 0,
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Make judged queries for your documents, to train from where there are none.

    Each query has grades: 2 for a document that answers it, 1 for one that does in part, 0 for one that does not. A
    search checks them. If interrupted, repeat the command: it continues where it stopped.
    """
    from leanseek.indexing.catalog import CATALOG
    from leanseek.reading import read
    from leanseek.train import QueryRecipe, generate_queries

    recipe = QueryRecipe(generator, per_document, limit, seed)
    is_index = len(sources) == 1 and (Path(sources[0]) / CATALOG).is_file()
    with progress_bar(as_json) as progress:
        report = generate_queries(
            Path(sources[0]) if is_index else read(*sources), out, recipe, device=device, progress=progress
        )
    if as_json:
        print_json({"out": str(out), **asdict(report)})
    else:
        show_generated(out, report)


def show_generated(out: Path, report: GeneratedQueries) -> None:
    """Print how many queries there are, of which grades, and what to do with them."""
    typer.echo(
        f"{count(report.queries, 'query', 'queries')} for {count(report.documents, 'document')} of {report.corpus:,}: "
        f"{report.perfect:,} graded 2, {report.partial:,} graded 1, {report.not_relevant:,} graded 0; "
        f"{count(report.refused, 'judgment')} refused by the search"
    )
    if report.silent:
        typer.echo(f"note: no query was found for {count(report.silent, 'document')}")
    typer.echo(f"Train from them: leanseek train cross-encoder {quote(str(out))} --out MODEL")
