"""Samples of many lists as arrays: what a fit takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from leanseek.searcher.relevance.base import Evidence
from leanseek.train.relevance.sampling import Sample
from leanseek.types import Float32Array, Float64Array, Int64Array

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
