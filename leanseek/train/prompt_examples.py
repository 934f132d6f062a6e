"""Queries with documents of which some are relevant: what attention heads are found and tested with."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from leanseek.errors import InputError, UsageError
from leanseek.indexing.snapshot import Snapshot
from leanseek.rerank.incontext.listing import text_of
from leanseek.rerank.incontext.prompts import NO_QUERY, tokenize
from leanseek.rerank.incontext.reader import Reader
from leanseek.searcher.searcher import Searcher
from leanseek.train.fusion.judged_candidates import CUT, DISCOUNTS, labelled
from leanseek.types import Float64Array, Progress, Qrels, Query


class Example(NamedTuple):
    """A query with the documents of a prompt, and which of them are relevant: at least one, and not all."""

    query: str
    documents: tuple[str, ...]
    relevant: tuple[bool, ...]

    def take(self, places: Sequence[int]) -> Example:
        """The example with the documents at these places, in that order."""
        return Example(
            self.query,
            tuple(self.documents[place] for place in places),
            tuple(self.relevant[place] for place in places),
        )


def fitting(reader: Reader, example: Example) -> Example:
    """The example without its last documents that are not relevant, where they do not fit into the context.

    Raises InputError where not even one of them fits beside the relevant ones.
    """
    context = reader.decoder.context
    while context is not None:
        prompts = [reader.wording.compose(query, example.documents) for query in (example.query, NO_QUERY)]
        if max(len(tokenize(reader.decoder.tokenizer, prompt).ids) for prompt in prompts) <= context:
            break
        others = [place for place, relevant in enumerate(example.relevant) if not relevant]
        if len(others) < 2:
            raise InputError(
                f"the documents of the query '{example.query}' do not fit into the {context:,} tokens of "
                f"{reader.decoder.name}; cut them into passages"
            )
        example = example.take([place for place in range(len(example.documents)) if place != others[-1]])
    return example


class Examples(NamedTuple):
    """Examples, and `notes` on what of the queries and judgments could not be used."""

    examples: list[Example]
    notes: tuple[str, ...]


def head_examples(
    path: str | os.PathLike[str],
    queries: Sequence[Query],
    qrels: Qrels,
    *,
    most: int,
    documents: int,
    device: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Examples:
    """At most `most` examples from the index at `path`: the best `documents` of its own search for a query.

    A query counts whose hits hold a relevant document and another one; the queries are drawn by the `seed`.

    Raises UsageError for fewer than two documents, InputError where queries, judgments and index do not fit each
    other, and what `Searcher.open` raises.
    """
    if documents < 2 or most < 1:
        raise UsageError(
            f"nothing can be learned from {most} queries with {documents} documents each; give at least 1 query and "
            "2 documents"
        )
    snapshot = Snapshot.open(Path(path), dense=False)
    try:
        useful, notes = labelled(snapshot, queries, qrels)
    finally:
        snapshot.close()
    found: list[Example] = []
    with Searcher.open(path, device=device) as searcher:
        for query in random.Random(f"queries {seed}").sample(useful, len(useful)):
            hits = searcher.search(query.text, documents)
            relevant = tuple(qrels[query.id].get(hit.id, 0) > 0 for hit in hits)
            if any(relevant) and not all(relevant):
                found.append(Example(query.text, tuple(map(text_of, hits)), relevant))
            if progress is not None:
                progress("searching", len(found), most)
            if len(found) == most:
                break
    return Examples(found, notes)


def ndcg(scores: Float64Array, relevant: NDArray[np.bool_]) -> Float64Array:
    """(heads,) nDCG@10 of the documents in the order of each head's `scores` (heads, documents).

    Of equal scores the documents that are not relevant come first: a head that scores all alike gains nothing.
    """
    order = np.lexsort((np.broadcast_to(relevant, scores.shape), -scores), axis=1)[:, :CUT]
    gains = relevant[order] @ DISCOUNTS[: order.shape[1]]
    return np.asarray(gains / DISCOUNTS[: int(relevant.sum())].sum())
