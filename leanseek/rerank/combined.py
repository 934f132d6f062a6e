"""Re-rankers made of others: one after the other, or mixed with the search's own score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from leanseek.encode.batches import Deadline
from leanseek.encode.models import derived_fingerprint
from leanseek.errors import UsageError
from leanseek.numbers import zscore
from leanseek.rerank.base import ByScore, Judged, Reranked, Reranker, append, check_lists
from leanseek.rerank.registry import RerankOptions, load_by_name, parts, reads_windows
from leanseek.types import Hit, Progress

WEIGHT: Final = 0.35
"""How much the re-ranker's scores count. Chosen on Vaswani and WikiQA's dev split; from .2 to .65 is about as good."""

BLEND_WEIGHT: Final = 0.5
"""The same for several re-rankers together."""

Depth: TypeAlias = int | Callable[[Sequence[Hit]], int]
"""How many of the hits are re-ranked: a number, or a function of the hits in their present order."""


class Step(NamedTuple):
    """A re-ranker and how many of the best hits it re-ranks; the others stay below in their order."""

    reranker: Reranker
    depth: Depth


class Cascade:
    """A `Reranker` made of several: each re-ranks the best hits of the one before it.

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
        """The notes of all re-rankers."""
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
            depths = [depth if isinstance(depth, int) else depth(given) for given in lists]
            heads = [given[:count] for given, count in zip(lists, depths, strict=True)]
            found = reranker.rerank_batch(queries, heads, progress=progress, deadline=deadline)
            reached = [before + one.reached for before, one in zip(reached, found, strict=True)]
            asked = [before + one.asked for before, one in zip(asked, found, strict=True)]
            lists = [
                append(one.hits, given[len(head) :]) if one.reached else given
                for one, head, given in zip(found, heads, lists, strict=True)
            ]
        return list(map(Reranked, lists, reached, asked))


