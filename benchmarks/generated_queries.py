"""What queries generated from documents alone are worth to train a cross-encoder from, against two controls.

    python benchmarks/generated_queries.py
    python benchmarks/generated_queries.py --collections cranfield --generator SmolLM2-135M-Instruct --limit 500

For each collection queries are generated from its documents, without its own queries and judgments, and two
cross-encoders are trained from them: from the grades, and from the same queries with the documents of grade 2 alone,
all other passages mined. The hybrid search's best --depth of the test queries are then re-ranked by both, and by the
packaged cross-encoder, which was trained on judged queries of other fields (cross-domain transfer). Prints Markdown:
nDCG@10, with the p of a paired randomisation test between the two trained. What is there is not made again; it stays in
--out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
from pathlib import Path

import numpy as np

from leanseek import Searcher
from leanseek.cli.output import progress_bar
from leanseek.eval import score
from leanseek.eval.collections import open_collection
from leanseek.eval.index_build import collection_index
from leanseek.eval.significance import randomisation
from leanseek.eval.systems import System
from leanseek.rerank import load_reranker
from leanseek.train import QueryRecipe, Recipe, Source, generate_queries, train_cross_encoder
from leanseek.types import Float64Array

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
COLLECTIONS = ("scifact", "cisi", "cranfield")
MEASURE = "nDCG@10"


def positives_alone(folder: Path, out: Path) -> None:
    """A copy of a folder of generated queries with the judgments of grade 2 alone."""
    if out.exists():
        return
    shutil.copytree(folder, out)
    head, *rows = (folder / "qrels" / "train.tsv").read_text("utf-8").splitlines()
    kept = [row for row in rows if row.endswith("\t2")]
    (out / "qrels" / "train.tsv").write_text("\n".join([head, *kept, ""]), "utf-8")


def trained(folder: Path, out: Path, given: argparse.Namespace) -> Path:
    """The cross-encoder that was trained from a folder."""
    if not out.exists():
        with progress_bar(quiet=False) as progress:
            train_cross_encoder(
                [Source(open_collection(folder), "train")],
                out,
                Recipe(seed=given.seed, epochs=given.epochs),
                most=given.most,
                work=given.out / "indexes",
                progress=progress,
            )
    return out


def measured(index: Path, name: str, reranker: str | None, given: argparse.Namespace) -> Float64Array:
    """(queries,) the measure of the hybrid search of a collection's test queries, re-ranked or as it is."""
    collection = open_collection(DATA / name)
    qrels = collection.qrels("test")
    queries = [query for query in collection.queries("test") if max(qrels[query.id].values(), default=0) > 0]
    if given.queries is not None and given.queries < len(queries):
        queries = random.Random(0).sample(queries, given.queries)
    model = load_reranker(reranker) if reranker is not None else None
    with (
        Searcher.open(
            index, relevance=None, reranker=model, rerank_depth=given.depth if model else None
        ) as searcher,
        progress_bar(quiet=False) as progress,
    ):
        rankings = searcher.rank_batch([query.text for query in queries], given.depth, progress=progress)
    run = {
        query.id: {one.id: -float(place) for place, one in enumerate(ranking)}
        for query, ranking in zip(queries, rankings, strict=True)
    }
    found = score(run, {query.id: qrels[query.id] for query in queries}, [MEASURE]).per_query
    return np.array([found[query.id][MEASURE] for query in queries])


def row(name: str, given: argparse.Namespace) -> str:
    """The row of a collection."""
    work = given.out / f"{name}-{given.generator.rpartition('/')[2]}-{given.seed}"
    with progress_bar(quiet=False) as progress:
        index = collection_index(
            open_collection(DATA / name), System().plan(), given.out / "indexes", progress=progress
        ).folder
        graded = work / "graded"
        if not graded.exists():
            recipe = QueryRecipe(given.generator, 3, given.limit, given.seed)
            generate_queries(index, graded, recipe, progress=progress)
    positives_alone(graded, work / "positives")
    models = [trained(work / kind, work / f"{kind}-model", given) for kind in ("graded", "positives")]
    hybrid = measured(index, name, None, given)
    by_grades, by_positives, transfer = (
        measured(index, name, reranker, given)
        for reranker in (*(f"cross-encoder:{model}" for model in models), "cross-encoder")
    )
    [p] = randomisation((by_grades - by_positives)[:, np.newaxis], seed=0)
    queries = json.loads((graded / "generated.json").read_text("utf-8"))["queries"]
    cells = " | ".join(f"{one.mean():.4f}" for one in (hybrid, by_positives, by_grades, transfer))
    return f"| {name} | {queries:,} | {len(hybrid):,} | {cells} | {p:.3f} |"


def main() -> None:
    """Measure each collection and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--collections", nargs="+", default=list(COLLECTIONS))
    parser.add_argument("--generator", default="none", help="none or a decoder (default: none)")
    parser.add_argument("--limit", type=int, help="documents to make queries for (default: all)")
    parser.add_argument("--most", type=int, help="queries to train from (default: all)")
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--queries", type=int, help="test queries, drawn with seed 0 (default: all)")
    parser.add_argument("--depth", type=int, default=100, help="hits that are re-ranked (default: 100)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("generated-queries-out"))
    given = parser.parse_args()
    print("| collection | generated | test queries | hybrid | positives alone | graded | transfer | p |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name in given.collections:
        print(row(name, given), flush=True)


if __name__ == "__main__":
    main()
