"""Commands that compare whole documents."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import count, print_hits, print_json, printable, progress_bar

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
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="A document encoder, from leanseek train documents; or the encoder of texts, by another back end.",
        ),
    ] = None,
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Find documents that are like a document, comparing all of their passages.

    With a document encoder the vectors that it gives whole documents are compared instead.
    """
    from leanseek.encode.models import holds_document_encoder
    from leanseek.records import hit_record
    from leanseek.searcher import Searcher

    whole = encoder if encoder is not None and holds_document_encoder(Path(encoder)) else None
    texts = encoder if whole is None else None
    with Searcher.open(index, encoder=texts, device=device, relevance=None) as searcher:
        given = None if not searcher.missing([document]) else only_document(searcher, document)
        if given is None:
            hits = searcher.similar(document, k, filter=filter, encoder=whole, explain=not as_json)
        else:
            hits = searcher.similar(
                text=given.text,
                title=given.title,
                k=k,
                filter=filter,
                encoder=whole,
                explain=not as_json,
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


def duplicates(
    index: opt.IndexPath,
    least: Annotated[
        float,
        typer.Option(
            metavar="0.5..1",
            help="The share of their runs of five words that near-duplicates have in common.",
        ),
    ] = 0.8,
    filter: opt.Filter = None,
    as_json: opt.Json = False,
) -> None:
    """List the documents that have nearly the same text, in groups; nothing is changed."""
    from leanseek.understanding import find_duplicates

    with progress_bar(as_json) as progress:
        groups = find_duplicates(index, least, filter=filter, progress=progress)
    more = sum(len(group.duplicates) for group in groups)
    for group in groups:
        if as_json:
            alike = [one._asdict() for one in group.duplicates]
            print_json({"id": group.id, "title": group.title, "duplicates": alike})
        else:
            title = f"  {printable(group.title)}" if group.title and group.title != group.id else ""
            typer.echo(f"{printable(group.id)}{title}")
            for one in group.duplicates:
                typer.echo(f"     {one.likeness:.3f}  {printable(one.id)}")
    if as_json:
        print_json({"groups": len(groups), "duplicates": more}, err=True)
    elif groups:
        typer.echo(
            f"{count(len(groups), 'group')}: {count(more, 'document')} nearly the same as the first of a group. "
            f"To leave one of each: leanseek delete {quote(str(index))} ID…"
        )
    else:
        typer.echo("No near-duplicates.")
