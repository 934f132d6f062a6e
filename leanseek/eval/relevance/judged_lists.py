"""Judged queries with the evidence on their candidates, on which relevance models are measured and trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from leanseek.encode import Encoder, VectorCache
from leanseek.encode.cache import cached_as
from leanseek.errors import InputError
from leanseek.eval.base import Collection
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.fusion.methods import Fusion
from leanseek.searcher.ranking import rank, search_sides
from leanseek.searcher.relevance.features import LIST_DEPTH, Evidence
from leanseek.searcher.relevance.judge import evidence_on
from leanseek.searcher.relevance.model import Judged
from leanseek.types import BoolArray, Float32Array, Int64Array, Qrels

BLOCK: Final = 64


class JudgedQueries(NamedTuple):
    """m queries that have a relevant passage: their texts, vectors (m, D), and the ordinals of those passages."""

    texts: tuple[str, ...]
    vectors: Float32Array
    relevant: tuple[Int64Array, ...]

    def take(self, rows: Sequence[int] | Int64Array) -> JudgedQueries:
        """The same for some of the queries."""
        return JudgedQueries(
            tuple(self.texts[row] for row in rows),
            self.vectors[np.asarray(rows, np.int64)],
            tuple(self.relevant[row] for row in rows),
        )


class JudgedList(NamedTuple):
    """The c candidates of a query, best first: global `ordinals` (c,) with the `scores` (c,) that order them, the
    `evidence` on them, and which are `relevant` (c,)."""

    ordinals: Int64Array
    scores: Float32Array
    evidence: Evidence
    relevant: BoolArray


def judged_queries(
    snapshot: Snapshot, collection: Collection, split: str, encoder: Encoder, cache: bool = True
) -> JudgedQueries:
    """The queries of a split that have text and a relevant passage in the index, their vectors taken from the cache.

    Raises InputError where there is none, with the reason, and UsageError for a split that does not exist.
    """
    queries, qrels = collection.queries(split), collection.qrels(split)
    places = relevant_passages(snapshot, qrels, f"'{collection.name}' ({split})")
    useful = [query for query in queries if query.text.strip() and query.id in places]
    if not useful:
        raise InputError(
            f"none of the {len(queries):,} queries of '{collection.name}' ({split}) has both text and a relevant "
            "document"
        )
    vectors = query_vectors(encoder, [query.text for query in useful], cache)
    return JudgedQueries(
        tuple(query.text for query in useful), vectors, tuple(places[query.id] for query in useful)
    )


def relevant_passages(snapshot: Snapshot, qrels: Qrels, name: str) -> Mapping[str, Int64Array]:
    """Query id → ordinals (r,), ascending, of the passages of its relevant documents; queries without one left out.

    Raises InputError where no judgment is positive, or none of the relevant documents is in the index.
    """
    wanted = list(
        dict.fromkeys(key for grades in qrels.values() for key, grade in grades.items() if grade > 0)
    )
    if not wanted:
        raise InputError(
            f"no judgment of {name} has a relevant document: nothing can be measured or learned with them"
        )
    here = snapshot.find(wanted)
    if not here:
        raise InputError(
            f"none of the {len(wanted):,} relevant documents of {name} is in the index ('{snapshot.folder}'), such as "
            f"{wanted[0]!r}; give the judgments of the documents that were indexed"
        )
    found = {}
    for query, grades in qrels.items():
        parts = [part for key, grade in grades.items() if grade > 0 for part in here.get(key, ())]
        if parts:
            found[query] = np.unique(np.array(parts, np.int64))
    return found


def query_vectors(encoder: Encoder, texts: Sequence[str], cache: bool = True) -> Float32Array:
    """(m, D) vectors of queries; those that the vector cache has are not computed again."""
    store = VectorCache(cached_as(encoder)) if cache else None
    known = store.get("query", texts) if store is not None else [None] * len(texts)
    vectors: Float32Array = np.empty((len(texts), encoder.dimensions), np.float32)
    missing = [row for row, found in enumerate(known) if found is None]
    for row, found in enumerate(known):
        if found is not None:
            vectors[row] = found.vector
    for start in range(0, len(missing), 256):
        rows = missing[start : start + 256]
        wanted = [texts[row] for row in rows]
        encoded = encoder.encode_queries(wanted)
        vectors[rows] = encoded.vectors
        if store is not None:
            store.put("query", wanted, encoded)
    return vectors


def judged_lists(
    snapshot: Snapshot,
    queries: JudgedQueries,
    mode: Judged,
    fusion: Fusion,
    k: int = LIST_DEPTH,
    allowed: BoolArray | None = None,
) -> Iterator[JudgedList]:
    """Each query's k best candidates: in dense mode by cosine, in hybrid mode by the `fusion`.

    `allowed` (n,) keeps the passages that are True, as a filter does.
    """
    size = snapshot.count(allowed)
    for start in range(0, len(queries.texts), BLOCK):
        texts = queries.texts[start : start + BLOCK]
        vectors = queries.vectors[start : start + BLOCK]
        relevant = queries.relevant[start : start + BLOCK]
        found = search_sides(snapshot, texts, vectors, LIST_DEPTH, mode, allowed, LIST_DEPTH)
        for text, vector, wanted, sides in zip(texts, vectors, relevant, found, strict=True):
            ranking = rank(snapshot, text, vector, sides, LIST_DEPTH, fusion)
            ranking = ranking.take(np.arange(min(k, len(ranking.ordinals))))
            yield JudgedList(
                ranking.ordinals,
                ranking.scores,
                evidence_on(snapshot, text, vector, ranking, sides, size),
                np.isin(ranking.ordinals, wanted),
            )
