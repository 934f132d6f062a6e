"""Commands that put documents into an index: index and add."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import count, print_json, print_reading, progress_bar

if TYPE_CHECKING:
    from leanseek.indexing import AddReport
    from leanseek.indexing.catalog import State
    from leanseek.indexing.creation import Plan
    from leanseek.reading import ReadReport


def index(
    sources: opt.Sources,
    into: Annotated[Path, typer.Option(metavar="INDEX", help="The index directory to make.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an index that holds other documents.")
    ] = False,
    id_field: opt.IdField = None,
    text_field: opt.TextField = None,
    title_field: opt.TitleField = None,
    encoding: opt.Encoding = None,
    on_error: opt.OnError = "auto",
    on_duplicate: opt.OnDuplicate = "reject",
    chunk: opt.ChunkAuto = "auto",
    overlap: opt.Overlap = 0,
    encoder: opt.Encoder = None,
    temperature: opt.Temperature = None,
    max_tokens: opt.MaxTokens = None,
    device: opt.Device = None,
    no_cache: opt.NoCache = False,
    dense: opt.Dense = "auto",
    dims: opt.Dims = "auto",
    kind: opt.Kind = "auto",
    recall: opt.Recall = 0.95,
    precision: opt.Precision = "sq8",
    primary: opt.Primary = None,
    reduction: opt.Reduction = "auto",
    learning_queries: opt.LearningQueries = None,
    sparse: opt.Sparse = "bm25",
    analyzer: opt.Analyzer = None,
    variant: opt.Variant = "lucene",
    k1: opt.K1 = 0.9,
    b: opt.B = 0.4,
    delta: opt.Delta = 0.5,
    lossy_lengths: opt.LossyLengths = False,
    learned: opt.Learned = None,
    learned_terms: opt.LearnedTerms = None,
    expand_documents: opt.ExpandDocuments = None,
    generator: opt.Generator = None,
    ngrams: opt.NGrams = False,
    as_json: opt.Json = False,
) -> None:
    """Index documents into a new directory.

    If interrupted, repeat the command: it continues where it stopped. Repeated later, it refreshes the index from the
    same sources and encodes only what is new.
    """
    from leanseek.encode import prepare_learned_queries, prepare_queries
    from leanseek.errors import IndexExistsError
    from leanseek.indexing import Index
    from leanseek.reading import ReadReport, read

    origin = origin_of(sources)
    reading = ReadReport()
    documents = read(
        *sources,
        id_field=id_field,
        text_field=text_field,
        title_field=title_field,
        encoding=encoding,
        on_error=on_error,
        report=reading,
    )
    taken = encoder
    if encoder is None and dense != "none":
        taken = usual_encoder(into, overwrite, device)
    plan = plan_of(
        documents.holds_texts,
        chunk,
        overlap,
        varied(taken, temperature, max_tokens),
        device,
        dense,
        (dims, kind, recall, precision, primary, reduction, learning_queries),
        (sparse, analyzer, variant, k1, b, delta, lossy_lengths),
        (learned, learned_terms),
        (expand_documents, generator, ngrams),
    )

    def check(state: State) -> None:
        documents = sum(segment.documents for segment in state.segments)
        if documents and not overwrite and (origin is None or state.origin != origin):
            raise IndexExistsError(
                f"'{into}' already holds {count(documents, 'document')}, not only from these sources. "
                f"Add to it with: leanseek add {quote(str(into))} {' '.join(map(quote, sources))}; "
                "or replace it all with --overwrite."
            )

    with progress_bar(as_json) as progress:
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
    show_added(into, report, reading, as_json)
    if plan.encoder is not None and not as_json:
        if encoder is None:
            typer.echo(f"Encoder: {plan.encoder.name}; --encoder takes another.")
        offer_relevance(into)
    if plan.encoder is not None or plan.learned is not None:
        # The index is complete: without this, only the first query starts more slowly.
        with suppress(KeyboardInterrupt), progress_bar(as_json) as progress:
            progress("preparing for queries", 0, None)
            if plan.encoder is not None:
                prepare_queries(plan.encoder.name)
            if plan.learned is not None:
                prepare_learned_queries(plan.learned.name)


def usual_encoder(into: Path, overwrite: bool, device: str | None) -> str:
    """The encoder where none is named: that of an index which is refreshed, else the default model where it is fast."""
    from leanseek.encode import fastest_default
    from leanseek.indexing.catalog import CATALOG, read_state

    standing = read_state(into).settings.encoder if (into / CATALOG).exists() and not overwrite else None
    return standing.name if standing is not None else fastest_default(device)


def varied(encoder: str | None, temperature: float | None, max_tokens: int | None) -> str | None:
    """The name of an encoder with settings of its attention and length. Raises UsageError."""
    if temperature is None and max_tokens is None:
        return encoder
    from leanseek.encode import DEFAULT_MODEL
    from leanseek.encode.variants import with_settings

    return with_settings(encoder or DEFAULT_MODEL, temperature=temperature, max_tokens=max_tokens)


def origin_of(sources: list[str]) -> str | None:
    """What an index made from sources records of them; None for standard input, which may not be the same again."""
    return None if "-" in sources else json.dumps([str(Path(source).absolute()) for source in sources])


def plan_of(
    holds_texts: bool,
    chunk: str,
    overlap: int,
    encoder: str | None,
    device: str | None,
    dense: str,
    lean: tuple[str, str, float, str, str | None, str, str | None],
    terms: tuple[str, str | None, str, float, float, float, bool],
    learning: tuple[str | None, int | None],
    decoding: tuple[int | None, str | None, bool] = (None, None, False),
) -> Plan:
    """The plan that the options of `index` ask for; `holds_texts`: whether sources are files of text."""
    from leanseek.encode import DEFAULT_MODEL
    from leanseek.errors import UsageError
    from leanseek.indexing import LeanSettings, SparseSettings
    from leanseek.indexing.creation import make_plan
    from leanseek.reading import read_queries

    dims, kind, recall, precision, primary, reduction, learning_queries = lean
    sparse, analyzer, variant, k1, b, delta, lossy_lengths = terms
    learned, learned_terms = learning
    expand_documents, generator, ngrams = decoding
    if generator is not None and expand_documents is None and not ngrams:
        raise UsageError(
            "--generator goes with --expand-documents N, how many queries it is to write for each, or with --ngrams"
        )
    if overlap and not chunk.isdecimal():
        raise UsageError("--overlap goes with --chunk WORDS: how long the passages are")
    if not chunk.isdecimal() and chunk not in ("auto", "none"):
        raise UsageError(f"--chunk is '{chunk}'; give a number of words, auto or none")
    if encoder is not None and dense == "none":
        raise UsageError("--encoder goes with a dense side; leave out --dense none, or the encoder")
    if analyzer is None:
        analyzer = "lucene" if sparse == "lucene" else "english"
    if learned_terms is not None and learned is None:
        raise UsageError(
            "--learned-terms goes with --learned; give --learned splade as well, or leave it out"
        )
    if learning_queries is not None and dense not in ("auto", "lean"):
        raise UsageError(
            "--learning-queries goes with --dense lean or auto: exact search has nothing to learn"
        )
    texts = [query.text for query in read_queries(learning_queries)] if learning_queries is not None else []
    chunk_words: int | Literal["auto"] | None = None
    if chunk.isdecimal():
        chunk_words = int(chunk)
    elif chunk == "auto" and holds_texts:
        chunk_words = "auto"
    bm25 = SparseSettings(sparse, analyzer, variant, k1, b, delta, lossy_lengths)
    return make_plan(
        encoder=None if dense == "none" else encoder or DEFAULT_MODEL,
        dense=None if dense == "none" else dense,
        lean=LeanSettings(whole(dims, "--dims"), kind, recall, precision, primary, reduction),
        learning_queries=texts,
        sparse=None if sparse == "none" else bm25,
        chunk_words=chunk_words,
        chunk_overlap=overlap,
        learned=learned,
        learned_terms=learned_terms,
        expand_documents=expand_documents,
        generator=generator,
        ngrams=ngrams,
        device=device,
    )


def offer_relevance(index: Path) -> None:
    """Say how an index gets probabilities for whose encoder no relevance model is packaged."""
    from leanseek.indexing.catalog import read_state
    from leanseek.searcher.relevance import choose_relevance

    settings = read_state(index).settings
    if settings.background is not None and choose_relevance("auto", settings, "dense") is None:
        typer.echo(
            "Hits have no probabilities: no relevance model is packaged for this encoder. Fit one without judgments: "
            f"leanseek train relevance --unlabelled {quote(str(index))}"
        )


def add(
    index: opt.IndexPath,
    sources: opt.Sources,
    id_field: opt.IdField = None,
    text_field: opt.TextField = None,
    title_field: opt.TitleField = None,
    encoding: opt.Encoding = None,
    on_error: opt.OnError = "auto",
    on_duplicate: opt.OnDuplicate = "reject",
    encoder: opt.Encoder = None,
    no_cache: opt.NoCache = False,
    as_json: opt.Json = False,
) -> None:
    """Add documents to an index, all in one commit."""
    from leanseek.indexing import Index
    from leanseek.reading import ReadReport, read

    opened = Index.open(index, encoder=encoder)
    reading = ReadReport()
    documents = read(
        *sources,
        id_field=id_field,
        text_field=text_field,
        title_field=title_field,
        encoding=encoding,
        on_error=on_error,
        report=reading,
    )
    with progress_bar(as_json) as progress:
        report = opened.add(documents, on_duplicate=on_duplicate, progress=progress, cache=not no_cache)
        if opened.merging:
            progress("merging small segments", 0, None)
        report = replace(report, unmerged=report.unmerged or opened.close(patience=None))
    show_added(index, report, reading, as_json)


def whole(given: str, option: str) -> int | None:
    """The number given, or None for `auto`."""
    if given == "auto":
        return None
    if not given.isdecimal():
        from leanseek.errors import UsageError

        raise UsageError(f"{option} is '{given}'; give a whole number, or auto")
    return int(given)


def show_added(index: Path, report: AddReport, reading: ReadReport, as_json: bool) -> None:
    """Print what was indexed, left out and truncated, and what to do next."""
    if as_json:
        print_json({**asdict(report), "reading": asdict(reading)})
        return
    print_reading(reading)
    parts = f" in {count(report.passages, 'passage')}" if report.passages != report.documents else ""
    replaced = f", {count(report.replaced, 'earlier one')} replaced" if report.replaced else ""
    typer.echo(f"{count(report.documents, 'document')}{parts} added to {index}{replaced}.")
    if report.truncation is not None:
        typer.echo(report.truncation.sentence())
    if report.learned_truncation is not None and report.learned_truncation.truncated:
        typer.echo(f"The learned side: {report.learned_truncation.sentence()}")
    if report.unmerged is not None:
        again = f"leanseek compact {quote(str(index))}"
        typer.echo(f"Everything was added, but {report.unmerged}; later: {again}")
    if report.unlearned is not None:
        typer.echo(f"Note: {report.unlearned}.")
    if report.documents:
        typer.echo(f'Search it: leanseek search {quote(str(index))} "your question"')
