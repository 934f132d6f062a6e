"""What a pooling over layers gives: nDCG@10 of the dense search, against pooling the last layer of the same model.

    python benchmarks/train_pooling.py
    python benchmarks/train_pooling.py --documents 300 --queries 50 --max-tokens 64 --most 100 \\
        --encoder decoder:SmolLM2-135M-Instruct --untrained last mean weighted

Each kind is trained once, into --out; a repeated run measures what is there. Of each collection all documents and
queries are searched, or a sample that is the same in every run: --queries of them, and their relevant documents with
others, drawn at random, up to --documents. A sample's figures are higher than a collection's. The last rows are the
means, and each kind's gain over the first that is untrained: mean over all queries, with the p of Wilcoxon's
signed-rank test.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from pathlib import Path

import numpy as np
from scipy.stats import wilcoxon

from leanseek.cli.options import name_and_split
from leanseek.cli.output import progress_bar
from leanseek.encode import DEFAULT_MODEL, Encoder, VectorCache, encode_corpus, load_encoder
from leanseek.encode.variants import with_settings
from leanseek.eval.base import Collection
from leanseek.eval.collections import open_collection
from leanseek.eval.measures import score
from leanseek.train import Drawing, PoolingRecipe, Source, train_pooling
from leanseek.train.training_set import PROVENANCE
from leanseek.types import Document, Float64Array, Query, content

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
LEARNED_FROM = ("scifact:train", "pubmedqa:train", "squad2-dev:dev")
REPORTED = ("scifact", "cranfield", "cisi", "vaswani")
MEASURE = "nDCG@10"


def sample(
    collection: Collection, documents: int | None, queries: int | None
) -> tuple[list[Document], list[Query]]:
    """The documents and the queries that are searched: all, or so many."""
    draw = random.Random(collection.name)
    qrels, everything = collection.qrels("test"), list(collection.documents())
    asked = [one for one in collection.queries("test") if max(qrels[one.id].values(), default=0) > 0]
    if queries is not None:
        asked = draw.sample(asked, min(queries, len(asked)))
    if documents is None:
        return everything, asked
    needed = {name for query in asked for name, grade in qrels[query.id].items() if grade > 0}
    draw.shuffle(everything)
    everything.sort(key=lambda document: document.id not in needed)
    return everything[: max(documents, len(needed))], asked


def measured(
    collection: Collection, documents: list[Document], queries: list[Query], encoder: Encoder
) -> Float64Array:
    """(queries,): the measure of the exact dense search by the encoder, in the order of the queries."""
    texts = [content(document.title, document.text) for document in documents]
    vectors, _ = encode_corpus(encoder, texts, VectorCache(encoder.fingerprint))
    scores = encoder.encode_queries([query.text for query in queries]).vectors @ vectors.T
    run = {
        query.id: {documents[place].id: float(row[place]) for place in np.argsort(-row, kind="stable")[:100]}
        for query, row in zip(queries, scores, strict=True)
    }
    qrels = collection.qrels("test")
    found = score(run, {query.id: qrels[query.id] for query in queries}, [MEASURE]).per_query
    return np.array([found[query.id][MEASURE] for query in queries])


def main() -> None:
    """Train, measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default=DEFAULT_MODEL)
    parser.add_argument("--untrained", nargs="+", default=["mean"], help="pools of the last layer")
    parser.add_argument("--kinds", nargs="+", default=["mix", "layers"])
    parser.add_argument("--most", type=int, default=700, help="queries of each source (default: 700)")
    parser.add_argument("--negatives", type=int, default=7)
    parser.add_argument("--epochs", type=float, default=10.0)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument(
        "--max-tokens", type=int, default=None, help="tokens of a text, in training and in use"
    )
    parser.add_argument("--documents", type=int, default=None, help="of each collection, by default all")
    parser.add_argument("--queries", type=int, default=None, help="of each collection, by default all")
    parser.add_argument("--sources", nargs="+", default=list(LEARNED_FROM))
    parser.add_argument("--collections", nargs="+", default=list(REPORTED))
    parser.add_argument("--out", type=Path, default=Path("train-pooling-out"))
    given = parser.parse_args()
    base = with_settings(given.encoder, max_tokens=given.max_tokens)
    sources = [
        Source(open_collection(DATA / name), split) for name, split in map(name_and_split, given.sources)
    ]
    names = {pool: with_settings(base, pool=pool) for pool in given.untrained}
    for kind in given.kinds:
        folder = given.out / f"{given.encoder.replace(':', '-').replace('/', '-')}-{kind}"
        names[kind] = str(folder)
        if (folder / PROVENANCE).is_file():
            continue
        recipe = PoolingRecipe(
            base,
            kind,
            epochs=given.epochs,
            learning_rate=given.learning_rate,
            max_tokens=given.max_tokens or 256,
        )
        started = time.perf_counter()
        with progress_bar(quiet=False) as progress:
            report = train_pooling(
                sources,
                folder,
                recipe,
                Drawing(given.negatives, given.most),
                work=given.out / "indexes",
                progress=progress,
            )
        print(
            f"{kind}: {sum(one.queries for one in report.sources):,} queries, {report.steps:,} steps in "
            f"{time.perf_counter() - started:,.0f} s, loss {report.before:.4f} to {report.after:.4f}",
            flush=True,
        )
    encoders = {name: load_encoder(model) for name, model in names.items()}
    print(f"\n| collection | documents | queries | {' | '.join(encoders)} |")
    print("| --- " * (3 + len(encoders)) + "|")
    found: dict[str, list[Float64Array]] = {name: [] for name in encoders}
    for named in given.collections:
        collection = open_collection(DATA / named)
        documents, queries = sample(collection, given.documents, given.queries)
        for name, encoder in encoders.items():
            found[name].append(measured(collection, documents, queries, encoder))
        cells = " | ".join(f"{values[-1].mean():.4f}" for values in found.values())
        print(f"| {named} | {len(documents):,} | {len(queries)} | {cells} |", flush=True)
    means = " | ".join(f"{np.mean([one.mean() for one in values]):.4f}" for values in found.values())
    print(f"| mean | | | {means} |\n")
    pooled = {name: np.concatenate(values) for name, values in found.items()}
    first, *others = pooled
    for name in others:
        gain = pooled[name] - pooled[first]
        p = float(wilcoxon(gain).pvalue) if gain.any() else 1.0
        print(f"{name} against {first}: {gain.mean():+.4f} over {len(gain):,} queries (p {p:.4f})")


if __name__ == "__main__":
    main()
