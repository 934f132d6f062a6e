"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

if TYPE_CHECKING:
    from leanseek.searcher.second_stage import DepthChoice, SecondStage
    from leanseek.types import Reached

IndexPath: TypeAlias = Annotated[Path, typer.Argument(metavar="INDEX", help="The index directory.")]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Machine output: one JSON object a line.")]
Sources: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        help="BEIR folders, .jsonl .json .csv .tsv .parquet (gzip too), folders of .txt .md .rst .html .pdf "
        ".docx, or - for JSON lines from standard input.",
    ),
]
IdField: TypeAlias = Annotated[str | None, typer.Option(metavar="NAME", help="Field that holds the id.")]
TextField: TypeAlias = Annotated[str | None, typer.Option(metavar="NAME", help="Field that holds the text.")]
TitleField: TypeAlias = Annotated[
    str | None, typer.Option(metavar="NAME", help="Field that holds the title.")
]
OnErrorOption: TypeAlias = Annotated[
    Literal["fail", "skip"], typer.Option(help="Stop at a record that cannot be read, or count it and go on.")
]
OnDuplicateOption: TypeAlias = Annotated[
    Literal["reject", "replace"],
    typer.Option(help="Refuse a document whose id is there already, or let it replace the earlier one."),
]
EncoderOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        metavar="MODEL",
        help="A sentence-transformers model: name or path. Prefix onnx:, onnx-int8: or static: for a faster "
        "back end.",
    ),
]
Device: TypeAlias = Annotated[str | None, typer.Option(help="Where to encode: cpu, cuda, mps.")]
NoCache: TypeAlias = Annotated[
    bool, typer.Option("--no-cache", help="Neither use nor fill the vector cache.")
]
LossyLengths: TypeAlias = Annotated[
    bool, typer.Option("--lossy-lengths", help="BM25: round lengths as Lucene does, for its scores.")
]
ModeOption: TypeAlias = Annotated[
    Literal["hybrid", "dense", "sparse"] | None,
    typer.Option("--mode", help="Which sides to search; by default both where the index has both."),
]
FilterOption: TypeAlias = Annotated[
    str | None, typer.Option("--filter", metavar="EXPR", help="""E.g. 'year >= 2015 and lang = "en"'.""")
]
FusionOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--fusion",
        help="convex, minmax, zscore, dbsf, rrf, rrf(k=N), or a scale for each side, such as theoretical+zscore.",
    ),
]
OwnFusionOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--fusion",
        help="convex, minmax, zscore, dbsf, rrf, rrf(k=N), or a scale for each side, such as theoretical+zscore. By "
        "default what the index has learned, else convex.",
    ),
]
DenseWeight: TypeAlias = Annotated[
    float | None, typer.Option(metavar="0..1", help="The dense side's share in the fusion.")
]
Depth: TypeAlias = Annotated[
    int | None, typer.Option(help="Candidates asked of each side; by default 100, or K where larger.")
]
MinProbability: TypeAlias = Annotated[
    float | None,
    typer.Option(metavar="0..1", help="Only hits that are at least so probably relevant; there may be none."),
]
RelevantOnly: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--relevant-only", help="Only hits as probable as 95 % of what is relevant; there may be none."
    ),
]
RelevanceOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--relevance",
        metavar="FILE",
        help="The relevance model that gives the probabilities: a file of 'leanseek train relevance'; none; by "
        "default the packaged one where it is for the index's encoder.",
    ),
]


def relevance_choice(option: str) -> str | None:
    """What `--relevance` means to a Searcher."""
    return None if option == "none" else option


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
    from leanseek.encode.batches import parse_budget
    from leanseek.searcher.second_stage import choose_second_stage

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
