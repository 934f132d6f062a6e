"""The command line. Each command is a thin function; what it does lives in the parts it calls."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from leanseek.cli.demo import demo
from leanseek.cli.eval_commands import eval_app
from leanseek.cli.guard import Guarded
from leanseek.cli.index_commands import add, compact, delete, index
from leanseek.cli.inspect_commands import doctor, info, verify
from leanseek.cli.search_commands import run, search
from leanseek.cli.token_commands import tokens
from leanseek.cli.train_commands import train_app

EPILOG = (
    "Exit codes: 0 done, 1 failure, 2 wrong usage, 3 unusable input, 4 no index or a damaged one, 5 model, "
    "6 missing package, 7 index locked, 8 disk or permission, 130 interrupted."
)

app = typer.Typer(
    cls=Guarded,
    name="leanseek",
    help="Documents in, hybrid answers out: index, search and inspect on any CPU.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (index, search, run, add, delete, compact, tokens, info, verify, doctor, demo):
    app.command()(command)
app.add_typer(eval_app)
app.add_typer(train_app)


def show_version(wanted: bool) -> None:
    if wanted:
        from leanseek import __version__

        typer.echo(f"leanseek {__version__}")
        raise typer.Exit


@app.callback()
def common(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """What every command takes; `--debug` may stand anywhere."""


def main() -> None:
    """The `leanseek` program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character shows another in its place, rather than none at all.
            stream.reconfigure(errors="replace")
    arguments = sys.argv[1:]
    if "--debug" in arguments:
        arguments.remove("--debug")
        arguments.insert(0, "--debug")
    app(arguments)
