"""The protocol of re-rankers, and the order that scores put hits into."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from leanseek.encode.batches import Deadline as Deadline
from leanseek.encode.batches import parse_budget as parse_budget
from leanseek.encode.corpus import TruncationReport
from leanseek.errors import ModelError, UsageError
from leanseek.types import Float64Array, Hit, Progress, Standing

SEARCH = "search"
"""The name of the first stage in a hit's history."""

BLOCK = 64
"""Queries whose hits are read together: sorted by length, and each text once."""


class Reranked(NamedTuple):
    """One query's hits in their new order: `reached` of the `asked` hits to be scored were scored in time."""

    hits: list[Hit]
    reached: int
    asked: int


class Judged(NamedTuple):
    """A re-ranker's `scores` (n,) of n hits in the order given, NaN for a hit that it did not score.

    `probabilities` (n,) are calibrated P(relevant) in [0, 1]; None where no calibration is known.
    """

    scores: Float64Array
    probabilities: Float64Array | None = None


class Reranker(Protocol):
    """Puts hits into a better order.

    Every implementation returns the hits given, each once: first those that it scored, by descending score, equal
    scores by id; then the others in the order given. The result for a query does not depend on the other queries of
    the call.
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
        """Sentences for people about the work so far: what was cut, split or done in smaller parts."""
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

        After the `deadline` no more hits are scored: each list is in the best order that was reached in time.
        """
        ...


class ByScore(ABC):
    """A re-ranker that gives each hit a score: all of `Reranker` except the scoring itself."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What `load_reranker` takes to load this one again."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hex digest of everything that shapes a score."""

    @property
    @abstractmethod
    def notes(self) -> tuple[str, ...]:
        """Sentences for people about the work so far."""

    @property
    def alone(self) -> bool:
        """Whether a hit's score is independent of the other hits of the call, which adaptive re-ranking needs."""
        return True

    @abstractmethod
    def judge(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        *,
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> list[Judged]:
        """The scores of each query's hits; NaN for the hits that are not scored by the deadline."""

    def trust(self, hits: Sequence[Hit]) -> float:
        """How much these hits are of the kind that it was made for, in [0, 1]: what a mix weighs its scores by."""
        return 1.0

    def without_search(self) -> ByScore:
        """This re-ranker without the part that the search's own score has in its scores; itself where there is none."""
        return self

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
        return [reorder(given, scored, self.name) for given, scored in zip(hits, judged, strict=True)]


def check_lists(queries: Sequence[str], hits: Sequence[Sequence[Hit]]) -> None:
    """Raise UsageError where there is not one list of hits for each query."""
    if isinstance(queries, str):
        raise UsageError("queries must be a list of strings; `rerank` takes a single one")
    if len(queries) != len(hits):
        raise UsageError(f"there are {len(queries)} queries and {len(hits)} lists of hits; give one each")
    if any(isinstance(one, Hit) for one in hits):
        raise UsageError("the hits of each query must be a list of their own; `rerank` takes a single one")


class QueryBlock(NamedTuple):
    """Some queries with their hits; `report` tells the caller's progress how many of these hits are done."""

    queries: Sequence[str]
    hits: Sequence[Sequence[Hit]]
    report: Callable[[int], None]


def in_blocks(
    queries: Sequence[str],
    hits: Sequence[Sequence[Hit]],
    progress: Progress | None,
    deadline: Deadline | None,
) -> Iterator[QueryBlock]:
    """The queries in blocks whose hits are read together. Under a deadline all lists advance together, in one block."""
    total, done = sum(map(len, hits)), 0
    step = BLOCK if deadline is None else max(len(queries), 1)
    for start in range(0, len(queries), step):
        block = hits[start : start + step]

        def report(count: int, before: int = done) -> None:
            if progress is not None:
                progress("re-ranking", before + count, total)

        yield QueryBlock(queries[start : start + step], block, report)
        report(sum(map(len, block)))
        done += sum(map(len, block))


def reorder(hits: Sequence[Hit], judged: Judged, by: str) -> Reranked:
    """The hits in the order of the scores of the re-ranker named `by`; equal scores by id, then by passage.

    Hits without a score follow in their order. Where their scores would be above, all of them are lowered alike, so
    that the best of them is 1 below the last scored one. A hit's probability becomes the re-ranker's where there is
    one. The hit's rank before is added to its history.

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
        chance = math.nan if judged.probabilities is None else float(judged.probabilities[place])
        ordered.append(
            replace(
                hit,
                rank=rank,
                score=score,
                probability=hit.probability if math.isnan(chance) else chance,
                history=(*past(hit), Standing(by, rank, score)),
            )
        )
    rest = [hit for place, hit in enumerate(hits) if math.isnan(scores[place])]
    return Reranked(append(ordered, rest), len(reached), len(hits))


def append(ordered: Sequence[Hit], rest: Sequence[Hit]) -> list[Hit]:
    """`rest` below `ordered`, with ranks that go on and scores that descend."""
    excess = excess_over(ordered[-1].score, rest[0].score) if ordered and rest else 0.0
    return [
        *ordered,
        *(
            replace(hit, rank=rank, score=hit.score - excess, history=past(hit) if ordered else hit.history)
            for rank, hit in enumerate(rest, len(ordered) + 1)
        ),
    ]


def excess_over(last: float, following: float) -> float:
    """How much lower the scores must be that follow the last one, so that the best of them is 1 below it."""
    return max(0.0, following - (last - 1.0))


def cut_note(cut: TruncationReport) -> str | None:
    """What was cut off passages, for people; None where nothing was."""
    if not cut.truncated or cut.max_tokens is None:
        return None
    return (
        f"{cut.truncated:,} of {cut.documents:,} passages were longer than the model's {cut.max_tokens:,} tokens "
        "and were read up to there; split documents with --chunk to have all of them read"
    )


def past(hit: Hit) -> tuple[Standing, ...]:
    """A hit's history, which begins with the search."""
    return hit.history or (Standing(SEARCH, hit.rank, hit.score),)


def part(hit: Hit) -> int:
    """The number of the hit's passage in its document."""
    return hit.passage.number if hit.passage is not None else 0
