"""The command that lists collections."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from leanseek.cli.options import Json
from leanseek.cli.output import print_json, progress_bar


def collections(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="Folder of collections; by default those downloaded so far."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the collections in a folder: documents, splits with their judged queries, self-hits."""
    from leanseek.eval.collections import list_collections, summarize
    from leanseek.eval.collections.official import official_names

    found = list_collections(folder)
    with progress_bar(as_json) as progress:
        summaries = []
        for number, collection in enumerate(found):
            progress("counting", number, len(found))
            summaries.append(summarize(collection))
    if as_json:
        for summary in summaries:
            print_json(asdict(summary))
        return
    for summary in summaries:
        splits = ", ".join(f"{split} {queries:,}" for split, queries in summary.splits.items())
        removed = "  queries are documents: removed from their own results" if summary.self_hits else ""
        typer.echo(f"{summary.name:<24} {summary.documents:>10,}  {splits or 'no judgments'}{removed}")
    if not summaries:
        where = f"in {folder}" if folder is not None else "downloaded yet"
        typer.echo(f"No collections {where}. By name, BEIR's are downloaded: {', '.join(official_names())}.")
