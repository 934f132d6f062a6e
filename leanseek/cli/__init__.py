"""The command line. Each command is a thin function; what it does lives in the parts it calls."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from leanseek.cli.demo import demo
from leanseek.cli.eval_commands import collection, collections, reproduce
from leanseek.cli.guard import Guarded
from leanseek.cli.help import Helped
from leanseek.cli.index_commands import add, index
from leanseek.cli.inspect_commands import doctor, info, verify
from leanseek.cli.maintenance_commands import compact, delete, tokens
from leanseek.cli.report_commands import leaderboard, report
from leanseek.cli.report_commands import relevance as measure_relevance
from leanseek.cli.score_commands import compare, score
from leanseek.cli.search_commands import run, search
from leanseek.cli.train_commands import fusion
from leanseek.cli.train_commands import relevance as train_relevance
from leanseek.cli.train_reranker_commands import cross_encoder, heads

EPILOG = (
    "Exit codes: 0 done, 1 failure, 2 wrong usage, 3 unusable input, 4 no index or a damaged one, 5 model, "
    "6 missing package, 7 index locked, 8 disk or permission, 130 interrupted."
)

PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Index": (index, add, delete, compact, tokens),
    "Search": (search, run, demo),
    "Measure": (score, compare, collections, collection, reproduce, leaderboard, report, measure_relevance),
    "Learn": (train_relevance, fusion, heads, cross_encoder),
    "Inspect": (info, verify, doctor),
}
"""The commands by the panel of the program's help; those of Measure and Learn are in the groups eval and train."""


class Program(Guarded):
    """The program, whose help lists the panels in their order."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands' names, panel by panel."""

        def panel_of(name: str) -> int:
            group: Any = self.commands[name]
            return list(PANELS).index(group.rich_help_panel)

        return sorted(self.commands, key=panel_of)


HELP = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    cls=Program,
    name="leanseek",
    help="Documents in, hybrid answers out: index, search and measure on any CPU.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings=HELP,
)
eval_app = typer.Typer(
    name="eval",
    help="Score runs, compare them, evaluate collections.",
    no_args_is_help=True,
    context_settings=HELP,
)
train_app = typer.Typer(
    name="train",
    help="Learn relevance, fusion and re-rankers from judged queries.",
    no_args_is_help=True,
    context_settings=HELP,
)

for panel, commands in PANELS.items():
    group, shown = {"Measure": (eval_app, None), "Learn": (train_app, None)}.get(panel, (app, panel))
    for command in commands:
        name = command.__name__.replace("_", "-")
        group.command(name, cls=Helped, rich_help_panel=shown)(command)
app.add_typer(eval_app, rich_help_panel="Measure")
app.add_typer(train_app, rich_help_panel="Learn")


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
