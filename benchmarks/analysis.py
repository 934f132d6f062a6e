"""Analysers side by side: nDCG@10 in sparse and in hybrid mode, bytes of the terms, and speed.

    python benchmarks/analysis.py --data FOLDER_OF_COLLECTIONS [--collections scifact cranfield]
        [--analyzers english@1 english@2 lucene] [--out results] [--sparse-only]

Prints two Markdown tables. In the first, bm25s has its own tokeniser, Snowball's English stemmer and the default's
parameters. In the second, MB of text a second are of a first pass, and of a second that has seen all words, in
processor time on one thread; the analysers take turns, and of each the best round counts. Results, runs and indexes
stay in --out. Vectors are taken from the cache, or computed once.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from leanseek.encode import DEFAULT_MODEL, Encoder, load_encoder
from leanseek.eval import System, evaluate, open_collection, score
from leanseek.eval.base import Collection
from leanseek.indexing import SparseSettings, describe_index
from leanseek.text import load_analyzer
from leanseek.types import content

MEASURE = "nDCG@10"
COLLECTIONS = ["scifact", "cranfield", "cisi", "vaswani", "cosqa", "nfcorpus-prep"]
ANALYZERS = ["english@1", "english@2", "lucene"]
ROUNDS = 3


def quality(
    collection: Collection, analyzer: str, encoder: Encoder | None, split: str, out: Path
) -> tuple[list[float], int]:
    """nDCG@10 in sparse and, with an encoder, in hybrid mode; and the bytes of the index's terms."""
    settings, label = SparseSettings(analyzer=analyzer), analyzer.replace("@", "-")
    index = out / "indexes" / f"{collection.name}-{label}"
    # The index of a hybrid system serves the sparse one as well.
    systems = (
        [System(sparse=settings, encoder=encoder, name=f"{label}-hybrid")] if encoder is not None else []
    )
    systems.append(System(mode="sparse", sparse=settings, name=f"{label}-sparse"))
    values = []
    for system in systems:
        [outcome] = evaluate(collection, system, out=out, splits=[split], index=index)
        values.append(outcome.stored.result.means[MEASURE])
    return values[::-1], describe_index(index).sparse_bytes


def bm25s_quality(collection: Collection, split: str) -> float:
    """nDCG@10 of bm25s."""
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("english")
    documents = [(one.id, content(one.title, one.text)) for one in collection.documents()]
    queries = collection.queries(split)
    model = bm25s.BM25(method="lucene", k1=0.9, b=0.4)
    texts = [text for _, text in documents]
    model.index(bm25s.tokenize(texts, stemmer=stemmer, show_progress=False), show_progress=False)
    asked = bm25s.tokenize([query.text for query in queries], stemmer=stemmer, show_progress=False)
    found, scores = model.retrieve(asked, k=100, show_progress=False)
    rankings = {
        query.id: {documents[place][0]: float(value) for place, value in zip(places, values, strict=True)}
        for query, places, values in zip(queries, found.tolist(), scores.tolist(), strict=True)
    }
    return score(rankings, collection.qrels(split), [MEASURE], self_hits=collection.self_hits).means[MEASURE]


def speeds(analyzers: Sequence[str], texts: Sequence[str]) -> dict[str, tuple[float, float]]:
    """MB/s of each analyser in a first and in a second pass over the texts."""
    size = sum(map(len, texts)) / 1e6
    best = dict.fromkeys(analyzers, (0.0, 0.0))
    for _ in range(ROUNDS):
        for name in analyzers:
            tokens = load_analyzer(name).tokens
            passes = []
            for _ in range(2):
                started = time.process_time()
                for text in texts:
                    tokens(text)
                passes.append(size / (time.process_time() - started))
            best[name] = max(best[name][0], passes[0]), max(best[name][1], passes[1])
    return best


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--collections", nargs="+", default=COLLECTIONS)
    parser.add_argument("--analyzers", nargs="+", default=ANALYZERS)
    parser.add_argument("--split", default="test")
    parser.add_argument("--sparse-only", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("results"))
    options = parser.parse_args()
    names: list[str] = options.analyzers
    encoder = None if options.sparse_only else load_encoder(DEFAULT_MODEL)
    hybrid = [] if encoder is None else [f"{name}, hybrid" for name in names]
    print(f"| {MEASURE} | {' | '.join([*names, 'bm25s', *hybrid])} |")
    print("| --- " * (len(names) + len(hybrid) + 2) + "|")
    costs = []
    for name in options.collections:
        collection = open_collection(options.data / name)
        measured = [quality(collection, one, encoder, options.split, options.out) for one in names]
        values = [value[0] for value, _ in measured]
        values += [bm25s_quality(collection, options.split)]
        values += [value[1] for value, _ in measured if encoder is not None]
        print(f"| {name} | {' | '.join(f'{value:.4f}' for value in values)} |", flush=True)
        texts = [content(one.title, one.text) for one in collection.documents()]
        fast = speeds(names, texts)
        cells = [
            f"{size / 1e6:.2f}, {fast[one][0]:.0f}, {fast[one][1]:.0f}"
            for one, (_, size) in zip(names, measured, strict=True)
        ]
        costs.append(f"| {name} | {sum(map(len, texts)) / 1e6:.1f} | {' | '.join(cells)} |")
    print(f"\n| MB of terms, MB/s first, then | MB of text | {' | '.join(names)} |")
    print("| --- " * (len(names) + 2) + "|")
    print("\n".join(costs))


if __name__ == "__main__":
    main()
