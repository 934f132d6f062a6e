"""Query expansion: what each method adds, with relevant documents shown and without any.

    python benchmarks/query_expansion.py COLLECTION... [--feedback shown|none] [--mode sparse|dense|hybrid]
        [--split test] [--methods rm3 rocchio description] [--queries N] [--analyzer NAME] [--folder DIR]

With `--feedback shown` (the default) the first three relevant documents of the judgments, and the best five of a search
without expansion that are not relevant, are named to each method, and then taken out of rankings and judgments alike
(a residual collection); queries with fewer than four relevant documents are left out. With `--feedback none` each
method learns from the best hits of its own first search. The folder keeps the indexes.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from leanseek import Index, Searcher, SparseSettings
from leanseek.eval import open_collection, randomisation, score
from leanseek.types import Query

SHOWN, REFUSED = 3, 5
"""Relevant and irrelevant documents that are named."""
DEPTH = 1000
LINE = "{:24} {:14} {:>8} {:>8} {:>8} {:>8} {:>9}"
MEASURES = ("nDCG@10", "AP@1000", "R@100")


def shown(ranking: list[str], grades: dict[str, int]) -> tuple[list[str], list[str]]:
    """The documents that are named: the first relevant ones of the judgments, the best irrelevant ones of a ranking."""
    relevant = [one for one, grade in grades.items() if grade > 0][:SHOWN]
    return relevant, [one for one in ranking if grades.get(one, 0) < 1][:REFUSED]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("collections", nargs="+")
    parser.add_argument("--feedback", choices=["shown", "none"], default="shown")
    parser.add_argument("--mode", choices=["sparse", "dense", "hybrid"], default="sparse")
    parser.add_argument("--split", default="test")
    parser.add_argument("--methods", nargs="+", default=["rm3", "rocchio", "description"])
    parser.add_argument("--queries", type=int)
    parser.add_argument("--analyzer", default="english")
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp())
    print(LINE.format("collection", "query", "queries", *MEASURES, "p"))
    for name in asked.collections:
        collection = open_collection(name)
        dense = asked.mode != "sparse"
        path = folder / f"{collection.name}.{asked.analyzer}{'.dense' if dense else ''}.index"
        if not path.exists():
            with Index.create(
                path,
                sparse=SparseSettings(analyzer=asked.analyzer),
                **({"dense": "flat"} if dense else {"encoder": None}),
            ) as index:
                index.add(collection.documents())
        split = asked.split if asked.split in collection.splits else collection.splits[0]
        qrels = {query: dict(grades) for query, grades in collection.qrels(split).items()}
        with Searcher.open(path, mode=asked.mode, relevance=None) as searcher:
            report(searcher, f"{collection.name} ({split})", collection.queries(split), qrels, asked)


def report(
    searcher: Searcher,
    name: str,
    queries: list[Query],
    qrels: dict[str, dict[str, int]],
    asked: argparse.Namespace,
) -> None:
    """Print a line for the query as it is and one for each method."""
    named: dict[str, tuple[list[str], list[str]]] = {}
    if asked.feedback == "shown":
        queries = [one for one in queries if sum(grade > 0 for grade in qrels[one.id].values()) > SHOWN]
    queries = queries[: asked.queries]
    qrels = {one.id: qrels[one.id] for one in queries}
    if asked.feedback == "shown":
        rankings = searcher.rank_batch([one.text for one in queries], DEPTH)
        for one, ranking in zip(queries, rankings, strict=True):
            named[one.id] = shown([document for document, _ in ranking], qrels[one.id])
    taken = {query: {*relevant, *irrelevant} for query, (relevant, irrelevant) in named.items()}
    residual = {
        query: {one: grade for one, grade in grades.items() if one not in taken.get(query, ())}
        for query, grades in qrels.items()
    }
    plain = None
    for method in (None, *asked.methods):
        rankings = {}
        for one in queries:
            relevant, irrelevant = named.get(one.id, ([], []))
            options = {"expand": method} if method else {}
            if method and relevant:
                options |= {"relevant": relevant}
                if method.startswith(("rocchio", "description")):
                    options |= {"irrelevant": irrelevant}
            [ranking] = searcher.rank_batch([one.text], DEPTH, **options)
            out = taken.get(one.id, ())
            rankings[one.id] = {document: value for document, value in ranking if document not in out}
        found = score(rankings, residual, MEASURES)
        p = ""
        if plain is None:
            plain = found
        else:
            gains = [[found.per_query[one]["nDCG@10"] - plain.per_query[one]["nDCG@10"]] for one in residual]
            p = f"{randomisation(np.array(gains), seed=0)[0]:.4f}"
        means = [f"{found.means[measure]:.4f}" for measure in MEASURES]
        print(LINE.format(name, method or "as typed", len(queries), *means, p), flush=True)


if __name__ == "__main__":
    main()
