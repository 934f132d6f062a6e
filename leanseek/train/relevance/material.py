"""Training examples of a relevance model: the lists of judged queries, and samples of them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from leanseek.eval.relevance.judged_lists import JudgedList, JudgedQueries, judged_lists
from leanseek.indexing.background import LISTED, list_level
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.fusion.registry import load_fusion
from leanseek.searcher.relevance.features import (
    Evidence,
    Usual,
    completed,
    dense_zscore,
    lexical_zscore,
    matched_share,
)
from leanseek.searcher.relevance.model import Judged
from leanseek.types import BoolArray, Float32Array, Int64Array

HEAD: Final = 32
STRATA: Final = 48
RELEVANT: Final = 16
WIDTH: Final = HEAD + STRATA + RELEVANT
MOST_QUERIES: Final = 500
"""Queries of one collection at most: all collections have the same weight, so more would add little."""
DRAWN: Final = 32
"""Queries whose cosines with any passage show what is usual."""

ALIKE: Final = 0.85
"""A passage without a judgment is taken as likely relevant from this cosine with a relevant one on."""


class Sample(NamedTuple):
    """`WIDTH` candidates of one list: the `evidence` on them alone, whether each is relevant, and its weight.

    A weight is the number of candidates of the list that one represents; 0 for one that only fills the row.
    """

    evidence: Evidence
    labels: Float32Array
    weights: Float32Array


class Candidates(NamedTuple):
    """All c candidates of a query: the terms of their strength (see `ListCurve`), (c,) each, and the z scores (l,) of
    the dense list they are seen in; which are `relevant`, and which `count`: not those that are likely relevant but
    not judged. `score` (c,) is what the list is ordered by, `level` how close it is as a whole (see `list_level`)."""

    z: Float32Array
    lexical: Float32Array
    matched: Float32Array
    listed: Float32Array
    relevant: BoolArray
    counts: BoolArray
    score: Float32Array
    level: float


class Material(NamedTuple):
    """An index with its judged queries, called `name` (as `scifact:train`)."""

    name: str
    snapshot: Snapshot
    queries: JudgedQueries


def chosen_queries(material: Material, seed: int) -> JudgedQueries:
    """At most `MOST_QUERIES` of them."""
    queries, rng = material.queries, np.random.default_rng([seed, zlib.crc32(material.name.encode())])
    if len(queries.texts) <= MOST_QUERIES:
        return queries
    return queries.take(np.sort(rng.choice(len(queries.texts), MOST_QUERIES, replace=False)))


def usual_cosines(snapshot: Snapshot, vectors: Float32Array) -> Usual:
    """Mean and standard deviation of the cosines of queries (m, D) with passages drawn at random."""
    drawn = np.random.default_rng(0).choice(snapshot.size, min(snapshot.size, LISTED), replace=False)
    cosines = np.concatenate([snapshot.dense_score(vector, np.sort(drawn)) for vector in vectors[:DRAWN]])
    return Usual(float(cosines.mean(dtype=np.float64)), float(cosines.std(dtype=np.float64)))


def gather(snapshot: Snapshot, queries: JudgedQueries, mode: Judged, usual: Usual) -> list[Candidates]:
    """The candidates of each query."""
    found = []
    for row, one in enumerate(judged_lists(snapshot, queries, mode, load_fusion("convex"))):
        near = likely(snapshot, one, queries.relevant[row])
        found.append(candidates(one, near, usual))
    return found


def candidates(found: JudgedList, near: BoolArray, usual: Usual) -> Candidates:
    """One query's candidates; `near` (c,) are those that are likely relevant."""
    dense, sparse = found.evidence.dense, found.evidence.sparse
    listed = dense.listed if len(dense.listed) else np.sort(dense.cosines)[::-1]
    z, z_listed = dense_zscore(dense.cosines, completed(listed, usual))
    lexical = matched = np.zeros(len(z))
    if sparse is not None:
        lexical = lexical_zscore(sparse.scores, sparse.listed, found.evidence.size)
        matched = matched_share(sparse.scores, sparse.idf)
    return Candidates(
        z.astype(np.float32),
        lexical.astype(np.float32),
        matched.astype(np.float32),
        z_listed.astype(np.float32),
        found.relevant,
        found.relevant | ~near,
        found.scores.astype(np.float32),
        list_level(listed),
    )


def samples(material: Material, queries: JudgedQueries, seed: int) -> Iterator[Sample]:
    """Samples of the dense lists, for the published form."""
    rng = np.random.default_rng([seed, zlib.crc32(material.name.encode()), 1])
    found = judged_lists(material.snapshot, queries, "dense", load_fusion("convex"))
    for row, one in enumerate(found):
        yield sample(one, likely(material.snapshot, one, queries.relevant[row]), rng)


def likely(snapshot: Snapshot, found: JudgedList, relevant: Int64Array) -> BoolArray:
    """(c,) which candidates are so close to a relevant passage that they are likely relevant themselves."""
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


def sample(found: JudgedList, left_out: BoolArray, rng: np.random.Generator) -> Sample:
    """The first `HEAD` candidates of a list, one of each of `STRATA` ever wider parts of the rest, and the first
    `RELEVANT` relevant ones of the rest.

    `left_out` (c,) are candidates without a judgment that are likely to be relevant: they have no weight.
    """
    places, weights = chosen(found.relevant, rng)
    weights[left_out[places] & ~found.relevant[places]] = 0.0
    evidence = found.evidence
    dense = evidence.dense._replace(cosines=evidence.dense.cosines[places])
    sparse = evidence.sparse
    if sparse is not None:
        sparse = sparse._replace(scores=sparse.scores[places])
    return Sample(Evidence(dense, sparse, evidence.size), found.relevant[places].astype(np.float32), weights)


def chosen(relevant: BoolArray, rng: np.random.Generator) -> tuple[Int64Array, Float32Array]:
    """Places (WIDTH,) in a list of c candidates, and their weights; they are those of `Sample`."""
    count = len(relevant)
    head = min(HEAD, count)
    edges = np.unique(np.round(np.geomspace(head, count, STRATA + 1)).astype(np.int64))
    low, high = edges[:-1], edges[1:]
    tail = low + np.floor(rng.random(len(low)) * (high - low)).astype(np.int64)
    # A relevant candidate represents itself alone, whether its stratum drew it or not.
    extra = head + np.flatnonzero(relevant[head:])[:RELEVANT]
    places = np.concatenate([np.arange(head), tail, extra])
    weights = np.concatenate([np.ones(head), (high - low) * ~relevant[tail], np.ones(len(extra))])
    room = WIDTH - len(places)
    filled = np.concatenate([places, np.zeros(room, np.int64)])
    return filled, np.concatenate([weights, np.zeros(room)]).astype(np.float32)


def split(count: int, share: float, rng: np.random.Generator) -> tuple[Int64Array, Int64Array]:
    """Rows, ascending, to learn from and to hold out: the given share of `count`, at least one of each."""
    order = rng.permutation(count)
    held = min(max(round(count * share), 1), count - 1)
    return np.sort(order[held:]), np.sort(order[:held])
