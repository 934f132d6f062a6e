"""Which candidates of a list are learned from, and for how many each stands."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from leanseek.eval.relevance.gathering import JudgedList
from leanseek.searcher.relevance.base import Evidence
from leanseek.types import BoolArray, Float32Array, Int64Array

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
