"""The command that evaluates a system on a collection."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from leanseek.cli import options as opt
from leanseek.cli.evaluation.scoring import names
from leanseek.cli.output import count, file_size, print_json, progress_bar
from leanseek.cli.reranking import (
    RerankBudgetOption,
    RerankDepthOption,
    RerankLongOption,
    RerankOption,
    parse_depths,
)

if TYPE_CHECKING:
    from leanseek.eval.evaluating import Outcome
    from leanseek.eval.results import Result


def collection(
    name: Annotated[
        str,
        typer.Argument(metavar="PATH_OR_NAME", help="A collection's folder, a BEIR name, or irds:ID."),
    ],
    mode: Annotated[
        Literal["hybrid", "dense", "sparse"], typer.Option("--mode", help="Which sides to search.")
    ] = "hybrid",
    splits: Annotated[
        str, typer.Option("--splits", metavar="SPLIT,…", help="Which judgments, such as test or dev,test.")
    ] = "test",
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where results and indexes go.")] = Path(
        "results"
    ),
    index: Annotated[
        Path | None, typer.Option("--index", metavar="INDEX", help="Where the index goes instead.")
    ] = None,
    encoder: opt.EncoderOption = None,
    dense: Annotated[
        str, typer.Option(help="Vector index: flat (exact), lean, or auto: lean from 20,000 vectors on.")
    ] = "flat",
    sparse: Annotated[str, typer.Option(help="Term index: bm25, bm25s, rank-bm25 or lucene.")] = "bm25",
    analyzer: Annotated[str, typer.Option(help="Language of the texts, 'lucene' or 'simple'.")] = "english",
    variant: Annotated[str, typer.Option(help="lucene, robertson, atire, bm25l or bm25plus.")] = "lucene",
    k1: Annotated[float, typer.Option(help="BM25: how soon repeated terms stop counting.")] = 0.9,
    b: Annotated[float, typer.Option(help="BM25: how much long texts are held back.")] = 0.4,
    delta: Annotated[float, typer.Option(help="BM25L and BM25+: the floor of a matching term.")] = 0.5,
    lossy_lengths: Annotated[
        bool, typer.Option("--lossy-lengths", help="BM25: lengths in one byte, as Lucene keeps them.")
    ] = False,
    chunk: Annotated[
        int | None,
        typer.Option(metavar="WORDS", help="Split documents into passages of about so many words."),
    ] = None,
    overlap: Annotated[
        int, typer.Option(metavar="WORDS", help="Words that neighbouring passages share.")
    ] = 0,
    fusion: opt.FusionOption = "convex",
    dense_weight: opt.DenseWeight = None,
    depth: opt.Depth = None,
    k: Annotated[int, typer.Option("-k", help="How many documents for each query.")] = 1000,
    candidates: Annotated[
        Path | None,
        typer.Option("--candidates", metavar="RUN", help="Re-rank this stored run instead of searching."),
    ] = None,
    candidates_depth: Annotated[
        int, typer.Option(metavar="N", help="How many of the run's documents for each query.")
    ] = 100,
    rerank: RerankOption = None,
    rerank_depth: RerankDepthOption = None,
    rerank_budget: RerankBudgetOption = None,
    rerank_long: RerankLongOption = None,
    measures: Annotated[str | None, typer.Option("--measures", help="Such as 'nDCG@10 R@100 RR@10'.")] = None,
    system: Annotated[
        str | None, typer.Option("--name", help="The system's name; by default made of its settings.")
    ] = None,
    mirror: Annotated[
        str | None, typer.Option("--mirror", metavar="DIR_OR_URL", help="Where BEIR's files are taken from.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a result that is there already.")] = False,
    device: opt.Device = None,
    no_cache: opt.NoCache = False,
    as_json: opt.Json = False,
) -> None:
    """Evaluate a system on a collection: index if needed, search, score, and keep run, scores and provenance.

    A complete result of the same inputs is shown, not made again.
    """
    from leanseek.encode import DEFAULT_MODEL
    from leanseek.errors import UsageError
    from leanseek.eval.collections import open_collection
    from leanseek.eval.evaluating import evaluate
    from leanseek.eval.systems import System
    from leanseek.indexing.settings import SparseSettings
    from leanseek.rerank import parse_budget

    if overlap and chunk is None:
        raise UsageError("--overlap goes with --chunk WORDS: how long the passages are")
    if encoder is not None and mode == "sparse":
        raise UsageError("--encoder goes with a dense side; leave it out, or --mode sparse")
    asked = [split.strip() for split in splits.split(",") if split.strip()]
    if not asked:
        raise UsageError("--splits names no split; give one such as test")
    wanted = System(
        mode=mode,
        encoder=encoder or DEFAULT_MODEL,
        dense=dense,
        sparse=SparseSettings(sparse, analyzer, variant, k1, b, delta, lossy_lengths),
        fusion=fusion,
        dense_weight=dense_weight,
        depth=depth,
        chunk_words=chunk,
        chunk_overlap=overlap,
        candidates=candidates,
        candidates_depth=candidates_depth,
        rerank=tuple(rerank) if rerank and rerank != ["none"] else (),
        rerank_depth=tuple(parse_depths(rerank_depth or ())),
        rerank_budget=parse_budget(rerank_budget) if rerank_budget is not None else None,
        rerank_long=rerank_long,
        name=system,
    )
    with progress_bar(as_json) as progress:
        outcomes = evaluate(
            open_collection(name, mirror=mirror),
            wanted,
            out=out,
            splits=asked,
            k=k,
            measures=names(measures),
            index=index,
            device=device,
            cache=not no_cache,
            force=force,
            command=("leanseek", *sys.argv[1:]),
            progress=progress,
        )
    for outcome in outcomes:
        if as_json:
            print_json(outcome_record(outcome))
        else:
            show(outcome)


def outcome_record(outcome: Outcome) -> dict[str, Any]:
    """A result as one JSON object: what result.json holds, where it lies, and whether it was made now."""
    return {**asdict(outcome.stored.result), "folder": str(outcome.stored.folder), "made": outcome.made}


def show(outcome: Outcome) -> None:
    """A result for people: measures, their rules, costs, and where it is kept."""
    result = outcome.stored.result
    judged = count(result.queries, "judged query", "judged queries")
    typer.echo(f"{result.collection} {result.split}: {result.system} ({judged})")
    if not outcome.made:
        typer.echo(
            f"already there, made {result.provenance.time}{by_other(result)}; make it again with --force"
        )
    for measure in result.measures:
        typer.echo(f"  {measure:<12} {result.means[measure]:.4f}")
    for name, rule in asdict(result.rules).items():
        typer.echo(f"  {name.replace('_', ' ')}: {rule}")
    for warning in result.warnings:
        typer.echo(f"  note: {warning}")
    for line in cost_lines(result):
        typer.echo(f"  {line}")
    typer.echo(f"Kept in {outcome.stored.folder}")


def by_other(result: Result) -> str:
    """The commit of leanseek that made a result, where that is not the one that runs."""
    from leanseek.eval.provenance import source_commit

    made, here = result.provenance.commit, source_commit()
    return "" if made == here else f" by leanseek's commit {short(made)} (here is {short(here)})"


def short(commit: str | None) -> str:
    """The first digits of a commit, and whether files were changed."""
    first, dash, changed = (commit or "unknown").partition("-")
    return f"{first[:12]}{dash}{changed}"


def cost_lines(result: Result) -> list[str]:
    """What the numbers cost, in words."""
    spent = result.efficiency
    lines = []
    if spent.index is not None:
        build = spent.index
        encoded = (
            f" ({build.encoded:,} of {build.passages:,} passages encoded)" if result.settings.encoder else ""
        )
        memory = (
            f", at most {file_size(build.peak_memory_bytes)} of memory" if build.peak_memory_bytes else ""
        )
        lines.append(
            f"index: {build.seconds:.1f} s, {build.documents_per_second:,.0f} documents/s{encoded}; "
            f"{file_size(build.bytes_on_disk)} on disk{memory}"
        )
    if spent.latency is not None:
        times = spent.latency
        lines.append(
            f"latency: p50 {times.p50:.1f} ms, p95 {times.p95:.1f} ms, p99 {times.p99:.1f} ms "
            f"over {times.queries:,} single queries"
        )
    lines.append(f"batch: {spent.queries_per_second:,.1f} queries/s")
    machine = spent.machine
    lines.append(f"machine: {machine.cpu}, {machine.cores} cores, {machine.system}")
    return lines
