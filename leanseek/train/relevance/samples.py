"""Which candidates of a list are learned from, and for how many each stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from leanseek.eval.relevance.judged_lists import JudgedList
from leanseek.searcher.relevance.features import Evidence
from leanseek.types import BoolArray, Float32Array, Float64Array, Int64Array

HEAD: Final = 32
STRATA: Final = 48
RELEVANT: Final = 16
WIDTH: Final = HEAD + STRATA + RELEVANT


class Sample(NamedTuple):
    """`WIDTH` candidates of one list: the `evidence` on them alone, whether each is relevant, and its weight.

    A weight is for how many candidates of the list one stands; 0 for one that fills the row.
    """

    evidence: Evidence
    labels: Float32Array
    weights: Float32Array


def sample(found: JudgedList, left_out: BoolArray, rng: np.random.Generator) -> Sample:
    """The first `HEAD` candidates of a list, one of each of `STRATA` wider and wider parts of the rest, and the first
    `RELEVANT` relevant ones among these.

    `left_out` (c,) are candidates that nobody judged and that are likely to be relevant: they have no weight.
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
    # A relevant candidate stands for itself alone, whether its stratum drew it or not.
    extra = head + np.flatnonzero(relevant[head:])[:RELEVANT]
    places = np.concatenate([np.arange(head), tail, extra])
    weights = np.concatenate([np.ones(head), (high - low) * ~relevant[tail], np.ones(len(extra))])
    room = WIDTH - len(places)
    filled = np.concatenate([places, np.zeros(room, np.int64)])
    return filled, np.concatenate([weights, np.zeros(room)]).astype(np.float32)


Features = Callable[[Evidence], tuple[Float64Array, Float64Array]]
"""Candidate features (c, f) and list features (g,) of the evidence on c candidates."""


class Examples(NamedTuple):
    """n lists of c candidates: `candidates` (n, c, f), `lists` (n, g), `labels` and `weights` (n, c)."""

    candidates: Float32Array
    lists: Float32Array
    labels: Float32Array
    weights: Float32Array

    def take(self, rows: Int64Array) -> Examples:
        """The same for some of the lists."""
        return Examples(*(array[rows] for array in self))


def examples(samples: Sequence[Sample], features: Features) -> Examples:
    """The samples' features, labels and weights as arrays."""
    seen = [features(one.evidence) for one in samples]
    return Examples(
        np.array([candidates for candidates, _ in seen], np.float32),
        np.array([whole for _, whole in seen], np.float32),
        np.array([one.labels for one in samples], np.float32),
        np.array([one.weights for one in samples], np.float32),
    )


class Source(NamedTuple):
    """What one collection teaches: its own queries, the same among fewer passages, and those of other collections.

    `own` and `fewer` hold lists with relevant candidates, `foreign` (None: there is no other collection) lists
    without any.
    """

    own: Examples
    fewer: Examples
    foreign: Examples | None


def split(count: int, share: float, rng: np.random.Generator) -> tuple[Int64Array, Int64Array]:
    """Rows, ascending, to learn from and to hold out: the given share of `count`, at least one of each."""
    order = rng.permutation(count)
    held = min(max(round(count * share), 1), count - 1)
    return np.sort(order[held:]), np.sort(order[:held])
