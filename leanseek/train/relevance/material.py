"""Gathering what is learned from: lists of a collection's own queries, of parts of it, and of foreign queries."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from leanseek.eval.relevance.judged_lists import JudgedList, JudgedQueries, judged_lists
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.fusion.registry import load_fusion
from leanseek.searcher.relevance.model import Judged
from leanseek.train.relevance.samples import Sample, sample
from leanseek.types import BoolArray, Float32Array, Int64Array

MOST_QUERIES: Final = 1000
"""More of one collection teach little more, since all collections count alike."""

PARTS: Final = 6
LEAST_PART: Final = 150
FOREIGN: Final = 80
"""Queries of each other collection."""

ALIKE: Final = 0.85
"""A passage that nobody judged is likely to be relevant where its cosine with a relevant one is at least that."""


class Lists(NamedTuple):
    """Samples of the lists of a collection's own queries, of the same among fewer passages, and of foreign queries."""

    own: list[Sample]
    fewer: list[Sample]
    foreign: list[Sample]


class Material(NamedTuple):
    """An index with its judged queries, called `name` (as `scifact:train`)."""

    name: str
    snapshot: Snapshot
    queries: JudgedQueries


def gather(material: Material, others: Sequence[JudgedQueries], mode: Judged, seed: int) -> Lists:
    """Samples for one collection; `others` are the judged queries of the other ones."""
    rng = np.random.default_rng([seed, zlib.crc32(material.name.encode())])
    snapshot, queries = material.snapshot, material.queries
    if len(queries.texts) > MOST_QUERIES:
        queries = queries.take(np.sort(rng.choice(len(queries.texts), MOST_QUERIES, replace=False)))
    fusion = load_fusion("convex")
    own, ceiling = [], []
    for row, found in enumerate(judged_lists(snapshot, queries, mode, fusion)):
        own.append(sample(found, likely(snapshot, found, queries.relevant[row]), rng))
        ceiling.extend(found.evidence.dense.cosines[found.relevant].tolist())
    fewer = []
    for part, allowed in parts(snapshot, queries, rng):
        for row, found in enumerate(judged_lists(snapshot, part, mode, fusion, allowed=allowed)):
            fewer.append(sample(found, likely(snapshot, found, part.relevant[row]), rng))
    foreign = []
    highest = float(np.median(ceiling)) if ceiling else np.inf
    for other in others:
        rows = np.sort(rng.choice(len(other.texts), min(FOREIGN, len(other.texts)), replace=False))
        strangers = other.take(rows)._replace(relevant=tuple(np.zeros(0, np.int64) for _ in rows))
        for found in judged_lists(snapshot, strangers, mode, fusion):
            # What is as close as half of the relevant ones may well answer a query that came from elsewhere.
            if not len(found.ordinals) or found.evidence.dense.listed[0] <= highest:
                foreign.append(sample(found, np.zeros(len(found.ordinals), np.bool_), rng))
    return Lists(own, fewer, foreign)


def parts(
    snapshot: Snapshot, queries: JudgedQueries, rng: np.random.Generator
) -> Iterator[tuple[JudgedQueries, BoolArray]]:
    """The queries dealt out to `PARTS` smaller corpora (n,) that hold their relevant passages, from `LEAST_PART` on."""
    live = snapshot.live if snapshot.live is not None else np.ones(snapshot.size, np.bool_)
    count = int(np.count_nonzero(live))
    for rows in np.array_split(rng.permutation(len(queries.texts)), PARTS):
        size = round(float(np.exp(rng.uniform(np.log(LEAST_PART), np.log(max(count, LEAST_PART + 1))))))
        some = queries.take(np.sort(rows[: max(size // 4, 20)]))
        if not len(some.texts):
            continue
        allowed = np.zeros(snapshot.size, np.bool_)
        allowed[np.concatenate(some.relevant)] = True
        rest = np.flatnonzero(live & ~allowed)
        missing = min(max(size - int(np.count_nonzero(allowed)), 0), len(rest))
        allowed[rng.choice(rest, missing, replace=False)] = True
        yield some, allowed


def likely(snapshot: Snapshot, found: JudgedList, relevant: Int64Array) -> BoolArray:
    """(c,) the candidates that are alike enough to a relevant passage to be relevant themselves."""
    near = np.zeros(len(found.ordinals), np.bool_)
    for vector in stored_vectors(snapshot, relevant):
        near |= snapshot.dense_score(vector, found.ordinals) >= ALIKE
    return near


def stored_vectors(snapshot: Snapshot, ordinals: Int64Array) -> Float32Array:
    """(c, D) the vectors of passages at global ordinals (c,)."""
    vectors: list[Float32Array] = [np.zeros(0, np.float32)] * len(ordinals)
    for number, mine in snapshot.passages.by_segment(ordinals):
        dense = snapshot.segments[number].dense
        if dense is not None:
            for place, vector in zip(
                mine.tolist(), dense.vectors(ordinals[mine] - snapshot.passages.bases[number]), strict=True
            ):
                vectors[place] = vector
    return np.array(vectors, np.float32)
