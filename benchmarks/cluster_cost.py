"""What cutting an index into shards costs: processor time a query, one index beside 1, 2, 4 shards in one process.

    python benchmarks/cluster_cost.py papers.index --queries queries.tsv --shards 1 2 4

The shards are made of the index's own documents and vectors. Every answer is compared with the index's, bit for bit.
With --known the vectors of the queries are known, so that what is left is the search alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from leanseek import Document, Index, Searcher, read_queries
from leanseek.cluster import ClusterSearcher, InProcess, route
from leanseek.encode.base import Encoded, Encoder
from leanseek.indexing.creation import recorded_encoder
from leanseek.indexing.snapshot import Snapshot

ROUNDS = 5


class Stored:
    """The encoder of an index, which looks documents' vectors up there."""

    def __init__(self, snapshot: Snapshot, encoder: Encoder, known: bool) -> None:
        self.name, self.fingerprint = encoder.name, encoder.fingerprint
        self.dimensions, self.max_tokens = encoder.dimensions, encoder.max_tokens
        self._known: dict[tuple[str, ...], Encoded] | None = {} if known else None
        self._encoder = encoder
        every = np.arange(snapshot.size)
        texts = [text for one in snapshot.segments for text in one.passages.contents(np.arange(one.size))]
        self._vectors = dict(zip(texts, snapshot.vectors(every), strict=True))

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        if self._known is None:
            return self._encoder.encode_queries(texts)
        if tuple(texts) not in self._known:
            self._known[tuple(texts)] = self._encoder.encode_queries(texts)
        return self._known[tuple(texts)]

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        vectors = np.array([self._vectors[text] for text in texts], np.float32)
        return Encoded(vectors.reshape(-1, self.dimensions), np.ones(len(texts), np.int32))


def documents(snapshot: Snapshot) -> Iterator[Document]:
    """All of an index's documents."""
    for passage in snapshot.passages.get(np.arange(snapshot.size)):
        yield Document(passage.id, passage.text, passage.title, passage.metadata)


def timed(ask: Callable[[str], Any], queries: Sequence[str]) -> float:
    """Processor seconds for all the queries, the best of some rounds."""
    best = np.inf
    for _ in range(ROUNDS):
        start = time.process_time()
        for query in queries:
            ask(query)
        best = min(best, time.process_time() - start)
    return best


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index", type=Path)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--most", type=int, default=100, help="queries that are asked")
    parser.add_argument(
        "--dense", choices=("flat", "lean"), help="how vectors are held, if not as in the index"
    )
    parser.add_argument("--known", action="store_true", help="leave out the encoding of the queries")
    options = parser.parse_args()
    queries = [query.text for query in read_queries(options.queries)][: options.most]
    snapshot = Snapshot.open(options.index)
    settings = snapshot.state.settings
    if settings.chunk_words is not None or snapshot.live is not None:
        parser.error("give an index of whole documents, none of them deleted")
    encoder = None
    if settings.encoder is not None:
        loaded = recorded_encoder(settings.encoder, None, for_queries=True)
        encoder = Stored(snapshot, loaded, options.known)
    modes = ["sparse"] if encoder is None else ["sparse", "dense", "hybrid"]
    opened: Any = {"encoder": encoder} if encoder is not None else {}
    every = list(documents(snapshot))
    made: Any = {"encoder": encoder, "sparse": settings.sparse, "dense": options.dense or settings.dense}
    with tempfile.TemporaryDirectory() as folder:
        Index.create(Path(folder) / "one", **made).add(every, cache=False)
        one = Searcher.open(Path(folder) / "one", **opened)
        for mode in modes:
            alone = timed(partial(one.search, mode=mode), queries) / len(queries)
            print(f"one index, {mode}: {alone * 1e3:.2f} ms of processor a query", flush=True)
        for shards in options.shards:
            homes = []
            for shard in range(shards):
                homes.append(Path(folder) / f"{shards}-{shard:04}")
                mine = [document for document in every if route(document.id, shards) == shard]
                Index.create(homes[-1], **made).add(mine, cache=False)
            transport = InProcess.open(homes)
            transport.epoch = transport.epoch._replace(settings=one.settings)
            many = ClusterSearcher(transport, **opened)
            for mode in modes:
                different = sum(
                    one.search(query, mode=mode) != many.search(query, mode=mode) for query in queries
                )
                cost = timed(partial(many.search, mode=mode), queries)
                again = timed(partial(one.search, mode=mode), queries)
                print(
                    f"{shards} shards, {mode}: {cost / len(queries) * 1e3:.2f} ms, {cost / again:.2f} times one "
                    f"index's; {different} of {len(queries)} answers differ",
                    flush=True,
                )
            many.close()


if __name__ == "__main__":
    main()
