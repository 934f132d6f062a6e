"""`leanseek eval …`: one command for a leaderboard run, a comparison of systems, a paper's table."""

from __future__ import annotations

import typer

from leanseek.cli.evaluation.collection import collection
from leanseek.cli.evaluation.collections import collections
from leanseek.cli.evaluation.leaderboard import leaderboard
from leanseek.cli.evaluation.relevance import relevance
from leanseek.cli.evaluation.report import report
from leanseek.cli.evaluation.reproduce import reproduce
from leanseek.cli.evaluation.scoring import compare, score

eval_app = typer.Typer(
    name="eval",
    help="Measure: score runs, compare them, evaluate collections.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

eval_app.command()(score)
eval_app.command()(compare)
eval_app.command()(collections)
eval_app.command()(collection)
eval_app.command()(reproduce)
eval_app.command()(leaderboard)
eval_app.command()(report)
eval_app.command()(relevance)
