"""Every query of a split answered at once: searched for, or a stored run re-ranked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from leanseek.eval.candidates import Candidates
from leanseek.searcher.searcher import Searcher
from leanseek.types import Progress, Query, Ranked


class Answers(NamedTuple):
    """Ranked documents of each query, the seconds that ranking all of them took, and what was left out."""

    ranked: Sequence[Sequence[Ranked]]
    seconds: float
    warnings: tuple[str, ...]


def answer(
    searcher: Searcher,
    queries: Sequence[Query],
    k: int,
    *,
    depth: int | None = None,
    without_self: bool = False,
    candidates: Candidates | None = None,
    progress: Progress | None = None,
) -> Answers:
    """At most k documents for each query; `without_self` leaves out the one that has the query's own id.

    `depth` is for a search; with `candidates`, which are ranked in its place, it must be None. Raises as
    `Searcher.rank_batch` does.
    """
    wanted = k + without_self
    if depth is not None and depth >= k:
        depth = max(depth, wanted)
    given = None
    if candidates is not None:
        given = [
            [document for document in candidates.of(query.id) if not without_self or document != query.id]
            for query in queries
        ]
    started = time.perf_counter()
    ranked = searcher.rank_batch(
        [query.text for query in queries], wanted, depth=depth, candidates=given, progress=progress
    )
    seconds = time.perf_counter() - started
    if without_self:
        ranked = [
            [one for one in found if one.id != query.id] for query, found in zip(queries, ranked, strict=True)
        ]
    return Answers(
        [found[:k] for found in ranked],
        seconds,
        left_out(searcher, given) if given is not None else (),
    )


def left_out(searcher: Searcher, given: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """What of a stored run could not be re-ranked."""
    warnings = []
    absent = sum(not documents for documents in given)
    if absent:
        warnings.append(f"{absent:,} of {len(given):,} queries without candidates in the stored run")
    unknown = set(searcher.missing(document for documents in given for document in documents))
    lost = sum(document in unknown for documents in given for document in documents)
    if lost:
        warnings.append(
            f"{lost:,} {'candidate' if lost == 1 else 'candidates'} left out: no document of the collection, such as "
            f"{min(unknown)!r}"
        )
    return tuple(warnings)
