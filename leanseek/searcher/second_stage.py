"""How deep to re-rank: as far as candidates are probable enough to be worth it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np

from leanseek.encode.batches import Deadline
from leanseek.errors import UsageError
from leanseek.rerank import Cascade, Reranker, load_reranker
from leanseek.rerank.base import Reranked
from leanseek.rerank.combined import Depth
from leanseek.rerank.registry import DEFAULT_DEPTH, NONE, reads_windows
from leanseek.types import Float64Array, Hit, Int64Array, Progress

PROBABILITY: Final = 0.02
"""With the packaged model it passes on a sixth (WikiQA) to a half (TREC DL 2019) of 100 hybrid candidates."""
FLOOR: Final = 10
CEILING: Final = 50
"""Half of the depth that is usual without probabilities."""


@dataclass(frozen=True, slots=True)
class RerankDepth:
    """Which candidates of a ranking a re-ranker gets.

    Those whose probability is at least `probability`, wherever they stand; the first `floor` in any case, so that
    a first page is always re-ranked; and no more than the first `ceiling` of these, so that the work has a bound.
    Raises UsageError for a probability outside [0, 1], a negative floor, or a ceiling below 1 or the floor.
    """

    probability: float = PROBABILITY
    floor: int = FLOOR
    ceiling: int = CEILING

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise UsageError(f"the probability to re-rank from is {self.probability}; it must be from 0 to 1")
        if self.floor < 0:
            raise UsageError(f"the floor of the rerank depth is {self.floor}; it must be 0 or more")
        if self.ceiling < max(self.floor, 1):
            raise UsageError(
                f"the ceiling of the rerank depth is {self.ceiling}; it must be at least 1, and at least the "
                f"floor, which is {self.floor}"
            )

    def places(self, probabilities: Float64Array) -> Int64Array:
        """(r,) ascending: the places of those to re-rank, given `probabilities` (c,) in the ranking's order."""
        wanted = probabilities >= self.probability
        wanted[: self.floor] = True
        return np.flatnonzero(wanted)[: self.ceiling]

    def __call__(self, hits: Sequence[Hit]) -> int:
        """How many of the first hits hold all that are to be re-ranked, for what re-ranks only beginnings.

        A hit that no relevance model judged counts as probable: without one the depth is the ceiling.
        """
        chances = [1.0 if hit.probability is None else hit.probability for hit in hits]
        places = self.places(np.array(chances, np.float64))
        return min(int(places[-1]) + 1, self.ceiling) if len(places) else 0


AUTO: Final = "auto"

RerankerChoice: TypeAlias = "Reranker | SecondStage | str | Sequence[Reranker | str] | None"
"""A re-ranker or its name (see `load_reranker`), or several, each judging what the one before puts first; or a
whole second stage."""

DepthChoice: TypeAlias = int | Literal["auto"] | RerankDepth
"""How many hits are re-ranked: a number, or as many as are probable enough; `auto` is `RerankDepth()`."""


