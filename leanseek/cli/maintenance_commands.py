"""Commands that maintain an index: delete, compact, and store token vectors."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, cast

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import count, file_size, print_json, progress_bar

if TYPE_CHECKING:
    from leanseek.indexing import TokenReport
    from leanseek.indexing.quantisation import Bits


def delete(
    index: opt.IndexPath,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of documents.")] = None,
    filter: opt.Filter = None,
    ignore_missing: Annotated[
        bool, typer.Option("--ignore-missing", help="Accept ids that are not in the index.")
    ] = False,
    as_json: opt.Json = False,
) -> None:
    """Delete documents by id or by a filter."""
    from leanseek.errors import UsageError
    from leanseek.indexing import Index

    if not ids and filter is None:
        raise UsageError("nothing to delete is named; give ids, or --filter EXPR")
    deleted = Index.open(index).delete(ids or (), filter=filter, ignore_missing=ignore_missing)
    if as_json:
        print_json({"deleted": deleted})
    else:
        typer.echo(
            f"{count(deleted, 'document')} deleted. 'leanseek compact {quote(str(index))}' frees the space."
        )


def compact(
    index: opt.IndexPath,
    relearn: Annotated[
        bool,
        typer.Option(
            "--relearn",
            help="Learn the reduction of the vectors again, from the documents as they are now.",
        ),
    ] = False,
    encoder: opt.Encoder = None,
    as_json: opt.Json = False,
) -> None:
    """Merge an index's segments and drop deleted documents."""
    from leanseek.indexing import Index

    with progress_bar(as_json) as progress:
        report = Index.open(index, encoder=encoder).compact(relearn=relearn, progress=progress)
    if as_json:
        print_json(asdict(report))
    elif relearn:
        typer.echo(f"The reduction was learned again; {count(report.removed, 'deleted passage')} dropped.")
    elif report.segments_before == report.segments and not report.removed:
        typer.echo("Nothing to compact: one segment, nothing deleted.")
    else:
        merged = f"{report.segments_before} segments merged into one; " if report.segments_before > 1 else ""
        typer.echo(f"{merged}{count(report.removed, 'deleted passage')} dropped.")


def tokens(
    index: opt.IndexPath,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="As in --rerank late-interaction:MODEL; by default the stored one, else the default encoder.",
        ),
    ] = None,
    dims: Annotated[
        int | None,
        typer.Option(metavar="N", help="Reduce vectors to this many dimensions: fewer bytes, less exact."),
    ] = None,
    bits: Annotated[
        int | None, typer.Option(metavar="4|8", help="Bits of each element of a vector, by default 4.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the stored vectors.")] = False,
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Store token vectors, for fast re-ranking by late interaction.

    Repeated, it adds those of new passages and drops those of deleted ones. If interrupted, repeat the command: it
    continues where it stopped.
    """
    from leanseek.errors import UsageError
    from leanseek.indexing import forget_tokens, store_tokens

    if remove:
        if (model, dims, bits, device) != (None, None, None, None):
            raise UsageError(
                "--remove removes all that is stored; leave out --model, --dims, --bits and --device"
            )
        removed = forget_tokens(index)
        if as_json:
            print_json({"removed": removed})
        elif removed:
            typer.echo(f"The token vectors of {index} were removed.")
        else:
            typer.echo(f"{index} stores no token vectors.")
        return
    with progress_bar(as_json) as progress:
        report = store_tokens(
            index, model, dims=dims, bits=cast("Bits | None", bits), device=device, progress=progress
        )
    if as_json:
        print_json(asdict(report))
    else:
        show_tokens(report, index)


def show_tokens(report: TokenReport, index: Path) -> None:
    """Print what is stored, its size, and how to use it."""
    from leanseek.encode import DEFAULT_MODEL
    from leanseek.encode.backends import split_prefix

    changed = f"{count(report.added, 'passage')} read"
    if report.dropped:
        changed += f", {report.dropped:,} dropped"
    dims = f"{report.dims} of {report.dimensions}" if report.dims < report.dimensions else f"{report.dims}"
    typer.echo(
        f"{changed}. {count(report.tokens, 'token')} of {count(report.passages, 'passage')} are stored in "
        f"{report.path}: {dims} dimensions, {report.bits} bits, {file_size(round(report.bytes_per_passage))} a "
        f"passage, {file_size(report.bytes)} in all."
    )
    if report.cut:
        typer.echo(
            f"{count(report.cut, 'passage')} longer than the model reads: only their beginnings are stored."
        )
    _, name = split_prefix(report.model)
    reranker = "late-interaction" if name == DEFAULT_MODEL else f"late-interaction:{report.model}"
    typer.echo(f'Use them: leanseek search {quote(str(index))} "your question" --rerank {quote(reranker)}')