class Interpolated(ByScore):
    """Orders hits by `weight` parts of a re-ranker's score and 1 - `weight` parts of the score they came with.

    Both are z-scores over the hits of a list that the re-ranker scored, so that their scales do not matter. A
    re-ranker that is weaker than the search still knows something that the search does not (Askari et al., Injecting
    the BM25 Score as Text Improves BERT-Based Re-rankers, ECIR 2023, compare such mixes). The search's score counts
    once: one that the re-ranker itself mixes in (see `Mix`) is left out there. A re-ranker that does not `trust` itself
    with such hits counts for less. Probabilities are the re-ranker's.

    >>> Interpolated(load_reranker("cross-encoder")).rerank("do statins help?", hits)
    """

    def __init__(self, reranker: ByScore, weight: float | None = None) -> None:
        """`weight` is `WEIGHT` by default, that of a blend `BLEND_WEIGHT`.

        Raises UsageError for a weight outside [0, 1], or a re-ranker without scores, such as a cascade.
        """
        self._default = BLEND_WEIGHT if isinstance(reranker, Blend) else WEIGHT
        weight = self._default if weight is None else weight
        if not 0.0 <= weight <= 1.0:
            raise UsageError(f"the re-ranker's weight is {weight}; it must be from 0 to 1")
        if not isinstance(reranker, ByScore):
            raise UsageError(
                "only a re-ranker that scores hits can be mixed with the search; give a single one"
            )
        self.reranker = reranker.without_search()
        self.weight = weight

    @property
    def name(self) -> str:
        """`interpolated:` and the re-ranker's name; a weight other than the default follows in brackets."""
        own = f" (weight {self.weight:g})" if self.weight != self._default else ""
        return f"interpolated:{self.reranker.name}{own}"

    @property
    def alone(self) -> bool:
        """False: scores are standardised over the hits of a call."""
        return False

    @property
    def fingerprint(self) -> str:
        """Hex digest of the re-ranker's and the weight."""
        return derived_fingerprint(self.reranker.fingerprint, f"interpolated {self.weight!r} by trust")

    @property
    def notes(self) -> tuple[str, ...]:
        """The re-ranker's notes."""
        return self.reranker.notes

    def without_search(self) -> ByScore:
        """The re-ranker alone."""
        return self.reranker

    def judge(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        *,
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> list[Judged]:
        """The mixed scores; NaN for hits that the re-ranker did not score."""
        found = self.reranker.judge(queries, hits, progress=progress, deadline=deadline)
        return [self._mixed(given, judged) for given, judged in zip(hits, found, strict=True)]

    def _mixed(self, hits: Sequence[Hit], judged: Judged) -> Judged:
        known = ~np.isnan(judged.scores)
        search = np.array([hit.score for hit in hits], np.float64)[known]
        scores = np.full(len(hits), np.nan)
        weight = self.weight * self.reranker.trust(hits)
        scores[known] = (1.0 - weight) * zscore(search) + weight * zscore(judged.scores[known])
        return Judged(scores, judged.probabilities)


class Blend(ByScore):
    """The mean of several re-rankers' scores, each as z-scores over the hits that all of them scored.

    Each counts as much as it trusts itself with the hits, all alike where none does. Probabilities are those of the
    first re-ranker that has some. Without time for all, the hits that one of them did not reach are not scored.

    >>> Interpolated(Blend([load_reranker("cross-encoder"), load_reranker("learned")]))
    """

    def __init__(self, rerankers: Sequence[ByScore]) -> None:
        """Raises UsageError for fewer than two, or one without scores, such as a cascade."""
        if len(rerankers) < 2 or not all(isinstance(one, ByScore) for one in rerankers):
            raise UsageError(
                "a blend needs at least two re-rankers that score hits, such as cross-encoder+learned"
            )
        self.rerankers = tuple(one.without_search() for one in rerankers)

    @property
    def name(self) -> str:
        """The re-rankers' names with `+` between them."""
        return "+".join(one.name for one in self.rerankers)

    @property
    def alone(self) -> bool:
        """False: scores are standardised over the hits of a call."""
        return False

    @property
    def fingerprint(self) -> str:
        """Hex digest of the re-rankers'."""
        digest = ""
        for one in self.rerankers:
            digest = derived_fingerprint(digest, one.fingerprint)
        return digest

    @property
    def notes(self) -> tuple[str, ...]:
        """The re-rankers' notes."""
        return tuple(dict.fromkeys(note for one in self.rerankers for note in one.notes))

    def judge(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        *,
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> list[Judged]:
        """The mean scores; NaN for hits that one of the re-rankers did not score."""
        judged = [one.judge(queries, hits, progress=progress, deadline=deadline) for one in self.rerankers]
        return [self._mean(given, of_query) for given, *of_query in zip(hits, *judged, strict=True)]

    def trust(self, hits: Sequence[Hit]) -> float:
        """The mean of the re-rankers' trust."""
        return float(np.mean([one.trust(hits) for one in self.rerankers]))

    def _mean(self, hits: Sequence[Hit], judged: Sequence[Judged]) -> Judged:
        trusted = np.array([one.trust(hits) for one in self.rerankers])
        table = np.stack([one.scores for one in judged])
        known = ~np.isnan(table).any(axis=0)
        scores = np.full(table.shape[1], np.nan)
        weights = trusted if trusted.any() else np.ones(len(trusted))
        scores[known] = np.average([zscore(row[known]) for row in table], axis=0, weights=weights)
        return Judged(
            scores, next((one.probabilities for one in judged if one.probabilities is not None), None)
        )


def load(options: RerankOptions) -> Interpolated:
    """The re-ranker for `interpolated:NAME` or `interpolated:NAME+NAME`, where NAME is another's.

    Raises what `load_reranker` does.
    """
    if options.model is None:
        raise UsageError(
            "name the re-ranker that is mixed with the search, such as interpolated:cross-encoder"
        )
    names = parts(options.model)
    inner: list[Any] = []
    for name in names:
        long = options.long if len(names) == 1 or reads_windows(name) else None
        inner.append(load_by_name(name, replace(options, long=long, weight=None)))
    return Interpolated(inner[0] if len(inner) == 1 else Blend(inner), options.weight)
