"""Machines, memory, cost and latency of a cluster of many passages, from the costs of a passage and of a query.

    python benchmarks/cluster_model.py                                  # the tables of docs/cluster.md
    python benchmarks/cluster_model.py --passages 1e9 --shards 128 --hosts 32
    python benchmarks/cluster_model.py --measure CORPUS --queries QUERIES --sizes 20000,80000

`--measure` prints the costs that are marked as measured with it: bytes of a passage in the index, by what they are for,
and processor time of a query, in one index of each size and in shards of the smallest. Vectors are random projections
of the words: their content changes neither bytes nor the time much.
"""

from __future__ import annotations

import argparse
import math
import re
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from leanseek import Document, Index, LeanSettings, Searcher, read, read_queries
from leanseek.cluster import ClusterSearcher, InProcess, route
from leanseek.encode.base import Encoded

MS_MARCO_V2 = 138_364_198
"""Passages; 33.8 index terms each (the statistics that Pyserini lists for `msmarco-v2-passage`)."""
GB = 1e9
SEGMENT = 1e6
"""Passages at which a segment is closed."""


class Cost(NamedTuple):
    """A number that the model rests on, and where it is from."""

    value: float
    unit: str
    what: str
    source: str


MEASURED = "measured, `--measure`"
SCALE = "measured, [scale](scale.md)"
LEAN = "measured, [reduced vectors](leanvec.md)"
COSTS = {
    "texts": Cost(
        425,
        "bytes a passage",
        "texts, ids, metadata",
        f"{SCALE}: 514 in all, between 390 (24 terms) and 682 (47)",
    ),
    "postings": Cost(89, "bytes a passage", "postings", f"{MEASURED}: 124 at 47 terms; in proportion"),
    "lean": Cost(448, "bytes a passage", "vectors of 384 dimensions, reduced (IVF)", MEASURED),
    "graph": Cost(710, "bytes a passage", "the same, along a graph (HNSW)", MEASURED),
    "flat": Cost(1536, "bytes a passage", "the same, exact", "4 bytes a dimension"),
    "first level": Cost(79, "bytes a passage", "of the reduced: read by every search", LEAN),
    "in full": Cost(384, "bytes a passage", "of the reduced: read for candidates", "1 byte a dimension"),
    "norms": Cost(4, "bytes a passage", "lengths of the passages, in memory", "computed by each host"),
    "learned": Cost(384, "bytes a passage", "learned side of 128 terms", "3 bytes a posting"),
    "encode": Cost(4.1, "ms", "encoding a query", "measured, [serving](serving.md)"),
    "sparse": Cost(
        0.47,
        "ms a million passages",
        "BM25 in one segment",
        f"{SCALE}, at 1 million; extrapolated in proportion",
    ),
    "dense segment": Cost(0.042, "ms a segment", "reduced vectors, for each segment", f"{LEAN}, fitted"),
    "dense": Cost(
        0.30,
        "ms a million passages",
        "reduced vectors",
        f"{LEAN}, 50,000 to 356,400; extrapolated in proportion",
    ),
    "shard": Cost(0.45, "ms", "one more shard in a query: candidates scored, merged", MEASURED),
    "call": Cost(0.7, "ms", "processor time of a call through Ray", "measured on two busy cores"),
    "trip": Cost(
        5.6,
        "ms",
        "two rounds of calls: search, texts",
        "2.8 ms each, measured with 4 hosts on two busy cores",
    ),
    "fetch": Cost(2.0, "ms", "reading texts", "assumed"),
    "pieces": Cost(
        75, "tokens a passage", "length for the encoder", "assumed: 33.8 terms are about 58 words"
    ),
    "tokens": Cost(
        4140, "tokens a second", "encoding on one core (int8)", "measured on two, [benchmarks](benchmarks.md)"
    ),
    "index": Cost(73, "µs a passage", "postings and texts", SCALE),
    "reduce": Cost(56, "µs a passage", "reducing vectors", LEAN),
}


@dataclass(frozen=True)
class Shape:
    """How a cluster is spread: `hosts` of each of `replicas` groups, and the prices of what runs."""

    passages: float
    shards: int
    hosts: int
    replicas: int = 2
    cores: int = 8
    host_price: float = 0.45
    core_price: float = 0.02


def value(name: str) -> float:
    """A cost."""
    return COSTS[name].value


