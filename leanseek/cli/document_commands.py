"""The command that finds documents like a document."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import print_hits, print_json

if TYPE_CHECKING:
    from leanseek.searcher import Searcher
    from leanseek.types import Document


def similar(
    index: opt.IndexPath,
    document: Annotated[
        str,
        typer.Argument(
            metavar="ID|FILE",
            help="A document of the index by its id; else a file that holds one document.",
        ),
    ],
    k: Annotated[int, typer.Option("-k", metavar="N", help="How many documents.")] = 10,
    filter: opt.Filter = None,
    encoder: opt.Encoder = None,
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Find documents that are like a document, comparing all of their passages."""
    from leanseek.records import hit_record
    from leanseek.searcher import Searcher

    with Searcher.open(index, encoder=encoder, device=device, relevance=None) as searcher:
        given = None if not searcher.missing([document]) else only_document(searcher, document)
        if given is None:
            hits = searcher.similar(document, k, filter=filter, explain=not as_json)
        else:
            hits = searcher.similar(
                text=given.text, title=given.title, k=k, filter=filter, explain=not as_json
            )
    if as_json:
        for hit in hits:
            print_json(hit_record(hit))
    elif hits:
        print_hits(hits, explain=False)
    else:
        typer.echo(
            "Nothing found: no other document of the index is admitted, or the text is blank.", err=True
        )


def only_document(searcher: Searcher, given: str) -> Document:
    """The document of a file. Raises UsageError where there is no such file, InputError unless it holds one."""
    from leanseek.errors import InputError, UsageError
    from leanseek.reading import read

    if not Path(given).is_file():
        raise UsageError(f"'{given}' is neither the id of a document in '{searcher.path}' nor a file")
    documents = list(read(given))
    if len(documents) != 1:
        raise InputError(f"{given}: it holds {len(documents):,} documents; give a file that holds one")
    return documents[0]
