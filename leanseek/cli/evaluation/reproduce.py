"""The command that checks the numbers everybody knows."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import print_json, progress_bar
from leanseek.errors import ExitCode

if TYPE_CHECKING:
    from leanseek.eval.reproducing import Expectation, Verdict


def reproduce(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Which; by default all. See --list.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="FOLDER", help="Where the collections are; else LEANSEEK_DATA."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where results and indexes go.")] = Path(
        "results"
    ),
    listing: Annotated[
        bool, typer.Option("--list", help="Show numbers, commands and sources; run nothing.")
    ] = False,
    as_json: opt.Json = False,
) -> None:
    """Check published numbers by the commands that yield them: OK, off, or FAIL with the difference.

    Exit code 1 where any fails.
    """
    from leanseek.eval.reproducing import data_folder, expected
    from leanseek.eval.reproducing import reproduce as reproduced

    wanted = expected(names or ())
    if listing:
        for one in wanted:
            print_json(asdict(one)) if as_json else show_expectation(one)
        return
    failed = 0
    with progress_bar(as_json) as progress:
        for verdict in reproduced(wanted, data=data_folder(data), out=out, progress=progress):
            failed += verdict.status == "FAIL"
            print_json(asdict(verdict)) if as_json else typer.echo(verdict_line(verdict))
    if failed:
        raise typer.Exit(int(ExitCode.FAILURE))


def show_expectation(one: Expectation) -> None:
    """An expected number with its command and its source."""
    typer.echo(f"{one.name}: {one.title}")
    for check in one.checks:
        typer.echo(f"  {check.measure} {check.value:g} ± {check.tolerance:g}")
    typer.echo(f"  leanseek {shlex.join(one.command)}")
    typer.echo(f"  {one.source}" + (f" ({one.url})" if one.url else ""))


def verdict_line(verdict: Verdict) -> str:
    """One line: the answer, the numbers and their difference."""
    head = f"{verdict.status:<8}{verdict.name:<20} {verdict.measure:<8} expected {verdict.expected:.4f}"
    head += f" ± {verdict.tolerance:g}"
    if verdict.measured is None or verdict.difference is None:
        return f"{head}: {verdict.reason}"
    return f"{head}, measured {verdict.measured:.4f} ({verdict.difference:+.4f})"
