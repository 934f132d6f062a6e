"""How well the tokens of a query find their like in a passage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leanseek.types import Float32Array, Float64Array

LEAST = -1.0
"""MaxSim with a passage that has no tokens: the least that a cosine can be."""


def maxsim(queries: Sequence[Float32Array], passage: Float32Array) -> Float64Array:
    """(n,) MaxSim of n queries' token vectors (q_i, d), q_i > 0, with one passage's (t, d), all of length 1.

    MaxSim(q, p) = 1/|q| * sum over the query's tokens i of max over the passage's tokens j of <q_i, p_j>.
    The mean rather than the sum of the paper, so that it is a cosine's size however long the query is; a query's
    passages are in the same order. A passage without tokens gets -1. (Khattab and Zaharia, "ColBERT: Efficient and
    Effective Passage Search via Contextualized Late Interaction over BERT", SIGIR 2020.)
    """
    if not queries:
        return np.zeros(0)
    if not len(passage):
        return np.full(len(queries), LEAST)
    best = (np.concatenate(queries) @ passage.T).max(axis=1).astype(np.float64)
    lengths = np.array([len(query) for query in queries])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    means: Float64Array = np.add.reduceat(best, starts) / lengths
    return means
