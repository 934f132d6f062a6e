"""What queries ask of fields, in a search: what meets it is raised, or, in a strict search, nothing else returned."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from leanseek.filters import And, Filter, parse_filter
from leanseek.indexing.passages import StoredPassage
from leanseek.indexing.search_source import Allowed, SearchSource
from leanseek.searcher.ranking import raised
from leanseek.types import Constraint, MetadataValue

if TYPE_CHECKING:
    from leanseek.searcher.ranking import Ranking
    from leanseek.searcher.request import Request
    from leanseek.understanding import FieldTable

WEIGHT: Final = 0.1
"""The share of the constraints in the score of a passage that meets them all."""


class FieldTables:
    """The field table of a snapshot, made by the first who needs it. Thread-safe."""

    def __init__(self) -> None:
        self._table: FieldTable | None = None
        self._lock = threading.Lock()

    def of(self, snapshot: SearchSource) -> FieldTable:
        """The table itself; of an index without metadata it has the title alone."""
        from leanseek.understanding import FieldTable

        with self._lock:
            if self._table is None:
                names = sorted(snapshot.fields)
                counts = [one.found() for one in snapshot.value_counts(names)] if names else []
                fields = {
                    name: dict(zip(one.values, one.documents.tolist(), strict=True))
                    for name, one in zip(names, counts, strict=True)
                }
                self._table = FieldTable.of(fields, snapshot.passages.analyzer)
            return self._table


def boosted(ranking: Ranking, request: Request, query: str) -> Ranking:
    """The ranking with what meets the constraints of its query raised, where the request asks for that.

    The score of a passage gains up to a ninth of the distance between the best and the least, the share of the
    constraints that it meets, each by how sure it is: fused with them at `WEIGHT`.
    """
    if not request.boosts:
        return ranking
    passages = request.snapshot.passages.get(ranking.ordinals)
    titles = [passage.title for passage in passages]
    constraints = links_of(request, query, list(zip(titles, ranking.scores.tolist(), strict=True)))
    if not constraints or not passages:
        return ranking._replace(constraints=tuple(constraints))
    sure = np.array([one.confidence for one in constraints])
    conditions = [parse_filter(one.condition) for one in constraints]
    met = np.array([[one.matches(fields_of(passage)) for one in conditions] for passage in passages])
    found = raised(ranking, met @ sure / len(sure), WEIGHT, request.snapshot)
    return found._replace(constraints=tuple(constraints))


def links_of(request: Request, query: str, titles: Sequence[tuple[str, float]]) -> list[Constraint]:
    """What a query asks of fields; `titles` are those of its candidates, with their scores, best first."""
    from leanseek.understanding import link_fields, link_title

    table = request.generation.tables.of(request.snapshot)
    found = link_fields(query, table)
    snapshot = request.snapshot

    def rarity(title: str) -> list[float]:
        weights: list[float] = snapshot.sparse.idf(title).tolist()
        return weights

    ranked_by_terms = snapshot.state.settings.sparse is not None
    title = link_title(query, titles, table.analyzer, rarity if ranked_by_terms else None)
    if title is not None and all(title.condition != one.condition for one in found):
        found.append(title)
    return found


def fields_of(passage: StoredPassage) -> dict[str, MetadataValue]:
    """The fields of a passage, as a filter sees them."""
    return {**passage.metadata, "id": passage.id, "title": passage.title}


def narrowed(
    snapshot: SearchSource, filter: Filter | None, constraints: Sequence[Constraint]
) -> tuple[Allowed, tuple[Constraint, ...]]:
    """What a filter and constraints admit, and the constraints with how many documents each leaves."""
    conditions = [] if filter is None else [filter]
    applied = []
    allowed: Allowed = None
    for one in constraints:
        conditions.append(parse_filter(one.condition))
        allowed = snapshot.matching(conditions[0] if len(conditions) == 1 else And(tuple(conditions)))
        applied.append(one._replace(left=snapshot.count_documents(allowed)))
    return allowed, tuple(applied)


def contradiction(snapshot: SearchSource, filter: Filter | None, applied: Sequence[Constraint]) -> str | None:
    """Which constraints no document meets, and how to do without them; None where some document meets all."""
    place = next((place for place, one in enumerate(applied) if not one.left), None)
    if place is None:
        return None
    failing = applied[place]
    alone, _ = narrowed(snapshot, filter, [failing])
    without = "leave it out, or search without strict (--strict), which prefers what meets it"
    if not snapshot.count_documents(alone):
        return f"no document{' that the filter admits' if filter else ''} has {failing.condition}; {without}"
    for other in applied[:place]:
        both, _ = narrowed(snapshot, filter, [other, failing])
        if not snapshot.count_documents(both):
            pair = f"{other.condition} and {failing.condition}"
            counts = f"{other_count(snapshot, filter, other)} and {snapshot.count_documents(alone):,} alone"
            return f"the query asks for {pair}, which no document has together ({counts}); {without}"
    those = ", ".join(one.condition for one in applied[: place + 1])
    return f"the query asks for {those}, which no document has together; {without}"


def other_count(snapshot: SearchSource, filter: Filter | None, constraint: Constraint) -> str:
    """How many documents meet a constraint."""
    allowed, _ = narrowed(snapshot, filter, [constraint])
    return f"{snapshot.count_documents(allowed):,}"
