"""The attention of a re-ranker in context: queries of a result searched again, with explanations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from leanseek.errors import InputError
from leanseek.eval.provenance import index_fingerprint
from leanseek.eval.reports.study import Explained, ShownHit
from leanseek.eval.results import INDEXES, RerankSettings, Result
from leanseek.indexing.catalog import CATALOG, read_state
from leanseek.searcher.searcher import Searcher
from leanseek.searcher.second_stage import DepthChoice
from leanseek.types import Progress, Query

QUERIES = 5
"""Explained for each system."""
HITS = 3
"""Shown for each query."""
IN_CONTEXT = "in-context"


def can_explain(result: Result) -> bool:
    """Whether a re-ranker in context scored what an index found, to depths that are recorded."""
    rerank, settings = result.settings.rerank, result.settings
    if rerank is None or settings.candidates is not None:
        return False
    in_context = any(name.partition(":")[0] == IN_CONTEXT for name in rerank.names)
    return in_context and depths(rerank) is not None


def explain_queries(
    result: Result,
    queries: Sequence[Query],
    qrels: Mapping[str, Mapping[str, int]],
    out: Path,
    *,
    device: str | None = None,
    progress: Progress | None = None,
) -> tuple[Explained, ...]:
    """The best hits of each query, as the result's system ranks them, with its attention on their tokens.

    The index is found below `out`. There is no limit of time. Raises InputError where the index is missing or has
    changed, and what loading the models and searching raise.
    """
    settings, rerank = result.settings, result.settings.rerank
    if rerank is None:
        return ()
    own = result.rules.self_hits != "kept"
    searcher = Searcher.open(
        find_index(result, out),
        mode=settings.mode,
        fusion=settings.fusion or "convex",
        dense_weight=settings.dense_weight,
        learned_weight=settings.learned_weight,
        device=device,
        reranker=rerank.names,
        rerank_depth=depths(rerank),
    )
    found = []
    with closing(searcher):
        for done, query in enumerate(queries, 1):
            # As deep as the run was made: other candidates might be other scores.
            hits = searcher.search(
                query.text, HITS + own, explain=True, depth=max(settings.depth or 0, result.k + own)
            )
            kept = [hit for hit in hits if not own or hit.id != query.id][:HITS]
            grades = qrels.get(query.id, {})
            shown = tuple(ShownHit(hit, grades.get(hit.id, 0) > 0) for hit in kept)
            found.append(Explained(query.id, query.text, shown))
            if progress is not None:
                progress(f"explaining {result.system}", done, len(queries))
    return tuple(found)


def find_index(result: Result, out: Path) -> Path:
    """The index that the result was made with. Raises InputError."""
    for catalog in sorted((out / INDEXES).rglob(CATALOG)):
        if index_fingerprint(read_state(catalog.parent)) == result.provenance.index_fingerprint:
            return catalog.parent
    raise InputError(
        f"the index that {result.system} searched for {result.collection} is not below '{out / INDEXES}', or has "
        "changed since, so nothing can be explained. Evaluate again without --index, or leave out --explain"
    )


def depths(rerank: RerankSettings) -> list[DepthChoice] | None:
    """The recorded depths; None where one of them is that of an object, whose record cannot be read back."""
    found: list[DepthChoice] = []
    for depth in rerank.depths:
        if isinstance(depth, int):
            found.append(depth)
        elif depth == "auto":
            found.append("auto")
        else:
            return None
    return found
