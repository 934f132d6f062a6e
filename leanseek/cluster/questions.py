"""What a router asks of a shard. Every question answers itself on the shard's snapshot, by what one index uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from leanseek.filters import Element, Filter, Kind
from leanseek.indexing.learned import ImpactQuery
from leanseek.indexing.learned.impact_index import MatchedTerm
from leanseek.indexing.metadata_column import ValueCounts
from leanseek.indexing.passages import StoredPassage
from leanseek.indexing.search_source import Counts
from leanseek.indexing.snapshot import Snapshot
from leanseek.indexing.sparse.base import Candidates, SparseQuery, Statistics
from leanseek.searcher.ranking import Lists, Mode, Sides, SideView, sides_as_listed, view_of
from leanseek.types import BoolArray, Document, Float32Array, Float64Array, Int64Array, Operator


class Scope(NamedTuple):
    """Which passages count: those that meet a filter, and of these what the operators of a query leave."""

    condition: Filter | None = None
    operators: tuple[Operator, ...] = ()

    def on(self, snapshot: Snapshot) -> BoolArray | None:
        """(n,) True for those of a shard; None: all live ones."""
        mask = None if self.condition is None else snapshot.meeting(self.condition)
        return snapshot.narrowed(mask, self.operators)[0] if self.operators else mask


class Scored(NamedTuple):
    """The exact scores (c,) of some passages on each side that was asked."""

    sparse: Float32Array | None
    dense: Float32Array | None
    learned: Float32Array | None


class Found(NamedTuple):
    """What shards that are asked together find for a query: the union of all sides' candidates, scored by every side.

    `ordinals` (u,) are those of one index with their passages, ascending, and `ids` (u) their documents, empty where
    nobody needs them. A side's `ranks` are 0 for what it did not find itself. `lists` are theirs, unsettled.
    """

    ordinals: Int64Array
    ids: list[str]
    sparse: SideView | None
    dense: SideView | None
    learned: SideView | None
    lists: Lists | None


@dataclass(frozen=True, eq=False)
class Search:
    """The best passages of each side for each of m queries; see `search_sides`.

    All that is in a cluster's best `depth` of a side is in the best `depth` of its own shard, and of those asked
    together with it, too, so that one question finds all that a fusion needs.
    """

    together: ClassVar[bool] = True

    queries: tuple[SparseQuery, ...]
    vectors: Float32Array | None
    learned: tuple[ImpactQuery, ...] | None
    depth: int
    mode: Mode
    scope: Scope
    listed: int
    statistics: Statistics

    def on(self, snapshot: Snapshot) -> list[Found]:
        """See Question: one for each query."""
        here, depth = snapshot.under(self.statistics), min(self.depth, max(snapshot.size, 1))
        allowed = self.scope.on(snapshot)
        found = sides_as_listed(
            here, self.queries, self.vectors, depth, self.mode, allowed, self.listed, self.learned
        )
        return [self._found(here, row, sides, depth) for row, sides in enumerate(found)]

    def _found(self, here: Snapshot, row: int, sides: Sides, depth: int) -> Found:
        sparse, dense, learned = (
            None if side is None else Candidates(side.scores[:depth], side.ordinals[:depth])
            for side in (sides.sparse, sides.dense, sides.learned)
        )
        searched = [side for side in (sparse, dense, learned) if side is not None]
        if len(searched) == 1:
            order = np.argsort(searched[0].ordinals)
            union = searched[0].ordinals[order]
            view = SideView(order + 1, searched[0].scores[order])
            by_terms, by_vector, by_expansion = (
                view if side is not None else None for side in (sparse, dense, learned)
            )
            # Where all of the collection is here, nothing is left for ids to decide.
            whole = self.statistics.totals.passages == here.count()
            ids = [] if whole else here.passages.ids(union)
            return Found(union, ids, by_terms, by_vector, by_expansion, sides.lists)
        union = np.unique(np.concatenate([side.ordinals for side in searched]))
        by_terms = by_vector = by_expansion = None
        if sparse is not None:
            by_terms = view_of(union, sparse, lambda rest: here.sparse.score(self.queries[row], rest))
        if dense is not None and self.vectors is not None:
            vector = self.vectors[row]
            by_vector = view_of(union, dense, lambda rest: here.dense_score(vector, rest))
        if learned is not None and self.learned is not None:
            expansion = self.learned[row]
            by_expansion = view_of(union, learned, lambda rest: here.learned.score(expansion, rest))
        return Found(union, here.passages.ids(union), by_terms, by_vector, by_expansion, sides.lists)


@dataclass(frozen=True, eq=False)
class Score:
    """The exact scores of some passages for one query, on each side that is asked: None for one that is not."""

    ordinals: Int64Array
    statistics: Statistics | None = None
    text: SparseQuery | None = None
    vector: Float32Array | None = None
    learned: ImpactQuery | None = None

    def on(self, snapshot: Snapshot) -> Scored:
        """See Question."""
        here = snapshot if self.statistics is None else snapshot.under(self.statistics)
        return Scored(
            None if self.text is None else here.sparse.score(self.text, self.ordinals),
            None if self.vector is None else here.dense_score(self.vector, self.ordinals),
            None if self.learned is None else here.learned.score(self.learned, self.ordinals),
        )


@dataclass(frozen=True)
class Frequencies:
    """How many live passages have each of the terms."""

    together: ClassVar[bool] = True

    terms: tuple[str, ...]

    def on(self, snapshot: Snapshot) -> list[int]:
        """See Question."""
        return snapshot.frequencies(self.terms)


@dataclass(frozen=True)
class FieldsOf:
    """What a shard knows of the metadata's fields; the kinds of those that are named."""

    named: tuple[str, ...] = ()

    def on(self, snapshot: Snapshot) -> ShardFields:
        """See Question."""
        stores = [segment.passages for segment in snapshot.segments]
        kinds: dict[str, dict[Kind, Element]] = {}
        for field in self.named:
            kinds[field] = {}
            for store in stores:
                kinds[field] = {**store.kinds(field), **kinds[field]}
        known = frozenset(field for field in self.named if any(store.knows(field) for store in stores))
        return ShardFields(snapshot.fields, known, kinds, bool(stores))


