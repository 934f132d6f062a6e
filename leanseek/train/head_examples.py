"""Judged queries of an index as examples for finding heads: what its search finds, and what of it is relevant."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from leanseek.errors import UsageError
from leanseek.eval.base import Qrels
from leanseek.indexing.snapshot import Snapshot
from leanseek.rerank.incontext.hits import text_of
from leanseek.searcher.searcher import Searcher
from leanseek.train.fusion_candidates import labelled
from leanseek.train.heads import Example
from leanseek.types import Progress, Query


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
            f"{most} queries with {documents} documents each teach nothing; give 2 documents or more"
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
