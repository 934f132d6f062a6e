"""nDCG@10 of the default hybrid search, and of late interaction on its best 100, with significance.

    python benchmarks/late_interaction.py --collections trec-dl-2019 vaswani cranfield cisi
    python benchmarks/late_interaction.py --collections wikiqa --split dev --queries 70

Prints a row for each collection: the search alone, MaxSim alone, the mean of the z-scores of cosine and MaxSim, and
the default mix, with the p of a paired randomisation test between it and the search. Where a collection has a stored
BM25 run and the split test_full, the run's best 100 are what is ranked. Indexes stay in --out.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from leanseek import Index, Searcher
from leanseek.cli.output import progress_bar
from leanseek.eval.base import Collection, Qrels
from leanseek.eval.candidates import read_candidates
from leanseek.eval.collections import open_collection
from leanseek.eval.measures import score
from leanseek.eval.significance import randomisation
from leanseek.rerank.lateinteraction import Mix, load
from leanseek.rerank.lateinteraction.reranker import DEFAULT_MIX
from leanseek.types import Document, Float64Array, Hit, Query

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
COLLECTIONS = ("scifact", "cranfield", "cisi", "vaswani", "cosqa", "trec-dl-2019", "wikiqa")
DEPTH = 100
MEASURE = "nDCG@10"
OFFICIAL = "test_full"
MIXES = {
    "MaxSim": Mix(),
    "cosine + MaxSim": Mix(maxsim=0.5, cosine=0.5),
    "default mix": DEFAULT_MIX,
}


def first_stage(
    collection: Collection, queries: Sequence[Query], index: Path, run: Path | None
) -> list[list[Hit]]:
    """The default hybrid's best 100 of each query, or its order of a stored run's."""
    documents: dict[str, Document] = {document.id: document for document in collection.documents()}
    with progress_bar(quiet=False) as progress:
        if not index.exists():
            Index.create(index).add(documents.values(), progress=progress)
        candidates = read_candidates(run, DEPTH) if run is not None else None
        with Searcher.open(index, relevance=None) as searcher:
            ranked = searcher.rank_batch(
                [query.text for query in queries],
                DEPTH,
                candidates=[candidates.of(query.id) for query in queries] if candidates is not None else None,
                progress=progress,
            )
    return [
        [
            Hit(rank, one.id, one.score, documents[one.id].title, documents[one.id].text, {})
            for rank, one in enumerate(ranking, 1)
        ]
        for ranking in ranked
    ]


def per_query(
    queries: Sequence[Query], hits: Sequence[Sequence[Hit]], scores: Sequence[Float64Array], qrels: Qrels
) -> Float64Array:
    """(queries,) the measure of the hits in the order of the scores."""
    run = {
        query.id: {hit.id: float(one) for hit, one in zip(given, said, strict=True)}
        for query, given, said in zip(queries, hits, scores, strict=True)
    }
    found = score(run, {query.id: qrels[query.id] for query in queries}, [MEASURE]).per_query
    return np.array([found[query.id][MEASURE] for query in queries])


def main() -> None:
    """Measure each collection and print its row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--collections", nargs="+", default=list(COLLECTIONS))
    parser.add_argument("--split", help="another than test; its name")
    parser.add_argument(
        "--queries", type=int, help="so many of each collection, drawn with seed 0; by default all"
    )
    parser.add_argument("--model", help="as late-interaction:MODEL takes it")
    parser.add_argument("--out", type=Path, default=Path("late-interaction-out"))
    given = parser.parse_args()
    reranker = load(given.model)
    print(f"| collection | queries | search | {' | '.join(MIXES)} | p |")
    print(f"|---|---|---|{'---|' * len(MIXES)}---|")
    for name in given.collections:
        collection = open_collection(DATA / name)
        runs = sorted((DATA / name / "runs").glob("BM25__*.trec"))
        split = given.split or (OFFICIAL if runs else "test")
        qrels = collection.qrels(split)
        judged = [
            query for query in collection.queries(split) if max(qrels.get(query.id, {"": 0}).values()) > 0
        ]
        if given.queries is not None:
            random.Random(0).shuffle(judged)
            judged = judged[: given.queries]
        hits = first_stage(collection, judged, given.out / name, runs[0] if runs else None)
        with progress_bar(quiet=False) as progress:
            measured = reranker.measure([query.text for query in judged], hits, progress=progress)
        search = [np.array([hit.score for hit in given_]) for given_ in hits]
        before = per_query(judged, hits, search, qrels)
        after = {
            label: per_query(
                judged,
                hits,
                [mix.scores(*one, own) for one, own in zip(measured, search, strict=True)],
                qrels,
            )
            for label, mix in MIXES.items()
        }
        [p] = randomisation((after["default mix"] - before)[:, np.newaxis], seed=0)
        cells = " | ".join(f"{values.mean():.4f}" for values in (before, *after.values()))
        print(f"| {name} {split} | {len(judged)} | {cells} | {p:.3f} |", flush=True)


if __name__ == "__main__":
    main()
