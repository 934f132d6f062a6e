"""A command over answers that a language model wrote: score them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import console, count, print_json, printable, progress_bar
from leanseek.cli.score_commands import plain_table

if TYPE_CHECKING:
    from leanseek.eval.answer_report import AnswerReport


def answers(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="JSON lines with answer, context (texts, numbered from 1) and reference (one or several); - for "
            "standard input; or qilin:FOLDER, the answers of Qilin.",
        ),
    ],
    threshold: Annotated[
        float, typer.Option(metavar="0..1", help="From which probability on a passage supports a sentence.")
    ] = 0.2,
    judge: Annotated[
        str, typer.Option(metavar="NAME", help="The cross-encoder that compares them.")
    ] = "cross-encoder",
    confidence: Annotated[float, typer.Option(metavar="0..1", help="Of the intervals.")] = 0.95,
    resamples: Annotated[int, typer.Option(metavar="N", help="Of the bootstrap.")] = 10_000,
    seed: opt.Seed = 0,
    per_answer: Annotated[
        bool, typer.Option("--per-answer", help="Print each answer's scores and sentences too.")
    ] = False,
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Score answers: fidelity to their passages, quality by references.

    Fidelity is the share of an answer's sentences that a passage supports which it cites, as [1], or any where it cites
    none. Quality is the token F1 of answer and reference, as SQuAD computes it.
    """
    from leanseek.errors import UsageError
    from leanseek.eval import evaluate_answers, read_answers
    from leanseek.rerank import ByScore, load_reranker

    records = read_answers(file)
    loaded = load_reranker(judge, device) if any(record.context for record in records) else None
    if loaded is not None and not isinstance(loaded, ByScore):
        raise UsageError(f"'{judge}' scores no pairs by themselves; take a cross-encoder")
    with progress_bar(as_json) as progress:
        report = evaluate_answers(
            records,
            threshold=threshold,
            judge=loaded,
            confidence=confidence,
            resamples=resamples,
            seed=seed,
            progress=progress,
        )
    if as_json:
        print_json(report_record(report, per_answer))
    else:
        print_answers(report, per_answer)


def report_record(report: AnswerReport, per_answer: bool) -> dict[str, Any]:
    """One JSON object; with `per_answer` each answer's scores and sentences too."""
    record = {**asdict(report), "answers": len(report.answers)}
    if per_answer:
        record["per_answer"] = [
            {
                "id": one.id,
                "fidelity": one.fidelity,
                "quality": one.quality,
                "sentences": [sentence._asdict() for sentence in one.sentences],
            }
            for one in report.answers
        ]
    return record


def print_answers(report: AnswerReport, per_answer: bool) -> None:
    """The means as a table; before it the answers one by one."""
    out = console()
    if per_answer:
        table = plain_table("answer", "fidelity", "quality")
        for one in report.answers:
            table.add_row(
                printable(one.id),
                *("" if value is None else f"{value:.4f}" for value in (one.fidelity, one.quality)),
            )
            for sentence in one.sentences:
                passage = f" [{sentence.passage}]" if sentence.passage is not None else ""
                mark = "+" if sentence.supported else "-"
                table.add_row(
                    f"  {mark} {sentence.probability:.2f}{passage} {printable(sentence.sentence)}", "", ""
                )
        out.print(table, markup=False)
    percent = f"{report.confidence:.0%}" if report.confidence * 100 % 1 < 1e-9 else f"{report.confidence:.1%}"
    table = plain_table("measure", "mean", f"{percent} interval", "answers")
    for measure, mean in report.means.items():
        table.add_row(
            measure,
            f"{mean.value:.4f}",
            f"{mean.interval.low:.4f} to {mean.interval.high:.4f}",
            f"{mean.answers:,}",
        )
    out.print(table)
    out.print(
        f"{count(len(report.answers), 'answer')}. A passage supports a sentence from p {report.threshold:g} on. "
        f"Intervals: percentile bootstrap over answers, {report.resamples:,} resamples, seed {report.seed}.",
        style="dim",
        markup=False,
    )
    for warning in report.warnings:
        typer.echo(f"warning: {warning}", err=True)
