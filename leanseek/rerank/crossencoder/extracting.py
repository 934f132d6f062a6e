"""Query-focused extracts of hits, in the tokens of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from leanseek.encode.tokens import TextTokenizer
from leanseek.indexing.analysis import load_analyzer
from leanseek.rerank.batches import TIER, in_time
from leanseek.rerank.deadline import Deadline
from leanseek.rerank.extract import select, split_sentences, term_weights
from leanseek.types import Hit, content

SHARE = 3
"""A third of the tokens that would be read is kept."""
FLOOR = 64
"""Tokens that are kept in any case where the model reads as many: a passage of no more is read whole."""


class Extract(NamedTuple):
    """What is read of a hit: `text`, of `kept` tokens about, out of `tokens`."""

    text: str
    kept: int
    tokens: int


class _Parts(NamedTuple):
    """The title, where there is one, and the sentences of a hit, with the terms and the length of each."""

    texts: list[str]
    terms: list[frozenset[str]]
    lengths: list[int]


class Placed(NamedTuple):
    """The extract of the hit at `column` of the query at `row`."""

    row: int
    column: int
    extract: Extract


class _Source(NamedTuple):
    """A query's hits in their parts, the weights of its terms, and the tokens that a hit may have."""

    parts: list[_Parts]
    weights: dict[str, float]
    room: int | None

    def extract(self, hit: Hit, column: int) -> Extract:
        """The extract of the hit at that place."""
        part = self.parts[column]
        tokens = sum(part.lengths)
        budget = max(FLOOR, (tokens if self.room is None else min(tokens, self.room)) // SHARE)
        if self.room is not None:
            budget = min(budget, self.room)
        if tokens <= budget:
            return Extract(content(hit.title, hit.text), tokens, tokens)
        chosen = select(part.terms, part.lengths, self.weights, budget, kept=[0] if hit.title else ())
        kept = sum(part.lengths[place] for place in chosen)
        # A single sentence may be longer than what the model reads.
        kept = kept if self.room is None else min(kept, self.room)
        return Extract(" ".join(part.texts[place] for place in chosen), kept, tokens)


class Extractor:
    """Takes of each hit the title and the sentences that say most about the query."""

    def __init__(self, tokenizer: TextTokenizer, analyzer: str) -> None:
        """Raises UsageError for an unknown analyzer."""
        self._tokenizer = tokenizer
        self._terms: Callable[[str], list[str]] = load_analyzer(analyzer).tokens

    def rounds(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        room: int | None,
        deadline: Deadline | None = None,
    ) -> Iterator[list[Placed]]:
        """The extracts of each query's hits: a third of what would be read in `room` tokens (None: of all).

        All at once; under a deadline those of the first hits of every query first, as long as there is time. A term
        weighs the more, the fewer of the query's hits have it, so that all hits are looked at before the first
        extract is made.
        """
        lengths = self._tokenizer(queries).lengths.tolist()
        sources = []
        for query, length, given in zip(queries, lengths, hits, strict=True):
            parts: list[_Parts] = []
            for some in in_time(given, deadline):
                parts += self._split(some)
            if len(parts) < len(given):
                return
            terms = dict.fromkeys(self._terms(query))
            weights = term_weights(terms, [frozenset().union(*part.terms) for part in parts])
            sources.append(_Source(parts, weights, None if room is None else max(room - length, room // 2)))
        for columns in in_time(range(max(map(len, hits), default=0)), deadline, TIER):
            yield [
                Placed(row, column, source.extract(hits[row][column], column))
                for row, source in enumerate(sources)
                for column in columns
                if column < len(hits[row])
            ]

    def _split(self, hits: Sequence[Hit]) -> list[_Parts]:
        texts = [
            [
                *([hit.title] if hit.title else []),
                *(hit.text[start:end] for start, end in split_sentences(hit.text)),
            ]
            for hit in hits
        ]
        lengths = self._tokenizer([text for part in texts for text in part]).lengths.tolist()
        ends = list(accumulate(map(len, texts)))
        return [
            _Parts(part, [frozenset(self._terms(text)) for text in part], lengths[end - len(part) : end])
            for part, end in zip(texts, ends, strict=True)
        ]
