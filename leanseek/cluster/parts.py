"""The parts of a cluster's snapshot: passages, the sparse and the learned side, and what a query may return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from leanseek.cluster.questions import Admits, IdsAt, Matched, Scope, Texts
from leanseek.indexing.learned import ImpactQuery
from leanseek.indexing.learned.impact_index import MatchedTerm
from leanseek.indexing.passages import StoredPassage
from leanseek.indexing.search_source import Allowed
from leanseek.indexing.sparse.base import Candidates, SparseQuery, WeightedQuery
from leanseek.indexing.sparse.parameters import inverse_document_frequency
from leanseek.text import Analyzer
from leanseek.types import BoolArray, Float32Array, Int64Array, WeightedTerm

if TYPE_CHECKING:
    from leanseek.cluster.cluster_snapshot import ClusterSnapshot

HELD = 1 << 17
"""Ids, and a thirty-second of it texts, that a call holds; past this it starts anew."""


class Admission:
    """What stands for the mask of one index: a scope, which each shard makes its own mask of."""

    def __init__(self, snapshot: ClusterSnapshot, scope: Scope) -> None:
        self.scope = scope
        self._snapshot = snapshot

    def __getitem__(self, ordinals: Int64Array) -> BoolArray:
        """(c,) whether passages are in the scope."""
        admitted = np.zeros(len(ordinals), np.bool_)
        for mine, answer in self._snapshot.ask_about(ordinals, lambda local: Admits(self.scope, local)):
            admitted[mine] = answer
        return admitted


def scope_of(allowed: Admission | None) -> Scope:
    """The scope of what is allowed; all there is for None."""
    return Scope() if allowed is None else allowed.scope


class ClusterPassages:
    """The passages of a cluster's snapshot, which are held once a call has asked for them."""

    def __init__(self, snapshot: ClusterSnapshot, analyzer: Analyzer) -> None:
        self.analyzer = analyzer
        self._snapshot = snapshot
        self._ids: dict[int, str] = {}
        self._texts: dict[int, StoredPassage] = {}

    def hold(self, ids: dict[int, str]) -> None:
        """Take the ids of passages that came with an answer."""
        self._ids |= ids

    def make_room(self) -> None:
        """Forget what was held, where it is much."""
        if len(self._ids) > HELD:
            self._ids = {}

    def get(self, ordinals: Int64Array) -> list[StoredPassage]:
        """The passages at the given global ordinals, in that order."""
        wanted = dict.fromkeys(ordinals.tolist())
        if missing := [one for one in wanted if one not in self._texts]:
            if len(self._texts) > HELD // 32:
                self._texts = {}
                missing = list(wanted)
            asked = np.array(missing, np.int64)
            for mine, answer in self._snapshot.ask_about(asked, Texts):
                self._texts.update(zip(asked[mine].tolist(), answer, strict=True))
        return [self._texts[one] for one in ordinals.tolist()]

    def ids(self, ordinals: Int64Array) -> list[str]:
        """The document ids of the passages at the given global ordinals (c,), in that order."""
        if missing := [one for one in dict.fromkeys(ordinals.tolist()) if one not in self._ids]:
            asked = np.array(missing, np.int64)
            for mine, answer in self._snapshot.ask_about(asked, IdsAt):
                self._ids.update(zip(asked[mine].tolist(), answer, strict=True))
        return [self._ids[one] for one in ordinals.tolist()]

    def in_order(self, ordinals: Int64Array) -> Int64Array:
        """Global ordinals (c,) in the order of (document id, part number)."""
        return np.array(
            [one for _, one in sorted(zip(self.ids(ordinals), ordinals.tolist(), strict=True))], np.int64
        )


class DocumentNumbers:
    """A number for each passage, equal for the parts of one document, and good for one call."""

    def __init__(self, passages: ClusterPassages) -> None:
        self._passages = passages
        self._numbers: dict[str, int] = {}

    def __getitem__(self, ordinals: Int64Array) -> Int64Array:
        numbers = self._numbers
        return np.array(
            [numbers.setdefault(one, len(numbers)) for one in self._passages.ids(ordinals)], np.int64
        )


class ClusterSparse:
    """The sparse side over all shards: a SparseIndex."""

    def __init__(self, snapshot: ClusterSnapshot) -> None:
        self._snapshot = snapshot

    @property
    def size(self) -> int:
        """Number of ordinals."""
        return self._snapshot.size

    def search(self, query: SparseQuery, k: int, allowed: Allowed = None) -> Candidates:
        """See SparseIndex."""
        [found] = self.search_batch([query], k, allowed)
        return found

    def search_batch(
        self, queries: Sequence[SparseQuery], k: int, allowed: Allowed = None
    ) -> list[Candidates]:
        """`search` for many queries."""
        sides = self._snapshot.search_sides(queries, None, k, "sparse", allowed)
        return [one.sparse for one in sides if one.sparse is not None]

    def score(self, query: SparseQuery, ordinals: Int64Array) -> Float32Array:
        """See SparseIndex."""
        snapshot = self._snapshot
        return snapshot.score(
            ("sparse", query),
            ordinals,
            lambda rest: snapshot.exact(rest, "sparse", text=query, statistics=snapshot.statistics([query])),
        )

    def frequencies(self, terms: Sequence[str]) -> list[int]:
        """See SparseIndex."""
        asked = WeightedQuery(tuple(WeightedTerm(term, 1.0) for term in terms))
        known = self._snapshot.statistics([asked]).frequencies
        return [known[term] for term in terms]

    def idf(self, query: str) -> Float32Array:
        """See SparseIndex."""
        totals, frequencies = self._snapshot.statistics([query])
        terms = dict.fromkeys(self._snapshot.passages.analyzer.tokens(query))
        return np.array(
            [inverse_document_frequency(totals.passages, frequencies[term]) for term in terms], np.float32
        )


class ClusterLearned:
    """The learned side over all shards."""

    def __init__(self, snapshot: ClusterSnapshot) -> None:
        self._snapshot = snapshot

    def search_batch(
        self, queries: Sequence[ImpactQuery], k: int, allowed: Admission | None = None
    ) -> list[Candidates]:
        """The best k passages for each query."""
        sides = self._snapshot.search_sides([""] * len(queries), None, k, "learned", allowed, learned=queries)
        return [one.learned for one in sides if one.learned is not None]

    def score(self, query: ImpactQuery, ordinals: Int64Array) -> Float32Array:
        """(c,) exact scores of the given passages."""
        snapshot = self._snapshot
        return snapshot.score(
            ("learned", learned_key(query)),
            ordinals,
            lambda rest: snapshot.exact(rest, "learned", learned=query),
        )

    def matched(self, query: ImpactQuery, ordinal: int) -> list[MatchedTerm]:
        """The terms that the query and a passage share; see `ImpactIndex`."""
        [(_, found)] = self._snapshot.ask_about(
            np.array([ordinal], np.int64), lambda local: Matched(query, int(local[0]))
        )
        return found


def learned_key(query: ImpactQuery) -> bytes:
    """What tells a query of the learned side from others."""
    return query.terms.tobytes() + query.impacts.tobytes()
