"""The demonstration: search the documentation of the installed Python."""

from __future__ import annotations

import json
import platform
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import count, print_hits, print_json, progress_bar

if TYPE_CHECKING:
    from leanseek.indexing.catalog import State

SUBJECT = "python documentation"
QUESTIONS = (
    "run a shell command and capture its output",
    "cache the results of a slow function",
    "wrap long lines of text to a given width",
    "find all files matching a pattern in a directory tree",
    "count how often each element occurs in a list",
)


def demo(
    into: Annotated[
        Path, typer.Option(metavar="INDEX", help="The index to make, or to search if it exists.")
    ] = Path("demo.index"),
    encoder: opt.Encoder = None,
    as_json: opt.Json = False,
) -> None:
    """Index the documentation of the installed Python and search it."""
    from leanseek.encode import fastest_default
    from leanseek.records import hit_record
    from leanseek.searcher import Searcher

    started = time.perf_counter()
    encoder = encoder or fastest_default()
    origin = json.dumps([SUBJECT, platform.python_version(), encoder])
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
    say(f'\nSearch it yourself:\n  {program} search {shlex.quote(str(into))} "how do I ..."')


def make(into: Path, origin: str, encoder: str, quiet: bool) -> None:
    """Index the documentation; replaces that of another Python or encoder."""
    from leanseek.errors import IndexExistsError
    from leanseek.indexing import Index
    from leanseek.indexing.creation import make_plan
    from leanseek.reading import python_documentation

    def check(state: State) -> None:
        if state.segments and not (state.origin or "").startswith(f'["{SUBJECT}"'):
            raise IndexExistsError(f"'{into}' holds other documents. Choose another path with --into.")

    plan = make_plan(encoder=encoder)
    with progress_bar(quiet) as progress:
        report = Index.make(into, python_documentation(), plan, origin=origin, check=check, progress=progress)
    if not quiet:
        typer.echo(f"{count(report.documents, 'passage')}.")
        if report.truncation is not None:
            typer.echo(report.truncation.sentence())


def is_made(into: Path, origin: str) -> bool:
    """Whether the index already holds what the demonstration would index."""
    from leanseek.indexing.catalog import CATALOG, read_state

    return (into / CATALOG).exists() and read_state(into).origin == origin
