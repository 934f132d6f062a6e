"""Which documents of an index stand for what is in it: how many have them among their nearest, and on which topics."""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np

from leanseek.indexing.search_source import SearchSource, has_vectors, mean_vectors
from leanseek.types import Float32Array, Int64Array, content

NEIGHBOURS: Final = 10
MOST: Final = 20_000
"""Documents that are compared; of a larger index so many, drawn by their ids."""
HASHED: Final = 256
"""Dimensions of a document by its terms."""
_BLOCK: Final = 1024
_ROUNDS: Final = 20


def document_vectors(source: SearchSource) -> tuple[list[str], Float32Array]:
    """(d) ids in their order and (d, D) unit vectors of documents, of at most `MOST`.

    They are the means of the index's vectors of their passages; without vectors their terms, weighted by idf and hashed
    (Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009).
    """
    ids = sorted(source.ids())
    if len(ids) > MOST:
        ids = sorted(sorted(ids, key=lambda one: zlib.crc32(one.encode()))[:MOST])
    parts = source.find(ids)
    stored = has_vectors(source)
    rows = []
    for start in range(0, len(ids), _BLOCK):
        block = ids[start : start + _BLOCK]
        rows.append(mean_vectors(source, block, parts) if stored else term_vectors(source, block))
    vectors = np.concatenate(rows) if rows else np.zeros((0, HASHED), np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Float32Array = (vectors / np.maximum(norms, np.finfo(np.float32).tiny)).astype(np.float32)
    return ids, unit


def term_vectors(source: SearchSource, ids: list[str]) -> Float32Array:
    """(d, HASHED) the documents' terms, each in a dimension and with a sign that are drawn by the term."""
    analyzer = source.passages.analyzer
    vectors = np.zeros((len(ids), HASHED), np.float32)
    for row, document in enumerate(source.whole(ids)):
        terms = sorted(set(analyzer.tokens(content(document.title, document.text))))
        counts = source.sparse.frequencies(terms)
        for term, count in zip(terms, counts, strict=True):
            drawn = zlib.crc32(term.encode())
            weight = np.log1p(source.size / max(count, 1))
            vectors[row, drawn % HASHED] += weight if drawn >> 16 & 1 else -weight
    return vectors


def salience(vectors: Float32Array) -> Int64Array:
    """(d,) of how many documents each is among the `NEIGHBOURS` nearest, by unit vectors (d, D): its in-degree."""
    count = len(vectors)
    reach = min(NEIGHBOURS, count - 1)
    found = np.zeros(count, np.int64)
    if reach < 1:
        return found
    for start in range(0, count, _BLOCK):
        cosines = vectors[start : start + _BLOCK] @ vectors.T
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -np.inf
        nearest = np.argpartition(-cosines, reach - 1, axis=1)[:, :reach]
        found += np.bincount(nearest.ravel(), minlength=count)
    return found


def topics(vectors: Float32Array, count: int) -> Int64Array:
    """(d,) the topic of each document, from 0: spherical k-means of unit vectors (d, D) from far-apart beginnings.

    Topics that lose all their documents are given up.
    """
    count = max(1, min(count, len(vectors)))
    chosen = [0]
    nearest = vectors @ vectors[0]
    while len(chosen) < count:
        chosen.append(int(np.argmin(nearest)))
        nearest = np.maximum(nearest, vectors @ vectors[chosen[-1]])
    centres = vectors[chosen]
    topic = np.zeros(len(vectors), np.int64)
    for _ in range(_ROUNDS):
        former, topic = topic, np.argmax(vectors @ centres.T, axis=1)
        _, topic = np.unique(topic, return_inverse=True)
        sums = np.zeros((int(topic.max()) + 1, vectors.shape[1]), np.float32)
        np.add.at(sums, topic, vectors)
        centres = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        if np.array_equal(former, topic):
            break
    return topic
