"""The command that has an index store what re-ranking would otherwise make for each query."""

from __future__ import annotations

from dataclasses import asdict
from shlex import quote
from typing import TYPE_CHECKING, Annotated, cast

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import count, file_size, print_json, progress_bar

if TYPE_CHECKING:
    from leanseek.indexing.dense.lean.lvq import Bits
    from leanseek.indexing.tokens.token_writer import TokenReport


def tokens(
    index: opt.IndexPath,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="As late-interaction:MODEL takes it; by default that of what is stored, else the default encoder.",
        ),
    ] = None,
    dims: Annotated[
        int | None,
        typer.Option(metavar="N", help="Reduce vectors to so many dimensions; fewer bytes, and less exact."),
    ] = None,
    bits: Annotated[
        int | None, typer.Option(metavar="4|8", help="Bits of each element of a vector; by default 4.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove what is stored.")] = False,
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Store the passages' token vectors, so that --rerank late-interaction need not read them for each query.

    Repeated, it stores those of new passages and drops those of deleted ones; interrupted, it goes on where it stopped.
    """
    from leanseek.errors import UsageError
    from leanseek.indexing.tokens.token_writer import forget_tokens, store_tokens

    if remove:
        if (model, dims, bits, device) != (None, None, None, None):
            raise UsageError("--remove goes alone: it removes whatever is stored")
        there = forget_tokens(index)
        if as_json:
            print_json({"removed": there})
        else:
            typer.echo(
                f"The token vectors of {index} were removed."
                if there
                else f"{index} stores no token vectors."
            )
        return
    with progress_bar(as_json) as progress:
        report = store_tokens(
            index, model, dims=dims, bits=cast("Bits | None", bits), device=device, progress=progress
        )
    if as_json:
        print_json(asdict(report))
    else:
        show(report, index)


def show(report: TokenReport, index: opt.IndexPath) -> None:
    """What is stored, what it takes, and how to use it."""
    from leanseek.encode import DEFAULT_MODEL
    from leanseek.encode.registry import split_prefix

    changed = f"{count(report.added, 'passage')} read"
    if report.dropped:
        changed += f", {report.dropped:,} dropped"
    kept = f"{report.dims} of {report.dimensions}" if report.dims < report.dimensions else f"{report.dims}"
    typer.echo(
        f"{changed}. {count(report.tokens, 'token')} of {count(report.passages, 'passage')} are stored in "
        f"{report.path}: {kept} dimensions, {report.bits} bits, {file_size(round(report.bytes_per_passage))} a "
        f"passage, {file_size(report.bytes)} in all."
    )
    if report.cut:
        typer.echo(f"{count(report.cut, 'passage')} longer than the model reads were stored up to there.")
    _, name = split_prefix(report.model)
    reranker = "late-interaction" if name == DEFAULT_MODEL else f"late-interaction:{report.model}"
    typer.echo(f'Use them: leanseek search {quote(str(index))} "your question" --rerank {quote(reranker)}')
