"""Commands for clusters: make and change them, look after them, search them."""

from __future__ import annotations

from dataclasses import asdict
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from leanseek.cli import options as opt
from leanseek.cli.index_commands import origin_of, plan_of
from leanseek.cli.output import count, file_size, print_json, print_reading, progress_bar
from leanseek.cli.search_commands import Packing, ask
from leanseek.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from leanseek.cluster import ClusterReport, Pool
    from leanseek.reading import ReadReport
    from leanseek.types import Query, Ranked

Partial: TypeAlias = Annotated[
    Literal["never", "allow"],
    typer.Option(help="Where a shard does not answer: fail with exit code 9, or answer from the others."),
]
Deadline: TypeAlias = Annotated[
    str | None, typer.Option(metavar="TIME", help="Time for all that the shards are asked, such as 300ms.")
]


def build(
    sources: opt.Sources,
    into: Annotated[str, typer.Option(metavar="URL", help="The cluster to make: a folder or a URL.")],
    shards: Annotated[int, typer.Option(metavar="N", help="How many shards, for good.")],
    address: opt.Address = "local",
    id_field: opt.IdField = None,
    text_field: opt.TextField = None,
    title_field: opt.TitleField = None,
    encoding: opt.Encoding = None,
    on_error: opt.OnError = "auto",
    on_duplicate: opt.OnDuplicate = "reject",
    chunk: opt.ChunkAuto = "auto",
    overlap: opt.Overlap = 0,
    encoder: opt.Encoder = None,
    device: opt.Device = None,
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
    as_json: opt.Json = False,
) -> None:
    """Index documents into a new cluster.

    If interrupted, repeat the command: it continues where it stopped, and ends with the same files.
    """
    from leanseek.cluster import ClusterIndex
    from leanseek.reading import ReadReport, read

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
    plan = plan_of(
        documents.holds_texts,
        chunk,
        overlap,
        encoder,
        device,
        dense,
        (dims, kind, recall, precision, primary, reduction, learning_queries),
        (sparse, analyzer, variant, k1, b, delta, lossy_lengths),
        (learned, learned_terms),
    )
    pool = joined(address, as_json)
    with progress_bar(as_json) as progress:
        report = ClusterIndex.build(
            into,
            documents,
            plan,
            shards,
            origin=origin_of(sources),
            on_duplicate=on_duplicate,
            pool=pool,
            progress=progress,
        )
    if not report.added and not as_json:
        typer.echo(f"{into} was built from these sources before; nothing was read.")
    show_added(into, report, reading, as_json)


def add(
    url: opt.ClusterUrl,
    sources: opt.Sources,
    address: opt.Address = "local",
    id_field: opt.IdField = None,
    text_field: opt.TextField = None,
    title_field: opt.TitleField = None,
    encoding: opt.Encoding = None,
    on_error: opt.OnError = "auto",
    on_duplicate: opt.OnDuplicate = "reject",
    encoder: opt.Encoder = None,
    as_json: opt.Json = False,
) -> None:
    """Add documents to a cluster, all at once for everyone who searches it."""
    from leanseek.cluster import ClusterIndex
    from leanseek.reading import ReadReport, read

    cluster = ClusterIndex.open(url, encoder=encoder, pool=joined(address, as_json))
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
        report = cluster.add(documents, on_duplicate=on_duplicate, progress=progress)
    show_added(url, report, reading, as_json)


def delete(
    url: opt.ClusterUrl,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of documents.")] = None,
    filter: opt.Filter = None,
    ignore_missing: Annotated[
        bool, typer.Option("--ignore-missing", help="Accept ids that are not in the cluster.")
    ] = False,
    address: opt.Address = "local",
    as_json: opt.Json = False,
) -> None:
    """Delete documents from a cluster by id or by a filter, all at once."""
    from leanseek.cluster import ClusterIndex
    from leanseek.errors import UsageError

    if not ids and filter is None:
        raise UsageError("nothing to delete is named; give ids, or --filter EXPR")
    cluster = ClusterIndex.open(url, pool=joined(address, as_json))
    report = cluster.delete(ids or (), filter=filter, ignore_missing=ignore_missing)
    if as_json:
        print_json(asdict(report))
    else:
        typer.echo(
            f"{count(report.deleted, 'document')} deleted; epoch {report.epoch}. 'leanseek cluster compact "
            f"{quote(url)}' frees the space."
        )


def compact(
    url: opt.ClusterUrl,
    relearn: Annotated[
        bool, typer.Option("--relearn", help="Learn the reduction of the vectors again, shard by shard.")
    ] = False,
    address: opt.Address = "local",
    encoder: opt.Encoder = None,
    as_json: opt.Json = False,
) -> None:
    """Merge the segments of each shard and drop deleted documents."""
    from leanseek.cluster import ClusterIndex

    cluster = ClusterIndex.open(url, encoder=encoder, pool=joined(address, as_json))
    before = cluster.epoch.number
    with progress_bar(as_json) as progress:
        report = cluster.compact(relearn=relearn, progress=progress)
    if as_json:
        print_json(asdict(report))
    elif report.epoch == before:
        typer.echo("Nothing to compact: one segment in each shard, nothing deleted.")
    else:
        typer.echo(f"Compacted; epoch {report.epoch}.")


