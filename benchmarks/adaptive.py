"""Adaptive re-ranking against plain re-ranking with as many calls of the scorer.

    python benchmarks/adaptive.py --collections vaswani wikiqa --queries 40
    python benchmarks/adaptive.py --exact --collections vaswani --items 5000

By default nDCG@10 of searches with the packaged cross-encoder, for hybrid and dense mode and a few budgets, with the
p of a paired randomisation test. Scores are kept in the cache folder, so a repeated run is quick. Indexes stay in
--out.

With --exact the recall of the scorer's own best k by the number of calls. The scorer is late interaction by MaxSim
alone, every item is scored with every query, and the first round goes by the vectors of the default encoder.
"""

from __future__ import annotations

import argparse
import os
import random
from pathlib import Path
from typing import NamedTuple

import numpy as np

from leanseek import Index, Searcher
from leanseek.cli.output import progress_bar
from leanseek.encode import DEFAULT_MODEL, VectorCache, encode_corpus, load_encoder
from leanseek.eval.base import Collection
from leanseek.eval.collections import open_collection
from leanseek.eval.measures import score
from leanseek.eval.significance import randomisation
from leanseek.rerank import Reranker, RerankOptions, load_reranker
from leanseek.rerank.adaptive import ROUNDS, adaptive_scores
from leanseek.rerank.lateinteraction import Mix, load
from leanseek.types import Float32Array, Float64Array, Hit, Int64Array, Query, content

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
MEASURE = "nDCG@10"
OFFICIAL = "test_full"
BUDGETS = (50, 100, 200, 500)
DEPTHS = (10, 100)


def drawn(collection: Collection, split: str, most: int | None) -> list[Query]:
    """The queries with a relevant document, at most so many."""
    qrels = collection.qrels(split)
    judged = [query for query in collection.queries(split) if max(qrels.get(query.id, {"": 0}).values()) > 0]
    return random.Random(0).sample(judged, most) if most is not None and most < len(judged) else judged


def measured(
    collection: Collection,
    queries: list[Query],
    split: str,
    index: Path,
    reranker: Reranker,
    mode: str,
    budget: int,
) -> str:
    """A row of the first table: plain, adaptive, p."""
    qrels = collection.qrels(split)
    judged = {query.id: qrels[query.id] for query in queries}
    values: list[Float64Array] = []
    for adaptive in (False, True):
        with (
            Searcher.open(
                index, relevance=None, mode=mode, reranker=reranker, rerank_depth=budget, adaptive=adaptive
            ) as searcher,
            progress_bar(quiet=False) as progress,
        ):
            rankings = searcher.rank_batch([query.text for query in queries], budget, progress=progress)
        run = {
            query.id: {one.id: -float(place) for place, one in enumerate(ranking)}
            for query, ranking in zip(queries, rankings, strict=True)
        }
        per_query = score(run, judged, [MEASURE]).per_query
        values.append(np.array([per_query[query.id][MEASURE] for query in queries]))
    plain, found = values
    [p] = randomisation((found - plain)[:, np.newaxis], seed=0)
    cells = f"{plain.mean():.4f} | {found.mean():.4f} | {p:.2f}"
    return f"| {collection.name} | {len(queries)} | {mode} | {budget} | {cells} |"


class Items(NamedTuple):
    """Candidates with vectors (m, D), searched exactly; `scores` (m,) are those of a query."""

    all: Float32Array
    scores: Float64Array

    def nearest(self, vector: Float64Array, count: int, called: Int64Array) -> Int64Array:
        """See `CandidateSource`."""
        order = np.argsort(-(self.all @ vector), kind="stable")
        return order[~np.isin(order, called)][:count]

    def vectors(self, numbers: Int64Array) -> Float32Array:
        """See `CandidateSource`."""
        return self.all[numbers]

    def search(self, query: Float32Array, budget: int, rounds: int) -> list[int]:
        """The numbers of the scored items, best first."""
        first = np.argsort(-(self.all @ query), kind="stable")
        found = adaptive_scores(
            first, query, self, lambda numbers: self.scores[numbers], budget, rounds=rounds
        )
        return sorted(found, key=lambda number: -found[number])


def recalls(collection: Collection, queries: list[Query], most: int) -> None:
    """Score everything, and print the second table."""
    documents = sorted(collection.documents(), key=lambda document: document.id)
    if most < len(documents):
        documents = sorted(random.Random(0).sample(documents, most), key=lambda document: document.id)
    encoder, scorer = load_encoder(DEFAULT_MODEL), load(RerankOptions(mix=Mix()))
    texts = [content(document.title, document.text) for document in documents]
    vectors, _ = encode_corpus(encoder, texts, VectorCache(encoder.fingerprint))
    words = [query.text for query in queries]
    own = encoder.encode_queries(words).vectors
    hits = [Hit(rank, one.id, 0.0, one.title, one.text, {}) for rank, one in enumerate(documents, 1)]
    with progress_bar(quiet=False) as progress:
        judged = scorer.judge(words, [hits] * len(words), progress=progress)
    print(f"\n{collection.name}: {len(documents):,} passages, {len(queries)} queries\n")
    print(f"| recall of the exact best | {' | '.join(f'{budget} calls' for budget in BUDGETS)} |")
    print(f"|---|{'---|' * len(BUDGETS)}")
    for k in DEPTHS:
        for name, rounds in (("re-ranking", 1), ("adaptive", ROUNDS)):
            cells = []
            for budget in BUDGETS:
                shares = []
                for row, one in enumerate(judged):
                    best = np.argsort(-one.scores, kind="stable")[:k].tolist()
                    found = Items(vectors, one.scores).search(own[row], budget, rounds)[:k]
                    shares.append(len(set(best) & set(found)) / k)
                cells.append(f"{np.mean(shares):.3f}")
            print(f"| {k}: {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measure each collection and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--collections", nargs="+", default=["vaswani", "wikiqa"])
    parser.add_argument("--queries", type=int, help="at most so many of each collection, drawn with seed 0")
    parser.add_argument("--budgets", type=int, nargs="+", default=[50, 100])
    parser.add_argument("--modes", nargs="+", default=["hybrid", "dense"])
    parser.add_argument("--reranker", default="cross-encoder")
    parser.add_argument("--exact", action="store_true", help="recall of the scorer's own best")
    parser.add_argument("--items", type=int, default=5000, help="passages with --exact, drawn with seed 0")
    parser.add_argument("--out", type=Path, default=Path("adaptive-out"))
    given = parser.parse_args()
    reranker = None if given.exact else load_reranker(given.reranker)
    if reranker is not None:
        print(f"| collection | queries | mode | calls | plain {MEASURE} | adaptive {MEASURE} | p |")
        print("|---|---|---|---|---|---|---|")
    for name in given.collections:
        collection = open_collection(DATA / name)
        split = OFFICIAL if OFFICIAL in collection.splits else "test"
        queries = drawn(collection, split, given.queries)
        if reranker is None:
            recalls(collection, queries, given.items)
            continue
        index = given.out / name
        if not index.exists():
            with progress_bar(quiet=False) as progress:
                Index.create(index).add(collection.documents(), progress=progress)
        for mode in given.modes:
            for budget in given.budgets:
                row = measured(collection, queries, split, index, reranker, mode, budget)
                print(row, flush=True)


if __name__ == "__main__":
    main()
