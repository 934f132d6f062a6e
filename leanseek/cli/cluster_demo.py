"""The demonstration of a cluster: three nodes on this machine, of which one is killed."""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leanseek.cli import options as opt
from leanseek.cli.demo import QUESTIONS, SUBJECT
from leanseek.cli.output import count, print_hits, progress_bar
from leanseek.errors import ExitCode

if TYPE_CHECKING:
    from leanseek.searcher import Searcher
    from leanseek.types import Hit

NODES = 3
SHARDS = 4
REPLICAS = 2


def demo(
    into: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The cluster to make, or to search if it exists.")
    ] = Path("demo.cluster"),
    encoder: opt.Encoder = None,
) -> None:
    """Show a cluster at work: build it on three local nodes, search, kill a node, search again."""
    from leanseek.cluster import (
        ClusterIndex,
        ClusterSearcher,
        LocalNodes,
        make_pool,
        serve_cluster,
        stop_cluster,
    )
    from leanseek.encode import fastest_default
    from leanseek.indexing.creation import make_plan
    from leanseek.reading import python_documentation

    encoder = encoder or fastest_default()
    url = str(into.absolute())
    typer.echo(f"1. Start {NODES} nodes of Ray on this machine.")
    with LocalNodes(NODES) as nodes:
        typer.echo(
            f"2. Index the documentation of Python {platform.python_version()} into {into}, in {SHARDS} shards, on all "
            "nodes."
        )
        started = time.perf_counter()
        pool = make_pool(nodes.address)
        with progress_bar(quiet=False) as progress:
            report = ClusterIndex.build(
                url,
                python_documentation(),
                make_plan(encoder=encoder),
                SHARDS,
                origin=json.dumps([SUBJECT, platform.python_version(), encoder]),
                pool=pool,
                progress=progress,
            )
        took = f"in {time.perf_counter() - started:.0f} s" if report.added else "before"
        typer.echo(f"   {count(report.passages, 'passage')}, indexed {took}.")

        typer.echo(f"3. Serve it: each shard is on {REPLICAS} nodes.")
        for number, place in enumerate(serve_cluster(url, replicas=REPLICAS, address=nodes.address), 1):
            shards = ", ".join(map(str, place.shards))
            typer.echo(f"   node {number}: replica {place.group + 1}, shards {shards}")
        with ClusterSearcher.open(url, address=nodes.address, deadline=30.0) as searcher:
            typer.echo("4. Search.")
            before, _ = asked(searcher)
            for question, hits in zip(QUESTIONS, before, strict=True):
                typer.echo(f"\n{question}")
                print_hits(hits[:1], explain=False)
            typer.echo("\n5. Kill a node, as if its machine had lost power, and ask the same again at once.")
            nodes.kill()
            after, slowest = asked(searcher)
        with ClusterSearcher.open(url) as searcher:
            alone, _ = asked(searcher)
        found = sum(map(len, before))
        if not before == after == alone:
            typer.echo(f"   The answers differ. That must not be; {into} stays for a look.", err=True)
            raise typer.Exit(int(ExitCode.FAILURE))
        typer.echo(
            f"   Nothing changed: {count(found, 'hit')} with the ids and scores of before, to the last bit, which are "
            f"those of one process too. The slowest question took {slowest * 1000:.0f} ms."
        )
        stop_cluster(url, address=nodes.address)
    typer.echo(f'\nSearch it yourself:\n  leanseek cluster search {into} "how do I ..."')


def asked(searcher: Searcher) -> tuple[list[list[Hit]], float]:
    """The hits for each of the questions, and the longest time that one took, in seconds."""
    answers, slowest = [], 0.0
    for question in QUESTIONS:
        began = time.perf_counter()
        answers.append(searcher.search(question, k=3, explain=True))
        slowest = max(slowest, time.perf_counter() - began)
    return answers, slowest
