"""The command that suggests queries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import console, print_json, printable, progress_bar
from leanseek.cli.search_commands import show_corrected


def suggest(
    index: opt.IndexPath,
    text: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT", help="The beginning of a query, or a query; without one what is asked most."
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", metavar="N", help="How many suggestions.")] = 8,
    log: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Queries that people have asked, one a line; repeated ones count."),
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Your profile, which stays on this machine: titles and metadata values of documents that you have "
            "opened. Made where it is missing.",
        ),
    ] = None,
    opened: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Count a document as opened in the profile first. Repeatable."),
    ] = None,
    mode: opt.Mode = None,
    encoder: opt.Encoder = None,
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Suggest queries that the index can answer, as completions of a text and next questions."""
    from leanseek.errors import InputError, UsageError
    from leanseek.searcher import Searcher
    from leanseek.understanding import Profile

    if opened and profile is None:
        raise UsageError("--opened goes with --profile FILE, where it is kept")
    mine = None if profile is None else Profile.read(profile)
    typed = " ".join(text or ())
    with (
        progress_bar(as_json) as progress,
        Searcher.open(index, encoder=encoder, mode=mode, device=device) as searcher,
    ):
        if mine is not None and profile is not None and opened:
            if missing := searcher.missing(opened):
                raise InputError(
                    f"the index has no document {missing[0]!r}; --opened takes ids of its documents"
                )
            mine.opened(searcher.documents(opened))
            mine.write(profile)
        found, better = searcher.suggest(typed, k, log=log, profile=mine, progress=progress)
    if as_json:
        for one in found:
            print_json(one._asdict())
    show_corrected(better, as_json)
    if as_json:
        return
    if not found:
        typer.echo("Nothing to suggest: the index has no title, question or phrase like it.", err=True)
    out = console()
    for one in found:
        out.print(
            printable(one.text),
            style=None if one.kind == "completion" else "dim",
            markup=False,
            soft_wrap=True,
        )
