"""MaxSim of a query's and a passage's tokens, and its mix with other measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np

from leanseek.errors import UsageError
from leanseek.numbers import zscore
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


@dataclass(frozen=True, slots=True)
class Mix:
    """Weights of the measures in a score; a single one is the score itself, several are mixed as z-scores.

    `maxsim`: MaxSim of the tokens; `cosine`: the cosine of the two texts' own vectors; `search`: the score that the
    hit came with. A z-score is the distance from the mean of the query's hits in standard deviations, so that what
    counts is how a measure separates these hits, not how large it is.
    """

    maxsim: float = 1.0
    cosine: float = 0.0
    search: float = 0.0

    def __post_init__(self) -> None:
        if not all(0 <= weight < float("inf") for weight in astuple(self)) or not self.maxsim:
            raise UsageError(
                f"the weights of a mix are {astuple(self)}; they must be 0 or more, and that of MaxSim more than 0"
            )

    def scores(self, maxsim: Float64Array, cosine: Float64Array | None, search: Float64Array) -> Float64Array:
        """(n,) the scores of n hits, from three (n,) that may be NaN alike; NaN where MaxSim is.

        `cosine` is None where the model has no vector for a text as a whole; its weight must then be 0.
        """
        parts = [(self.maxsim, maxsim), (self.search, search)]
        if cosine is not None:
            parts.append((self.cosine, cosine))
        used = [(weight, values) for weight, values in parts if weight]
        if len(used) == 1:
            alone: Float64Array = maxsim.copy()
            return alone
        known = ~np.isnan(maxsim)
        total = sum(weight for weight, _ in used)
        mixed: Float64Array = np.full(len(maxsim), np.nan)
        mixed[known] = sum(weight / total * zscore(values[known]) for weight, values in used)
        return mixed
