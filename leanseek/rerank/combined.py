"""Re-rankers made of others: one after the other, or mixed with the search's own score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import numpy as np

from leanseek.encode.batches import Deadline
from leanseek.encode.models import derived_fingerprint
from leanseek.errors import UsageError
from leanseek.numbers import zscore
from leanseek.rerank.base import ByScore, Judged, Reranked, Reranker, append, check_lists
from leanseek.types import Hit, Progress

Depth: TypeAlias = int | Callable[[Sequence[Hit]], int]
"""How many of the hits are re-ranked: a number, or what tells it from the hits in their present order."""


class Step(NamedTuple):
    """A re-ranker and how many of the hits it judges; the rest stay below in their order."""

    reranker: Reranker
    depth: Depth


class Cascade:
    """A `Reranker` made of several: each re-ranks the best hits that the one before it left.

    >>> Cascade([(quick, 100), (careful, 20)]).rerank("do statins help?", hits)
    """

    def __init__(self, steps: Sequence[tuple[Reranker, Depth]]) -> None:
        """Raises UsageError for no steps at all or a depth below 1."""
        if not steps:
            raise UsageError("a cascade needs at least one re-ranker with its depth")
        self.steps = tuple(Step(*step) for step in steps)
        for reranker, depth in self.steps:
            if isinstance(depth, int) and depth < 1:
                raise UsageError(f"the depth of '{reranker.name}' is {depth}; it must be at least 1")

    @property
    def name(self) -> str:
        """The names of the re-rankers and their depths, such as `A@100, B@20`."""
        return ", ".join(
            f"{reranker.name}@{depth if isinstance(depth, int) else 'auto'}" for reranker, depth in self.steps
        )

    @property
    def fingerprint(self) -> str:
        """Hex digest of all re-rankers and depths."""
        digest = ""
        for reranker, depth in self.steps:
            digest = derived_fingerprint(digest, f"{reranker.fingerprint}@{depth!r}")
        return digest

    @property
    def notes(self) -> tuple[str, ...]:
        """What all of the re-rankers have to say."""
        return tuple(note for reranker, _ in self.steps for note in reranker.notes)

    def rerank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """The same hits, best first, with new ranks and scores. No hits give none."""
        return self.rerank_batch([query], [hits])[0].hits

    def rerank_batch(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        *,
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> list[Reranked]:
        """`rerank` for many queries. All steps share the deadline; `reached` and `asked` are those of all steps.

        Raises UsageError where there is not one list of hits for each query, and what the re-rankers raise.
        """
        check_lists(queries, hits)
        lists = [list(given) for given in hits]
        reached, asked = [0] * len(lists), [0] * len(lists)
        for reranker, depth in self.steps:
            heads = [given[: reach(depth, given)] for given in lists]
            found = reranker.rerank_batch(queries, heads, progress=progress, deadline=deadline)
            reached = [before + one.reached for before, one in zip(reached, found, strict=True)]
            asked = [before + one.asked for before, one in zip(asked, found, strict=True)]
            lists = [
                append(one.hits, given[len(head) :]) if one.reached else given
                for one, head, given in zip(found, heads, lists, strict=True)
            ]
        return list(map(Reranked, lists, reached, asked))


def reach(depth: Depth, hits: Sequence[Hit]) -> int:
    """How many of the hits a step judges."""
    return min(depth if isinstance(depth, int) else depth(hits), len(hits))


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
            scores[judged] = (1.0 - self.weight) * zscore(before[judged]) + self.weight * zscore(
                said.scores[judged]
            )
        return Judged(scores, said.probabilities)


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
