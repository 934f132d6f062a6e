"""Recall of an expensive scorer's exact best by the number of its calls: ANNCUR, AXN, retrieve-and-rerank.

    python benchmarks/factorisation.py --collection vaswani --items 3000 --queries 24
    python benchmarks/factorisation.py --reranker cross-encoder:FOLDER --matrix scores.npy

Every item is scored with every query once, which is the whole cost; --matrix keeps these scores, and takes them from
there the next time. ANNCUR's anchor queries are the other queries (leave one out). AXN's item vectors are those of
the default encoder; one round of it is retrieve-and-rerank.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from leanseek.cli.output import progress_bar
from leanseek.encode import DEFAULT_MODEL, VectorCache, encode_corpus, load_encoder
from leanseek.eval.collections import open_collection
from leanseek.rerank import RerankOptions, load_reranker
from leanseek.rerank.base import ByScore
from leanseek.rerank.factorisation import AnncurIndex, Axn, Found, LeastSquares, Ridge
from leanseek.rerank.lateinteraction import Mix, load
from leanseek.types import Float32Array, Hit, Progress, Query, content

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
BUDGETS = (50, 100, 200, 500)
ANNCUR = "ANNCUR, other queries as anchors"

Way = Callable[[int, int], Found]
"""(a query's place, the budget) to what is found."""


def everything(
    reranker: ByScore, queries: Sequence[Query], items: Sequence[Hit], progress: Progress
) -> Float32Array:
    """(queries, items) the exact scores."""
    judged = reranker.judge([query.text for query in queries], [items] * len(queries), progress=progress)
    return np.stack([one.scores for one in judged]).astype(np.float32)


def ways(
    matrix: Float32Array, ids: Sequence[str], vectors: Float32Array, asked: Float32Array, k: int
) -> dict[str, Way]:
    """The ways of searching, by name."""
    column = {identifier: number for number, identifier in enumerate(ids)}

    def exact(row: str, chosen: Sequence[str]) -> Float32Array:
        return matrix[int(row), [column[identifier] for identifier in chosen]]

    def adaptive(search: Axn) -> Way:
        return lambda row, budget: search.search(exact, str(row), asked[row], k, budget=budget)

    anchored = [AnncurIndex(ids, np.delete(matrix, row, axis=0)) for row in range(len(matrix))]
    return {
        "retrieve-and-rerank": adaptive(Axn(ids, vectors, rounds=1)),
        ANNCUR: lambda row, budget: anchored[row].search(exact, str(row), k, budget=budget),
        "AXN, least squares": adaptive(Axn(ids, vectors, fit=LeastSquares())),
        "AXN, least squares, weight 0.8": adaptive(Axn(ids, vectors, fit=LeastSquares(0.8))),
        "AXN, ridge 0.1 (default)": adaptive(Axn(ids, vectors, fit=Ridge())),
    }


def main() -> None:
    """Score what is not scored yet, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--collection", default="vaswani")
    parser.add_argument("--items", type=int, default=3000, help="drawn with seed 0")
    parser.add_argument("--queries", type=int, default=24, help="drawn with seed 0")
    parser.add_argument(
        "--reranker", help="the expensive scorer, by its name; by default late interaction by MaxSim alone"
    )
    parser.add_argument("--matrix", type=Path, help="where the exact scores are kept")
    parser.add_argument("-k", type=int, default=10)
    given = parser.parse_args()

    collection = open_collection(DATA / given.collection)
    documents = sorted(collection.documents(), key=lambda document: document.id)
    documents = sorted(random.Random(0).sample(documents, given.items), key=lambda document: document.id)
    queries = sorted(collection.queries("test"), key=lambda query: query.id)
    queries = random.Random(0).sample(queries, given.queries)
    items = {one.id: Hit(rank, one.id, 0.0, one.title, one.text, {}) for rank, one in enumerate(documents, 1)}
    # The default mix of late interaction compares the hits of one call: no score of a pair alone.
    reranker = load_reranker(given.reranker) if given.reranker else load(RerankOptions(mix=Mix()))
    if not isinstance(reranker, ByScore):
        parser.error(f"{given.reranker} gives hits no scores of their own")
    if given.matrix is not None and given.matrix.exists():
        matrix = np.load(given.matrix)
    else:
        with progress_bar(quiet=False) as progress:
            matrix = everything(reranker, queries, list(items.values()), progress)
        if given.matrix is not None:
            np.save(given.matrix, matrix)
    encoder = load_encoder(DEFAULT_MODEL)
    texts = [content(document.title, document.text) for document in documents]
    vectors, _ = encode_corpus(encoder, texts, VectorCache(encoder.fingerprint))
    asked = encoder.encode_queries([query.text for query in queries]).vectors

    ids = list(items)
    best = np.argsort(-matrix, axis=1, kind="stable")[:, : given.k]
    print(f"| recall of the exact best {given.k} | {' | '.join(f'{budget} calls' for budget in BUDGETS)} |")
    print(f"|---|{'---|' * len(BUDGETS)}")
    for name, way in ways(matrix, ids, vectors, asked, given.k).items():
        cells = []
        for budget in BUDGETS:
            shares = [
                len({ids[place] for place in best[row]} & set(way(row, budget).ids)) / given.k
                for row in range(len(queries))
            ]
            cells.append(f"{np.mean(shares):.3f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
