"""The command that makes the BEIR table."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import console, count, print_json

if TYPE_CHECKING:
    from leanseek.eval.leaderboard import Leaderboard


def leaderboard(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where results of evaluations are.")],
    measure: Annotated[str, typer.Option("--measure", help="Which measure the table shows.")] = "nDCG@10",
    markdown: Annotated[bool, typer.Option("--markdown", help="The table for a README.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="The table for a spreadsheet.")] = False,
    mteb: Annotated[
        Path | None, typer.Option("--mteb", metavar="OUT", help="Write MTEB result JSON into this folder.")
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """The BEIR table over the results in DIR: missing sets marked, means over what is there and labelled so."""
    from leanseek.errors import UsageError
    from leanseek.eval import leaderboard as boards
    from leanseek.eval.mteb_export import export
    from leanseek.eval.results import read_results

    if markdown + as_csv + as_json > 1:
        raise UsageError("--markdown, --csv and --json are three forms of one table; give one of them")
    results = [stored.result for stored in read_results(folder)]
    board = boards.leaderboard(results, measure)
    if as_json:
        print_json(asdict(board))
    elif markdown:
        typer.echo(boards.as_markdown(board), nl=False)
    elif as_csv:
        typer.echo(boards.as_csv(board), nl=False)
    else:
        show(board)
    if mteb is not None:
        done = export(results, mteb)
        typer.echo(f"{count(len(done.files), 'MTEB result')} written to {mteb}.", err=True)
        if done.left_out:
            typer.echo(f"MTEB has no task for: {', '.join(done.left_out)}.", err=True)


def show(board: Leaderboard) -> None:
    """The table on a terminal."""
    from rich.measure import Measurement
    from rich.table import Table

    from leanseek.eval.leaderboard import table

    head, *lines = table(board)
    out = console()
    drawn = Table(box=None, pad_edge=False)
    for column, name in enumerate(head):
        drawn.add_column(name, justify="right" if column else "left", overflow="fold")
    for line in lines:
        drawn.add_row(*line)
    if Measurement.get(out, out.options.update_width(10_000), drawn).maximum > out.width:
        # Names cut short would not tell systems apart.
        for number, system in enumerate(drawn.columns[1:], 1):
            out.print(f"{number}: {system.header}", markup=False)
            system.header = str(number)
    out.print(drawn)