class SecondStage:
    """Re-ranks what a search has found. Thread-safe where its re-rankers are."""

    def __init__(
        self,
        cascade: Cascade,
        budget: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        adaptive: bool = False,
    ) -> None:
        """`budget` is how many seconds a query's re-ranking may take by the `clock`; None: as long as it takes.

        With `adaptive` the depth of the re-ranker is how many passages it scores, and its scores decide which, see
        `leanseek.rerank.adaptive`.

        Raises UsageError for a budget below 0, or with `adaptive` for several re-rankers, a depth that is no number,
        or a re-ranker whose scores of different calls cannot be compared.
        """
        if adaptive:
            check_adaptive(cascade)
        self.cascade = cascade
        self.adaptive = adaptive
        self._budget = budget
        self._clock = clock
        self._lock = threading.Lock()
        self._queries = self._late = 0
        self._judged = self._asked = 0
        if budget is not None:
            Deadline(budget, clock)

    @property
    def reach(self) -> int:
        """How many hits are to be found, so that every re-ranker has as many as it may judge."""
        return max(furthest(depth) for _, depth in self.cascade.steps)

    @property
    def by_probability(self) -> bool:
        """Whether the hits' probabilities say how many are judged."""
        return any(isinstance(depth, RerankDepth) for _, depth in self.cascade.steps)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the re-rankers have to say, and how many queries they did not finish in time."""
        with self._lock:
            late, queries, judged, asked = self._late, self._queries, self._judged, self._asked
        if not late:
            return self.cascade.notes
        of = f"{late:,} of {queries:,} {'query' if queries == 1 else 'queries'}"
        rest = "the others stand below as they were found" if judged else "they stand as they were found"
        if self._budget is None:
            # Such as a query in which a model finds nothing to compare.
            told = f"not every hit of {of} could be judged: {judged:,} of {asked:,} were, and {rest}"
        else:
            told = (
                f"time was up for {of}: {judged:,} of {asked:,} hits were re-ranked within the budget of "
                f"{spoken(self._budget)} a query, and {rest}"
            )
        return (*self.cascade.notes, told)

    def check_mode(self, mode: str) -> None:
        """Raise UsageError for adaptive re-ranking of a sparse search, which has no vectors to go by."""
        if self.adaptive and mode in ("sparse", "learned", "ngram"):
            raise UsageError(
                f"adaptive re-ranking goes by the vectors of the index, and this search is {mode}: search with mode "
                "hybrid or dense, index again with an encoder if there are no vectors, or leave adaptive out"
            )

    def deadline(self) -> Deadline | None:
        """When a query's re-ranking that begins now must end; None: it may take as long as it takes."""
        return Deadline(self._budget, self._clock) if self._budget is not None else None

    def record(self, results: Sequence[Reranked]) -> None:
        """Count the results of queries, which `notes` report."""
        with self._lock:
            self._queries += len(results)
            self._late += sum(one.reached < one.asked for one in results)
            self._judged += sum(one.reached for one in results)
            self._asked += sum(one.asked for one in results)

    def rerank(
        self, queries: Sequence[str], hits: Sequence[Sequence[Hit]], progress: Progress | None = None
    ) -> list[Reranked]:
        """Each query's hits in a better order. With a budget every query has its own, one after the other.

        `progress` is told of hits.
        """
        if self._budget is None:
            found = self.cascade.rerank_batch(queries, hits, progress=progress)
        else:
            found = []
            total, done = sum(map(len, hits)), 0
            for query, given in zip(queries, hits, strict=True):
                deadline = self.deadline()
                tell = progress
                if progress is not None and len(queries) > 1:
                    tell = part_of(progress, done, len(given), total)
                found += self.cascade.rerank_batch([query], [given], progress=tell, deadline=deadline)
                done += len(given)
        self.record(found)
        return found


