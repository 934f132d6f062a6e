"""Commands that change an index."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import count, print_json, progress_bar

if TYPE_CHECKING:
    from leanseek.indexing.catalog import State
    from leanseek.indexing.index import AddReport
    from leanseek.reading import ReadReport


def index(
    sources: opt.Sources,
    into: Annotated[Path, typer.Option("--into", metavar="INDEX", help="The index directory to make.")],
    encoder: opt.EncoderOption = None,
    dense: Annotated[
        str,
        typer.Option(
            help="Vector index: flat (exact), lean (reduced to what the queries need), none, or auto: lean from "
            "20,000 vectors on."
        ),
    ] = "auto",
    dims: Annotated[
        str,
        typer.Option(metavar="N", help="Lean: length of a reduced vector, or auto: the least that suffices."),
    ] = "auto",
    kind: Annotated[str, typer.Option(help="Lean: flat, ivf, hnsw, or auto by size.")] = "auto",
    recall: Annotated[
        float, typer.Option(help="Lean: share of the true best that a search shall find.")
    ] = 0.95,
    precision: Annotated[
        str, typer.Option(help="Lean: how vectors in full are kept: float32, float16 or sq8 (8 bits).")
    ] = "sq8",
    primary: Annotated[
        str | None,
        typer.Option(help="Lean: how reduced vectors are kept: pq4 (default), lvq4, lvq8, sq8 or rabitq."),
    ] = None,
    learning_queries: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Lean: queries such as yours, to learn from; BEIR queries.jsonl, TSV, or one a line. By default some "
            "are made from the documents.",
        ),
    ] = None,
    sparse: Annotated[
        str, typer.Option(help="Term index: bm25, bm25s, rank-bm25, lucene, or none.")
    ] = "bm25",
    chunk: Annotated[
        int | None,
        typer.Option(metavar="WORDS", help="Split documents into passages of about so many words."),
    ] = None,
    overlap: Annotated[
        int, typer.Option(metavar="WORDS", help="Words that neighbouring passages share.")
    ] = 0,
    analyzer: Annotated[
        str | None,
        typer.Option(
            help="Language of the texts, 'simple', or 'lucene': the terms of Lucene's English analyser. By default "
            "english, and lucene with --sparse lucene."
        ),
    ] = None,
    variant: Annotated[str, typer.Option(help="lucene, robertson, atire, bm25l or bm25plus.")] = "lucene",
    k1: Annotated[float, typer.Option(help="BM25: how soon repeated terms stop counting.")] = 0.9,
    b: Annotated[float, typer.Option(help="BM25: how much long texts are held back.")] = 0.4,
    delta: Annotated[float, typer.Option(help="BM25L and BM25+: the floor of a matching term.")] = 0.5,
    lossy_lengths: opt.LossyLengths = False,
    id_field: opt.IdField = None,
    text_field: opt.TextField = None,
    title_field: opt.TitleField = None,
    on_error: opt.OnErrorOption = "fail",
    on_duplicate: opt.OnDuplicateOption = "reject",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an index that holds other documents.")
    ] = False,
    device: opt.Device = None,
    no_cache: opt.NoCache = False,
    as_json: opt.Json = False,
) -> None:
    """Index documents into a new directory.

    Interrupted, the same command goes on where it stopped; repeated, it refreshes the index from the same
    sources and encodes only what is new.
    """
    from leanseek.encode import DEFAULT_MODEL, prepare_queries
    from leanseek.errors import IndexExistsError, UsageError
    from leanseek.indexing.creation import make_plan
    from leanseek.indexing.index import Index
    from leanseek.indexing.settings import LeanSettings, SparseSettings
    from leanseek.reading.queries import read_queries

    # What comes in on standard input cannot be known to be the same again.
    origin = None if "-" in sources else json.dumps([str(Path(source).absolute()) for source in sources])
    if overlap and chunk is None:
        raise UsageError("--overlap goes with --chunk WORDS: how long the passages are")
    if encoder is not None and dense == "none":
        raise UsageError("--encoder goes with a dense side; leave out --dense none, or the encoder")
    if analyzer is None:
        analyzer = "lucene" if sparse == "lucene" else "english"
    if learning_queries is not None and dense not in ("auto", "lean"):
        raise UsageError(
            "--learning-queries goes with --dense lean or auto: exact search has nothing to learn"
        )
    texts = [query.text for query in read_queries(learning_queries)] if learning_queries is not None else []
    terms = SparseSettings(sparse, analyzer, variant, k1, b, delta, lossy_lengths)
    plan = make_plan(
        encoder=None if dense == "none" else encoder or DEFAULT_MODEL,
        dense=None if dense == "none" else dense,
        lean=LeanSettings(whole(dims, "--dims"), kind, recall, precision, primary),
        learning_queries=texts,
        sparse=None if sparse == "none" else terms,
        chunk_words=chunk,
        chunk_overlap=overlap,
        device=device,
    )

    def check(state: State) -> None:
        held = sum(segment.documents for segment in state.segments)
        if held and not overwrite and (origin is None or state.origin != origin):
            raise IndexExistsError(
                f"'{into}' already holds {count(held, 'document')}, not only from these sources. "
                f"Add to it with: leanseek add {quote(str(into))} {' '.join(map(quote, sources))}; "
                "or replace it all with --overwrite."
            )

    with (
        progress_bar(as_json) as progress,
        reading(sources, id_field, text_field, title_field, on_error) as (documents, read_report),
    ):
        report = Index.make(
            into,
            documents,
            plan,
            origin=origin,
            check=check,
            on_duplicate=on_duplicate,
            progress=progress,
            cache=not no_cache,
        )
    show_added(into, report, read_report, as_json)
    if plan.encoder is not None:
        # The index is complete: breaking this off only leaves queries as slow to start as the encoder is.
        with suppress(KeyboardInterrupt), progress_bar(as_json) as progress:
            progress("preparing the encoder for queries", 0, None)
            prepare_queries(plan.encoder.name)


def add(
    index: opt.IndexPath,
    sources: opt.Sources,
    id_field: opt.IdField = None,
    text_field: opt.TextField = None,
    title_field: opt.TitleField = None,
    on_error: opt.OnErrorOption = "fail",
    on_duplicate: opt.OnDuplicateOption = "reject",
    encoder: opt.EncoderOption = None,
    no_cache: opt.NoCache = False,
    as_json: opt.Json = False,
) -> None:
    """Add documents to an index, all in one commit."""
    from leanseek.indexing.index import Index

    opened = Index.open(index, encoder=encoder)
    with (
        progress_bar(as_json) as progress,
        reading(sources, id_field, text_field, title_field, on_error) as (documents, read_report),
    ):
        report = opened.add(documents, on_duplicate=on_duplicate, progress=progress, cache=not no_cache)
    show_added(index, report, read_report, as_json)


def delete(
    index: opt.IndexPath,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of documents.")] = None,
    filter: opt.FilterOption = None,
    ignore_missing: Annotated[
        bool, typer.Option("--ignore-missing", help="Do not mind ids that are not there.")
    ] = False,
    as_json: opt.Json = False,
) -> None:
    """Delete documents by id, and all that meet a filter."""
    from leanseek.errors import UsageError
    from leanseek.indexing.index import Index

    if not ids and filter is None:
        raise UsageError("nothing to delete was named. Give ids, or --filter EXPR.")
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
            help="Learn the reduction of the vectors anew, from the documents as they are by now.",
        ),
    ] = False,
    encoder: opt.EncoderOption = None,
    as_json: opt.Json = False,
) -> None:
    """Merge an index's segments into one and drop what was deleted."""
    from leanseek.indexing.index import Index

    with progress_bar(as_json) as progress:
        report = Index.open(index, encoder=encoder).compact(relearn=relearn, progress=progress)
    if as_json:
        print_json(asdict(report))
    elif relearn:
        typer.echo(f"The reduction was learned anew; {count(report.removed, 'deleted passage')} dropped.")
    elif report.segments_before == report.segments and not report.removed:
        typer.echo("Nothing to compact: one segment, nothing deleted.")
    else:
        merged = f"{report.segments_before} segments merged into one; " if report.segments_before > 1 else ""
        typer.echo(f"{merged}{count(report.removed, 'deleted passage')} dropped.")


