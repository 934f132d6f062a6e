"""A re-ranker whose say counts beside that of the search, not instead of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from leanseek.encode.fingerprint import derived_fingerprint
from leanseek.errors import UsageError
from leanseek.rerank.base import ByScore, Judged, Reranker
from leanseek.rerank.deadline import Deadline
from leanseek.types import Float64Array, Hit, Progress

WEIGHT: Final = 0.35
"""How much the re-ranker's scores count. Chosen on Vaswani and WikiQA's dev split; from .2 to .65 is about as good."""


class Scorer(Reranker, Protocol):
    """A re-ranker that gives hits scores."""

    def judge(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        *,
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> list[Judged]:
        """What it says of each query's hits; NaN for those that it did not get to."""
        ...


class Interpolated(ByScore):
    """Orders hits by `weight` parts of a re-ranker's score and 1 - `weight` parts of the score they came with.

    Both as z-scores over the hits of a list that were judged, so that their scales do not matter. A re-ranker that
    is weaker than the search still knows something that the search does not (Askari et al., Injecting the BM25 Score
    as Text Improves BERT-Based Re-rankers, ECIR 2023, compare such mixes). Probabilities are the re-ranker's.

    >>> Interpolated(load_reranker("cross-encoder")).rerank("do statins help?", hits)
    """

    def __init__(self, reranker: Scorer, weight: float = WEIGHT) -> None:
        """Raises UsageError for a weight outside [0, 1], or a re-ranker without scores, such as a cascade."""
        if not 0.0 <= weight <= 1.0:
            raise UsageError(f"the re-ranker's weight is {weight}; it must be from 0 to 1")
        if not hasattr(reranker, "judge"):
            raise UsageError(
                "only a re-ranker that scores hits can be mixed with the search; give a single one"
            )
        self.reranker = reranker
        self.weight = weight

    @property
    def name(self) -> str:
        """`interpolated:` and the re-ranker's name; a weight of one's own stands behind in brackets."""
        own = f" (weight {self.weight:g})" if self.weight != WEIGHT else ""
        return f"interpolated:{self.reranker.name}{own}"

    @property
    def fingerprint(self) -> str:
        """Hex digest of the re-ranker's and the weight."""
        return derived_fingerprint(self.reranker.fingerprint, f"interpolated {self.weight!r}")

    @property
    def notes(self) -> tuple[str, ...]:
        """What the re-ranker has to say."""
        return self.reranker.notes

    def judge(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        *,
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> list[Judged]:
        """The mixed scores; NaN for hits that the re-ranker did not get to."""
        found = self.reranker.judge(queries, hits, progress=progress, deadline=deadline)
        return [self._mixed(given, said) for given, said in zip(hits, found, strict=True)]

    def _mixed(self, hits: Sequence[Hit], said: Judged) -> Judged:
        scores = np.full(len(hits), np.nan)
        judged = ~np.isnan(said.scores)
        before = np.array([hit.score for hit in hits], np.float64)
        if judged.any():
            scores[judged] = (1.0 - self.weight) * standard(before[judged]) + self.weight * standard(
                said.scores[judged]
            )
        return Judged(scores, said.probabilities)


def standard(scores: Float64Array) -> Float64Array:
    """(n,) the scores less their mean, in standard deviations; zeros where all are the same."""
    spread = float(scores.std())
    return (scores - scores.mean()) / spread if spread > 0.0 else np.zeros_like(scores)


def load(
    model: str | None,
    device: str | None = None,
    *,
    long: str | None = None,
    cache: bool = True,
    index: Path | None = None,
) -> Interpolated:
    """The re-ranker for `interpolated:NAME`, where NAME is another's. Raises what `load_reranker` does."""
    from leanseek.rerank.registry import load_reranker

    if model is None:
        raise UsageError(
            "name the re-ranker that is mixed with the search, such as interpolated:cross-encoder"
        )
    inner: Any = load_reranker(model, device, long=long, cache=cache, index=index)
    return Interpolated(inner)
