"""The contract between a search and whatever puts its hits into a better order."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from leanseek.encode.batches import Deadline as Deadline
from leanseek.encode.batches import parse_budget as parse_budget
from leanseek.errors import ModelError, UsageError
from leanseek.types import Float64Array, Hit, Progress, Standing

SEARCH = "search"
"""The name of the first stage in a hit's history."""


class Reranked(NamedTuple):
    """One query's hits in their new order. Of `asked` judgments that were wanted, `reached` were made in time."""

    hits: list[Hit]
    reached: int
    asked: int


class Judged(NamedTuple):
    """What a re-ranker says of n hits: `scores` (n,) in the order given, NaN for one that it did not get to.

    `probabilities` (n,) are calibrated P(relevant) in [0, 1]; None where no calibration is known.
    """

    scores: Float64Array
    probabilities: Float64Array | None = None


class Reranker(Protocol):
    """Puts hits into a better order.

    What each keeps: the hits that come back are those given, each once; the ones that were judged stand first,
    by descending score, equal scores by id; the others follow in the order given. What a query's hits get does not
    depend on the other queries of the call.
    """

    @property
    def name(self) -> str:
        """What `load_reranker` takes to load this one again, such as `cross-encoder:MODEL`."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hex digest of everything that shapes a score."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that people should read about the work so far: what was cut, split or done in smaller parts."""
        ...

    def rerank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """The same hits, best first, with new ranks and scores. No hits give none."""
        ...

    def rerank_batch(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        *,
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> list[Reranked]:
        """`rerank` for many queries, each with its hits.

        After the `deadline` no more hits are judged: each list is in the best order that was reached in time.
        """
        ...


class ByScore(ABC):
    """A re-ranker that gives each hit a score: all of `Reranker` but the scoring itself."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What `load_reranker` takes to load this one again."""

    @abstractmethod
    def judge(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        *,
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> list[Judged]:
        """What it says of each query's hits; at the deadline the hits not judged have NaN."""

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
        """`rerank` for many queries, each with its hits.

        Raises UsageError where there is not one list of hits for each query, ModelError for infinite scores.
        """
        check_lists(queries, hits)
        judged = self.judge(queries, hits, progress=progress, deadline=deadline)
        return [reorder(given, said, self.name) for given, said in zip(hits, judged, strict=True)]


def check_lists(queries: Sequence[str], hits: Sequence[Sequence[Hit]]) -> None:
    """Raise UsageError where there is not one list of hits for each query."""
    if isinstance(queries, str):
        raise UsageError("queries must be a list of strings; `rerank` takes a single one")
    if len(queries) != len(hits):
        raise UsageError(f"there are {len(queries)} queries and {len(hits)} lists of hits; give one each")
    if any(isinstance(one, Hit) for one in hits):
        raise UsageError("the hits of each query must be a list of their own; `rerank` takes a single one")


def reorder(hits: Sequence[Hit], judged: Judged, by: str) -> Reranked:
    """The hits in the order of what the re-ranker named `by` says of them.

    Those without a score stay below, in their order. Where their scores would stand above, all of them are
    lowered alike, so that the best of them is 1 below the last one judged. A hit's probability is the
    re-ranker's where it has one, else stays what it was. Where each hit stood is kept in its history.

    Raises ModelError for an infinite score.
    """
    scores = judged.scores
    if len(scores) != len(hits):
        raise ModelError(f"the re-ranker '{by}' gave {len(scores)} scores for {len(hits)} hits")
    if np.isinf(scores).any():
        raise ModelError(f"the re-ranker '{by}' gave infinite scores; they order nothing")
    reached = [place for place in range(len(hits)) if not math.isnan(scores[place])]
    best = sorted(reached, key=lambda place: (-scores[place], hits[place].id, part(hits[place])))
    ordered = []
    for rank, place in enumerate(best, 1):
        hit, score = hits[place], float(scores[place])
        known = judged.probabilities is not None and not math.isnan(judged.probabilities[place])
        ordered.append(
            replace(
                hit,
                rank=rank,
                score=score,
                probability=float(judged.probabilities[place])
                if judged.probabilities is not None and known
                else hit.probability,
                history=(*past(hit), Standing(by, rank, score)),
            )
        )
    rest = [hit for place, hit in enumerate(hits) if math.isnan(scores[place])]
    return Reranked(append(ordered, rest), len(reached), len(hits))


def append(ordered: Sequence[Hit], rest: Sequence[Hit]) -> list[Hit]:
    """`rest` below `ordered`, with ranks that go on and scores that descend."""
    lift = max(0.0, rest[0].score - (ordered[-1].score - 1.0)) if ordered and rest else 0.0
    return [
        *ordered,
        *(
            replace(hit, rank=rank, score=hit.score - lift, history=past(hit) if ordered else hit.history)
            for rank, hit in enumerate(rest, len(ordered) + 1)
        ),
    ]


def past(hit: Hit) -> tuple[Standing, ...]:
    """A hit's history, which begins with the search."""
    return hit.history or (Standing(SEARCH, hit.rank, hit.score),)


def part(hit: Hit) -> int:
    """The number of the hit's passage in its document."""
    return hit.passage.number if hit.passage is not None else 0
