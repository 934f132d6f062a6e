"""The command that brings an index up to its sources, once or whenever they change."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import count, print_json, printable, progress_bar

if TYPE_CHECKING:
    from leanseek.indexing import SyncReport

PAUSE = 0.5
"""Seconds between two looks at the sources."""
SHARE = 20
"""A pause is at least so many times as long as the look before it."""
LOOKS = 10
"""Changes are taken in once a look finds no further one, or after so many."""
SHOWN_FILES = 20


def sync(
    sources: opt.Sources,
    index: opt.IndexPath,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be added, replaced and deleted.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on, and follow changes of the sources until Ctrl-C.")
    ] = False,
    id_field: opt.IdField = None,
    text_field: opt.TextField = None,
    title_field: opt.TitleField = None,
    encoding: opt.Encoding = None,
    on_error: opt.OnError = "auto",
    encoder: opt.Encoder = None,
    no_cache: opt.NoCache = False,
    as_json: opt.Json = False,
) -> None:
    """Bring an index up to its sources: add, replace and delete what has changed, in one commit.

    Files that have not changed are not read. Only documents of files below the sources are deleted.
    """
    from leanseek.errors import IndexNotFoundError, UsageError
    from leanseek.indexing import Index
    from leanseek.indexing.catalog import CATALOG

    if watch and dry_run:
        raise UsageError("--watch follows changes and --dry-run makes none; choose one of them")
    try:
        opened = Index.open(index, encoder=encoder)
    except IndexNotFoundError:
        if (Path(sources[0]) / CATALOG).is_file():
            raise UsageError(f"the index comes last: leanseek sync SOURCE... {quote(sources[0])}") from None
        raise

    def once() -> None:
        with progress_bar(as_json or watch) as progress:
            report = opened.sync(
                *sources,
                id_field=id_field,
                text_field=text_field,
                title_field=title_field,
                encoding=encoding,
                on_error=on_error,
                dry_run=dry_run,
                progress=progress,
                cache=not no_cache,
            )
            if opened.merging:
                progress("merging small segments", 0, None)
            report = replace(report, unmerged=report.unmerged or opened.close(patience=None))
        show(report, str(index), as_json)

    if watch:
        follow(sources, once, as_json)
    else:
        once()


def follow(sources: Sequence[str], once: Callable[[], None], quiet: bool) -> None:
    """Call `once` now and after every change of the sources, several changes at a time, until Ctrl-C."""
    from leanseek.errors import ExitCode, IndexLockedError, LeanseekError

    seen, pause = look(sources)
    once()
    if not quiet:
        typer.echo("Watching for changes; Ctrl-C ends it.")
    try:
        while True:
            sys.stdout.flush()
            time.sleep(pause)
            now, pause = look(sources)
            if now == seen:
                continue
            for _ in range(LOOKS):
                time.sleep(PAUSE)
                before, (now, pause) = now, look(sources)
                if now == before:
                    break
            try:
                once()
                seen = now
            except IndexLockedError:
                pass  # another writer's turn: the next look finds the change again
            except LeanseekError as error:
                typer.echo(f"error: {error}", err=True)
                seen = now
    except KeyboardInterrupt:
        typer.echo("Stopped. The index is as last reported.", err=True)
        raise typer.Exit(int(ExitCode.INTERRUPTED)) from None


def look(sources: Sequence[str]) -> tuple[object, float]:
    """What tells the present state of the sources' files from any other, and how long to wait for the next look."""
    from leanseek.errors import LeanseekError
    from leanseek.reading import ReadReport
    from leanseek.reading.folders import found_files

    started = time.monotonic()
    state: object
    try:
        state = [
            (file.real, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            for source in sources
            for file in found_files(source, ReadReport())
            if (status := Path(file.path).stat())
        ]
    except (LeanseekError, OSError) as error:  # a source that is gone, or a file that went between
        state = str(error)
    return state, max(PAUSE, SHARE * (time.monotonic() - started))


def show(report: SyncReport, index: str, as_json: bool) -> None:
    """Print what changed, or would change, and what could not be read."""
    if as_json:
        print_json(asdict(report))
        return
    for line in report.reading.details():
        typer.echo(f"  {printable(line)}")
    if report.dry_run:
        for change in report.files[:SHOWN_FILES]:
            typer.echo(f"  {printable(change.file)}: {counts(change.added, change.replaced, change.deleted)}")
        if len(report.files) > SHOWN_FILES:
            typer.echo(f"  and {count(len(report.files) - SHOWN_FILES, 'more file')}; --json lists them all")
    changed = counts(report.added, report.replaced, report.deleted) or "nothing changed"
    head = f"{index} would change: " if report.dry_run and report.files else ""
    typer.echo(f"{head}{changed}, {report.unchanged:,} unchanged.")
    if report.truncation is not None:
        typer.echo(report.truncation.sentence())
    if report.unmerged is not None:
        typer.echo(f"Everything is in, but {report.unmerged}; later: leanseek compact {quote(index)}")


def counts(added: int, replaced: int, deleted: int) -> str:
    """The counts that are not 0, in words."""
    named = ((added, "added"), (replaced, "replaced"), (deleted, "deleted"))
    return ", ".join(f"{number:,} {word}" for number, word in named if number)
