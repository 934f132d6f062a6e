"""Whether a reduced index finds the recall that was asked for, on queries that it has not seen.

    python benchmarks/promise.py wikiqa selqa cosqa scifact squad2-dev
    python benchmarks/promise.py --made scifact cosqa wikiqa

The documents of each collection are indexed for each recall asked, by `LeanVecIndex.build` and from vectors of the
default encoder, which the vector cache keeps. Without `--made` a collection's queries are shuffled, the index learns
from --learn of 10 of them and all others are tested, --rounds times; found is the mean of the rounds. With `--made` it
learns from texts of the documents, as an index does to which no queries were given, and the queries of --split are
tested. Prints Markdown: recall found of the true 10 and 100 best with its 95 % confidence interval over the tested
queries of one round, its difference from the recall asked, and queries per second of processor time, one thread.
`--json` adds a row a line.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from leanseek.encode import DEFAULT_MODEL, Encoder, VectorCache, encode_corpus, load_encoder
from leanseek.eval.collections import open_collection
from leanseek.indexing import LeanVecIndex
from leanseek.indexing.dense.lean.recall import shares_found
from leanseek.indexing.leanvec.dims import nearest
from leanseek.indexing.learning_queries import GIVEN_LIMIT, make_learning_queries, mixed_with_next
from leanseek.types import Float32Array, Float64Array, content

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
ASKED = (0.90, 0.95, 0.98, 0.99, 0.995)
LENGTHS = (10, 100)


class Lesson(NamedTuple):
    """Queries that an index learns from, and others with the scores of their 100 best (m, 100)."""

    learning: Float32Array
    tested: Float32Array
    best: Float32Array


def query_vectors(encoder: Encoder, cache: VectorCache, texts: list[str]) -> Float32Array:
    """(m, D), through the cache."""
    found = cache.get("query", texts)
    missing = list(dict.fromkeys(text for text, one in zip(texts, found, strict=True) if one is None))
    for start in range(0, len(missing), 256):
        part = missing[start : start + 256]
        cache.put("query", part, encoder.encode_queries(part))
    return np.stack([one.vector for one in cache.get("query", texts) if one is not None])


def lessons(name: str, given: argparse.Namespace, encoder: Encoder) -> tuple[Float32Array, list[Lesson]]:
    """A collection's vectors (n, D), and what is learned and tested in each round."""
    collection = open_collection(str(DATA / name))
    documents = list(collection.documents())
    with VectorCache(encoder.fingerprint) as cache:
        vectors, _ = encode_corpus(encoder, [content(one.title, one.text) for one in documents], cache)
        splits = [given.split] if given.made else collection.splits
        texts = list(dict.fromkeys(query.text for split in splits for query in collection.queries(split)))
        queries = query_vectors(encoder, cache, texts[: given.most])
        best, _ = nearest(queries, vectors, min(LENGTHS[-1], len(vectors)))
        if given.made:
            made = make_learning_queries(documents)
            learning = mixed_with_next(query_vectors(encoder, cache, [*made.texts, *made.held_out]))
            return vectors, [Lesson(learning, queries, best)]
    rounds = []
    for number in range(given.rounds):
        order = np.random.default_rng(number).permutation(len(queries))
        cut = min(len(order) * given.learn // 10, GIVEN_LIMIT)
        rounds.append(Lesson(queries[order[:cut]], queries[order[cut:]], best[order[cut:]]))
    return vectors, rounds


def recalls(index: LeanVecIndex, vectors: Float32Array, lesson: Lesson, k: int) -> Float64Array:
    """(m,) of each tested query the share of its true k best that is found."""
    _, found = index.search(lesson.tested, k, threads=1)
    return shares_found(vectors, lesson.tested, lesson.best[:, k - 1], found)


def speed(index: LeanVecIndex, queries: Float32Array, k: int) -> float:
    """Queries per second of processor time, the best of three."""
    seconds = []
    for _ in range(3):
        started = time.process_time()
        index.search(queries, k, threads=1)
        seconds.append(time.process_time() - started)
    return len(queries) / min(seconds)


def measure(name: str, asked: float, vectors: Float32Array, rounds: list[Lesson]) -> list[dict[str, Any]]:
    """A row for each k."""
    found: dict[int, list[Float64Array]] = {k: [] for k in LENGTHS}
    speeds: dict[int, list[float]] = {k: [] for k in LENGTHS}
    for lesson in rounds:
        index = LeanVecIndex.build(vectors, lesson.learning, recall=asked)
        for k in LENGTHS:
            found[k].append(recalls(index, vectors, lesson, k))
            speeds[k].append(speed(index, lesson.tested, k))
    return [
        {
            "collection": name,
            "vectors": len(vectors),
            "learned": len(rounds[0].learning),
            "tested": len(rounds[0].tested),
            "asked": asked,
            "k": k,
            "found": float(np.mean([one.mean() for one in found[k]])),
            "interval": float(1.96 * np.mean([one.std() / len(one) ** 0.5 for one in found[k]])),
            "rounds": [float(one.mean()) for one in found[k]],
            "per_second": float(np.mean(speeds[k])),
        }
        for k in LENGTHS
    ]


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    return (
        f"| {row['collection']} | {row['vectors']:,} | {row['learned']:,} | {row['tested']:,} | {row['asked']} "
        f"| {row['k']} | {row['found']:.4f} ± {row['interval']:.4f} | {row['found'] - row['asked']:+.4f} "
        f"| {row['per_second']:,.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("collections", nargs="+")
    parser.add_argument("--made", action="store_true")
    parser.add_argument("--split", default="test")
    parser.add_argument("--learn", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most", type=int, default=10_000, help="queries of a collection that are used")
    parser.add_argument("--asked", type=lambda text: [float(one) for one in text.split(",")], default=ASKED)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    encoder = load_encoder(f"onnx:{DEFAULT_MODEL}")
    print("| collection | vectors | learned | tested | asked | k | found | difference | q/s |")
    print("| --- |" + " ---: |" * 8)
    for name in given.collections:
        vectors, rounds = lessons(name, given, encoder)
        for asked in given.asked:
            for row in measure(name, asked, vectors, rounds):
                print(line(row), flush=True)
                if given.json is not None:
                    with given.json.open("a") as file:
                        file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
