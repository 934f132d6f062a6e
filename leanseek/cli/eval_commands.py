"""Commands over test collections: evaluate a system on one, list them, reproduce published numbers."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from leanseek.cli import options as opt
from leanseek.cli.output import count, file_size, print_json, progress_bar
from leanseek.cli.score_commands import measure_names
from leanseek.errors import ExitCode

if TYPE_CHECKING:
    from leanseek.eval import Outcome
    from leanseek.eval.reproduction import Expectation, Verdict
    from leanseek.eval.results import Result


def collection(
    name: opt.CollectionName,
    out: opt.Results = Path("results"),
    index: Annotated[
        Path | None, typer.Option(metavar="INDEX", help="Where the index goes instead of into --out.")
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Search this cluster, made from the collection, as it is."),
    ] = None,
    address: opt.Address = "local",
    splits: Annotated[
        str, typer.Option(metavar="SPLIT,…", help="Which judgments, such as test or dev,test.")
    ] = "test",
    mirror: Annotated[
        str | None, typer.Option(metavar="DIR_OR_URL", help="Where BEIR's files are taken from.")
    ] = None,
    k: Annotated[int, typer.Option("-k", metavar="N", help="How many documents for each query.")] = 1000,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing result.")] = False,
    measures: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Such as 'nDCG@10 R@100'. Known: {measures}.")
    ] = None,
    system: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="The system's name, by default of its settings."),
    ] = None,
    chunk: opt.Chunk = None,
    overlap: opt.Overlap = 0,
    mode: Annotated[
        Literal["hybrid", "dense", "sparse", "learned"], typer.Option(help="Which sides to search.")
    ] = "hybrid",
    fusion: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"{opt.FUSION_HELP} By default agreement with --learned, else convex.",
        ),
    ] = None,
    dense_weight: opt.DenseWeight = None,
    learned_weight: opt.LearnedWeight = None,
    depth: opt.Depth = None,
    dense: Annotated[str, typer.Option(metavar="KIND", help=opt.DENSE_HELP)] = "flat",
    sparse: Annotated[str, typer.Option(metavar="NAME", help="Term index: {sparse}.")] = "bm25",
    analyzer: Annotated[str, typer.Option(metavar="NAME", help=opt.ANALYZER_HELP)] = "english",
    variant: opt.Variant = "lucene",
    k1: opt.K1 = 0.9,
    b: opt.B = 0.4,
    delta: opt.Delta = 0.5,
    lossy_lengths: opt.LossyLengths = False,
    learned: opt.Learned = None,
    learned_terms: opt.LearnedTerms = None,
    candidates: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Re-rank this stored run instead of searching; shown: what people were shown, of qilin:FOLDER.",
        ),
    ] = None,
    candidates_depth: Annotated[
        int, typer.Option(metavar="N", help="How many of the run's documents for each query.")
    ] = 100,
    rerank: opt.Rerank = None,
    rerank_depth: opt.RerankDepth = None,
    rerank_budget: opt.RerankBudget = None,
    rerank_long: opt.RerankLong = None,
    encoder: opt.Encoder = None,
    device: opt.Device = None,
    no_cache: opt.NoCache = False,
    as_json: opt.Json = False,
) -> None:
    """Evaluate a system on a collection and store the result.

    It indexes if needed, searches, scores, and stores run, scores and provenance. An existing result of the same
    inputs is shown instead.
    """
    from leanseek.encode import DEFAULT_MODEL
    from leanseek.errors import UsageError
    from leanseek.eval import System, evaluate, open_collection
    from leanseek.indexing import SparseSettings

    if overlap and chunk is None:
        raise UsageError("--overlap goes with --chunk WORDS: how long the passages are")
    if encoder is not None and mode in ("sparse", "learned"):
        raise UsageError(f"--encoder goes with a dense side; leave it out, or --mode {mode}")
    split_names = [split.strip() for split in splits.split(",") if split.strip()]
    if not split_names:
        raise UsageError("--splits names no split; give one such as test")
    stored = None
    terms = SparseSettings(sparse, analyzer, variant, k1, b, delta, lossy_lengths)
    if cluster is not None:
        own = {
            "--index": index is not None,
            "--chunk": chunk is not None,
            "--dense": dense != "flat",
            "settings of the sparse side": terms != SparseSettings(analyzer="english"),
            "--learned-terms": learned_terms is not None,
            "--no-cache": no_cache,
        }
        if what := next((what for what, given in own.items() if given), None):
            raise UsageError(f"--cluster says all of the index: leave out {what}")
        from leanseek.cluster import StoredCluster

        stored = StoredCluster(cluster, address)
        there = stored.sides(mode)
        encoder, dense, terms = encoder or there.encoder, there.dense, there.sparse
        learned_terms = there.learned_terms if learned is not None else None
        chunk, overlap = stored.settings.chunk_words, stored.settings.chunk_overlap
    elif address != "local":
        raise UsageError("--address goes with --cluster URL: where it is searched")
    wanted = System(
        mode=mode,
        encoder=encoder or DEFAULT_MODEL,
        dense=dense,
        sparse=terms,
        fusion=fusion,
        dense_weight=dense_weight,
        learned=learned,
        learned_terms=learned_terms,
        learned_weight=learned_weight,
        depth=depth,
        chunk_words=chunk,
        chunk_overlap=overlap,
        candidates=candidates,
        candidates_depth=candidates_depth,
        rerank=tuple(rerank) if rerank and rerank != ["none"] else (),
        rerank_depth=tuple(opt.parse_depths(rerank_depth)),
        rerank_budget=opt.parse_budget(rerank_budget),
        rerank_long=rerank_long,
        name=system,
    )
    if stored is not None and system is None:
        wanted = replace(wanted, name=f"{wanted.label}-{len(stored.epoch.shards)}shards")
    with progress_bar(as_json) as progress:
        outcomes = evaluate(
            open_collection(name, mirror=mirror),
            wanted,
            out=out,
            splits=split_names,
            k=k,
            measures=measure_names(measures),
            index=index,
            stored=stored,
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
            show_outcome(outcome)


def outcome_record(outcome: Outcome) -> dict[str, Any]:
    """A result as one JSON object: what result.json holds, its folder, and whether it was made now."""
    return {**asdict(outcome.stored.result), "folder": str(outcome.stored.folder), "made": outcome.made}


def show_outcome(outcome: Outcome) -> None:
    """Print a result: measures, their rules, costs, and its folder."""
    result = outcome.stored.result
    judged = count(result.queries, "judged query", "judged queries")
    typer.echo(f"{result.collection} {result.split}: {result.system} ({judged})")
    if not outcome.made:
        typer.echo(f"made earlier, {result.provenance.time}{by_other(result)}; make it again with --force")
    for measure in result.measures:
        typer.echo(f"  {measure:<12} {result.means[measure]:.4f}")
    for name, rule in asdict(result.rules).items():
        typer.echo(f"  {name.replace('_', ' ')}: {rule}")
    for warning in result.warnings:
        typer.echo(f"  note: {warning}")
    for line in cost_lines(result):
        typer.echo(f"  {line}")
    typer.echo(f"Stored in {outcome.stored.folder}")


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
    """The costs of a result: index, latency, throughput and machine."""
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


def collections(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="Folder of collections, by default those downloaded."),
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """List collections: documents, splits with their judged queries, self-hits."""
    from leanseek.eval.collections import list_collections, summarize
    from leanseek.eval.collections.official import official_names

    found = list_collections(folder)
    with progress_bar(as_json) as progress:
        summaries = []
        for number, collection in enumerate(found):
            progress("counting", number, len(found))
            summaries.append(summarize(collection))
    if as_json:
        for summary in summaries:
            print_json(asdict(summary))
        return
    for summary in summaries:
        splits = ", ".join(f"{split} {queries:,}" for split, queries in summary.splits.items())
        removed = "  queries are documents: removed from their own results" if summary.self_hits else ""
        typer.echo(f"{summary.name:<24} {summary.documents:>10,}  {splits or 'no judgments'}{removed}")
    if not summaries:
        where = f"in {folder}" if folder is not None else "downloaded yet"
        typer.echo(f"No collections {where}. By name, BEIR's are downloaded: {', '.join(official_names())}.")


def reproduce(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Which, by default all. See --list.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the collections are, by default LEANSEEK_DATA."),
    ] = None,
    out: opt.Results = Path("results"),
    listing: Annotated[
        bool, typer.Option("--list", help="Show numbers, commands and sources; run nothing.")
    ] = False,
    as_json: opt.Json = False,
) -> None:
    """Run the commands behind the published numbers and compare.

    Each is OK, off, or FAIL with the difference. Exit code 1 if any fails.
    """
    from leanseek.eval.reproduction import data_folder, expected
    from leanseek.eval.reproduction import reproduce as reproduced

    wanted = expected(names or ())
    if listing:
        for one in wanted:
            print_json(asdict(one)) if as_json else show_expectation(one)
        return
    failed = 0
    with progress_bar(as_json) as progress:
        for verdict in reproduced(wanted, data=data_folder(data), out=out, progress=progress):
            failed += verdict.status == "FAIL"
            print_json(asdict(verdict)) if as_json else typer.echo(verdict_line(verdict))
    if failed:
        raise typer.Exit(int(ExitCode.FAILURE))


def show_expectation(one: Expectation) -> None:
    """An expected number with its command and its source."""
    typer.echo(f"{one.name}: {one.title}")
    for check in one.checks:
        typer.echo(f"  {check.measure} {check.value:g} ± {check.tolerance:g}")
    typer.echo(f"  leanseek {shlex.join(one.command)}")
    typer.echo(f"  {one.source}" + (f" ({one.url})" if one.url else ""))


def verdict_line(verdict: Verdict) -> str:
    """One line: the answer, the numbers and their difference."""
    head = f"{verdict.status:<8}{verdict.name:<20} {verdict.measure:<8} expected {verdict.expected:.4f}"
    head += f" ± {verdict.tolerance:g}"
    if verdict.measured is None or verdict.difference is None:
        return f"{head}: {verdict.reason}"
    return f"{head}, measured {verdict.measured:.4f} ({verdict.difference:+.4f})"