def whole(given: str, option: str) -> int | None:
    """The number given, or None for `auto`."""
    if given == "auto":
        return None
    if not given.isdecimal():
        from leanseek.errors import UsageError

        raise UsageError(f"{option} is '{given}'; give a whole number, or auto")
    return int(given)


@contextmanager
def reading(
    sources: list[str],
    id_field: str | None,
    text_field: str | None,
    title_field: str | None,
    on_error: Literal["fail", "skip"],
) -> Iterator[tuple[Iterator[Any], ReadReport]]:
    """The documents of the sources, and the report that is complete once they are used up."""
    from leanseek.reading import ReadReport, read

    report = ReadReport()
    yield (
        read(
            *sources,
            id_field=id_field,
            text_field=text_field,
            title_field=title_field,
            on_error=on_error,
            report=report,
        ),
        report,
    )


def show_added(index: Path, report: AddReport, read_report: ReadReport, as_json: bool) -> None:
    """What was indexed, what was left out, what was cut, and what to do next."""
    if as_json:
        print_json({**asdict(report), "reading": asdict(read_report)})
        return
    typer.echo(f"{read_report.sentence()}.")
    for line in read_report.messages:
        typer.echo(f"  {line}")
    parts = f" in {count(report.passages, 'passage')}" if report.passages != report.documents else ""
    replaced = f", {count(report.replaced, 'earlier one')} replaced" if report.replaced else ""
    typer.echo(f"{count(report.documents, 'document')}{parts} added to {index}{replaced}.")
    if report.truncation is not None:
        typer.echo(report.truncation.sentence())
    if report.unmerged is not None:
        again = f"leanseek compact {quote(str(index))}"
        typer.echo(f"Everything was added, but {report.unmerged}; later: {again}")
    if report.unlearned is not None:
        typer.echo(f"Note: {report.unlearned}.")
    typer.echo(f'Ask it something: leanseek search {quote(str(index))} "your question"')
