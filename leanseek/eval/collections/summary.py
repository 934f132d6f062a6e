"""What a collection holds, counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from leanseek.eval.base import Collection


@dataclass(frozen=True, slots=True)
class Summary:
    """`splits` are the judged queries of each split."""

    name: str
    documents: int
    splits: Mapping[str, int]
    self_hits: bool


def summarize(collection: Collection) -> Summary:
    """Count a collection's documents (those that would be indexed) and judged queries; reads all of it once."""
    return Summary(
        name=collection.name,
        documents=sum(1 for _ in collection.documents()),
        splits={split: len(collection.qrels(split)) for split in collection.splits},
        self_hits=collection.self_hits,
    )