def part_of(progress: Progress, before: int, part: int, total: int) -> Progress:
    """Tells of a query's judgments as of its `part` hits, which follow the first `before` of `total`."""
    return lambda stage, done, of: progress(stage, before + part * done // max(of or 0, 1), total)


def spoken(seconds: float) -> str:
    """A length of time as `--rerank-budget` takes it: 200ms, 1.5s."""
    return f"{seconds * 1000:g}ms" if seconds < 1 else f"{seconds:g}s"


def choose_second_stage(
    reranker: RerankerChoice,
    depth: DepthChoice | Sequence[DepthChoice] | None = None,
    budget: float | None = None,
    device: str | None = None,
    *,
    long: str | None = None,
    cache: bool = True,
    index: Path | None = None,
    adaptive: bool = False,
    progress: Progress | None = None,
) -> SecondStage | None:
    """The second stage of the re-rankers, given or by name, each with its depth (100 where none is given).

    None for no re-ranker, or the name `none`. `device`, `long`, `cache`, `index` and `progress` are for those given by
    name, see `load_reranker`; `long` is for those of them that it can be chosen for. `adaptive`: see `SecondStage`.

    Raises UsageError for depths without re-rankers, more of them than re-rankers, an unknown name, `none` beside
    others, a depth that is none, a `long` that is for none of them or an `adaptive` that is not for them, and what
    loading a model raises.
    """
    if isinstance(reranker, SecondStage):
        if depth is not None or budget is not None or adaptive:
            raise UsageError("a second stage has its depths and its budget; give it alone")
        return reranker
    asked = [reranker] if isinstance(reranker, str) or not isinstance(reranker, Sequence) else list(reranker)
    if NONE in asked and any(one != NONE for one in asked):
        raise UsageError(f"'{NONE}' stands for no re-ranker; leave out either it or the others")
    if asked == [None] or NONE in asked:
        asked = []
    depths = [depth] if isinstance(depth, int | str | RerankDepth) else list(depth or ())
    if not asked:
        options = (
            ("a depth", bool(depths)),
            ("a budget", budget is not None),
            ("a way of reading", long is not None),
        )
        for what, given in options:
            if given:
                raise UsageError(
                    f"{what} for re-ranking goes with a re-ranker; name one, such as cross-encoder:MODEL"
                )
        if adaptive:
            raise UsageError("adaptive re-ranking needs a re-ranker; name one, such as cross-encoder:MODEL")
        return None
    if len(depths) > len(asked):
        raise UsageError(f"there are {len(depths)} depths for {len(asked)} re-rankers; give at most one each")
    every = [*map(check_depth, depths), *[DEFAULT_DEPTH] * (len(asked) - len(depths))]
    if adaptive:
        # Loading models that are then refused can take long.
        check_adaptive_depths(every)
    names = [one for one in asked if isinstance(one, str)]
    if long is not None and not names:
        raise UsageError("a way of reading goes with re-rankers given by name; give it to load_reranker")
    some_read_windows = any(map(reads_windows, names))
    steps: list[tuple[Reranker, Depth]] = []
    for one, its in zip(asked, every, strict=True):
        if isinstance(one, Cascade):
            if len(asked) > 1 or depths:
                raise UsageError("a cascade has its depths; give it alone, without rerank_depth")
            return SecondStage(one, budget, adaptive=adaptive)
        if isinstance(one, str):
            # Where it can be chosen for none of them, loading the first tells so.
            way = long if reads_windows(one) or not some_read_windows else None
            one = load_reranker(one, device, long=way, cache=cache, index=index, progress=progress)
        if one is None:
            raise UsageError("None is no re-ranker; leave it out")
        steps.append((one, its))
    return SecondStage(Cascade(steps), budget, adaptive=adaptive)


def check_adaptive(cascade: Cascade) -> None:
    """Raise UsageError for re-rankers or depths that adaptive re-ranking does not take."""
    from leanseek.rerank.adaptive import check_scorer

    check_adaptive_depths([depth for _, depth in cascade.steps])
    check_scorer(cascade.steps[0].reranker)


def check_adaptive_depths(depths: Sequence[Depth]) -> None:
    """Raise UsageError unless there is one depth and it is a number."""
    if len(depths) > 1:
        raise UsageError(
            f"adaptive re-ranking takes a single re-ranker, and {len(depths)} are given; leave out the others"
        )
    if not isinstance(depths[0], int):
        raise UsageError(
            "the depth of adaptive re-ranking is how many passages are scored; give a whole number, at least 1, "
            "rather than auto"
        )


def furthest(depth: Depth) -> int:
    """The most hits that a depth can mean."""
    if isinstance(depth, int):
        return depth
    return depth.ceiling if isinstance(depth, RerankDepth) else DEFAULT_DEPTH


def check_depth(depth: DepthChoice) -> int | RerankDepth:
    """The depth itself, `RerankDepth()` for auto. Raises UsageError for what is none."""
    if isinstance(depth, RerankDepth):
        return depth
    if depth == AUTO:
        return RerankDepth()
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        raise UsageError(
            f"the depth of re-ranking is {depth!r}; it must be a whole number, at least 1, or 'auto'"
        )
    return depth
