"""A graph compares data with data: what the raw sphering pair does to it, and what QR mends."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np

from leanseek.indexing.leanvec import Reduction, learn_reduction

DIMS = 32


def nearest(queries: np.ndarray, vectors: np.ndarray, k: int = 10) -> np.ndarray:
    return np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :k]


def recall(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, true, strict=True)]))


def graph_recall(reduction: Reduction, vectors: np.ndarray, queries: np.ndarray) -> float:
    """How much of the exact reduced top 10 a graph over the reduced vectors finds."""
    data, asked = reduction.reduce_data(vectors), reduction.reduce_queries(queries)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # The order in which threads insert changes the graph.
    try:
        graph = faiss.IndexHNSWFlat(DIMS, 16, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = 40
        graph.hnsw.efSearch = 40
        graph.add(data)
        _, found = graph.search(asked, 10)
    finally:
        faiss.omp_set_num_threads(threads)
    return recall(found, nearest(asked, data))


def test_a_graph_collapses_on_the_raw_pair_and_recovers_on_orthonormal_rows(scifact: Any) -> None:
    learning, test = scifact.queries[:900], scifact.queries[900:]
    raw = learn_reduction(scifact.vectors, learning, DIMS, "sphering")
    level = raw.orthonormal()
    exact = [nearest(one.reduce_queries(test), one.reduce_data(scifact.vectors)) for one in (raw, level)]
    assert recall(*exact) > 0.999
    damaged, mended = (graph_recall(one, scifact.vectors, test) for one in (raw, level))
    assert damaged < 0.7
    assert mended > 0.93
