"""The candidates of a review as a learner sees them: the weights of their terms, and their vectors."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final

import numpy as np

from leanseek.indexing.search_source import SearchSource, mean_vectors
from leanseek.types import Progress, content
from leanseek.understanding.reviews.ridge_logistic import Rows, SparseRows

if TYPE_CHECKING:
    from leanseek.searcher import Searcher

BLOCK: Final = 512
"""Documents read at a time."""
COMMON: Final = 0.95
"""Terms of more than this share of the documents are left out."""
DENSE_LENGTH: Final = 0.5
"""The length of a document's vector beside that of its terms, which is 1."""


@dataclass(frozen=True, slots=True, eq=False)
class ReviewDocuments:
    """n documents by their `ids` (ascending), and `rows` (n + 1): theirs, and last that of the review's title."""

    ids: tuple[str, ...]
    places: Mapping[str, int]
    rows: Rows


def review_documents(
    searcher: Searcher, ids: Sequence[str], title: str, mode: str, progress: Progress | None = None
) -> ReviewDocuments:
    """The documents with these `ids`, all of which the index has, in a mode of search: hybrid, dense or sparse.

    Terms are those of the index's analysis, weighted (1 + ln f) · (1 + ln((1 + n) / (1 + df))), with lengths of 1. A
    document's vector is the mean of its passages', with the mean of all documents taken off. The title is a document
    whose vector is that of a query.
    """
    ids = sorted(ids)
    texts = chain(whole_texts(searcher.source, ids, progress), (title,))
    tokens = searcher.source.passages.analyzer.tokens
    sparse = (
        weighted_terms(Counter(tokens(text)) for text in texts) if mode != "dense" else nothing(len(ids) + 1)
    )
    dense = np.zeros((len(ids) + 1, 0), np.float32)
    if mode in ("hybrid", "dense") and searcher.settings.dense is not None:
        dense = np.concatenate(
            [
                mean_vectors(searcher.source, ids, searcher.source.find(ids)),
                searcher.encoder.encode_queries([title]).vectors,
            ]
        )
        dense -= dense[:-1].mean(axis=0)
        dense *= DENSE_LENGTH / np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1e-12)
    return ReviewDocuments(tuple(ids), {id: place for place, id in enumerate(ids)}, Rows(sparse, dense))


def nothing(count: int) -> SparseRows:
    """`count` rows without a column."""
    none = np.zeros(0, np.int64)
    return SparseRows(count, 0, none, none, np.zeros(0))


def whole_texts(source: SearchSource, ids: Sequence[str], progress: Progress | None) -> Iterator[str]:
    """Title and text of each of the documents."""
    for start in range(0, len(ids), BLOCK):
        some = source.whole(ids[start : start + BLOCK])
        yield from (content(one.title, one.text) for one in some)
        if progress is not None:
            progress("reading", start + len(some), len(ids))


def weighted_terms(documents: Iterable[Mapping[str, int]]) -> SparseRows:
    """The rows of documents given as their terms' frequencies; terms that nearly all or only one of them has are
    left out."""
    numbers: dict[str, int] = {}
    sizes, terms, frequencies = array("q"), array("q"), array("q")
    for one in documents:
        sizes.append(len(one))
        terms.extend(numbers.setdefault(term, len(numbers)) for term in one)
        frequencies.extend(one.values())
    count, columns = len(sizes), np.array(terms, np.int64)
    rows, counts = np.repeat(np.arange(count), np.array(sizes, np.int64)), np.array(frequencies, np.float64)
    found = np.bincount(columns, minlength=len(numbers))
    kept = (found > 1) & (found <= max(COMMON * count, 1.0))
    inside = kept[columns]
    rows, columns, counts = rows[inside], (np.cumsum(kept) - 1)[columns[inside]], counts[inside]
    rarity = np.log((1 + count) / (1 + found[kept])) + 1.0
    values = (1.0 + np.log(counts)) * rarity[columns]
    lengths = np.sqrt(np.bincount(rows, values**2, count))
    return SparseRows(count, int(kept.sum()), rows, columns, values / lengths[rows])
