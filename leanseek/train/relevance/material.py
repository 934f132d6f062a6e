"""Training examples of a relevance model: samples of candidate lists, weighted, and their features as arrays."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from leanseek.eval.relevance.judged_lists import JudgedList, JudgedQueries, judged_lists
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.fusion.registry import load_fusion
from leanseek.searcher.relevance.features import Evidence
from leanseek.searcher.relevance.model import Judged
from leanseek.types import BoolArray, Float32Array, Float64Array, Int64Array

HEAD: Final = 32
STRATA: Final = 48
RELEVANT: Final = 16
WIDTH: Final = HEAD + STRATA + RELEVANT
MOST_QUERIES: Final = 1000
"""Queries of one collection at most: all collections have the same weight, so more would add little."""

PARTS: Final = 6
LEAST_PART: Final = 150
FOREIGN: Final = 80
"""Queries of each other collection."""

ALIKE: Final = 0.85
"""A passage without a judgment is taken as likely relevant from this cosine with a relevant one on."""

Features = Callable[[Evidence], tuple[Float64Array, Float64Array]]
"""Candidate features (c, f) and list features (g,) of the evidence on c candidates."""


class Sample(NamedTuple):
    """`WIDTH` candidates of one list: the `evidence` on them alone, whether each is relevant, and its weight.

    A weight is the number of candidates of the list that one represents; 0 for one that only fills the row.
    """

    evidence: Evidence
    labels: Float32Array
    weights: Float32Array


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


class Examples(NamedTuple):
    """n lists of c candidates: `candidates` (n, c, f), `lists` (n, g), `labels` and `weights` (n, c)."""

    candidates: Float32Array
    lists: Float32Array
    labels: Float32Array
    weights: Float32Array

    def take(self, rows: Int64Array) -> Examples:
        """The same for some of the lists."""
        return Examples(*(array[rows] for array in self))


class Source(NamedTuple):
    """The examples of one collection: its own queries, the same among fewer passages, those of other collections.

    `own` and `fewer` hold lists with relevant candidates, `foreign` (None: there is no other collection) lists
    without any.
    """

    own: Examples
    fewer: Examples
    foreign: Examples | None


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
            # A passage as close as half of the relevant ones may well answer the foreign query.
            if not len(found.ordinals) or found.evidence.dense.listed[0] <= highest:
                foreign.append(sample(found, np.zeros(len(found.ordinals), np.bool_), rng))
    return Lists(own, fewer, foreign)


def parts(
    snapshot: Snapshot, queries: JudgedQueries, rng: np.random.Generator
) -> Iterator[tuple[JudgedQueries, BoolArray]]:
    """The queries split among `PARTS` smaller corpora, masks (n,) of at least `LEAST_PART` passages, which hold the
    queries' relevant ones."""
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


def examples(samples: Sequence[Sample], features: Features) -> Examples:
    """The samples' features, labels and weights as arrays."""
    seen = [features(one.evidence) for one in samples]
    return Examples(
        np.array([candidates for candidates, _ in seen], np.float32),
        np.array([whole for _, whole in seen], np.float32),
        np.array([one.labels for one in samples], np.float32),
        np.array([one.weights for one in samples], np.float32),
    )


def split(count: int, share: float, rng: np.random.Generator) -> tuple[Int64Array, Int64Array]:
    """Rows, ascending, to learn from and to hold out: the given share of `count`, at least one of each."""
    order = rng.permutation(count)
    held = min(max(round(count * share), 1), count - 1)
    return np.sort(order[held:]), np.sort(order[:held])
