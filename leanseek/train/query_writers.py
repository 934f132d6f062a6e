"""Who writes queries for a document, each with its grade: the documents' own texts, or a decoder.

A grade says how well a document answers a query: 2 perfectly, 1 in part, 0 not at all. A trainer that sees all three
for one document learns where they part (Chaudhary et al., "Exploring the Viability of Synthetic Query Generation for
Relevance Prediction", arXiv:2305.11944, condition the writer on the grade).
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Final, NamedTuple, Protocol

import numpy as np

from leanseek.decode import Decoder, PassageQueries
from leanseek.decode.passage_queries import GRADES
from leanseek.errors import UsageError
from leanseek.indexing.learning_queries import query_texts
from leanseek.indexing.search_source import SearchSource, has_vectors
from leanseek.types import Document, content

LABELS: Final = dict(zip((2, 1, 0), GRADES, strict=True))
"""The grades and what a decoder is told of them, the best first."""

NEAR: Final = slice(4, 20)
"""Where a document's neighbours stand whose queries it answers in part: not the nearest, which may answer them too."""
FAR: Final = 100
"""Documents beyond so many of the nearest do not answer its queries at all."""
LISTED: Final = 400
"""Passages that are searched for neighbours; several may be of one document."""


class WrittenQuery(NamedTuple):
    """A query, and the grade of a document for it."""

    query: str
    document: str
    grade: int


class QueryWriter(Protocol):
    """Writes the queries of some documents at a time."""

    @property
    def block(self) -> int:
        """How many documents it is given at a time: those that are written together decide the last digits."""
        ...

    @property
    def fingerprint(self) -> str:
        """A digest of what decides what it writes."""
        ...

    def write(self, documents: Sequence[Document]) -> list[WrittenQuery]:
        """Queries for the documents; none for those it finds no words for."""
        ...


def grades_of(per_document: int) -> list[int]:
    """The grades of a document's queries in turn: 2, 1, 0, 2, 1, …"""
    return list(islice(cycle(LABELS), per_document))


class TextWriter:
    """Takes a document's title, questions and first sentence for its queries, without a model.

    It answers its own; those of a neighbour in part; those of a document far from it not at all. Each query is also
    graded for the document that it is from. `per_document` counts the queries by which a document is graded.
    """

    block = 256

    def __init__(self, source: SearchSource, per_document: int, seed: int) -> None:
        """Raises UsageError for an index without vectors, by which neighbours are found."""
        if not has_vectors(source):
            raise UsageError(
                f"'{source.folder}' has no vectors, by which the neighbours of documents are found; index with a "
                "dense side, or give --generator a decoder"
            )
        self._source = source
        self._counts = [grades_of(per_document).count(grade) for grade in LABELS]
        self._seed = seed
        self._ids = sorted(source.ids())
        self.fingerprint = digest("texts", per_document, seed)

    def write(self, documents: Sequence[Document]) -> list[WrittenQuery]:
        """See `QueryWriter`."""
        places = self._source.find([one.id for one in documents])
        vectors = self._source.vectors(np.array([min(places[one.id]) for one in documents]))
        lists = self._source.dense_search(vectors, min(LISTED, self._source.size), None)
        own, near, far = self._counts
        chosen: list[tuple[str, str, int]] = []
        for one, listed in zip(documents, lists, strict=True):
            draw = random.Random(f"{self._seed} {one.id}")
            found = dict.fromkeys(self._source.passages.ids(listed.ordinals))
            ranked = [name for name in found if name != one.id]
            beside = ranked[NEAR]
            chosen += [(one.id, name, 1) for name in draw.sample(beside, min(near, len(beside)))]
            chosen += [(one.id, name, 0) for name in self._beyond({one.id, *ranked[:FAR]}, far, draw)]
        wanted = [name for _, name, _ in chosen]
        texts = {one.id: self._texts(one) for one in (*self._source.whole(wanted), *documents)}
        written = [
            WrittenQuery(text, one.id, 2) for one in documents for text in texts[one.id][: max(1, own)]
        ]
        for document, name, grade in chosen:
            for text in texts[name][:1]:
                written += [WrittenQuery(text, document, grade), WrittenQuery(text, name, 2)]
        return written

    def _beyond(self, listed: set[str], count: int, draw: random.Random) -> list[str]:
        """Some documents that are not among those listed, if these are so many that the others are far."""
        if len(listed) <= FAR or len(self._ids) < len(listed) + count:
            return []
        found: dict[str, None] = {}
        while len(found) < count:
            name = draw.choice(self._ids)
            if name not in listed:
                found[name] = None
        return list(found)

    def _texts(self, document: Document) -> list[str]:
        """The texts of a document that resemble queries, in the order of its own lot."""
        texts = list(dict.fromkeys(text for _, text in query_texts(document)))
        random.Random(f"{self._seed} texts {document.id}").shuffle(texts)
        return texts


class DecoderWriter:
    """Has a decoder write a document's queries (see `PassageQueries`)."""

    block = PassageQueries.block

    def __init__(self, decoder: Decoder, per_document: int) -> None:
        self._grades = grades_of(per_document)
        self._queries = PassageQueries(decoder, [LABELS[grade] for grade in self._grades])
        self.fingerprint = self._queries.fingerprint

    def write(self, documents: Sequence[Document]) -> list[WrittenQuery]:
        """See `QueryWriter`."""
        found = self._queries.write([content(one.title, one.text) for one in documents])
        return [
            WrittenQuery(query, one.id, grade)
            for one, queries in zip(documents, found, strict=True)
            for query, grade in zip(queries, self._grades, strict=True)
            if query
        ]


def digest(*values: object) -> str:
    """A short digest of values."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]
