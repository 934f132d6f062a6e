"""An epoch of a cluster as one call sees it: a `SearchSource` whose passages are in many shards.

Global ordinals are the shards' one after another. What comes from the shards enters the functions that what one index
gives enters, so that the answers are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from leanseek.cluster.merging import merge
from leanseek.cluster.parts import (
    Admission,
    ClusterLearned,
    ClusterPassages,
    ClusterSparse,
    DocumentNumbers,
    learned_key,
    scope_of,
)
from leanseek.cluster.questions import (
    AllIds,
    Count,
    CountValues,
    Dated,
    Draw,
    Examples,
    FieldsOf,
    Find,
    Frequencies,
    Narrow,
    Scope,
    Score,
    Search,
    ShardFields,
    VectorsAt,
    Whole,
)
from leanseek.cluster.transport import Epoch, Question, Transport, route
from leanseek.errors import ShardUnavailableError
from leanseek.filters import Filter, check_fields
from leanseek.indexing.learned import ImpactQuery
from leanseek.indexing.metadata_column import ValueCounts, merged_counts
from leanseek.indexing.search_source import Counts
from leanseek.indexing.settings import IndexSettings
from leanseek.indexing.snapshot import best_first
from leanseek.indexing.sparse.base import Candidates, SparseQuery, Statistics, Totals, query_weights
from leanseek.searcher.ranking import Mode, Sides
from leanseek.text import load_analyzer
from leanseek.types import Document, Float32Array, Int64Array, Operator

Result = TypeVar("Result")

REMEMBERED_TERMS = 1 << 17
REMEMBERED_COUNTS = 256
REMEMBERED_FIELDS = 64
REMEMBERED_LOSSES = 8


class EpochState(NamedTuple):
    """What is searched, as a `SearchSource` tells it; the generation is the epoch's number."""

    settings: IndexSettings
    generation: int


class EpochMemo:
    """Facts of one epoch that its calls share: they never change, so that no call can read them too early or late."""

    def __init__(self, epoch: Epoch, name: str) -> None:
        self.folder = Path(name)
        sparse = epoch.settings.sparse
        self.epoch = epoch
        self.state = EpochState(epoch.settings, epoch.number)
        self.analyzer = load_analyzer(sparse.analyzer if sparse is not None else "simple")
        self.bases = np.cumsum([0, *(shard.size for shard in epoch.shards)]).astype(np.int64)
        self.frequencies: dict[str, int] = {}
        self.counts: dict[Scope, Counts] = {}
        self.named: dict[tuple[str, ...], list[ShardFields]] = {}
        self.dated: dict[str, bool] = {}
        self._without: dict[frozenset[int], EpochMemo] = {}

    def without(self, lost: frozenset[int]) -> EpochMemo:
        """Facts of the epoch without some shards."""
        if not lost:
            return self
        if len(self._without) >= REMEMBERED_LOSSES:
            self._without.clear()
        return self._without.setdefault(lost, EpochMemo(self.epoch, str(self.folder)))


class KnownScores(NamedTuple):
    """The scores (c,) of a query's passages at `ordinals` (c,), ascending."""

    ordinals: Int64Array
    scores: Float32Array


