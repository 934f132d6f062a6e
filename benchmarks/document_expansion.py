"""What documents gain by queries that a decoder writes for them: nDCG@10 of BM25 and of the hybrid search.

    python benchmarks/document_expansion.py cranfield --documents 400 --queries 2

The collection is cut to so many documents: those that answer some of its test queries, and others, drawn by the seed.
Prints Markdown, with the p of a paired randomisation test against the same documents as they are. What a decoder has
written is in the cache folder and not written again.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
from pathlib import Path

import numpy as np

from leanseek import Document, Index, Searcher
from leanseek.cli.output import progress_bar
from leanseek.eval import score
from leanseek.eval.collections import open_collection
from leanseek.eval.significance import randomisation
from leanseek.types import Float64Array, Query

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
MEASURE = "nDCG@10"
Qrels = dict[str, dict[str, int]]


def drawn(name: str, size: int, seed: int) -> tuple[list[Document], list[Query], Qrels]:
    """Documents of a collection, with the test queries whose relevant ones are all among them; half answer one."""
    collection = open_collection(DATA / name)
    documents = {document.id: document for document in collection.documents()}
    qrels = {id: dict(grades) for id, grades in collection.qrels("test").items()}
    order = random.Random(seed)
    queries, taken = [], set[str]()
    for query in order.sample(found := list(collection.queries("test")), len(found)):
        relevant = {id for id, grade in qrels.get(query.id, {}).items() if grade > 0} & documents.keys()
        if relevant and len(taken | relevant) <= size // 2:
            queries.append(query)
            taken |= relevant
    taken |= set(
        order.sample(sorted(documents.keys() - taken), min(size - len(taken), len(documents) - len(taken)))
    )
    kept = {
        query.id: {id: grade for id, grade in qrels[query.id].items() if id in taken} for query in queries
    }
    return [documents[id] for id in sorted(taken)], sorted(queries, key=lambda query: query.id), kept


def measured(index: Path, mode: str, queries: list[Query], qrels: Qrels) -> Float64Array:
    """(queries,) the measure of each query."""
    with Searcher.open(index, relevance=None, mode=mode) as searcher:
        rankings = searcher.rank_batch([query.text for query in queries], 100)
    run = {
        query.id: {ranked.id: ranked.score for ranked in ranking}
        for query, ranking in zip(queries, rankings, strict=True)
    }
    found = score(run, qrels, [MEASURE]).per_query
    return np.array([found[query.id][MEASURE] for query in queries])


def main() -> None:
    """Index the documents with and without the queries, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("collections", nargs="+")
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--queries", type=int, default=2, help="queries a document (default: 2)")
    parser.add_argument("--generator", help="a decoder (default: the packaged one)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(
        f"| collection | documents | queries | search | as they are | + {given.queries} written queries | p |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in given.collections:
        documents, queries, qrels = drawn(name, given.documents, given.seed)
        with tempfile.TemporaryDirectory() as folder, progress_bar(quiet=False) as progress:
            plain, expanded = Path(folder) / "plain.index", Path(folder) / "expanded.index"
            Index.create(plain).add(documents)
            Index.create(expanded, expand_documents=given.queries, generator=given.generator).add(
                documents, progress=progress
            )
            for mode in ("sparse", "hybrid"):
                before, after = (measured(index, mode, queries, qrels) for index in (plain, expanded))
                [p] = randomisation((after - before)[:, np.newaxis], seed=0)
                print(
                    f"| {name} | {len(documents):,} | {len(queries)} | {mode} | {before.mean():.4f} | "
                    f"{after.mean():.4f} ({(after - before).mean():+.4f}) | {p:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
