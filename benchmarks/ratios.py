"""Has something become slower? What leanseek takes, divided by what a peer takes for the same, beside the record.

    python benchmarks/ratios.py [--data FOLDER] [--only bm25,encoding] [--update]

Of each pair the two take turns in one process with one thread for libraries, and the best turn of each counts, in time
of the processor: so a ratio says much the same on a busy machine. `--update` records the ratios in
benchmarks/ratios.json, for this kind of processor, with the versions of the peers. Without it the exit status is 1
where one is worse than its record by more than a quarter. Takes three minutes, once 8,700 passages of selqa are in the
vector cache.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rerank
import sparse_engines

from leanseek import Index, Searcher
from leanseek.encode import load_encoder, load_query_encoder
from leanseek.encode.models import DEFAULT_MODEL, resolve_model
from leanseek.eval import Collection, open_collection
from leanseek.indexing import LeanVecIndex
from leanseek.types import content

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
RECORD = Path(__file__).with_suffix(".json")
TOLERANCE = 1.25
ROUNDS = 7
SHORTEST = 0.2
"""Seconds that a turn takes at least: what is shorter is repeated."""
K = 10
PASSAGES = 8700
QUERIES = 200

Work = Callable[[], object]


class Pair(NamedTuple):
    ours: Work
    other: Work


class Bench:
    """What the pairs work on, made when the first of them asks for it."""

    def __init__(self, data: Path, folder: Path, closing: ExitStack) -> None:
        self._data, self.folder, self._closing = data, folder, closing

    @cached_property
    def collection(self) -> Collection:
        return open_collection(str(self._data / "selqa"))

    @cached_property
    def documents(self) -> list[Any]:
        return list(islice(self.collection.documents(), PASSAGES))

    @cached_property
    def texts(self) -> list[str]:
        return [content(one.title, one.text) for one in self.documents]

    @cached_property
    def queries(self) -> list[str]:
        return [query.text for query in self.collection.queries("test")[:QUERIES]]

    def built(self, engine: sparse_engines.Engine) -> Callable[[str, int], object]:
        """The search of a keyword engine, by its index of the texts."""
        folder = self.folder / type(engine).__name__
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        engine.build(self.texts, folder)
        return engine.open(folder)

    @cached_property
    def searcher(self) -> Searcher:
        Index.create(self.folder / "index").add(self.documents)
        return self._closing.enter_context(Searcher.open(self.folder / "index"))

    @cached_property
    def vectors(self) -> Any:
        source = self.searcher.source
        found = source.find([one.id for one in self.documents])
        return source.vectors(np.array([found[one.id][0] for one in self.documents], dtype=np.int64))

    @cached_property
    def query_vectors(self) -> Any:
        questions = [query.text for split in ("dev", "test") for query in self.collection.queries(split)]
        return load_query_encoder(DEFAULT_MODEL).encode_queries(questions[:2000]).vectors


def bm25(bench: Bench) -> Pair:
    engines = sparse_engines.Leanseek(), sparse_engines.Bm25s("numba")
    ours, other = (bench.built(engine) for engine in engines)
    return Pair(
        lambda: [ours(query, 100) for query in bench.queries],
        lambda: [other(query, 100) for query in bench.queries],
    )


def bm25_building(bench: Bench) -> Pair:
    ours, other = sparse_engines.Leanseek(), sparse_engines.Bm25s("numba")
    return Pair(lambda: bench.built(ours), lambda: bench.built(other))


def exact_vectors(bench: Bench) -> Pair:
    import faiss

    index = faiss.IndexFlatIP(bench.vectors.shape[1])
    index.add(bench.vectors)
    asked = bench.query_vectors[:QUERIES]
    return Pair(
        lambda: bench.searcher.rank_batch(bench.queries, 100, mode="dense"),
        lambda: (load_query_encoder(DEFAULT_MODEL).encode_queries(bench.queries), index.search(asked, 100)),
    )


def reduced_vectors(bench: Bench) -> Pair:
    import faiss

    half = len(bench.query_vectors) // 2
    ours = LeanVecIndex.build(bench.vectors, bench.query_vectors[:half], recall=0.95)
    exact = faiss.IndexFlatIP(bench.vectors.shape[1])
    exact.add(bench.vectors)
    asked = bench.query_vectors[half:]
    return Pair(lambda: ours.search(asked, K), lambda: exact.search(asked, K))


def encoding(bench: Bench) -> Pair:
    from sentence_transformers import SentenceTransformer

    peer = SentenceTransformer(str(resolve_model(DEFAULT_MODEL).path), device="cpu")
    ours = load_encoder(f"onnx-int8:{DEFAULT_MODEL}")
    some = bench.texts[:64]
    return Pair(lambda: ours.encode_documents(some), lambda: peer.encode(some, show_progress_bar=False))


def cross_encoding(bench: Bench) -> Pair:
    model = str(rerank.with_random_head(bench.folder / "cross-encoder"))
    asked = bench.queries[:2]
    hits = bench.searcher.search_batch(asked, 30, mode="sparse")
    ours, other = rerank.ours("onnx-int8", model), rerank.peer(model)
    return Pair(lambda: ours(asked, hits), lambda: other(asked, hits))


def fresh_process(bench: Bench) -> Pair:
    index, query = str(bench.searcher.path), bench.queries[0]

    def run(*words: str) -> None:
        subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)

    return Pair(
        lambda: run("-m", "leanseek", "search", index, query),
        lambda: run("-c", "import faiss, numpy, onnxruntime"),
    )


def one_query(bench: Bench) -> Pair:
    encoder = load_query_encoder(DEFAULT_MODEL)
    some = bench.queries[:30]
    return Pair(
        lambda: [bench.searcher.search(query, K) for query in some],
        lambda: [encoder.encode_queries([query]) for query in some],
    )


def explanations(bench: Bench) -> Pair:
    some = bench.queries[:30]
    return Pair(
        lambda: [bench.searcher.search(query, K, explain=True, mode="sparse") for query in some],
        lambda: [bench.searcher.search(query, K, mode="sparse") for query in some],
    )


PAIRS: dict[str, tuple[str, str, Callable[[Bench], Pair]]] = {
    "bm25": ("BM25, best 100", "bm25s with numba", bm25),
    "building": ("a BM25 index", "bm25s with numba", bm25_building),
    "exact": ("encoding and exact vectors", "the same encoder and FAISS", exact_vectors),
    "reduced": ("reduced vectors, recall .95", "FAISS, exact", reduced_vectors),
    "encoding": ("encoding passages, 8 bits", "sentence-transformers", encoding),
    "cross-encoder": ("a cross-encoder, 8 bits", "sentence-transformers", cross_encoding),
    "fresh": ("a search in a fresh process", "importing NumPy, FAISS and ONNX Runtime", fresh_process),
    "query": ("a hybrid query", "encoding it", one_query),
    "explanations": ("a keyword query, explained", "the same without", explanations),
}
"""What is compared with what, and how; more rows, more pairs."""


def ratio(pair: Pair) -> float:
    """The time of ours for one of the other's."""
    best = [float("inf"), float("inf")]
    for number in range(ROUNDS + 1):
        for side, work in enumerate(pair):
            taken = turn(work)
            if number:  # The first turns warm up.
                best[side] = min(best[side], taken)
    return best[0] / best[1]


