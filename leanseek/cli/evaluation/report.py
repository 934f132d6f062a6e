"""The command that writes reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leanseek.cli.options import Device, Json
from leanseek.cli.output import count, print_json, progress_bar

if TYPE_CHECKING:
    from leanseek.eval.report import Format


def report(
    results: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder that 'leanseek eval collection --out' filled.")
    ],
    html: Annotated[bool, typer.Option("--html", help="One page with tables and figures.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The table as Markdown.")] = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="The table with all digits, intervals, p values and costs.")
    ] = False,
    latex: Annotated[bool, typer.Option("--latex", help="The table for a paper (booktabs).")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Where to write; by default into DIR.")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="SYSTEM", help="Compare with this one; by default the sparse system."),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(metavar="MEASURE", help="What the figures show; by default the first measure."),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="On the page: what re-rankers in context looked at for the queries that changed most, searched for "
            "again.",
        ),
    ] = False,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Write a report of stored results; the page where no format is named."""
    from leanseek.errors import UsageError
    from leanseek.eval.report import FORMATS, gather, write_report

    wanted = {"html": html, "markdown": markdown, "csv": csv, "latex": latex}
    formats: list[Format] = [name for name in FORMATS if wanted[name]] or ["html"]
    if explain and "html" not in formats:
        raise UsageError("--explain is for the page; add --html")
    if device is not None and not explain:
        raise UsageError("--device goes with --explain, which searches again")
    with progress_bar(as_json) as progress:
        study = gather(
            results, baseline=baseline, measure=measure, explain=explain, device=device, progress=progress
        )
    paths = write_report(study, out or results, formats)
    systems = sum(len(group.systems) for group in study.groups)
    if as_json:
        print_json(
            {
                "collections": len(study.groups),
                "results": systems,
                "files": {name: str(path) for name, path in zip(formats, paths, strict=True)},
            }
        )
        return
    written = ", ".join(str(path) for path in paths)
    typer.echo(f"{count(systems, 'result')} of {count(len(study.groups), 'collection')}: {written}")
