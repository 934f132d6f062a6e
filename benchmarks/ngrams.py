"""N-grams: how fast and how large they are, and what they add to BM25.

    python benchmarks/ngrams.py speed big
    python benchmarks/ngrams.py quality cranfield cisi --queries 50 --generator SmolLM2-135M-Instruct

`speed` indexes a collection with n-grams of words and of the packaged decoder's tokens, and measures count and locate
for n-grams of 10 tokens drawn from its documents. `quality` prints nDCG@10 of BM25, of n-grams alone, and of BM25 with
n-grams at a weight, over test queries drawn by the seed. Both print Markdown, and keep indexes in --work.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from leanseek import Index, Searcher
from leanseek.eval import score
from leanseek.eval.collections import open_collection
from leanseek.indexing.ngrams import TokenNGrams
from leanseek.reading import read
from leanseek.searcher.request import SearchOptions
from leanseek.types import Float64Array, content

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
DRAWN = 2_000
"""N-grams that are timed."""


def indexed(name: str, work: Path, generator: str | None) -> tuple[Path, float]:
    """The index of a collection, made where it is missing, and how many seconds that took."""
    path, start = work / name, time.perf_counter()
    if not path.exists():
        with Index.create(path, encoder=None, ngrams=True, generator=generator) as index:
            index.add(read(str(DATA / name)), background=False)
    return path, time.perf_counter() - start


def speed(names: list[str], work: Path, generator: str | None) -> None:
    """Print sizes, and times of count and locate."""
    print("| collection | text | n-grams | of the text | made in | tokens | count | locate | slowest |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in names:
        path, seconds = indexed(name, work, generator)
        with Searcher.open(path, mode="sparse") as searcher:
            source: Any = searcher.source
            text = sum(
                len(content(one.title, one.text).encode())
                for start in range(0, source.size, 8192)
                for one in source.passages.get(np.arange(start, min(start + 8192, source.size)))
            )
            size = sum(file.stat().st_size for file in path.glob("segments/*/ngrams/*"))
            for kind, ngrams in (("words", searcher.ngrams.words), ("decoder's", searcher.ngrams.tokens)):
                if ngrams is None:
                    continue
                times = timed(ngrams) * 1e3
                row = [name, f"{text:,}", f"{size:,}", f"{size / text:.2f}", f"{seconds:.0f} s", kind]
                row += [f"{median:.3f} ms" for median in np.median(times, axis=0)]
                print("| " + " | ".join([*row, f"{times.sum(axis=1).max():.2f} ms"]) + " |", flush=True)


def timed(ngrams: TokenNGrams) -> Float64Array:
    """(n, 2) seconds that count and locate take for n-grams of 10 tokens that occur."""
    order, found = random.Random(7), []
    texts = [text for part in ngrams._parts for text in part.ngrams.texts() if len(text) >= 10]
    for text in order.sample(texts, min(DRAWN, len(texts))):
        at = order.randrange(len(text) - 9)
        tokens = text[at : at + 10].tolist()
        start = time.perf_counter()
        ngram = ngrams.find(tokens)
        counted = ngrams.count(ngram)
        between = time.perf_counter()
        places = ngrams.locate(ngram)
        found.append((between - start, time.perf_counter() - between))
        assert counted == len(places.passages) > 0
    return np.array(found, np.float64)


def quality(names: list[str], work: Path, generator: str | None, queries: int, weights: list[float]) -> None:
    """Print nDCG@10 with n-grams of the query's words and, where a generator is given, of what it finds."""
    print(
        "| collection | queries | n-grams | "
        + " | ".join(["BM25", "alone", *(f"+ {one:g}" for one in weights)])
        + " |"
    )
    print("| --- | --- | --- | " + " | ".join("---" for _ in range(len(weights) + 2)) + " |")
    for name in names:
        path, _ = indexed(name, work, generator)
        collection = open_collection(DATA / name)
        qrels = {id: dict(grades) for id, grades in collection.qrels("test").items()}
        judged = [
            one
            for one in collection.queries("test")
            if any(grade > 0 for grade in qrels.get(one.id, {}).values())
        ]
        drawn = random.Random(7).sample(judged, min(queries, len(judged)))
        kept = {one.id: qrels[one.id] for one in drawn}
        for finder in [None, *([generator] if generator is not None else [])]:
            with Searcher.open(path, mode="sparse", generator=finder) as searcher:
                runs: dict[str, dict[str, dict[str, float]]] = {}
                generated = occurring = 0
                start = time.perf_counter()
                for query in drawn:
                    ways: dict[str, SearchOptions] = {"BM25": {}, "alone": {"mode": "ngram"}}
                    ways |= {f"{one:g}": {"ngram_weight": one} for one in weights}
                    for way, options in ways.items():
                        [found] = searcher.rank_batch([query.text], 100, **options)
                        runs.setdefault(way, {})[query.id] = {hit.id: hit.score for hit in found}
                    answer = searcher.answer(query.text, 1, mode="ngram", literal=True)
                    generated += len(answer.ngrams)
                    occurring += sum(one.occurrences > 0 for one in answer.ngrams)
                each = [score(run, kept, ["nDCG@10"]).means["nDCG@10"] for run in runs.values()]
            seconds = (time.perf_counter() - start) / len(drawn)
            who = finder or "of the query's words"
            print(
                f"| {name} | {len(drawn)} | {who} | " + " | ".join(f"{one:.4f}" for one in each) + " |",
                flush=True,
            )
            print(
                f"<!-- {occurring:,} of {generated:,} n-grams occur; {seconds:.1f} s a query -->", flush=True
            )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["speed", "quality"])
    parser.add_argument("collections", nargs="+", help="collections in the data folder")
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--generator", help="a decoder; without one n-grams are of the query's words")
    parser.add_argument("--weights", type=float, nargs="+", default=[0.05, 0.1, 0.2])
    parser.add_argument(
        "--work", type=Path, help="where indexes are kept; by default a folder that is removed"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = given.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        if given.what == "speed":
            speed(given.collections, work, given.generator)
        else:
            quality(given.collections, work, given.generator, given.queries, given.weights)


if __name__ == "__main__":
    main()