class ShardFields(NamedTuple):
    """The answer to `FieldsOf`, which a filter is checked against: a `FieldSource`.

    `names` are all fields, `known` those of the named ones that a document has, `held` their kinds. `filled`: whether
    the shard has anything at all.
    """

    names: frozenset[str]
    known: frozenset[str]
    held: Mapping[str, Mapping[Kind, Element]]
    filled: bool

    def fields(self) -> Sequence[str]:
        """The names of the fields."""
        return sorted(self.names)

    def knows(self, field: str) -> bool:
        """Whether a document has the field."""
        return field in self.known

    def kinds(self, field: str) -> Mapping[Kind, Element]:
        """The kinds of elements that the field has, each with an example."""
        return self.held[field]


@dataclass(frozen=True)
class Dated:
    """Whether a field has values that can be dates."""

    field: str

    def on(self, snapshot: Snapshot) -> bool:
        """See Question."""
        return snapshot.dated(self.field)


@dataclass(frozen=True)
class CountValues:
    """How many of the documents in a scope have each value of some fields."""

    fields: tuple[str, ...]
    scope: Scope

    def on(self, snapshot: Snapshot) -> list[ValueCounts]:
        """See Question."""
        return [one.found() for one in snapshot.value_counts(self.fields, self.scope.on(snapshot))]


class Drawn(NamedTuple):
    """A shard's passages with the lowest `lots` (c,): their `ordinals` (c,) and the `ids` (c) of their documents."""

    ordinals: Int64Array
    lots: Float64Array
    ids: list[str]


@dataclass(frozen=True)
class Draw:
    """The `count` passages with the lowest lots; see `Snapshot.sample`."""

    count: int

    def on(self, snapshot: Snapshot) -> Drawn:
        """See Question."""
        ordinals, lots = snapshot.drawn(self.count)
        return Drawn(ordinals, lots, snapshot.passages.ids(ordinals))


@dataclass(frozen=True)
class Count:
    """How much there is in a scope."""

    scope: Scope

    def on(self, snapshot: Snapshot) -> Counts:
        """See Question."""
        allowed = self.scope.on(snapshot)
        return Counts(snapshot.count_documents(allowed), snapshot.count(allowed))


@dataclass(frozen=True)
class Examples:
    """An example of each kind of value that a field has in a scope, by field."""

    scope: Scope

    def on(self, snapshot: Snapshot) -> dict[str, dict[str, Any]]:
        """See Question."""
        return snapshot.examples(self.scope.on(snapshot))


@dataclass(frozen=True)
class Narrow:
    """The operators of a query, each with the number of documents that it and those before it leave of a scope."""

    scope: Scope
    operators: tuple[Operator, ...]

    def on(self, snapshot: Snapshot) -> tuple[Operator, ...]:
        """See Question."""
        return snapshot.narrowed(self.scope.on(snapshot), self.operators)[1]


@dataclass(frozen=True, eq=False)
class Admits:
    """(c,) whether passages are in a scope."""

    scope: Scope
    ordinals: Int64Array

    def on(self, snapshot: Snapshot) -> BoolArray:
        """See Question."""
        allowed = self.scope.on(snapshot)
        allowed = snapshot.live if allowed is None else allowed
        return np.ones(len(self.ordinals), np.bool_) if allowed is None else allowed[self.ordinals]


@dataclass(frozen=True, eq=False)
class Texts:
    """The passages at some ordinals."""

    ordinals: Int64Array

    def on(self, snapshot: Snapshot) -> list[StoredPassage]:
        """See Question."""
        return snapshot.passages.get(self.ordinals)


@dataclass(frozen=True, eq=False)
class IdsAt:
    """The document ids of the passages at some ordinals."""

    ordinals: Int64Array

    def on(self, snapshot: Snapshot) -> list[str]:
        """See Question."""
        return snapshot.passages.ids(self.ordinals)


@dataclass(frozen=True, eq=False)
class VectorsAt:
    """(c, D) the vectors of the passages at some ordinals."""

    ordinals: Int64Array

    def on(self, snapshot: Snapshot) -> Float32Array:
        """See Question."""
        return snapshot.vectors(self.ordinals)


@dataclass(frozen=True)
class Find:
    """The ordinals of the live parts of each document that is there, by its id."""

    documents: tuple[str, ...]

    def on(self, snapshot: Snapshot) -> dict[str, list[int]]:
        """See Question."""
        return snapshot.find(self.documents)


@dataclass(frozen=True)
class Whole:
    """Those of the documents that are there and in a scope, whole."""

    documents: tuple[str, ...]
    scope: Scope

    def on(self, snapshot: Snapshot) -> list[Document]:
        """See Question."""
        return snapshot.whole(self.documents, self.scope.on(snapshot))


@dataclass(frozen=True)
class AllIds:
    """The ids of all documents in a scope, each once."""

    scope: Scope

    def on(self, snapshot: Snapshot) -> list[str]:
        """See Question."""
        return snapshot.ids(self.scope.on(snapshot))


@dataclass(frozen=True, eq=False)
class Matched:
    """The terms that a query and the passage at an ordinal share on the learned side."""

    query: ImpactQuery
    ordinal: int

    def on(self, snapshot: Snapshot) -> list[MatchedTerm]:
        """See Question."""
        return snapshot.learned.matched(self.query, self.ordinal)
