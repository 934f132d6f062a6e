"""What re-rankers add to the default hybrid search: nDCG@10 of its best hits in their order, and in the re-rankers'.

    python benchmarks/rerank_hybrid.py trec-dl-2019:test_full wikiqa scifact cranfield cosqa
    python benchmarks/rerank_hybrid.py wikiqa:dev --rerankers interpolated:learned --weights .2 .35 .5 .65

Of each collection all judged queries, or --queries drawn with seed 0. p is that of a paired randomisation test against
the search, after Holm's correction over the collections of a re-ranker. Indexes stay in --out.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from leanseek import Index, Searcher
from leanseek.cli.options import name_and_split
from leanseek.cli.output import progress_bar
from leanseek.eval.base import Collection
from leanseek.eval.collections import open_collection
from leanseek.eval.measures import score
from leanseek.eval.significance import holm, randomisation
from leanseek.rerank import load_reranker
from leanseek.types import Float64Array, Hit, Query

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
MEASURE = "nDCG@10"
RERANKERS = (
    "cross-encoder", "learned", "interpolated:cross-encoder", "interpolated:learned",
    "interpolated:cross-encoder+learned",
)  # fmt: skip


def measured(
    collection: Collection, split: str, queries: Sequence[Query], hits: Sequence[Sequence[Hit]]
) -> Float64Array:
    """(queries,) the measure of the hits in their order."""
    run = {
        query.id: {hit.id: -float(place) for place, hit in enumerate(given)}
        for query, given in zip(queries, hits, strict=True)
    }
    qrels = collection.qrels(split)
    found = score(run, {query.id: qrels[query.id] for query in queries}, [MEASURE]).per_query
    return np.array([found[query.id][MEASURE] for query in queries])


def indexed(collection: Collection, out: Path) -> Path:
    """The collection's index with default settings, which is made where it is missing."""
    index = out / f"{collection.name}.index"
    if not index.exists():
        draft = out / f"{collection.name}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        with progress_bar(quiet=False) as progress, Index.create(draft) as opened:
            opened.add(collection.documents(), progress=progress)
        draft.rename(index)
    return index


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("collections", nargs="+", metavar="NAME[:SPLIT]")
    parser.add_argument("--rerankers", nargs="+", default=list(RERANKERS))
    parser.add_argument(
        "--weights", nargs="+", type=float, help="of interpolated re-rankers, instead of the default"
    )
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--queries", type=int)
    parser.add_argument("--out", type=Path, default=Path("rerank-hybrid-out"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    names = [
        (name, weight)
        for name in given.rerankers
        for weight in (given.weights if given.weights and name.startswith("interpolated") else [None])
    ]
    gains: dict[tuple[str, float | None], list[Float64Array]] = {name: [] for name in names}
    rows: list[tuple[str, Float64Array]] = []
    for named in given.collections:
        name, split = name_and_split(named) if ":" in named else (named, "test")
        collection = open_collection(DATA / name)
        qrels = collection.qrels(split)
        queries = [one for one in collection.queries(split) if max(qrels.get(one.id, {"": 0}).values()) > 0]
        if given.queries is not None and given.queries < len(queries):
            queries = random.Random(0).sample(queries, given.queries)
        texts = [query.text for query in queries]
        with Searcher.open(indexed(collection, given.out), relevance=None) as searcher:
            hits = searcher.search_batch(texts, given.depth)
        rows.append((named, measured(collection, split, queries, hits)))
        for reranker, weight in names:
            loaded = load_reranker(reranker)
            if weight is not None:
                loaded.weight = weight  # type: ignore[attr-defined]
            with progress_bar(quiet=False) as progress:
                ordered = [one.hits for one in loaded.rerank_batch(texts, hits, progress=progress)]
            gain = measured(collection, split, queries, ordered) - rows[-1][1]
            gains[reranker, weight].append(gain)
            print(
                f"{named} {reranker} {weight or ''} {rows[-1][1].mean():.4f} {gain.mean():+.4f}", flush=True
            )
    print(f"\n| re-ranker | {' | '.join(f'{named} ({len(base)})' for named, base in rows)} |")
    print("| --- " * (1 + len(rows)) + "|")
    print(f"| none | {' | '.join(f'{base.mean():.4f}' for _, base in rows)} |")
    for (reranker, weight), found in gains.items():
        chances = holm([float(randomisation(gain[:, np.newaxis], seed=0)[0]) for gain in found])
        cells = " | ".join(
            f"{(base + gain).mean():.4f} (p {p:.3f})"
            for (_, base), gain, p in zip(rows, found, chances, strict=True)
        )
        print(f"| `{reranker}`{'' if weight is None else f' {weight:g}'} | {cells} |")


if __name__ == "__main__":
    main()
