"""The candidates of judged queries with both sides' exact scores, from which fusion is learned."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from leanseek.errors import InputError
from leanseek.indexing.learned import ImpactQuery
from leanseek.indexing.snapshot import Snapshot
from leanseek.indexing.sparse.base import Candidates
from leanseek.searcher.ranking import view_of
from leanseek.searcher.request import DEPTH, LearnedQueries, QueryEncoder
from leanseek.types import BoolArray, Float32Array, Float64Array, Int64Array, Progress, Qrels, Query

CUT: Final = 10
"""Documents that nDCG is computed on."""
DISCOUNTS: Final[Float64Array] = 1.0 / np.log2(np.arange(2, CUT + 2))
_BLOCK: Final = 64


class JudgedQuery(NamedTuple):
    """The c candidate passages of one query, in ascending order of (document id, part), and their d documents.

    `sparse` and `dense` (c,): exact scores on both sides. `starts` (d,): where each document's passages begin.
    `grades` (d,): the documents' gains. `ideal`: the greatest DCG@10 that the query's judgments allow, above 0.
    `learned` (c,): exact scores on the learned side, None where there is none; `ranked`: then what each side has
    found itself, (c,) of the sparse, the dense and the learned one.
    """

    sparse: Float32Array
    dense: Float32Array
    starts: Int64Array
    grades: Float64Array
    ideal: float
    learned: Float32Array | None = None
    ranked: tuple[BoolArray, BoolArray, BoolArray] | None = None

    def two_sided(self) -> JudgedQuery:
        """The same without the learned side, and what only that has found."""
        assert self.ranked is not None, "the candidates of three sides"
        found = self.ranked[0] | self.ranked[1]
        documents = np.repeat(np.arange(len(self.starts)), np.diff(self.starts, append=len(self.sparse)))
        kept = documents[found]
        starts = np.flatnonzero(np.diff(kept, prepend=-1))
        return JudgedQuery(
            self.sparse[found], self.dense[found], starts, self.grades[kept[starts]], self.ideal
        )


class Labelled(NamedTuple):
    """The queries that can be learned from, and `notes` on those that were left out."""

    queries: list[Query]
    notes: tuple[str, ...]


def labelled(snapshot: Snapshot, queries: Sequence[Query], qrels: Qrels) -> Labelled:
    """The queries that have text and a relevant document in the index.

    Raises InputError where none of the queries is judged, none of the judged documents is in the index, or none of
    the judged queries has a relevant document there.
    """
    judged = [query for query in queries if qrels.get(query.id)]
    if not judged:
        raise InputError(
            f"none of the {len(queries):,} queries{such(query.id for query in queries)} is among the {len(qrels):,} "
            f"judged ones{such(qrels)}; give the judgments (--qrels) of these queries"
        )
    documents = list(dict.fromkeys(document for query in judged for document in qrels[query.id]))
    here = snapshot.find(documents)
    absent = [document for document in documents if document not in here]
    if not here:
        raise InputError(
            f"none of the {len(documents):,} judged documents{such(absent)} is in '{os.fspath(snapshot.folder)}'; see "
            "that queries and judgments are of the documents that were indexed, and the ids the same"
        )
    useful = [
        query
        for query in judged
        if query.text.strip() and any(grade > 0 and key in here for key, grade in qrels[query.id].items())
    ]
    given = {query.id for query in queries}
    textless = [query for query in qrels if query not in given]
    notes = []
    if absent:
        notes.append(
            f"{len(absent):,} of {len(documents):,} judged documents are not in the index{such(absent)}"
        )
    if len(judged) < len(queries):
        notes.append(f"{len(queries) - len(judged):,} of {len(queries):,} queries without judgments left out")
    if textless:
        notes.append(f"{len(textless):,} judged queries are not among the queries given{such(textless)}")
    if len(useful) < len(judged):
        notes.append(
            f"{len(judged) - len(useful):,} of {len(judged):,} judged queries without text, or without a relevant "
            "document in the index, left out"
        )
    if not useful:
        raise InputError(
            f"none of the {len(judged):,} judged queries has a relevant document (grade 1 or more) in "
            f"'{os.fspath(snapshot.folder)}', so there is nothing to learn from"
        )
    return Labelled(useful, tuple(notes))


def such(ids: Iterable[str]) -> str:
    """The first of the ids for a message, in brackets."""
    shown = [repr(one) for one, _ in zip(ids, range(4), strict=False)]
    return f" ({', '.join(shown[:3])}{', …' if len(shown) > 3 else ''})" if shown else ""


def gather(
    snapshot: Snapshot,
    encoder: QueryEncoder,
    queries: Sequence[Query],
    qrels: Qrels,
    progress: Progress | None = None,
    expansion: LearnedQueries | None = None,
) -> list[JudgedQuery]:
    """The union of all sides' candidates for each query, as a search would fuse them, scored exactly by all.

    `expansion` gives the queries for the learned side; None leaves that out.
    """
    found = []
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK]
        texts = [query.text for query in block]
        vectors, _ = encoder.encode(texts)
        by_terms = snapshot.sparse.search_batch(texts, DEPTH, None)
        by_vector = snapshot.dense_search(vectors, DEPTH, None)
        expanded: Sequence[ImpactQuery | None] = [None] * len(block)
        if expansion is not None:
            expanded, _ = expansion.encode(texts)
        for query, vector, sparse, dense, asked in zip(
            block, vectors, by_terms, by_vector, expanded, strict=True
        ):
            both = np.union1d(sparse.ordinals, dense.ordinals)
            by_expansion = snapshot.learned.search(asked, DEPTH) if asked is not None else None
            union = both if by_expansion is None else np.union1d(both, by_expansion.ordinals)
            ordinals = snapshot.passages.in_order(union)
            starts = document_starts(snapshot.documents, ordinals)
            grades = qrels[query.id]
            ids = snapshot.passages.ids(ordinals[starts])
            found.append(
                JudgedQuery(
                    view_of(ordinals, sparse, partial(snapshot.sparse.score, query.text)).scores,
                    view_of(ordinals, dense, partial(snapshot.dense_score, vector)).scores,
                    starts,
                    np.array([max(grades.get(document, 0), 0) for document in ids], dtype=np.float64),
                    ideal_dcg(grades.values()),
                    snapshot.learned.score(asked, ordinals) if asked is not None else None,
                    found_by(ordinals, sparse, dense, by_expansion) if by_expansion is not None else None,
                )
            )
        if progress is not None:
            progress("searching", len(found), len(queries))
    return found


def found_by(
    ordinals: Int64Array, sparse: Candidates, dense: Candidates, learned: Candidates
) -> tuple[BoolArray, BoolArray, BoolArray]:
    """(c,) which of the passages each side has found."""
    return (
        np.isin(ordinals, sparse.ordinals),
        np.isin(ordinals, dense.ordinals),
        np.isin(ordinals, learned.ordinals),
    )


def document_starts(documents: Int64Array | None, ordinals: Int64Array) -> Int64Array:
    """(d,) the places where another document begins, among passages at `ordinals` (c,) in order of their ids."""
    if documents is None or not len(ordinals):
        return np.arange(len(ordinals))
    numbers = documents[ordinals]
    return np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]]))


def ideal_dcg(grades: Iterable[int]) -> float:
    """The DCG@10 of the best order of all judged documents."""
    best = np.sort([max(grade, 0) for grade in grades])[::-1][:CUT]
    return float(best @ DISCOUNTS[: len(best)])
