"""The first thing to try: ask the documentation of the Python that runs this."""

from __future__ import annotations

import json
import platform
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import count, hit_record, print_hits, print_json, progress_bar

QUESTIONS = (
    "run a shell command and capture its output",
    "cache the results of a slow function",
    "wrap long lines of text to a given width",
    "find all files matching a pattern in a directory tree",
    "count how often each element occurs in a list",
)


def demo(
    into: Annotated[
        Path, typer.Option("--into", metavar="INDEX", help="The index to make, or to ask.")
    ] = Path("demo.index"),
    encoder: opt.EncoderOption = None,
    as_json: opt.Json = False,
) -> None:
    """Index the documentation of the installed Python and answer five questions about it."""
    from leanseek.searcher.searcher import Searcher

    started = time.perf_counter()
    origin = json.dumps(["python documentation", platform.python_version(), encoder])
    say: Callable[[str], None] = (lambda text: None) if as_json else typer.echo
    if not is_made(into, origin):
        say(f"Indexing the documentation of Python {platform.python_version()} into {into}.")
        make(into, origin, encoder, as_json)
        say(f"Done in {time.perf_counter() - started:.0f} s.")
    else:
        say(f"{into} holds the documentation of Python {platform.python_version()} already.")
    with Searcher.open(into) as searcher:
        for question, hits in zip(
            QUESTIONS, searcher.search_batch(QUESTIONS, k=3, explain=True), strict=True
        ):
            say(f"\n{question}")
            if as_json:
                for hit in hits:
                    print_json({"query": question, **hit_record(hit)})
            else:
                print_hits(hits, explain=True)
    program = sys.argv[0] if Path(sys.argv[0]).name == "leanseek" else "leanseek"
    say(f'\nAsk the next one:\n  {program} search {shlex.quote(str(into))} "how do I ..."')


def make(into: Path, origin: str, encoder: str | None, quiet: bool) -> None:
    """Index the documentation, or replace what an earlier Python or encoder left there."""
    from leanseek.encode import DEFAULT_MODEL
    from leanseek.indexing.catalog import CATALOG
    from leanseek.indexing.configuring import make_settings
    from leanseek.indexing.index import Index
    from leanseek.indexing.pydocs import python_documentation

    settings, loaded = make_settings(encoder=encoder or DEFAULT_MODEL)
    index = Index.open(into) if (into / CATALOG).exists() else Index.create(into, encoder=loaded)
    with progress_bar(quiet) as progress:
        report = index.rebuild(
            python_documentation(), settings=settings, encoder=loaded, origin=origin, progress=progress
        )
    if not quiet:
        typer.echo(f"{count(report.documents, 'passage')}.")
        if report.truncation is not None:
            typer.echo(report.truncation.sentence())


def is_made(into: Path, origin: str) -> bool:
    """Whether the index holds just what the demonstration would put there."""
    from leanseek.indexing.catalog import CATALOG, read_state

    return (into / CATALOG).exists() and read_state(into).origin == origin
