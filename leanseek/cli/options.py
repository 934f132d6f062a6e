"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

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
