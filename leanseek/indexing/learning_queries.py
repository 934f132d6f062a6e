"""Queries to learn from: the user's own, or texts of the corpus that resemble queries."""

from __future__ import annotations

import hashlib
import heapq
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from leanseek.encode.corpus import Encoding
from leanseek.errors import UsageError
from leanseek.indexing.passage_store import PassageStore
from leanseek.indexing.settings import Source
from leanseek.text.sentences import PASSAGE, split_sentences
from leanseek.types import Document, Float32Array

if TYPE_CHECKING:
    from leanseek.indexing.dense.lean.meta import Learned


LIMIT: Final = 2_000
"""Queries made from documents: enough for the moments of several hundred dimensions."""
GIVEN_LIMIT: Final = 6_000
"""The user's own: half of them measure the recall, which takes more of them than learning does."""
FEWEST_QUERIES: Final = 20
"""With fewer of the user's own, texts of the documents or the vectors themselves are better."""
_BLOCK: Final = 8192
_HELD_OUT: Final = 0.2
_HEAD: Final = 4_000
_FIRST: Final = 1_000
"""Characters of a document that are looked at for questions, and for a first sentence of a query's length."""
_SHORTEST, _LONGEST = 2, 40
"""The fewest and the most words of a text that resembles a query."""
_QUESTION: Final = re.compile(r"\?[\"'”’»)\]]*$")
_SPACES: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class LearningQueries:
    """Texts to learn from and others, all distinct, held out for measuring.

    `documents` names for each of `texts` + `held_out` the document it was taken from; it is empty for given queries.
    """

    texts: tuple[str, ...]
    held_out: tuple[str, ...]
    source: Source
    documents: tuple[str, ...] = ()


def make_learning_queries(
    documents: Iterable[Document], limit: int = LIMIT, seed: int = 0, held_out: float = _HELD_OUT
) -> LearningQueries:
    """At most `limit` learning queries from the documents' own texts, a share of them held out.

    Titles, first sentences and questions, in equal parts as far as there are enough of each; distinct but for
    case and white space. The documents are read once and not kept, and the choice depends on their texts
    and the seed, not on their order. Fewer come back, perhaps none, where the texts give no more. Raises
    UsageError for a limit below 2 or a share outside (0, 1).
    """
    _check(limit, held_out)
    kinds = [_Lowest(limit, seed) for _ in range(3)]
    for document in documents:
        for kind, text in query_texts(document):
            kinds[kind].offer(text, document.id)
    chosen = _blend([kind.ascending() for kind in kinds], limit)
    return _split(chosen, held_out, seed, "corpus")


def given_learning_queries(
    texts: Iterable[str], limit: int = GIVEN_LIMIT, seed: int = 0, held_out: float = _HELD_OUT
) -> LearningQueries:
    """At most `limit` of the user's own queries, distinct but for case and white space, a share held out.

    The choice depends on the texts and the seed, not on their order; blank texts are left out. Raises
    UsageError as `make_learning_queries` does.
    """
    _check(limit, held_out)
    kept = _Lowest(limit, seed)
    for text in texts:
        tidy = _SPACES.sub(" ", text).strip()
        if tidy:
            kept.offer(tidy, "")
    return _split(kept.ascending(), held_out, seed, "given")


def query_texts(document: Document) -> Iterator[tuple[int, str]]:
    """The texts of a document that resemble queries, each with its kind: title, first sentence, question."""
    title = _query(document.title)
    if title is not None:
        yield (2 if _QUESTION.search(title) else 0), title
    head = document.text[:_HEAD]
    text = head if "?" in head else head[:_FIRST]
    for number, (start, end) in enumerate(split_sentences(text, PASSAGE)):
        query = _query(text[start:end])
        if query is None:
            continue
        if _QUESTION.search(query):
            yield 2, query
        elif number == 0:
            yield 1, query


class Lesson(NamedTuple):
    """What a reduction of vectors is made from: queries (m, D), or what an earlier one has learned."""

    queries: Float32Array | Learned
    source: Source


def learn_from(encoding: Encoding, passages: PassageStore) -> Lesson:
    """The user's learning queries, or where they are too few texts of the passages, encoded."""
    documents = (
        Document(stored.id, stored.text, stored.title)
        for ordinals in passages.blocks(_BLOCK)
        for stored in passages.get(ordinals)
    )
    chosen = learning_queries(encoding.learning_queries, documents)
    vectors = encoding.queries([*chosen.texts, *chosen.held_out])
    return Lesson(mixed_with_next(vectors) if chosen.source == "corpus" else vectors, chosen.source)


