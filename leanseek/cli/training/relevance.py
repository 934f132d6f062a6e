"""The command that trains a relevance model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def relevance(
    collections: Annotated[
        list[str],
        typer.Argument(metavar="COLLECTION…", help="Collections with judgments, each as NAME or NAME:SPLIT."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the model goes.")],
) -> None:
    """Train a relevance model: from a query's candidates to the probability that each is relevant."""
    raise NotImplementedError
