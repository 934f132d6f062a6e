"""What a cross-encoder's order is worth: nDCG@10 against the dense order, and how few pairs are enough.

    python benchmarks/cross_encoder.py
    python benchmarks/cross_encoder.py --model FOLDER --collections scifact --queries 100

First table: BM25's best --depth of each query (the stored run, where a collection has one), in BM25's order, by the
default encoder's cosine, and by the cross-encoder, with the p of a paired randomisation test between the last two.
Second table: the default hybrid search's best --depth, as they are, all re-ranked, and with rerank_depth="auto", with
the share of the pairs that this judged and what a fixed depth of as many pairs gives. Scores are kept in the cache
folder, so a repeated run is quick. Indexes stay in --out.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from leanseek import Index, RerankDepth, Searcher
from leanseek.cli.output import progress_bar
from leanseek.eval.answers import read_candidates
from leanseek.eval.base import Collection
from leanseek.eval.collections import open_collection
from leanseek.eval.measures import score
from leanseek.eval.significance import randomisation
from leanseek.rerank import Reranker, load_reranker
from leanseek.types import Float64Array, Qrels, Query, Ranked

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
COLLECTIONS = ("trec-dl-2019", "wikiqa", "cosqa", "cranfield", "scifact")
MEASURE = "nDCG@10"
OFFICIAL = "test_full"


class Task(NamedTuple):
    """A collection's queries to measure with, its judgments and its index; `pool` are BM25's best by query."""

    name: str
    queries: list[Query]
    qrels: Qrels
    index: Path
    pool: list[list[str]]

    @property
    def texts(self) -> list[str]:
        return [query.text for query in self.queries]

    def measure(self, rankings: Sequence[Sequence[Ranked]]) -> Float64Array:
        """(queries,) the measure of each ranking."""
        run = {
            query.id: {one.id: -float(place) for place, one in enumerate(ranking)}
            for query, ranking in zip(self.queries, rankings, strict=True)
        }
        judged = {query.id: self.qrels[query.id] for query in self.queries}
        found: Mapping[str, Mapping[str, float]] = score(run, judged, [MEASURE]).per_query
        return np.array([found[query.id][MEASURE] for query in self.queries])


def prepare(collection: Collection, out: Path, depth: int, most: int | None) -> Task:
    """The task of a collection, which is indexed where that is missing."""
    runs = sorted((DATA / collection.name / "runs").glob("BM25__*.trec"))
    split = OFFICIAL if runs else "test"
    qrels = collection.qrels(split)
    judged = [query for query in collection.queries(split) if max(qrels.get(query.id, {"": 0}).values()) > 0]
    if most is not None and most < len(judged):
        judged = random.Random(0).sample(judged, most)
    index = out / collection.name
    with progress_bar(quiet=False) as progress:
        if not index.exists():
            Index.create(index).add(collection.documents(), progress=progress)
    if runs:
        stored = read_candidates(runs[0], depth)
        pool = [list(stored.of(query.id)) for query in judged]
    else:
        with Searcher.open(index, relevance=None) as searcher:
            found = searcher.rank_batch([query.text for query in judged], depth, mode="sparse")
        pool = [[one.id for one in ranking] for ranking in found]
    return Task(collection.name, judged, qrels, index, pool)


def against_dense(task: Task, reranker: Reranker, depth: int) -> str:
    """The row of the first table."""
    with Searcher.open(task.index, relevance=None) as searcher:
        dense = task.measure(searcher.rank_batch(task.texts, depth, mode="dense", candidates=task.pool))
    bm25 = task.measure([[Ranked(name, 0.0) for name in names] for names in task.pool])
    with (
        Searcher.open(task.index, relevance=None, reranker=reranker, rerank_depth=depth) as searcher,
        progress_bar(quiet=False) as progress,
    ):
        best = searcher.rank_batch(task.texts, depth, mode="sparse", candidates=task.pool, progress=progress)
    crossed = task.measure(best)
    [p] = randomisation((crossed - dense)[:, np.newaxis], seed=0)
    cells = " | ".join(f"{values.mean():.4f}" for values in (bm25, dense, crossed))
    return f"| {task.name} | {len(task.queries)} | {cells} | {p:.3f} |"


def how_deep(task: Task, reranker: Reranker, depth: int) -> str:
    """The row of the second table."""

    def ranked(rerank_depth: int | RerankDepth | None) -> tuple[Float64Array, int]:
        given = None if rerank_depth is None else reranker
        rankings, asked = [], 0
        with (
            Searcher.open(task.index, reranker=given, rerank_depth=rerank_depth) as searcher,
            progress_bar(quiet=False) as progress,
        ):
            for number, text in enumerate(task.texts, 1):
                answer = searcher.answer(text, 10, depth=depth)
                rankings.append([Ranked(hit.id, hit.score) for hit in answer.hits])
                asked += answer.reached.asked if answer.reached is not None else 0
                progress("searching", number, len(task.texts))
        return task.measure(rankings), asked

    before, _ = ranked(None)
    every, pairs = ranked(depth)
    auto, fewer = ranked(RerankDepth())
    prefix = max(1, round(fewer / len(task.queries)))
    fixed, _ = ranked(prefix)
    loss = 1.0 - auto.mean() / every.mean()
    return (
        f"| {task.name} | {before.mean():.4f} | {every.mean():.4f} | {auto.mean():.4f} | {fewer / pairs:.0%} "
        f"| {loss:+.2%} | {fixed.mean():.4f} ({prefix}) |"
    )


def main() -> None:
    """Measure each collection and print the two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--collections", nargs="+", default=list(COLLECTIONS))
    parser.add_argument("--model", help="as cross-encoder:MODEL takes it; by default the packaged one")
    parser.add_argument("--queries", type=int, help="so many of each collection, drawn with seed 0")
    parser.add_argument("--depth", type=int, default=100, help="candidates of each query (default: 100)")
    parser.add_argument("--long", default="maxp", help="how long passages are read (default: maxp)")
    parser.add_argument("--dense-only", action="store_true", help="the first table alone")
    parser.add_argument("--out", type=Path, default=Path("cross-encoder-out"))
    given = parser.parse_args()
    name = f"cross-encoder:{given.model}" if given.model else "cross-encoder"
    reranker = load_reranker(name, long=given.long)
    tasks = [
        prepare(open_collection(DATA / collection), given.out, given.depth, given.queries)
        for collection in given.collections
    ]
    print(f"Candidates: BM25's best {given.depth}\n")
    print("| collection | queries | BM25 | cosine | cross-encoder | p |\n|---|---|---|---|---|---|")
    for task in tasks:
        print(against_dense(task, reranker, given.depth), flush=True)
    for note in reranker.notes:
        print(f"\n{note}")
    if given.dense_only:
        return
    print(f"\nCandidates: the default hybrid search's best {given.depth}\n")
    print("| collection | hybrid | all re-ranked | auto | pairs of all | loss | fixed depth of as many |")
    print("|---|---|---|---|---|---|---|")
    for task in tasks:
        print(how_deep(task, reranker, given.depth), flush=True)


if __name__ == "__main__":
    main()
