"""What a cross-encoder gains by pre-training on texts: B-PROP against PROP against none, after the same fine-tuning.

    python benchmarks/train_pretrain.py --limit 5000 --most 2000

Bases are pre-trained on the documents of scifact, cisi, cranfield and medquad, without queries and judgments; each, and
the encoder as it is, is trained on the judged questions of the --train collections. The hybrid search's best --depth of
the test queries are re-ranked by each. Prints Markdown: nDCG@10, with the p of a paired randomisation test against no
pre-training. What is there is not made again; it stays in --out.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from leanseek import Document, Searcher
from leanseek.cli.output import progress_bar
from leanseek.encode import DEFAULT_MODEL
from leanseek.eval import score
from leanseek.eval.collections import open_collection
from leanseek.eval.index_build import collection_index
from leanseek.eval.significance import randomisation
from leanseek.eval.systems import System
from leanseek.rerank import load_reranker
from leanseek.train import PretrainRecipe, Recipe, Source, pretrain, train_cross_encoder
from leanseek.types import Float64Array

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
TEXTS = ("scifact", "cisi", "cranfield", "medquad")
MEASURED = ("scifact", "cisi", "cranfield")
MEASURE = "nDCG@10"


def documents() -> Iterator[Document]:
    """The documents of all collections of texts."""
    return chain.from_iterable(open_collection(DATA / name).documents() for name in TEXTS)


def trained(base: str, out: Path, given: argparse.Namespace) -> str:
    """The cross-encoder trained from a base."""
    if not out.exists():
        sources = [Source(open_collection(DATA / name), split) for name, split in given.train]
        with progress_bar(quiet=False) as progress:
            recipe = Recipe(base=base, seed=given.seed, epochs=given.epochs)
            train_cross_encoder(
                sources, out, recipe, most=given.most, work=given.out / "indexes", progress=progress
            )
    return f"cross-encoder:{out}"


def measured(name: str, reranker: str | None, given: argparse.Namespace) -> Float64Array:
    """(queries,) the measure of the test queries' hybrid hits, re-ranked or as they are."""
    collection = open_collection(DATA / name)
    qrels = {id: grades for id, grades in collection.qrels("test").items() if max(grades.values()) > 0}
    queries = [query for query in collection.queries("test") if query.id in qrels]
    index = collection_index(collection, System().plan(), given.out / "indexes").folder
    model = load_reranker(reranker) if reranker is not None else None
    depth = given.depth if model is not None else None
    with (
        Searcher.open(index, relevance=None, reranker=model, rerank_depth=depth) as searcher,
        progress_bar(quiet=False) as progress,
    ):
        rankings = searcher.rank_batch([query.text for query in queries], given.depth, progress=progress)
    run = {
        query.id: {one.id: -float(place) for place, one in enumerate(ranking)}
        for query, ranking in zip(queries, rankings, strict=True)
    }
    found = score(run, qrels, [MEASURE]).per_query
    return np.array([found[query.id][MEASURE] for query in queries])


def main() -> None:
    """Pre-train, train, measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("results/pretrain"))
    parser.add_argument(
        "--train", nargs="+", default=["wikiqa:train", "squad2-dev:dev"], metavar="NAME:SPLIT"
    )
    parser.add_argument("--limit", type=int, default=5000, help="texts to pre-train on (default: 5000)")
    parser.add_argument("--pairs", type=int, default=10, help="pairs of word sets a text (default: 10)")
    parser.add_argument("--most", type=int, help="queries of each collection to train on (default: all)")
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.train = [tuple(name.split(":")) for name in given.train]
    bases = {"none": DEFAULT_MODEL}
    for method in ("prop", "b-prop"):
        bases[method] = str(base := given.out / f"{method}-{given.seed}")
        if not base.exists():
            recipe = PretrainRecipe(method=method, pairs=given.pairs, seed=given.seed)
            with progress_bar(quiet=False) as progress:
                pretrain(documents(), base, recipe, limit=given.limit, progress=progress)
    models = {
        method: trained(base, given.out / f"trained-{method}-{given.seed}", given)
        for method, base in bases.items()
    }
    print("| collection | queries | hybrid | none | PROP | p | B-PROP | p |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in MEASURED:
        hybrid, none, prop, b_prop = (measured(name, one, given) for one in (None, *models.values()))
        ps = [randomisation((one - none)[:, np.newaxis], seed=0)[0] for one in (prop, b_prop)]
        print(
            f"| {name} | {len(hybrid)} | {hybrid.mean():.4f} | {none.mean():.4f} | {prop.mean():.4f} | {ps[0]:.2f} | "
            f"{b_prop.mean():.4f} | {ps[1]:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
