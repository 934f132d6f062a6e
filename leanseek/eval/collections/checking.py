"""Judgments that name queries or documents which the collection does not have."""

from __future__ import annotations

from collections.abc import Iterable

from leanseek.eval.base import Collection

SHOWN = 3


def check_judgments(collection: Collection, split: str, known: Iterable[str] | None = None) -> list[str]:
    """What is odd about a split's judgments, a sentence each with a count and examples; empty where nothing is.

    Told are judged queries that have no text, which cannot be searched and so count 0 in every mean, and relevant
    documents that are not there, which no search can find. `known` are the ids of the documents; None reads the
    documents, of which only the judged ids are held.

    Raises UsageError for a split that does not exist.
    """
    qrels = collection.qrels(split)
    queries = {query.id for query in collection.queries(split)}
    lost = [id for id in qrels if id not in queries]
    relevant = {id: None for grades in qrels.values() for id, grade in grades.items() if grade > 0}
    for id in known if known is not None else (document.id for document in collection.documents()):
        relevant.pop(id, None)
    found = []
    if lost:
        found.append(
            f"{len(lost):,} of {len(qrels):,} judged queries of '{collection.name}' ({split}) have no text: "
            f"{examples(lost)}; they count 0 in every mean"
        )
    if relevant:
        found.append(
            f"{len(relevant):,} relevant documents of '{collection.name}' ({split}) are not in the collection: "
            f"{examples(list(relevant))}; no search can find them"
        )
    return found


def examples(ids: list[str]) -> str:
    """The first few, quoted."""
    return f"{', '.join(map(repr, ids[:SHOWN]))}{', …' if len(ids) > SHOWN else ''}"
