"""The options that choose a second stage, and what people are told of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

if TYPE_CHECKING:
    from leanseek.searcher.reranking import DepthChoice, SecondStage
    from leanseek.types import Reached

RerankOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--rerank",
        metavar="NAME[:MODEL]",
        help="Put the best hits into a better order: cross-encoder:MODEL, in-context:MODEL (in-context:qa:MODEL asks "
        "it to answer rather than to find), late-interaction, or none. Given again, the next judges what the one "
        "before puts first.",
    ),
]
RerankDepthOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--rerank-depth",
        metavar="N|auto",
        help="How many hits are re-ranked, 100 by default; auto: those that are probable enough. One for each "
        "--rerank.",
    ),
]
RerankBudgetOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--rerank-budget",
        metavar="TIME",
        help="How long a query's re-ranking may take, such as 200ms or 2s: the best order reached in time.",
    ),
]
RerankLongOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--rerank-long",
        metavar="WAY",
        help="How cross-encoders read passages that do not fit: maxp (the best window, the default), top2, firstp "
        "or extract.",
    ),
]


def parse_depths(given: Sequence[str]) -> list[DepthChoice]:
    """Numbers and `auto`. Raises UsageError for anything else."""
    from leanseek.errors import UsageError

    depths: list[DepthChoice] = []
    for one in given:
        if one == "auto":
            depths.append("auto")
        elif one.isascii() and one.isdigit():
            depths.append(int(one))
        else:
            raise UsageError(f"--rerank-depth is '{one}'; give a whole number, at least 1, or auto")
    return depths


def second_stage(
    rerank: Sequence[str] | None,
    depth: Sequence[str] | None,
    budget: str | None,
    long: str | None,
    device: str | None,
    index: Path,
) -> SecondStage | None:
    """What the options choose for that index; None for no re-ranking.

    Raises UsageError, and what loading a model raises.
    """
    if not (rerank or depth or budget or long):
        return None
    from leanseek.rerank import parse_budget
    from leanseek.searcher.reranking import choose_second_stage

    return choose_second_stage(
        list(rerank or ()),
        parse_depths(depth or ()),
        parse_budget(budget) if budget is not None else None,
        device,
        long=long,
        index=index,
    )


def tell(notes: Sequence[str]) -> None:
    """What people should know of the re-ranking, on standard error."""
    for note in notes:
        typer.echo(f"note: {note}", err=True)


def rerank_record(notes: Sequence[str], reached: Reached) -> dict[str, Any]:
    """How one query's re-ranking went, as the JSON object that the documentation describes."""
    return {"reranked": reached.judged, "to_rerank": reached.asked, "notes": list(notes)}