def tables(shape: Shape) -> Iterator[str]:
    """The costs, and what follows from them, as Markdown."""
    yield "| cost | value | source |\n| --- | ---: | --- |"
    for cost in COSTS.values():
        yield f"| {cost.what} | {cost.value:,.4g} {cost.unit} | {cost.source} |"
    each = shape.passages / shape.shards
    yield ""
    yield f"| | bytes a passage | {shape.passages / 1e6:,.1f} M passages | each of {shape.shards} shards |"
    yield "| --- | ---: | ---: | ---: |"
    stored = value("texts") + value("postings") + value("lean")
    hot = value("postings") + value("first level") + value("in full") + value("norms")
    for name, size in (
        ("texts, ids, metadata", value("texts")),
        ("postings", value("postings")),
        ("vectors, reduced", value("lean")),
        ("on disk, in all", stored),
        ("read by every search: postings, vectors, lengths", hot),
        ("learned side, if there is one", value("learned")),
    ):
        yield f"| {name} | {size:,.0f} | {size * shape.passages / GB:,.0f} GB | {size * each / GB:,.1f} GB |"
    yield ""
    here = math.ceil(shape.shards / shape.hosts)
    machines = shape.hosts * shape.replicas
    shard = shard_time(each)
    cpu = value("encode") + shape.shards * shard + shape.hosts * value("call")
    rate = 0.5 * machines * shape.cores * 1e3 / cpu
    waves = math.ceil(here / shape.cores)
    idle = value("encode") + value("trip") + waves * shard + value("fetch")
    rows = [
        ("serving", ""),
        ("---", "---"),
        (
            "hosts",
            f"{shape.replicas} groups of {shape.hosts}, each of {shape.cores} cores with {here} shards",
        ),
        ("memory of a host", f"{hot * each * here / GB:,.0f} GB that every search reads, 2 GB of processes"),
        ("disk of a host", f"{stored * each * here / GB:,.0f} GB, for two epochs up to twice that"),
        (
            "price",
            f"{machines} × {shape.host_price} $ an hour: {machines * shape.host_price * 730:,.0f} $ a month",
        ),
        ("a shard's part of a query", f"{shard:.1f} ms of one core"),
        (
            "processor time of a query",
            f"{value('encode'):.1f} (encoding) + {shape.shards} × {shard:.1f} (shards) + "
            f"{shape.hosts} × {value('call'):.1f} (calls) = {cpu:,.0f} ms",
        ),
        ("queries a second at half load", f"{rate:,.0f}"),
        (
            "time of a query, nothing else to do",
            f"{value('encode'):.1f} (encoding) + {value('trip'):.1f} (calls) + {waves * shard:.1f} (shards side by "
            f"side) + {value('fetch'):.1f} (texts) = {idle:,.0f} ms",
        ),
    ]
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""
    tokens = value("pieces") * shape.passages
    encoding = tokens / value("tokens") / 3600
    merging = (value("index") + value("reduce")) * 1e-6 * shape.passages / 3600
    price = (encoding + merging) * shape.core_price
    rows = [
        ("building", ""),
        ("---", "---"),
        ("encoding", f"{tokens / 1e9:,.1f} G tokens: {encoding:,.0f} core hours"),
        ("postings and reduction", f"{merging:,.1f} core hours"),
        ("on 64 cores", f"{(encoding + merging) / 64:,.0f} hours"),
        ("price", f"{price:,.0f} $ at {shape.core_price} $ a core hour"),
    ]
    yield from (f"| {' | '.join(row)} |" for row in rows)


def shard_time(passages: float) -> float:
    """Milliseconds of one core for a hybrid query in a shard."""
    millions = passages / 1e6
    segments = max(passages / SEGMENT, 1)
    dense = segments * value("dense segment") + value("dense") * millions
    return value("sparse") * millions + dense + value("shard")


class WordVectors:
    """Counts of hashed words through a fixed projection."""

    name, fingerprint, dimensions, max_tokens = "word-vectors", "ab" * 32, 384, None

    def __init__(self) -> None:
        self._projection = (
            np.random.default_rng(0).standard_normal((4096, self.dimensions)).astype(np.float32)
        )
        self._known: dict[str, np.ndarray] = {}

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        for text in texts:
            if text not in self._known:
                self._known[text] = self._vector(text)
        return Encoded(np.stack([self._known[text] for text in texts]), np.ones(len(texts), np.int32))

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        return Encoded(np.stack([*map(self._vector, texts)]), np.ones(len(texts), np.int32))

    def _vector(self, text: str) -> np.ndarray:
        places = [zlib.crc32(word.encode()) % 4096 for word in re.findall(r"[a-z]{3,}", text.lower())]
        vector = self._projection[places].sum(axis=0) + np.float32(1e-3)
        return vector / np.linalg.norm(vector)


