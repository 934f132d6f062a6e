"""Compression: of each hit the sentences that answer the query, for a context that holds more sources."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from leanseek.errors import ModelError, UsageError
from leanseek.rerank.crossencoder.extracts import covering_order, term_weights
from leanseek.text.sentences import Sentence, split_sentences, split_words
from leanseek.types import Float64Array, Hit

if TYPE_CHECKING:
    from leanseek.indexing.search_source import SourceState
    from leanseek.rerank.lateinteraction.sentence_similarity import SentenceSimilarity
    from leanseek.searcher.request import Generation, Request

LONGEST = 48
"""Words of a sentence; a longer one, such as a table or code, is taken apart at its lines, and lines in pieces."""
LEAD = 0.04
"""What a sentence loses for each e-fold of its place in a document: the first sentences say what it is about.

Chosen on train and dev questions of WikiQA, as is the weight of the cosine in `SentenceSimilarity`.
"""


def check_share(share: float) -> float:
    """The share of the words that is kept. Raises UsageError unless it is above 0 and at most 1."""
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0.0 < share <= 1.0:
        raise UsageError(
            f"compress is {share!r}; give the share of the words to keep, above 0 and at most 1, such as 0.5"
        )
    return float(share)


Order: TypeAlias = Callable[[Sequence[Hit], Sequence[Sequence[Sentence]]], list[list[int]]]
"""The places of each hit's sentences, the best first; none: all of the hit is shown."""


@dataclass(frozen=True, slots=True)
class Shortening:
    """Shortens hits to their best sentences, and at least one; `notes` are what people should know of it.

    Sentences are taken from the best on until they have a `share` of the words; the last only if half of it still lies
    within. So a larger share keeps all that a smaller one keeps.
    """

    share: float
    order: Order
    notes: tuple[str, ...] = ()

    def __call__(self, hits: Sequence[Hit]) -> list[list[tuple[int, int]]]:
        """The characters [start, end) of each hit's text that are kept, in runs; none: all. See `pack`."""
        sentences = [split(hit.text) for hit in hits]
        runs = []
        for hit, some, order in zip(hits, sentences, self.order(hits, sentences), strict=True):
            lengths = [len(split_words(hit.text[start:end])) for start, end in some]
            chosen = fill(order, lengths, self.share)
            runs.append([(some[first].start, some[last].end) for first, last in neighbours(chosen)])
        return runs


class Compressor:
    """Compares sentences with queries by their tokens' vectors, or by their words where there are none. Thread-safe.

    The model and what the index has stored of it are opened at first use, once for each state of the index.
    """

    def __init__(self, device: str | None = None) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._opened: tuple[SourceState, SentenceSimilarity | None, str] | None = None

    def __call__(self, request: Request, hits: Sequence[Hit], share: float) -> Shortening:
        """How hits of the request's one query are shortened to about a `share` of their words.

        Raises UsageError for a share outside (0, 1].
        """
        check_share(share)
        [query] = request.queries
        if share == 1.0:
            return Shortening(share, lambda some, sentences: [[] for _ in some])
        similarity, why = self._similarity(request)
        if similarity is not None:
            return Shortening(share, order_by(similarity, query))
        tokens = request.snapshot.passages.analyzer.tokens
        note = f"sentences were chosen by the words that they share with the query: {why}"
        return Shortening(share, WordOrder(query, hits, tokens), (note,))

    def _similarity(self, request: Request) -> tuple[SentenceSimilarity | None, str]:
        """What compares sentences with queries, or why nothing does."""
        if request.snapshot.state.settings.encoder is None:
            return None, "the index has no encoder"
        if "dense" not in request.sides:
            return None, f"the search is {request.mode}"
        with self._lock:
            state = request.snapshot.state
            if self._opened is None or self._opened[0] is not state:
                self._opened = (state, *self._open(request.generation))
            return self._opened[1:]

    def _open(self, generation: Generation) -> tuple[SentenceSimilarity | None, str]:
        from leanseek.encode.onnx_encoder import OnnxEncoder
        from leanseek.encode.torch_encoder import TorchEncoder

        encoder = generation.encoder.load()
        # The name of an encoder of one's own names no model.
        if isinstance(encoder, TorchEncoder | OnnxEncoder):
            from leanseek.rerank.lateinteraction.sentence_similarity import load_similarity

            with suppress(ModelError):
                return load_similarity(encoder.name, self._device, generation.snapshot.folder), ""
        return None, f"the encoder '{encoder.name}' gives no vectors of tokens in context"


def split(text: str) -> list[Sentence]:
    """The sentences of a text; those of more than `LONGEST` words in lines, and these in pieces of as many words."""
    found: list[Sentence] = []
    for start, end in split_sentences(text):
        if len(split_words(text[start:end])) <= LONGEST:
            found.append(Sentence(start, end))
            continue
        for line in text[start:end].splitlines(keepends=True):
            found += [
                Sentence(start + first, start + last)
                for first, last in split_sentences(line, longest=LONGEST)
            ]
            start += len(line)
    return found


def order_by(similarity: SentenceSimilarity, query: str) -> Order:
    """Orders sentences by their similarity to a query; the first ones of a document count a little more."""

    def order(hits: Sequence[Hit], sentences: Sequence[Sequence[Sentence]]) -> list[list[int]]:
        near = similarity(query, hits, sentences)
        return [by_value(values - lead(hit, len(values))) for values, hit in zip(near, hits, strict=True)]

    return order


def lead(hit: Hit, count: int) -> Float64Array:
    """(count,) what the sentences of a hit lose by their places; nothing in a later part of a document."""
    if hit.passage is not None and hit.passage.number:
        return np.zeros(count)
    return LEAD * np.log1p(np.arange(count, dtype=np.float64))


def by_value(values: Float64Array) -> list[int]:
    """Places by their values, the greatest first, of equal ones the first."""
    found: list[int] = np.argsort(-values, kind="stable").tolist()
    return found


class WordOrder:
    """Orders sentences by the query's terms in them; those that few sentences of the hits have weigh more."""

    def __init__(self, query: str, hits: Sequence[Hit], tokens: Callable[[str], list[str]]) -> None:
        """`tokens` gives the terms of a text."""
        self._tokens = tokens
        terms = [one for hit in hits for one in self._terms(hit, split(hit.text))]
        self._weights = term_weights(dict.fromkeys(tokens(query)), terms)

    def __call__(self, hits: Sequence[Hit], sentences: Sequence[Sequence[Sentence]]) -> list[list[int]]:
        """The order of each hit's sentences."""
        return [
            covering_order(self._terms(hit, some), self._weights)
            for hit, some in zip(hits, sentences, strict=True)
        ]

    def _terms(self, hit: Hit, sentences: Sequence[Sentence]) -> list[frozenset[str]]:
        return [frozenset(self._tokens(hit.text[start:end])) for start, end in sentences]


def fill(order: Sequence[int], lengths: Sequence[int], share: float) -> list[int]:
    """The first places of an order, ascending, that have about `share` of the words; at least one where there is one.

    The last is one of which at least half of the words lie within the share.
    """
    left = share * math.fsum(lengths)
    chosen: list[int] = []
    for place in order:
        if chosen and lengths[place] > 2 * left:
            break
        chosen.append(place)
        left -= lengths[place]
    return sorted(chosen)


def neighbours(places: Sequence[int]) -> list[tuple[int, int]]:
    """Runs of places that follow each other, (first, last) each."""
    runs: list[tuple[int, int]] = []
    for place in places:
        if runs and runs[-1][1] == place - 1:
            runs[-1] = (runs[-1][0], place)
        else:
            runs.append((place, place))
    return runs
