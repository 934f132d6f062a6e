"""nDCG@10 of the sparse side, the dense side and each fusion on BEIR-style collections.

    python benchmarks/quality.py --data FOLDER_OF_COLLECTIONS [--collections scifact cranfield]

Prints a Markdown table. Measures come from pytrec_eval. The first run encodes the collections (minutes on
two cores); later runs take the vectors from the cache.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytrec_eval

from leanseek import Index, Searcher, read, read_queries
from leanseek.encode import DEFAULT_MODEL
from leanseek.types import Hit, Query

SYSTEMS = {
    "BM25": {"mode": "sparse"},
    "dense": {"mode": "dense"},
    "RRF(60)": {"fusion": "rrf"},
    "min-max": {"fusion": "minmax"},
    "z-score": {"fusion": "zscore"},
    "DBSF": {"fusion": "dbsf"},
    "convex 0.8 (default)": {},
}


def judgments(path: Path) -> dict[str, dict[str, int]]:
    """BEIR qrels: query to document to grade."""
    found: dict[str, dict[str, int]] = {}
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        query, document, grade = line.split("\t")
        found.setdefault(query, {})[document] = int(grade)
    return found


def ndcg(
    qrels: dict[str, dict[str, int]], queries: Sequence[Query], results: Sequence[Sequence[Hit]]
) -> float:
    """Mean nDCG@10 over the judged queries; one without results counts 0."""
    # trec_eval breaks ties by descending id; a score strictly falling with the rank keeps our own order.
    run = {
        query.id: {hit.id: -float(hit.rank) for hit in hits}
        for query, hits in zip(queries, results, strict=True)
        if hits
    }
    scores = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"}).evaluate(run)
    return sum(row["ndcg_cut_10"] for row in scores.values()) / len(qrels)


def main() -> None:
    """Build an index of each collection in a temporary folder and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--collections", nargs="+", default=["scifact", "cranfield"])
    parser.add_argument("--encoder", default=DEFAULT_MODEL)
    parser.add_argument("--split", default="test")
    options = parser.parse_args()
    print("| collection | " + " | ".join(SYSTEMS) + " |")
    print("| --- " * (len(SYSTEMS) + 1) + "|")
    for name in options.collections:
        folder = options.data / name
        qrels = judgments(folder / "qrels" / f"{options.split}.tsv")
        queries = [query for query in read_queries(folder) if query.id in qrels]
        cells = []
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "index"
            Index.create(path, encoder=options.encoder).add(read(folder), progress=show)
            for system in SYSTEMS.values():
                with Searcher.open(path, **system) as searcher:
                    results = searcher.search_batch([query.text for query in queries], k=10)
                cells.append(f"{ndcg(qrels, queries, results):.4f}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def show(stage: str, done: int, total: int | None) -> None:
    """Progress on one line of standard error."""
    sys.stderr.write(f"\r{stage} {done:,}{f' of {total:,}' if total else ''}    ")


if __name__ == "__main__":
    main()
