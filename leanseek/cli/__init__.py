"""The command line. Each command is a thin function; what it does lives in the parts it calls."""

from __future__ import annotations

import io
import sys
from importlib import import_module
from typing import Annotated, Any

import typer

from leanseek.cli.help import Helped
from leanseek.cli.query_words import Worded
from leanseek.cli.refusal import Guarded

EPILOG = (
    "Exit codes: 0 done, 1 failure, 2 wrong usage, 3 unusable input, 4 no index or a damaged one, 5 model, "
    "6 missing package, 7 index locked, 8 disk or permission, 9 cluster unavailable, 130 interrupted."
)

PANELS = {
    "Index": {
        "index_commands": "index add",
        "sync_command": "sync",
        "maintenance_commands": "delete compact tokens",
    },
    "Search": {
        "search_commands": "search run",
        "document_commands": "similar",
        "suggest_command": "suggest",
        "describe_command": "describe",
        "research_command": "research",
        "screen_command": "screen",
        "demo": "demo",
    },
    "Serve": {"serve_commands": "serve mcp"},
    "Cluster": {
        "cluster_commands": "build add delete compact status check search run serve",
        "cluster_demo": "demo",
    },
    "Measure": {
        "score_commands": "score compare",
        "answer_commands": "answers",
        "constraint_command": "constraints",
        "eval_commands": "collections collection reproduce",
        "make_command": "make",
        "report_commands": "leaderboard report relevance",
    },
    "Learn": {
        "train_commands": "relevance fusion",
        "train_encoder_commands": "encoder sparse_encoder pooling temperature",
        "train_text_commands": "distil pretrain documents",
        "train_reranker_commands": "heads cross_encoder calibrate",
    },
    "Generate": {"generate_commands": "queries"},
    "Inspect": {"inspect_commands": "info verify doctor", "document_commands": "duplicates"},
}
"""The files and functions of the commands, by the panel of the program's help."""

GROUPS = {
    "Cluster": ("cluster", "An index in shards, on one machine or many."),
    "Measure": ("eval", "Score runs and answers, compare runs, evaluate collections."),
    "Learn": ("train", "Learn encoders, re-rankers, relevance and fusion, mostly from judged queries."),
    "Generate": ("generate", "Make what can be learned from out of documents alone."),
}
"""The panels whose commands are in a group of their own, with its name and help."""


class Program(Guarded):
    """The program, whose help lists the panels in their order."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands' names, panel by panel."""

        def panel_of(name: str) -> int:
            group: Any = self.commands[name]
            return list(PANELS).index(group.rich_help_panel)

        return sorted(self.commands, key=panel_of)


HELP = {"help_option_names": ["-h", "--help"]}


def program(wanted: str | None = None) -> typer.Typer:
    """The program with all its commands, or with the command or group `wanted` alone, whose file alone is loaded."""
    app = typer.Typer(
        cls=Program,
        name="leanseek",
        help="Documents in, hybrid answers out: index, search and measure on any CPU.",
        epilog=EPILOG,
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        context_settings=HELP,
        callback=common,
    )
    for panel, files in PANELS.items():
        place, grouped = app, panel in GROUPS
        if grouped:
            name, text = GROUPS[panel]
            if wanted not in (None, name):
                continue
            place = typer.Typer(name=name, help=text, no_args_is_help=True, context_settings=HELP)
            app.add_typer(place, rich_help_panel=panel)
        for file, functions in files.items():
            for function in functions.split():
                if grouped or wanted in (None, function):
                    command = getattr(import_module(f"leanseek.cli.{file}"), function)
                    title = None if grouped else panel
                    worded = ("search", "suggest", "describe", "research", "screen")
                    kind = Worded if function in worded else Helped
                    place.command(function.replace("_", "-"), cls=kind, rich_help_panel=title)(command)
    return app


def __getattr__(name: str) -> Any:
    if name == "app":
        return program()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def show_version(wanted: bool) -> None:
    if wanted:
        from leanseek import __version__

        typer.echo(f"leanseek {__version__}")
        raise typer.Exit


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
    first = next((word for word in arguments if not word.startswith("-")), None)
    known = [name for name, _ in GROUPS.values()]
    for panel in PANELS.keys() - GROUPS.keys():
        known += " ".join(PANELS[panel].values()).split()
    program(first if first in known else None)(arguments)