def status(url: opt.ClusterUrl, as_json: opt.Json = False) -> None:
    """Show a cluster's epoch and its shards."""
    from leanseek.cluster import ClusterIndex

    found = ClusterIndex.open(url).status()
    if as_json:
        print_json({**asdict(found), "shards": [shard._asdict() for shard in found.shards]})
        return
    settings = found.settings
    sides = [name for name, side in (("dense", settings.dense), ("sparse", settings.sparse)) if side]
    sides += ["learned"] if settings.learned is not None else []
    encoder = f", encoder {settings.encoder.name}" if settings.encoder is not None else ""
    typer.echo(
        f"{url}: epoch {found.epoch}, {count(found.documents, 'document')} in {count(found.passages, 'passage')}, "
        f"{count(len(found.shards), 'shard')}; {' and '.join(sides)}{encoder}."
    )
    for number, shard in enumerate(found.shards):
        gone = f", {shard.size - shard.passages:,} deleted" if shard.size > shard.passages else ""
        typer.echo(
            f"  shard {number}: {shard.folder}, {count(shard.documents, 'document')}, "
            f"{count(shard.passages, 'passage')}{gone}, {file_size(shard.bytes)}"
        )
    if found.unfinished:
        typer.echo(
            f"{count(found.unfinished, 'unit')} of an add that did not come to its end: repeat it, or the next change "
            "removes them."
        )


def check(url: opt.ClusterUrl, as_json: opt.Json = False) -> None:
    """Read every byte of a cluster's shards and compare it with its checksum.

    Exit code 4 if any differs.
    """
    from leanseek.cluster import ClusterIndex

    with progress_bar(as_json) as progress:
        report = ClusterIndex.open(url).check(progress)
    if as_json:
        print_json(asdict(report))
    elif report.sound:
        typer.echo(f"Sound: epoch {report.epoch}, {count(report.shards, 'shard')}.")
    else:
        for problem in report.problems:
            typer.echo(f"damaged: {problem}")
    if not report.sound:
        raise typer.Exit(int(ExitCode.INDEX))