def turn(work: Work) -> float:
    start, times = spent(), 0
    while True:
        work()
        times += 1
        if (taken := spent() - start) >= SHORTEST:
            return taken / times


def spent() -> float:
    """Seconds of the processor, by this process and by those it has waited for."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def processor() -> str:
    names = (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    return next(names, "unknown").split(":")[-1].strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("LEANSEEK_DATA"))
    parser.add_argument("--only", default=",".join(PAIRS), help="some of them (default: all)")
    parser.add_argument("--update", action="store_true", help="record what is measured")
    given = parser.parse_args()
    if given.data is None:
        parser.error("the collections are needed: --data FOLDER, or LEANSEEK_DATA")
    chosen = given.only.split(",")
    if unknown := set(chosen) - set(PAIRS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(PAIRS)}")

    # Libraries read these when they are loaded.
    if any(os.environ.get(setting) != "1" for setting in THREADS):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **dict.fromkeys(THREADS, "1")})

    records = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    if processor() not in records:
        print(f"There is no record for '{processor()}'; --update makes one.\n")
    record = records.setdefault(processor(), {"ratios": {}})
    print("| leanseek | divided by | recorded | now | |\n| --- | --- | ---: | ---: | --- |")
    worse = False
    with tempfile.TemporaryDirectory() as folder, ExitStack() as closing:
        bench = Bench(given.data, Path(folder), closing)
        for name in chosen:
            ours, other, make = PAIRS[name]
            before, now = record["ratios"].get(name), ratio(make(bench))
            slower = before is not None and now > TOLERANCE * before
            worse |= slower
            shown = "" if before is None else f"{before:.3f}"
            print(f"| {ours} | {other} | {shown} | {now:.3f} | {'slower' * slower} |", flush=True)
            record["ratios"][name] = round(now, 3)
    if given.update:
        peers = ("bm25s", "faiss-cpu", "sentence-transformers", "torch", "onnxruntime")
        record["versions"] = {peer: version(peer) for peer in peers}
        RECORD.write_text(json.dumps(records, indent=2, sort_keys=True) + "\n")
    elif worse:
        sys.exit(1)


if __name__ == "__main__":
    main()
