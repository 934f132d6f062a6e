"""Re-rankers one after the other, each judging fewer hits than the one before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from leanseek.encode.fingerprint import derived_fingerprint
from leanseek.errors import UsageError
from leanseek.rerank.base import Reranked, Reranker, append, check_lists
from leanseek.rerank.deadline import Deadline
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