def search(
    url: opt.ClusterUrl,
    query: Annotated[list[str], typer.Argument(metavar="QUERY", help="The query, with or without quotes.")],
    k: Annotated[
        int | None,
        typer.Option(
            "-k", metavar="N", help="How many documents, by default 10; with --context passages, 20."
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show each hit's rank and score by side, and its terms.")
    ] = False,
    address: opt.Address = "local",
    partial: Partial = "never",
    deadline: Deadline = None,
    mode: opt.Mode = None,
    filter: opt.Filter = None,
    literal: opt.AsText = False,
    also: opt.Also = None,
    relevant: opt.Relevant = None,
    irrelevant: opt.Irrelevant = None,
    collapse: opt.Collapse = False,
    diversity: opt.Diversity = None,
    recency: opt.Recency = None,
    now: opt.Now = None,
    history: opt.History = None,
    history_weight: opt.HistoryWeight = None,
    facet: opt.Facet = None,
    context: opt.ContextTokens = None,
    expand: opt.Expand = None,
    compress: opt.Compress = None,
    guard: opt.Guard = None,
    fusion: opt.Fusion = None,
    dense_weight: opt.DenseWeight = None,
    learned_weight: opt.LearnedWeight = None,
    depth: opt.Depth = None,
    min_probability: opt.MinProbability = None,
    relevant_only: opt.RelevantOnly = False,
    relevance: opt.Relevance = "auto",
    rerank: opt.Rerank = None,
    rerank_depth: opt.RerankDepth = None,
    rerank_budget: opt.RerankBudget = None,
    rerank_long: opt.RerankLong = None,
    adaptive: opt.Adaptive = False,
    encoder: opt.Encoder = None,
    device: opt.Device = None,
    as_json: opt.Json = False,
) -> None:
    """Search a cluster for one query, with the hits and scores that one index would give."""
    from leanseek.cluster import ClusterSearcher

    ask(
        lambda progress: ClusterSearcher.open(
            url,
            address=address,
            partial=partial,
            deadline=opt.parse_budget(deadline),
            encoder=encoder,
            fusion=fusion,
            dense_weight=dense_weight,
            learned_weight=learned_weight,
            mode=mode,
            device=device,
            relevance=None if relevance == "none" else relevance,
            reranker=rerank,
            rerank_depth=opt.parse_depths(rerank_depth) or None,
            rerank_budget=opt.parse_budget(rerank_budget),
            rerank_long=rerank_long,
            adaptive=adaptive,
            progress=progress,
        ),
        query,
        k,
        Packing(context, expand, compress, guard),
        facet,
        explain,
        as_json,
        queries=also,
        relevant=opt.parse_ids(relevant),
        irrelevant=opt.parse_ids(irrelevant),
        filter=filter,
        depth=depth,
        min_probability=min_probability,
        relevant_only=relevant_only,
        literal=literal,
        collapse=collapse,
        diversity=diversity,
        recency=recency,
        now=now,
        history=opt.parse_ids(history),
        history_weight=history_weight,
    )


def run(
    url: opt.ClusterUrl,
    queries: Annotated[
        str,
        typer.Argument(metavar="QUERIES", help="BEIR queries.jsonl, TSV, CSV, TREC topics, or - for stdin."),
    ],
    out: Annotated[str, typer.Option(metavar="RUN.trec", help="The run file to write; - for stdout.")],
    tag: Annotated[str, typer.Option(metavar="NAME", help="The run's name, its last column.")] = "leanseek",
    k: Annotated[int, typer.Option("-k", metavar="N", help="How many documents for each query.")] = 1000,
    address: opt.Address = "local",
    deadline: Deadline = None,
    mode: opt.Mode = None,
    filter: opt.Filter = None,
    fusion: opt.Fusion = None,
    dense_weight: opt.DenseWeight = None,
    depth: opt.Depth = None,
    encoder: opt.Encoder = None,
    as_json: opt.Json = False,
) -> None:
    """Search a cluster for a file of queries and write a TREC run; a shard that does not answer ends it."""
    from leanseek.cluster import ClusterSearcher
    from leanseek.reading import read_queries, write_run

    loaded = read_queries(queries)
    with (
        progress_bar(as_json) as progress,
        ClusterSearcher.open(
            url,
            address=address,
            deadline=opt.parse_budget(deadline),
            encoder=encoder,
            fusion=fusion,
            dense_weight=dense_weight,
            mode=mode,
            relevance=None,
        ) as searcher,
    ):

        def results() -> Iterator[tuple[Query, list[Ranked]]]:
            for start in range(0, len(loaded), 64):
                block = loaded[start : start + 64]
                texts = [query.text for query in block]
                found = searcher.rank_batch(texts, k, filter=filter, depth=depth, literal=True)
                yield from zip(block, found, strict=True)
                progress("searching", start + len(block), len(loaded))

        lines = write_run(out, results(), tag=tag)
    if as_json:
        print_json({"queries": len(loaded), "lines": lines, "out": out})
    else:
        typer.echo(
            f"{count(len(loaded), 'query', 'queries')} answered: {count(lines, 'line')} in {out}.",
            err=out == "-",
        )


def serve(
    url: opt.ClusterUrl,
    replicas: Annotated[int, typer.Option(metavar="N", help="How often each shard is served.")] = 2,
    address: Annotated[
        str, typer.Option(metavar="ADDRESS", help="The Ray cluster: auto, HOST:PORT or ray://HOST:PORT.")
    ] = "auto",
    stop: Annotated[bool, typer.Option("--stop", help="Stop the hosts instead.")] = False,
    as_json: opt.Json = False,
) -> None:
    """Start one host on each node of a Ray cluster, to be searched with --address. They go on when this ends."""
    from leanseek.cluster import serve_cluster, stop_cluster

    if stop:
        stopped = stop_cluster(url, address=address)
        if as_json:
            print_json({"stopped": stopped})
        else:
            typer.echo(f"{count(stopped, 'host')} stopped.")
        return
    places = serve_cluster(url, replicas=replicas, address=address)
    if as_json:
        print_json({"hosts": [{"replica": place.group, "shards": list(place.shards)} for place in places]})
        return
    for number, place in enumerate(places, 1):
        held = ", ".join(map(str, place.shards)) or "none"
        typer.echo(f"host {number}: replica {place.group}, shards {held}")
    typer.echo(f'Search it: leanseek cluster search {quote(url)} "your question" --address {address}')


def joined(address: str, quiet: bool) -> Pool:
    """The machines at an address, of which a line is printed. Raises as `make_pool`."""
    from leanseek.cluster import make_pool

    pool = make_pool(address)
    if pool.place and not quiet:
        typer.echo(f"Working on {pool.place}.", err=True)
    return pool


def show_added(url: str, report: ClusterReport, reading: ReadReport, as_json: bool) -> None:
    """Print what was indexed, left out and truncated, and what to do next."""
    if as_json:
        print_json({**asdict(report), "reading": asdict(reading)})
        return
    if report.added:
        print_reading(reading)
        replaced = f", {count(report.replaced, 'earlier one')} replaced" if report.replaced else ""
        known = f" ({count(report.known, 'unit')} encoded before)" if report.known else ""
        typer.echo(f"{count(report.added, 'document')} added{replaced}{known}.")
    if report.truncation is not None:
        typer.echo(report.truncation.sentence())
    for name, reason in report.left_out.items():
        typer.echo(f"Left out of the metadata: {name}, which {reason}")
    typer.echo(
        f"{url}: epoch {report.epoch}, {count(report.documents, 'document')} in {count(report.shards, 'shard')}."
    )
