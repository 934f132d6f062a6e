"""Judgments that name queries or documents which the collection does not have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from leanseek.eval.base import Collection, Qrels
from leanseek.types import Query

SHOWN = 3


def check_judgments(collection: Collection, split: str) -> list[str]:
    """What is odd about a split's judgments: see `odd_judgments`. Reads the documents, of which only judged ids are
    held.

    Raises UsageError for a split that does not exist.
    """

    def missing(ids: Iterable[str]) -> list[str]:
        absent = dict.fromkeys(ids)
        for document in collection.documents():
            absent.pop(document.id, None)
        return list(absent)

    return odd_judgments(
        f"'{collection.name}' ({split})", collection.qrels(split), collection.queries(split), missing
    )


def odd_judgments(
    name: str, qrels: Qrels, queries: Iterable[Query], missing: Callable[[Iterable[str]], Sequence[str]]
) -> list[str]:
    """What is odd about the judgments called `name`, a sentence each with a count and examples; empty where nothing
    is.

    Told are judged queries that have no text, which cannot be searched and so count 0 in every mean, and relevant
    documents that are not there, which no search can find. `missing` gives those of some ids that are no documents.
    """
    texts = {query.id for query in queries}
    lost = [id for id in qrels if id not in texts]
    gone = missing({id: None for grades in qrels.values() for id, grade in grades.items() if grade > 0})
    found = []
    if lost:
        found.append(
            f"{len(lost):,} of {len(qrels):,} judged queries of {name} without a text: {examples(lost)}; "
            "each counts 0 in every mean"
        )
    if gone:
        found.append(
            f"{len(gone):,} relevant {'document' if len(gone) == 1 else 'documents'} of {name} not in the collection, "
            f"or empty there: {examples(gone)}; no search can find {'it' if len(gone) == 1 else 'them'}"
        )
    return found


def examples(ids: Sequence[str]) -> str:
    """The first few, quoted."""
    return f"{', '.join(map(repr, ids[:SHOWN]))}{', …' if len(ids) > SHOWN else ''}"
