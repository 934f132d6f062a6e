"""Commands that score stored runs."""

from __future__ import annotations

from typing import Annotated

import typer


def score(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A TREC or MS MARCO run; gzip too, - for stdin.")],
    qrels: Annotated[str, typer.Option("--qrels", help="The judgments: TREC or BEIR; gzip too.")],
) -> None:
    """Score a stored run."""
    from leanseek.errors import UsageError

    raise UsageError("score is not built yet")


def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN…", help="The baseline first.")],
    qrels: Annotated[str, typer.Option("--qrels", help="The judgments: TREC or BEIR; gzip too.")],
) -> None:
    """Compare stored runs with the first of them."""
    from leanseek.errors import UsageError

    raise UsageError("compare is not built yet")
