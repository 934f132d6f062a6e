"""Does a set that was made from documents alone order systems as people's judgments do?

    python benchmarks/made_set.py cisi
    python benchmarks/made_set.py scifact cranfield --queries 200

For each collection an evaluation set is made from its documents (`make_set`), without its queries and judgments. Eight
configurations of leanseek are then measured on both by nDCG@10, and Kendall's τ says how far the two orders agree.
`naive` is a set without selection: as many queries of documents drawn by lot, in documents that still have them.
Indexes and sets stay in --out; what is there is not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from leanseek import Index, Searcher
from leanseek.cli.output import progress_bar
from leanseek.eval import Collection, open_collection, score
from leanseek.indexing import SparseSettings
from leanseek.indexing.learning_queries import query_texts
from leanseek.numbers import kendall
from leanseek.train import SetRecipe, make_set
from leanseek.types import Qrels

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
MEASURE: Final = "nDCG@10"
INDEXES: Final[Mapping[str, dict[str, Any]]] = {
    "english": {"sparse": SparseSettings(analyzer="english")},
    "unstemmed": {"sparse": SparseSettings(analyzer="simple"), "encoder": None},
    "saturated": {"sparse": SparseSettings(analyzer="english", k1=3.0, b=1.0), "encoder": None},
}
SYSTEMS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "bm25": ("english", {"mode": "sparse"}),
    "bm25 k1=3 b=1": ("saturated", {"mode": "sparse"}),
    "bm25 unstemmed": ("unstemmed", {"mode": "sparse"}),
    "dense": ("english", {"mode": "dense"}),
    "convex .8": ("english", {"dense_weight": 0.8}),
    "convex .5": ("english", {"dense_weight": 0.5}),
    "convex .2": ("english", {"dense_weight": 0.2}),
    "rrf": ("english", {"fusion": "rrf"}),
}


def indexed(path: Path, collection: Collection, settings: dict[str, Any]) -> Path:
    if not path.exists():
        with progress_bar(False) as progress:
            Index.create(path, **settings).add(collection.documents(), progress=progress)
    return path


def measured(
    folder: Path, collection: Collection, texts: Mapping[str, str], qrels: Qrels
) -> dict[str, float]:
    """The nDCG@10 of every system."""
    folder.mkdir(parents=True, exist_ok=True)
    queries = [one for one in qrels if texts.get(one, "").strip()]
    found = {}
    for name, (kind, options) in SYSTEMS.items():
        path = indexed(folder / kind, collection, INDEXES[kind])
        with Searcher.open(path, relevance=None, **options) as searcher:
            ranked = searcher.rank_batch([texts[one] for one in queries], 10)
        rankings = {
            one: {hit.id: hit.score for hit in hits} for one, hits in zip(queries, ranked, strict=True)
        }
        found[name] = score(rankings, {one: qrels[one] for one in queries}, [MEASURE]).means[MEASURE]
    return found


def naive(collection: Collection, count: int) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """A query from each of some documents drawn by lot, which still have it."""
    documents = {one.id: one for one in collection.documents()}
    chance = random.Random(0)
    texts: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    for id in chance.sample(sorted(documents), len(documents)):
        own = [text for _, text in query_texts(documents[id])]
        if own and len(texts) < count:
            texts[f"n{len(texts)}"], qrels[f"n{len(qrels)}"] = chance.choice(own), {id: 1}
    return texts, qrels


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("collections", nargs="+", metavar="COLLECTION")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--generator", default="none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("made.sets"))
    args = parser.parse_args()
    recipe = SetRecipe(args.queries, args.generator, args.seed)
    for name in args.collections:
        collection, folder = open_collection(DATA / name), args.out / name
        people = measured(
            folder / "people",
            collection,
            {one.id: one.text for one in collection.queries("test")},
            collection.qrels("test"),
        )
        set_folder = folder / f"set-{args.generator}-{args.queries}-{args.seed}".replace("/", "-")
        if not set_folder.exists():
            make_set(folder / "people" / "english", set_folder, recipe)
        made = open_collection(set_folder)
        on_made = measured(
            set_folder.with_name(f"{set_folder.name}.indexes"),
            made,
            {one.id: one.text for one in made.queries("test")},
            made.qrels("test"),
        )
        drawn, judged = naive(collection, args.queries)
        on_naive = measured(folder / "people", collection, drawn, judged)
        print(
            f"\n| {name} ({len(made.qrels('test'))} queries made) | people | made | naive |\n|---|---|---|---|"
        )
        for system in SYSTEMS:
            print(f"| {system} | {people[system]:.4f} | {on_made[system]:.4f} | {on_naive[system]:.4f} |")
        order = list(people.values())
        print(
            f"| Kendall's τ with people | | {kendall(order, list(on_made.values())):.3f} | "
            f"{kendall(order, list(on_naive.values())):.3f} |",
            flush=True,
        )
        print(json.loads((set_folder / "made.json").read_text("utf-8"))["systems"])


if __name__ == "__main__":
    main()
