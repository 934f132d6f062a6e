"""Answering the queries of a split: by a search, or by re-ranking the candidates of a stored run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from leanseek.eval.collections.qilin import QilinCollection
from leanseek.eval.provenance import file_checksum
from leanseek.reading.runs import read_run
from leanseek.searcher.searcher import Searcher
from leanseek.types import Progress, Query, Ranked

SHOWN: Final = "shown"
"""In place of a run: what people were shown, where the collection knows it."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Document ids by query, best first; `checksum` is that of the run's file."""

    by_query: Mapping[str, tuple[str, ...]]
    checksum: str

    def of(self, query: str) -> tuple[str, ...]:
        """The documents to rank for a query; none where the run does not have it."""
        return self.by_query.get(query, ())


def read_candidates(run: Path, depth: int) -> Candidates:
    """The best `depth` documents of each query of a stored run. Raises as `read_run` does."""
    rankings = read_run(run).rankings
    return Candidates({query: best(scores, depth) for query, scores in rankings.items()}, file_checksum(run))


def shown_candidates(collection: QilinCollection, split: str, depth: int) -> Candidates:
    """The first `depth` documents that people were shown for each query of a split, in their positions."""
    by_query = {
        one.id: tuple(shown.note for shown in sorted(one.shown, key=lambda shown: shown.position)[:depth])
        for one in collection.searches(split)
    }
    return Candidates(by_query, collection.checksum)


def best(scores: Mapping[str, float], depth: int) -> tuple[str, ...]:
    """The ids of the `depth` highest scores, in trec_eval's order: equal scores by id from last to first."""
    return tuple(sorted(scores, key=lambda document: (scores[document], document), reverse=True)[:depth])


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
    """Warnings about candidates of a stored run that could not be re-ranked."""
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
