"""What training an encoder gives: nDCG@10 of the dense search, by loss and seed, against the encoder as it was.

    python benchmarks/train_encoder.py
    python benchmarks/train_encoder.py --losses margin-mse --seeds 0 --most 300 --collections scifact

Each loss and seed trains once, on the same groups, into --out; a repeated run measures what is there. Then each model
indexes every collection and searches it densely. The last rows are the means, the gain over the encoder as it was, and
that of the first loss over the second: mean over all queries, with the p of a paired randomisation test.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from leanseek import Searcher
from leanseek.cli.options import name_and_split
from leanseek.cli.output import progress_bar
from leanseek.eval.base import Collection
from leanseek.eval.collections import open_collection
from leanseek.eval.index_build import collection_index
from leanseek.eval.measures import score
from leanseek.eval.significance import randomisation
from leanseek.eval.systems import System
from leanseek.train import Drawing, EncoderRecipe, Source, train_encoder
from leanseek.train.training_set import PROVENANCE
from leanseek.types import Float64Array

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
LEARNED_FROM = (
    "wikiqa:train", "wikiqa:dev", "trecqa:train", "squad2-dev:dev", "medquad:train", "pubmedqa:train", "scifact:train",
    "cosqa:dev",
)  # fmt: skip
REPORTED = ("scifact", "trec-dl-2019:test_full", "wikiqa", "cisi", "vaswani", "cosqa")
MEASURE = "nDCG@10"


def measured(collection: Collection, split: str, encoder: str, work: Path) -> Float64Array:
    """(queries,): the measure of the dense search by the encoder, in the order of the queries."""
    system = System(mode="dense", encoder=encoder)
    with progress_bar(quiet=False) as progress:
        folder = collection_index(collection, system.plan(None), work, progress=progress).folder
        qrels = collection.qrels(split)
        queries = [one for one in collection.queries(split) if max(qrels[one.id].values(), default=0) > 0]
        with Searcher.open(folder, mode="dense", relevance=None) as searcher:
            rankings = searcher.rank_batch([query.text for query in queries], 100)
    run = {
        query.id: {one.id: one.score for one in ranking if not collection.self_hits or one.id != query.id}
        for query, ranking in zip(queries, rankings, strict=True)
    }
    found = score(run, {query.id: qrels[query.id] for query in queries}, [MEASURE]).per_query
    return np.array([found[query.id][MEASURE] for query in queries])


def trained(recipe: EncoderRecipe, drawing: Drawing, sources: Sequence[Source], out: Path, work: Path) -> str:
    """The folder of the model, which is trained where it is missing."""
    folder = out / f"{recipe.loss}-{recipe.seed}"
    if not (folder / PROVENANCE).is_file():
        started = time.perf_counter()
        with progress_bar(quiet=False) as progress:
            report = train_encoder(sources, folder, recipe, drawing, work=work, progress=progress)
        taken = sum(one.queries for one in report.sources)
        right = f", teacher right {report.teacher_right:.3f}" if report.teacher_right is not None else ""
        print(
            f"{folder.name}: {taken:,} queries, {report.steps:,} steps in {time.perf_counter() - started:,.0f} s, loss "
            f"{report.before:.4f} to {report.after:.4f}{right}",
            flush=True,
        )
    return str(folder)


def main() -> None:
    """Train, measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--losses", nargs="+", default=["margin-mse", "infonce"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--most", type=int, default=600, help="queries of each source (default: 600)")
    parser.add_argument("--negatives", type=int, default=7)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    parser.add_argument("--mix", type=float, default=0.5)
    parser.add_argument("--ssl", type=float, default=0.0)
    parser.add_argument("--sources", nargs="+", default=list(LEARNED_FROM))
    parser.add_argument("--collections", nargs="+", default=list(REPORTED))
    parser.add_argument("--back-end", default="", help="what measures all models alike, such as onnx-int8:")
    parser.add_argument("--out", type=Path, default=Path("train-encoder-out"))
    given = parser.parse_args()
    sources = [
        Source(open_collection(DATA / name), split) for name, split in map(name_and_split, given.sources)
    ]
    drawing = Drawing(given.negatives, given.most)
    work = given.out / "indexes"
    base = EncoderRecipe(epochs=given.epochs, learning_rate=given.learning_rate, mix=given.mix, ssl=given.ssl)
    models = {"untrained": [base.base]}
    for loss in given.losses:
        models[loss] = [
            trained(replace(base, loss=loss, seed=seed), drawing, sources, given.out, work)
            for seed in given.seeds
        ]
    print(f"\n| collection | queries | {' | '.join(models)} |")
    print("| --- " * (2 + len(models)) + "|")
    found: dict[str, list[Float64Array]] = {name: [] for name in models}
    for named in given.collections:
        name, split = name_and_split(named) if ":" in named else (named, "test")
        collection = open_collection(DATA / name)
        for model, folders in models.items():
            found[model].append(
                np.mean(
                    [measured(collection, split, given.back_end + folder, work) for folder in folders], axis=0
                )
            )
        cells = " | ".join(f"{values[-1].mean():.4f}" for values in found.values())
        print(f"| {name} | {len(found['untrained'][-1])} | {cells} |", flush=True)
    means = " | ".join(f"{np.mean([one.mean() for one in values]):.4f}" for values in found.values())
    print(f"| mean | | {means} |\n")
    pooled = {model: np.concatenate(values) for model, values in found.items()}
    pairs = [(loss, "untrained") for loss in given.losses]
    for one, other in [*pairs, *([tuple(given.losses[:2])] if len(given.losses) > 1 else [])]:
        gain = pooled[one] - pooled[other]
        [p] = randomisation(gain[:, np.newaxis], seed=0)
        better = sum(a.mean() >= b.mean() for a, b in zip(found[one], found[other], strict=True))
        print(
            f"{one} against {other}: {gain.mean():+.4f} over {len(gain):,} queries (p {p:.4f}), at least as good on "
            f"{better} of {len(given.collections)} collections"
        )


if __name__ == "__main__":
    main()
