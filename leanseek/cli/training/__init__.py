"""`leanseek train …`: what is learned from judged queries."""

from __future__ import annotations

import typer

from leanseek.cli.training.cross_encoder import cross_encoder
from leanseek.cli.training.fusion import fusion
from leanseek.cli.training.heads import heads
from leanseek.cli.training.relevance import relevance

train_app = typer.Typer(
    name="train",
    help="Learn from judged queries: relevance, fusion, attention heads, a cross-encoder.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@train_app.callback()
def train() -> None:
    """Learn from judged queries."""


train_app.command()(relevance)
train_app.command()(fusion)
train_app.command()(heads)
train_app.command("cross-encoder")(cross_encoder)
