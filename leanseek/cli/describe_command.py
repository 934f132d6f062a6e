"""The command that says what a query wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import console, print_json, printable, progress_bar

if TYPE_CHECKING:
    from leanseek.types import Description


def describe(
    index: opt.IndexPath,
    query: Annotated[list[str], typer.Argument(metavar="QUERY", help="The query, with or without quotes.")],
    relevant: opt.Relevant = None,
    irrelevant: opt.Irrelevant = None,
    generator: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="A decoder that writes the sentences, which are then checked; by default they are the documents' own.",
        ),
    ] = None,
    mode: opt.Mode = None,
    filter: opt.Filter = None,
    literal: opt.AsText = False,
    encoder: opt.Encoder = None,
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Say what a query wants: the sentences that set relevant documents apart from irrelevant ones."""
    from leanseek.records import description_record
    from leanseek.searcher import Searcher

    decoder = None
    with (
        progress_bar(as_json) as progress,
        Searcher.open(index, encoder=encoder, mode=mode, device=device, relevance=None) as searcher,
    ):
        if generator is not None:
            from leanseek.decode import load_decoder

            decoder = load_decoder(generator, device, precision="fast", progress=progress)
        found = searcher.describe(
            " ".join(query),
            relevant=opt.parse_ids(relevant),
            irrelevant=opt.parse_ids(irrelevant),
            generator=decoder,
            filter=filter,
            literal=literal,
        )
    if as_json:
        print_json(description_record(found))
        return
    print_description(found)
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)


def print_description(found: Description) -> None:
    """Print the sentences, each with the document that it is from, the terms, and what it was learned from."""
    from rich.text import Text

    out = console()
    for sentence in found.sentences:
        line = Text(printable(" ".join(sentence.text.split())))
        if sentence.id:
            line.append(f" [{printable(sentence.id)}]", style="bold green")
        out.print(line, soft_wrap=True)
    if not found.sentences:
        out.print("Nothing sets the relevant documents apart.", soft_wrap=True)
    terms = ", ".join(printable(one.term) for one in found.terms)
    against = f" against {', '.join(map(printable, found.irrelevant))}" if found.irrelevant else ""
    out.print(f"terms: {terms}", style="dim", soft_wrap=True)
    out.print(
        f"learned from {', '.join(map(printable, found.relevant))}{against}", style="dim", soft_wrap=True
    )
