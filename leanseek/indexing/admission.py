"""What the operators of a query admit: documents that have every word it requires, and none that it excludes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from leanseek.types import BoolArray, Int64Array, Operator


class WordSource(Protocol):
    """Passages (n) under global ordinals, and which of them have some words."""

    @property
    def size(self) -> int: ...

    @property
    def live(self) -> BoolArray | None: ...

    @property
    def documents(self) -> Int64Array | None: ...

    def containing(self, words: str) -> BoolArray: ...


def apply_operators(
    source: WordSource, allowed: BoolArray | None, operators: Sequence[Operator]
) -> tuple[BoolArray, tuple[Operator, ...]]:
    """(n,) the passages that a query may return, and its operators with the number of documents that each leaves.

    `allowed` (n,) are those that the filter admits, None for all. Of a document split into passages one is enough to
    have a word, for it as for all others; of a document that has a required one, passages that have none are not
    returned.
    """
    admitted = np.ones(source.size, np.bool_) if source.live is None else source.live
    if allowed is not None:
        admitted = admitted & allowed
    documents = source.documents
    shown: BoolArray | None = None
    applied = []
    for operator in operators:
        having = source.containing(operator.words)
        if not operator.excludes:
            shown = having if shown is None else shown | having
        whole = having if documents is None else spread(having, documents)
        admitted = admitted & (~whole if operator.excludes else whole)
        applied.append(operator._replace(left=count(admitted, documents)))
    if shown is not None:
        admitted = admitted & shown
    return admitted, tuple(applied)


def spread(mask: BoolArray, documents: Int64Array) -> BoolArray:
    """(n,) True for all passages of the documents of which one is True; `documents` (n,) are their numbers."""
    found = np.zeros(int(documents.max(initial=0)) + 1, np.bool_)
    found[documents[mask]] = True
    return found[documents]


def count(mask: BoolArray, documents: Int64Array | None) -> int:
    """How many documents have a passage that is True."""
    return int(np.count_nonzero(mask)) if documents is None else len(np.unique(documents[mask]))
