"""Query-focused extracts of hits, in the tokens of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

from leanseek.encode.tokens import TextTokenizer
from leanseek.indexing.analysis import load_analyzer
from leanseek.rerank.extract import select, split_sentences, term_weights
from leanseek.types import Hit, content

SHARE = 3
"""A third of the tokens that would be read is kept."""
FLOOR = 64
"""Tokens that are kept in any case: a passage of no more is read whole."""


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


class Extractor:
    """Takes of each hit the title and the sentences that say most about the query."""

    def __init__(self, tokenizer: TextTokenizer, analyzer: str) -> None:
        """Raises UsageError for an unknown analyzer."""
        self._tokenizer = tokenizer
        self._terms: Callable[[str], list[str]] = load_analyzer(analyzer).tokens

    def extract(
        self, queries: Sequence[str], hits: Sequence[Sequence[Hit]], room: int | None
    ) -> list[list[Extract]]:
        """For each query the extracts of its hits: a third of what would be read in `room` tokens (None: of all).

        A term weighs the more, the fewer of the query's hits have it.
        """
        asked = self._tokenizer(queries).lengths
        return [
            self._of(query, given, None if room is None else max(room - int(length), room // 2))
            for query, length, given in zip(queries, asked, hits, strict=True)
        ]

    def _of(self, query: str, hits: Sequence[Hit], room: int | None) -> list[Extract]:
        parts = self._split(hits)
        terms = dict.fromkeys(self._terms(query))
        weights = term_weights(terms, [frozenset().union(*part.terms) for part in parts])
        found = []
        for hit, part in zip(hits, parts, strict=True):
            tokens = sum(part.lengths)
            budget = max(FLOOR, (tokens if room is None else min(tokens, room)) // SHARE)
            if tokens <= budget:
                found.append(Extract(content(hit.title, hit.text), tokens, tokens))
                continue
            chosen = select(part.terms, part.lengths, weights, budget, kept=[0] if hit.title else ())
            kept = sum(part.lengths[place] for place in chosen)
            found.append(Extract(" ".join(part.texts[place] for place in chosen), kept, tokens))
        return found

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