def documents(corpus: str, count: int) -> Iterator[Document]:
    """Passages of two texts each, which are somewhat longer than MS MARCO's."""
    source = iter(read(corpus))
    for _ in range(count):
        two = list(islice(source, 2))
        if not two:
            return
        text = " ".join(f"{one.title} {one.text}" for one in two)
        yield Document(two[0].id, text)


def timed(ask: Callable[[str], object], queries: Sequence[str]) -> float:
    """Milliseconds of processor a query, the best of some rounds."""
    best = np.inf
    for _ in range(3):
        start = time.process_time()
        for query in queries:
            ask(query)
        best = min(best, time.process_time() - start)
    return best / len(queries) * 1e3


def measure(corpus: str, queries: Sequence[str], sizes: Sequence[int]) -> None:
    """Print what passages and queries cost here."""
    encoder = WordVectors()
    encoder.encode_queries(queries)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in sizes:
            index = Index.create(
                folder / str(size), encoder=encoder, dense="lean", lean=LeanSettings(dims=160)
            )
            index.add(documents(corpus, size), on_duplicate="replace", cache=False, background=False)
            index.compact()
            index.close()
            parts: dict[str, int] = {}
            for file in (folder / str(size) / "segments").rglob("*"):
                if file.is_file():
                    kind = file.relative_to(folder / str(size) / "segments").parts[1]
                    parts[kind] = parts.get(kind, 0) + file.stat().st_size
            print(
                f"{size:,} passages, bytes each:",
                {kind: round(total / size, 1) for kind, total in parts.items()},
            )
            with Searcher.open(folder / str(size), encoder=encoder, relevance=None) as one:
                for mode in ("sparse", "dense", "hybrid"):
                    spent = timed(lambda query, mode=mode: one.rank_batch([query], 100, mode=mode), queries)  # type: ignore[misc]
                    print(f"{size:,} passages, {mode}: {spent:.3f} ms a query", flush=True)
        every = list(documents(corpus, sizes[0]))
        for shards in (1, 4):
            homes = []
            for shard in range(shards):
                homes.append(folder / f"{shards}-{shard}")
                with Index.create(homes[-1], encoder=encoder, dense="flat") as index:
                    mine = [one for one in every if route(one.id, shards) == shard]
                    index.add(mine, on_duplicate="replace", cache=False, background=False)
            with ClusterSearcher(InProcess.open(homes), encoder=encoder, relevance=None) as many:
                spent = timed(lambda query: many.rank_batch([query], 100, mode="sparse"), queries)
            print(f"{shards} shards of {sizes[0] // shards:,}, sparse: {spent:.3f} ms a query", flush=True)
        for kind in ("flat", "ivf", "hnsw"):
            lean = LeanSettings(dims=160, kind=kind)
            with Index.create(folder / kind, encoder=encoder, dense="lean", lean=lean) as index:
                index.add(every[:5000], on_duplicate="replace", cache=False, background=False)
            used = sum(
                file.stat().st_size for file in (folder / kind).glob("segments/*/dense/*") if file.is_file()
            )
            print(f"reduced, {kind}: {used / 5000:.0f} bytes a vector of 384 dimensions", flush=True)


def main() -> None:
    """Parse the command line and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--passages", type=float, default=MS_MARCO_V2)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--hosts", type=int, default=4, help="hosts of each replica")
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--measure", metavar="CORPUS")
    parser.add_argument("--queries", metavar="QUERIES")
    parser.add_argument("--sizes", default="20000,80000")
    options = parser.parse_args()
    if options.measure is not None:
        queries = [query.text for query in read_queries(options.queries)][:200]
        measure(options.measure, queries, [int(size) for size in options.sizes.split(",")])
        return
    shape = Shape(options.passages, options.shards, options.hosts, options.replicas)
    print("\n".join(tables(shape)))


if __name__ == "__main__":
    main()