class ClusterSnapshot:
    """The live passages of those shards of an epoch that are not `lost`. For one call, so for one thread at a time.

    Every method raises ShardUnavailableError where a shard does not answer before the `deadline` (of
    `time.monotonic`), EpochGoneError where the epoch is no longer served.
    """

    with_dense = True

    def __init__(
        self,
        transport: Transport,
        epoch: Epoch,
        memo: EpochMemo | None = None,
        *,
        deadline: float | None = None,
        lost: frozenset[int] = frozenset(),
    ) -> None:
        self.transport = transport
        self.epoch = epoch
        self.memo = memo = EpochMemo(epoch, transport.name) if memo is None else memo
        self._deadline = deadline
        self.folder = memo.folder
        self.state = memo.state
        self.shards = [number for number in range(len(epoch.shards)) if number not in lost]
        self.bases = memo.bases
        here = [epoch.shards[number].totals for number in self.shards]
        self.totals = Totals(sum(one.passages for one in here), sum(one.terms for one in here))
        """Of the shards that are not lost: an answer without them is that of an index that never had them."""
        self.passages = ClusterPassages(self, memo.analyzer)
        self.sparse = ClusterSparse(self)
        self.learned = ClusterLearned(self)
        self.documents = None if epoch.settings.chunk_words is None else DocumentNumbers(self.passages)
        self.known: dict[tuple[str, object], KnownScores] = {}

    def for_call(self, deadline: float | None, lost: frozenset[int] = frozenset()) -> ClusterSnapshot:
        """The same epoch for another call; what is true of the same shards is not asked again."""
        memo = self.memo.without(lost)
        return ClusterSnapshot(self.transport, self.epoch, memo, deadline=deadline, lost=lost)

    @property
    def size(self) -> int:
        """Passages, deleted ones included: global ordinals run below it."""
        return int(self.bases[-1])

    @property
    def coverage(self) -> float | None:
        """The share of the epoch's live passages that is searched; None where no shard is lost."""
        if len(self.shards) == len(self.epoch.shards):
            return None
        return self.totals.passages / max(self.epoch.totals.passages, 1)

    def ask(self, questions: Mapping[int, Question[Result]]) -> dict[int, Result]:
        """The shards' answers, in the order of the shards."""
        answers = self.transport.ask(self.epoch.number, questions, self._deadline)
        if len(answers) < len(questions):
            raise ShardUnavailableError(
                self.transport.name,
                self.epoch.number,
                sorted(questions.keys() - answers.keys()),
                len(self.epoch.shards),
            )
        return {shard: answers[shard] for shard in sorted(answers)}

    def ask_all(self, question: Question[Result]) -> list[Result]:
        """The answers of all shards that are not lost, in their order."""
        return list(self.ask(dict.fromkeys(self.shards, question)).values())

    def ask_together(self, question: Question[Result]) -> list[tuple[tuple[int, ...], Result]]:
        """The answers of all shards that are not lost to a question that is asked of several as one, with these."""
        answers: dict[int, Any] = self.ask(dict.fromkeys(self.shards, question))
        return list({one.shards: (one.shards, one.answer) for one in answers.values()}.values())

    def globally(self, shards: tuple[int, ...], ordinals: Int64Array) -> Int64Array:
        """(c,) the global ordinals of passages of shards that were asked as one index."""
        if shards == tuple(range(len(self.epoch.shards))):
            return ordinals
        ends = np.cumsum([self.epoch.shards[shard].size for shard in shards])
        begins = np.concatenate([[0], ends[:-1]])
        moved = self.bases[list(shards)] - begins
        found: Int64Array = ordinals + moved[np.searchsorted(ends, ordinals, side="right")]
        return found

    def ask_about(
        self, ordinals: Int64Array, question: Callable[[Int64Array], Question[Result]]
    ) -> list[tuple[Int64Array, Result]]:
        """Of each shard that has any of the passages (c,) their places in `ordinals`, and its answer about them."""
        owners = np.searchsorted(self.bases, ordinals, side="right") - 1
        places = {int(shard): np.flatnonzero(owners == shard) for shard in np.unique(owners)}
        answers = self.ask(
            {shard: question(ordinals[mine] - self.bases[shard]) for shard, mine in places.items()}
        )
        return [(places[shard], answer) for shard, answer in answers.items()]

    def ask_by_id(
        self, documents: Iterable[str], question: Callable[[tuple[str, ...]], Question[Result]]
    ) -> dict[int, Result]:
        """The answer of each shard that some of the documents belong to, about these."""
        homes: dict[int, list[str]] = {}
        for document in dict.fromkeys(documents):
            home = route(document, len(self.epoch.shards))
            if home in self.shards:
                homes.setdefault(home, []).append(document)
        return self.ask({shard: question(tuple(mine)) for shard, mine in homes.items()})

    def statistics(self, queries: Iterable[SparseQuery]) -> Statistics:
        """The totals, and the frequencies of all terms of the queries."""
        terms = {term for query in queries for term in query_weights(query, self.passages.analyzer)}
        # Read once: another call may start the memo anew.
        frequencies = {
            term: known for term in terms if (known := self.memo.frequencies.get(term)) is not None
        }
        if missing := tuple(sorted(terms - frequencies.keys())):
            answers = [answer for _, answer in self.ask_together(Frequencies(missing))]
            counts = [sum(column) for column in zip(*answers, strict=True)]
            found = dict(zip(missing, counts, strict=True))
            frequencies |= found
            if len(self.memo.frequencies) + len(found) > REMEMBERED_TERMS:
                self.memo.frequencies.clear()
            self.memo.frequencies.update(found)
        return Statistics(self.totals, frequencies)

    @property
    def fields(self) -> frozenset[str]:
        """The names of the fields that metadata have."""
        return frozenset().union(*(one.names for one in self.field_sources(())))

    def find(self, documents: Sequence[str]) -> dict[str, list[int]]:
        """The global ordinals of the live parts of each document that is here, by its id."""
        return {
            document: [int(self.bases[shard]) + part for part in parts]
            for shard, found in self.ask_by_id(documents, Find).items()
            for document, parts in found.items()
        }

    def whole(self, documents: Sequence[str], allowed: Admission | None = None) -> list[Document]:
        """Those of the documents that are here and in a scope, whole and in the order given."""
        scope = scope_of(allowed)
        answers = self.ask_by_id(documents, lambda mine: Whole(mine, scope))
        found = {document.id: document for answer in answers.values() for document in answer}
        return [found[one] for one in dict.fromkeys(documents) if one in found]

    def ids(self, allowed: Admission | None = None) -> list[str]:
        """The ids of all documents in a scope, ascending."""
        return sorted(one for some in self.ask_all(AllIds(scope_of(allowed))) for one in some)

    def count(self, allowed: Admission | None = None) -> int:
        """How many live passages there are in a scope."""
        return self.totals.passages if allowed is None else self._counts(allowed.scope).passages

    def count_documents(self, allowed: Admission | None = None) -> int:
        """How many documents have a live passage in a scope."""
        if self.documents is None:
            return self.count(allowed)
        return self._counts(scope_of(allowed)).documents

    def _counts(self, scope: Scope) -> Counts:
        if (known := self.memo.counts.get(scope)) is not None:
            return known
        answers = self.ask_all(Count(scope))
        counts = Counts(sum(one.documents for one in answers), sum(one.passages for one in answers))
        if len(self.memo.counts) >= REMEMBERED_COUNTS:
            self.memo.counts.clear()
        self.memo.counts[scope] = counts
        return counts

    def examples(self, allowed: Admission | None = None) -> dict[str, dict[str, Any]]:
        """An example of each kind of value that a field has in a scope, by field."""
        found: dict[str, dict[str, Any]] = {}
        for answer in self.ask_all(Examples(scope_of(allowed))):
            for field, kinds in answer.items():
                found[field] = {**kinds, **found.get(field, {})}
        return dict(sorted(found.items()))

    def matching(self, condition: Filter) -> Admission:
        """What a metadata filter admits. Raises FilterError where it names a field that no document of any shard has,
        or a value that its field never holds."""
        named = tuple(dict.fromkeys(leaf.field for leaf in condition.leaves()))
        scope = Scope(condition)
        if scope not in self.memo.counts and (sources := self.field_sources(named)):
            check_fields(condition, sources)
        return Admission(self, scope)

    def field_sources(self, fields: Sequence[str]) -> list[ShardFields]:
        """What knows these fields of the metadata; nothing where the cluster is empty, which knows no field."""
        named = tuple(fields)
        if (known := self.memo.named.get(named)) is None:
            known = [one for one in self.ask_all(FieldsOf(named)) if one.filled]
            if len(self.memo.named) >= REMEMBERED_FIELDS:
                self.memo.named.clear()
            self.memo.named[named] = known
        return known

    def dated(self, field: str) -> bool:
        """See `Snapshot`."""
        if (known := self.memo.dated.get(field)) is None:
            known = any(self.ask_all(Dated(field)))
            if known:  # so that there are no more than the documents have
                self.memo.dated[field] = known
        return known

    def value_counts(self, fields: Sequence[str], allowed: Admission | None = None) -> list[ValueCounts]:
        """How many documents in a scope have each value of each field, those with none left out."""
        answers = self.ask_all(CountValues(tuple(fields), scope_of(allowed)))
        return [merged_counts(parts) for parts in zip(*answers, strict=True)]

    def sample(self, count: int) -> Int64Array:
        """See `Snapshot`: the same passages as of one index, in the same order."""
        answers = self.ask_all(Draw(count))
        ordinals = np.concatenate(
            [one.ordinals + self.bases[shard] for shard, one in zip(self.shards, answers, strict=True)]
        )
        ids = dict(zip(ordinals.tolist(), (id for one in answers for id in one.ids), strict=True))
        self.passages.hold(ids)
        low = np.concatenate([one.lots for one in answers])
        order = best_first(-low, ordinals, lambda tied: [(ids[one], one) for one in tied.tolist()])
        return ordinals[order[:count]]

    def narrowed(
        self, allowed: Admission | None, operators: Sequence[Operator]
    ) -> tuple[Admission, tuple[Operator, ...]]:
        """What a query's operators leave of a scope, and how many documents each leaves."""
        scope, wanted = scope_of(allowed), tuple(operators)
        answers = self.ask_all(Narrow(scope, wanted))
        applied = tuple(
            operator._replace(left=sum(answer[place].left or 0 for answer in answers))
            for place, operator in enumerate(wanted)
        )
        return Admission(self, scope._replace(operators=(*scope.operators, *wanted))), applied

    def search_sides(
        self,
        queries: Sequence[SparseQuery],
        vectors: Float32Array | None,
        depth: int,
        mode: Mode,
        allowed: Admission | None,
        listed: int = 0,
        learned: Sequence[ImpactQuery] | None = None,
    ) -> list[Sides]:
        """See `ranking.search_sides`; the scores of all candidates on all sides are then known."""
        if not queries:
            return []
        asks_terms = mode in ("hybrid", "sparse")
        question = Search(
            tuple(queries),
            vectors,
            None if learned is None else tuple(learned),
            depth,
            mode,
            scope_of(allowed),
            listed,
            self.statistics(queries if asks_terms else ()),
        )
        answers = self.ask_together(question)
        self.known = {}
        self.passages.make_room()
        found = []
        for row, query in enumerate(queries):
            parts = [answer[row] for _, answer in answers]
            ordinals = [
                self.globally(shards, part.ordinals) for (shards, _), part in zip(answers, parts, strict=True)
            ]
            merged = merge(ordinals, parts, depth, listed)
            self.passages.hold(merged.ids)
            for side, key, view in (
                ("sparse", query, merged.scores.sparse),
                ("dense", None if vectors is None else vectors[row].tobytes(), merged.scores.dense),
                ("learned", None if learned is None else learned_key(learned[row]), merged.scores.learned),
            ):
                if view is not None:
                    self.known[side, key] = KnownScores(merged.ordinals, view)
            found.append(merged.sides)
        return found

    def score(
        self, key: tuple[str, object], ordinals: Int64Array, ask: Callable[[Int64Array], Float32Array]
    ) -> Float32Array:
        """(c,) the scores of passages on one side; `ask` gives those that are not known of this query."""
        known = self.known.get(key)
        if known is None or not len(known.ordinals):
            return ask(ordinals)
        places = np.minimum(np.searchsorted(known.ordinals, ordinals), len(known.ordinals) - 1)
        scores, there = known.scores[places], known.ordinals[places] == ordinals
        if not there.all():
            scores[~there] = ask(ordinals[~there])
        return scores

    def exact(self, ordinals: Int64Array, side: str, **asked: Any) -> Float32Array:
        """(c,) the scores of passages on one side, by their shards."""
        scores = np.zeros(len(ordinals), np.float32)
        for mine, answer in self.ask_about(ordinals, lambda local: Score(local, **asked)):
            scores[mine] = getattr(answer, side)
        return scores

    def dense_search(self, queries: Float32Array, k: int, allowed: Admission | None) -> list[Candidates]:
        """The k best passages for each query (m, D)."""
        return [one for one, _ in self.dense_search_listed(queries, k, 0, allowed)]

    def dense_search_listed(
        self, queries: Float32Array, k: int, depth: int, allowed: Admission | None
    ) -> list[tuple[Candidates, Float32Array]]:
        """See `Snapshot`."""
        sides = self.search_sides([""] * len(queries), queries, k, "dense", allowed, depth)
        nothing = np.zeros(0, np.float32)
        return [
            (one.dense, one.lists.dense if one.lists is not None else nothing)
            for one in sides
            if one.dense is not None
        ]

    def dense_score(self, query: Float32Array, ordinals: Int64Array) -> Float32Array:
        """(c,) exact inner products of one query (D,) with passages."""
        return self.score(
            ("dense", query.tobytes()), ordinals, lambda rest: self.exact(rest, "dense", vector=query)
        )

    def vectors(self, ordinals: Int64Array) -> Float32Array:
        """(c, D) the vectors of passages."""
        encoder = self.state.settings.encoder
        vectors = np.zeros((len(ordinals), encoder.dimensions if encoder is not None else 0), np.float32)
        for mine, answer in self.ask_about(ordinals, VectorsAt):
            vectors[mine] = answer
        return vectors

    def close(self) -> None:
        """Nothing: the transport belongs to the searcher."""
