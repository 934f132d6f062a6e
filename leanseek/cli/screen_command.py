"""The command that ranks the candidates of a systematic review."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import console, count, print_json, printable, progress_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leanseek.types import Document
    from leanseek.understanding.reviews import RecallEstimate


def screen(
    index: opt.IndexPath,
    title: Annotated[
        list[str],
        typer.Argument(metavar="TITLE", help="What the review is about, with or without quotes."),
    ],
    out: Annotated[
        str,
        typer.Option(
            metavar="RUN.trec",
            help="The run to write: those read, then all others, best first; - for stdout.",
        ),
    ],
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="What was decided so far, in the order of reading: a document's id and 1 or 0 a line, or judgments; - "
            "for stdin.",
        ),
    ] = None,
    next_: Annotated[
        int, typer.Option("--next", metavar="N", help="How many documents to show that are to be read next.")
    ] = 10,
    recall: Annotated[
        float, typer.Option(metavar="0..1", help="The share of what is relevant that is to be found.")
    ] = 0.95,
    confidence: Annotated[
        float, typer.Option(metavar="0..1", help="How sure that must be before reading can end.")
    ] = 0.9,
    review: Annotated[
        str,
        typer.Option(metavar="ID", help="The review's id in the run, and in judgments given as --labels."),
    ] = "1",
    mode: opt.Mode = None,
    filter: opt.Filter = None,
    encoder: opt.Encoder = None,
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Rank all documents of an index for a systematic review, learn from the labels, and say when enough are found."""
    from leanseek.reading import write_run
    from leanseek.reading.labels import read_labels
    from leanseek.searcher import Searcher
    from leanseek.types import Query
    from leanseek.understanding.reviews import Screening, check_shares

    check_shares(recall, confidence)
    known = read_labels(labels, review) if labels is not None else {}
    with (
        progress_bar(as_json) as progress,
        Searcher.open(index, encoder=encoder, mode=mode, device=device, relevance=None) as searcher,
    ):
        screening = Screening(searcher, " ".join(title), labels=known, filter=filter, progress=progress)
        estimate = screening.estimate(recall)
        shown = screening.next(next_) if next_ != 0 else []
        texts = {one.id: one for one in searcher.documents([one.id for one in shown])}
        lines = write_run(out, [(Query(review, " ".join(title)), screening.ranking())])
    ended = estimate.reached(confidence)
    if as_json:
        print_json(
            {
                **estimate._asdict(),
                "recall": estimate.recall,
                "reached": ended,
                "next": [one.id for one in shown],
                "lines": lines,
                "out": out,
            },
            err=out == "-",
        )
        return
    print_progress(estimate, ended, confidence, out == "-")
    if not ended:
        print_next([texts[one.id] for one in shown], out == "-")


def print_progress(estimate: RecallEstimate, ended: bool, confidence: float, err: bool) -> None:
    """How far the review is, and whether reading can end."""
    typer.echo(
        f"{estimate.read:,} of {count(estimate.candidates, 'document')} read, {estimate.found:,} relevant.",
        err=err,
    )
    if estimate.read == estimate.candidates:
        typer.echo("All have been read.", err=err)
    elif not estimate.found:
        typer.echo("Nothing relevant has been read yet, so that the recall is not known: read on.", err=err)
    else:
        typer.echo(
            f"About {estimate.unread:.1f} relevant ones are to be expected among the others: recall about "
            f"{estimate.recall:.2f}. A recall of {estimate.target:g} is reached with confidence "
            f"{estimate.confidence:.2f}: "
            + ("reading can end." if ended else f"read on, until it is {confidence:g}."),
            err=err,
        )


def print_next(documents: Sequence[Document], err: bool) -> None:
    """The documents to read next: their ids and titles."""
    from rich.text import Text

    out = console(stderr=err)
    for number, one in enumerate(documents, 1):
        line = Text(f"{number:>3}. ").append(printable(one.id), style="bold green")
        out.print(line.append(f"  {printable(one.title or one.text[:100])}"), soft_wrap=True)