def mixed_with_next(queries: Float32Array) -> Float32Array:
    """(m, D) queries made from documents, each half-way to the next one, as long as it was.

    A title or a first sentence has its own document next to it, at a cosine of .75 to .93, and finds it whatever a
    search leaves out; a person's question has none so near (.62 to .70). Half-way to another query it has the distance
    of a question, so that the recall measured with it is about the one that questions find.
    """
    mixed = queries + np.roll(queries, 1, axis=0)
    lengths = np.linalg.norm(mixed, axis=1, keepdims=True)
    found: Float32Array = (
        mixed * (np.linalg.norm(queries, axis=1, keepdims=True) / np.maximum(lengths, 1e-12))
    ).astype(np.float32)
    return found


def learning_queries(
    given: Iterable[str], documents: Iterable[Document], limit: int | None = None
) -> LearningQueries:
    """At most `limit` of the given queries, or where they are too few texts of the documents."""
    chosen = given_learning_queries(given, limit or GIVEN_LIMIT)
    if len(chosen.texts) + len(chosen.held_out) >= FEWEST_QUERIES:
        return chosen
    return make_learning_queries(documents, limit or LIMIT)


class _Lowest:
    """The `limit` distinct texts of smallest seeded hash: an even sample of a stream, whatever its order."""

    def __init__(self, limit: int, seed: int) -> None:
        self._limit = limit
        self._key = f"learning {seed}".encode()
        self._heap: list[tuple[int, str, str]] = []
        self._held: dict[int, tuple[str, str]] = {}

    def offer(self, text: str, document: str) -> None:
        """Take the text into the sample if its hash is small enough; of equal texts the least counts."""
        rank = _hash(self._key, text)
        known = self._held.get(rank)
        if known is not None:
            self._held[rank] = min(known, (text, document))
            return
        if len(self._heap) == self._limit:
            if -self._heap[0][0] <= rank:
                return
            del self._held[-heapq.heappop(self._heap)[0]]
        self._held[rank] = (text, document)
        heapq.heappush(self._heap, (-rank, text, document))

    def ascending(self) -> list[tuple[str, str]]:
        """The texts and their documents by hash, an order that does not depend on their content."""
        return [self._held[rank] for rank in sorted(self._held)]


def _query(text: str) -> str | None:
    """The text with single spaces, if it is of a query's length."""
    words = text.split(maxsplit=_LONGEST)
    return " ".join(words) if _SHORTEST <= len(words) <= _LONGEST else None


def _blend(kinds: list[list[tuple[str, str]]], limit: int) -> list[tuple[str, str]]:
    """One of each kind in turn until there are `limit`, leaving out what another kind already gave."""
    chosen: dict[str, tuple[str, str]] = {}
    streams = [iter(kind) for kind in kinds]
    while streams and len(chosen) < limit:
        for stream in list(streams):
            found = next((one for one in stream if one[0].casefold() not in chosen), None)
            if found is None:
                streams.remove(stream)
            elif len(chosen) < limit:
                chosen[found[0].casefold()] = found
    return list(chosen.values())


def _split(chosen: list[tuple[str, str]], held_out: float, seed: int, source: Source) -> LearningQueries:
    """The first by a second hash are held out; each side gets at least one where there are two."""
    ordered = sorted(chosen, key=lambda one: _hash(f"held out {seed}".encode(), one[0]))
    count = min(max(round(held_out * len(ordered)), 1), max(len(ordered) - 1, 0))
    aside, learning = ordered[:count], ordered[count:]
    return LearningQueries(
        texts=tuple(text for text, _ in learning),
        held_out=tuple(text for text, _ in aside),
        source=source,
        documents=tuple(document for _, document in learning + aside) if source == "corpus" else (),
    )


def _hash(key: bytes, text: str) -> int:
    digest = hashlib.blake2b(text.casefold().encode("utf-8", "surrogatepass"), digest_size=8, key=key)
    return int.from_bytes(digest.digest(), "big")


def _check(limit: int, held_out: float) -> None:
    if limit < 2:
        raise UsageError(f"limit is {limit}; learning takes at least 2 queries (2000 is usual)")
    if not 0.0 < held_out < 1.0:
        raise UsageError(f"held_out is {held_out}; it must lie between 0 and 1 (0.2 is usual)")
