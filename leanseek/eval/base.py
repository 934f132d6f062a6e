"""The objects that all parts of an evaluation share: collections, rules and scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from leanseek.types import Document, Qrels, Query


class Collection(Protocol):
    """Documents, queries and judgments under one name; documents are streamed, never held as a whole."""

    @property
    def name(self) -> str:
        """E.g. `scifact`."""
        ...

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have judgments, e.g. ("test", "train"); empty where the collection has none."""
        ...

    @property
    def self_hits(self) -> bool:
        """Whether queries are themselves documents under the same id, which a search must not return."""
        ...

    @property
    def checksum(self) -> str:
        """SHA-256 over the collection's files (documents, queries, judgments), hexadecimal."""
        ...

    def documents(self) -> Iterator[Document]:
        """Every document, in the order of its source."""
        ...

    def queries(self, split: str | None = None) -> list[Query]:
        """The queries that have judgments in the split; None gives every query.

        Raises UsageError for a split that does not exist, listing those that do.
        """
        ...

    def qrels(self, split: str) -> Qrels:
        """The judgments of a split. Raises UsageError as `queries` does."""
        ...


@dataclass(frozen=True, slots=True)
class Rules:
    """How measures were computed; printed beside the numbers, because each of these changes them."""

    ties: str
    missing_queries: str
    self_hits: str
    gains: str
    titles: str
    provider: str


@dataclass(frozen=True, slots=True)
class Scores:
    """The measures of one run: `per_query[query id][measure]` and their `means` over the judged queries."""

    measures: tuple[str, ...]
    per_query: Mapping[str, Mapping[str, float]]
    means: Mapping[str, float]
    rules: Rules
    warnings: Sequence[str] = ()
