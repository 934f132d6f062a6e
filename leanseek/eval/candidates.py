"""A stored run as the candidates of a re-ranking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from leanseek.eval.provenance import file_checksum
from leanseek.eval.runs import read_run


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


def best(scores: Mapping[str, float], depth: int) -> tuple[str, ...]:
    """The ids of the `depth` highest scores, in trec_eval's order: equal scores by id from last to first."""
    return tuple(sorted(scores, key=lambda document: (scores[document], document), reverse=True)[:depth])
