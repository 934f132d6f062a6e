"""Learned sparse search beside bmp, seismic and splade-index: processor time and recall, on one thread, in one run.

    python benchmarks/learned.py COLLECTION [COLLECTION ...] [--queries QUERIES] [--documents N]

Documents of all collections are encoded by the packaged SPLADE model, through the cache; queries are those of the first
collection. Recall is against the exact float32 inner products, on the first 100. The approximate engines are run with
several settings, of which the fastest that reaches our recall is to be compared. splade-index is given the vectors: its
own call would encode the query each time.

Needs: pip install bmp pyseismic-lsr splade-index scipy (a missing one is left out).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from leanseek.encode import load_learned_encoder
from leanseek.encode.learned_vectors import LearnedCache, LearnedVectors, encode_learned
from leanseek.indexing.learned import (
    ImpactIndex,
    ImpactReader,
    impact_query,
    learned_settings,
    write_impacts,
)
from leanseek.reading import read, read_queries
from leanseek.types import content

K = 100
BLOCK = 8192

Searches = Callable[[int], Sequence[int]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("collections", nargs="+")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--documents", type=int, default=None)
    given = parser.parse_args()

    encoder = load_learned_encoder("splade", "cpu")
    cache = LearnedCache(encoder.fingerprint)
    texts = chain.from_iterable(map(read, given.collections))
    texts = islice((content(one.title, one.text) for one in texts), given.documents)
    blocks: list[LearnedVectors] = []
    while part := list(islice(texts, BLOCK)):
        blocks.append(encode_learned(encoder, part, cache)[0])
    documents = LearnedVectors.of([block.row(row) for block in blocks for row in range(len(block.tokens))])
    asked = [query.text for query in read_queries(str(Path(given.collections[0]) / "queries.jsonl"))]
    queries = encoder.encode_queries(asked[: given.queries])
    count, postings = len(documents.tokens), len(documents.terms)
    print(
        f"{count:,} documents, {postings / count:.0f} terms each; {len(queries.tokens)} queries", flush=True
    )

    exact = exact_best(documents, queries)
    with tempfile.TemporaryDirectory() as folder:
        report("leanseek, exact in 8 bits", *ours(encoder, blocks, queries, Path(folder)), exact)
        for name, engine in (("bmp", bmp), ("seismic", seismic), ("splade_index", splade_index)):
            if find_spec(name) is None:
                print(f"{name}: not installed")
                continue
            for label, search, seconds in engine(documents, queries, Path(folder)):
                report(f"{name} {label}", search, seconds, exact)


def exact_best(documents: LearnedVectors, queries: LearnedVectors) -> list[set[int]]:
    from scipy.sparse import csr_matrix

    width = int(max(documents.terms.max(), queries.terms.max())) + 1
    matrix = csr_matrix(
        (documents.weights, documents.terms, documents.indptr), (len(documents.tokens), width)
    )
    best = []
    for row in range(len(queries.tokens)):
        dense = np.zeros(width, np.float32)
        dense[queries.row(row).terms] = queries.row(row).weights
        best.append(set(np.argsort(-(matrix @ dense), kind="stable")[:K].tolist()))
    return best


def report(name: str, search: Searches, build: float, exact: list[set[int]]) -> None:
    times, found = [], []
    for row in range(len(exact)):
        search(row)
        began = time.process_time()
        result = search(row)
        times.append(1e3 * (time.process_time() - began))
        found.append(len(exact[row] & set(result)) / K)
    print(
        f"{name:44} recall@{K} {np.mean(found):.4f}  {np.median(times):7.3f} ms median, {np.mean(times):7.3f} mean, "
        f"{np.percentile(times, 99):7.3f} p99; built in {build:.1f} s",
        flush=True,
    )


def ours(
    encoder: Any, blocks: Sequence[LearnedVectors], queries: LearnedVectors, folder: Path
) -> tuple[Searches, float]:
    settings = learned_settings(encoder, None)
    (folder / "ours").mkdir()
    began = time.process_time()
    write_impacts(folder / "ours", blocks, settings)
    seconds = time.process_time() - began
    reader = ImpactReader(folder / "ours")
    size = sum(path.stat().st_size for path in (folder / "ours").iterdir())
    print(
        f"  {size / len(reader.impacts):.2f} bytes a posting, {1e6 * seconds / len(reader.impacts):.2f} µs to build one"
    )
    index = ImpactIndex([reader], [None], settings, lambda ordinals: [("", 0)] * len(ordinals))
    return lambda row: index.search(impact_query(queries.row(row), settings), K).ordinals.tolist(), seconds


def named(vectors: LearnedVectors, row: int, scale: float) -> tuple[list[str], list[int]]:
    """Terms as strings, and their weights as whole numbers."""
    one = vectors.row(row)
    return list(map(str, one.terms.tolist())), np.maximum(np.rint(one.weights * scale), 1).astype(
        int
    ).tolist()


def bmp(documents: LearnedVectors, queries: LearnedVectors, folder: Path) -> Any:
    from bmp import Indexer, Searcher

    for size in (16, 64):
        began = time.process_time()
        indexer = Indexer(str(folder / f"bmp{size}"), bsize=size, compress_range=True)
        for row in range(len(documents.tokens)):
            indexer.add_document(str(row), dict(zip(*named(documents, row, 64), strict=True)))
        indexer.finish()
        seconds = time.process_time() - began
        searcher = Searcher(str(folder / f"bmp{size}"))
        asked = [dict(zip(*named(queries, row, 64), strict=True)) for row in range(len(queries.tokens))]
        for alpha in (1.0, 0.8):
            yield (
                f"blocks of {size}, alpha {alpha:g}",
                lambda row, alpha=alpha, searcher=searcher, asked=asked: [
                    int(one) for one in searcher.search(asked[row], k=K, alpha=alpha, beta=1.0)[0]
                ],
                seconds,
            )


def seismic(documents: LearnedVectors, queries: LearnedVectors, folder: Path) -> Any:
    from seismic import SeismicDataset, SeismicIndex, get_seismic_string

    text = get_seismic_string()
    began = time.process_time()
    dataset = SeismicDataset()
    for row in range(len(documents.tokens)):
        one = documents.row(row)
        dataset.add_document(str(row), np.array(list(map(str, one.terms.tolist())), text), one.weights)
    index = SeismicIndex.build_from_dataset(dataset, num_threads=1)
    seconds = time.process_time() - began
    asked = [
        (np.array(list(map(str, queries.row(row).terms.tolist())), text), queries.row(row).weights)
        for row in range(len(queries.tokens))
    ]
    for cut, factor in ((10, 0.9), (20, 0.8), (40, 0.7), (100, 0.5)):
        yield (
            f"query_cut {cut}, heap_factor {factor:g}",
            lambda row, cut=cut, factor=factor: [
                int(one[-1])
                for one in index.search(
                    query_id="0",
                    query_components=asked[row][0],
                    query_values=asked[row][1],
                    k=K,
                    query_cut=cut,
                    heap_factor=factor,
                )
            ],
            seconds,
        )


def splade_index(documents: LearnedVectors, queries: LearnedVectors, folder: Path) -> Any:
    from scipy.sparse import csr_matrix
    from splade_index import SPLADE

    began = time.process_time()
    index = SPLADE()
    width = int(max(documents.terms.max(), queries.terms.max())) + 1
    columns = csr_matrix(
        (documents.weights, documents.terms, documents.indptr), (len(documents.tokens), width)
    ).tocsc()
    index.scores = {
        "data": columns.data.astype(np.float32),
        "indices": columns.indices.astype(np.int32),
        "indptr": columns.indptr.astype(np.int32),
        "num_docs": len(documents.tokens),
    }
    index.unique_token_ids_set = set(np.flatnonzero(np.diff(columns.indptr)).tolist())
    seconds = time.process_time() - began
    yield (
        "(NumPy)",
        lambda row: index._get_top_k_results(
            queries.row(row).terms, queries.row(row).weights, k=K, backend="numpy"
        )[1].tolist(),
        seconds,
    )


if __name__ == "__main__":
    main()
