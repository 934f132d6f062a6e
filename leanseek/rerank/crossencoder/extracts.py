"""Extracts: the sentences of a passage that match a query best, for models that cannot read all of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import accumulate, repeat
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from leanseek.encode.batches import TIER, Deadline, in_time
from leanseek.encode.tokenizer import TextTokenizer
from leanseek.text import load_analyzer
from leanseek.text.sentences import Sentence, split_sentences
from leanseek.types import Float64Array, Hit, content

if TYPE_CHECKING:
    from leanseek.rerank.lateinteraction.sentence_similarity import SentenceSimilarity

SHARE = 3
"""An extract has a third of the tokens that would be read."""
FLOOR = 64
"""The least tokens of an extract where the model reads as many: a passage of no more is read whole."""
DECAY = 0.5
"""What the weight of a query term is multiplied by each time it is covered."""
LONGEST = 24
"""Words of a sentence; a longer one is read in pieces of that many."""
NEAR = 0.5
"""How many times the query's weight a similarity of 1 counts. Chosen on train queries of SciFact."""


def term_weights(terms: Iterable[str], passages: Sequence[frozenset[str]]) -> dict[str, float]:
    """The weight of each query term among n candidates: ln(1 + (n - df + 0.5) / (df + 0.5)), as in BM25."""
    found = Counter(term for passage in passages for term in passage)
    count = len(passages)
    return {term: math.log(1.0 + (count - found[term] + 0.5) / (found[term] + 0.5)) for term in terms}


def select(
    sentences: Sequence[frozenset[str]],
    lengths: Sequence[int],
    weights: Mapping[str, float],
    budget: int,
    kept: Iterable[int] = (),
    near: Float64Array | None = None,
) -> list[int]:
    """Places of the sentences, ascending, that match a query best in at most `budget` tokens.

    `sentences` (n,) are the terms of each, `lengths` (n,) its tokens, `weights` those of the query's terms. Again
    and again the sentence with the greatest sum of weights is taken, of equal ones the first, and the weights of
    its terms are halved, so that other terms get covered (QUITE: Zou et al., Pre-trained Language Model based
    Ranking in Baidu Search, KDD 2021). `near` (n,) is added to a sentence's sum, whatever is covered. Those in `kept`
    are taken before all others. Sentences that do not fit are skipped; where none fits, the best is taken all the same.
    """
    weights = dict(weights)
    extra = [0.0] * len(sentences) if near is None else near.tolist()
    chosen: list[int] = []
    left = budget

    def value(place: int) -> float:
        # math.fsum: a plain sum over a set would depend on its order.
        return math.fsum(weights.get(term, 0.0) for term in sentences[place]) + extra[place]

    def take(place: int) -> None:
        nonlocal left
        chosen.append(place)
        left -= lengths[place]
        for term in sentences[place]:
            if term in weights:
                weights[term] *= DECAY

    for place in kept:
        if lengths[place] <= left:
            take(place)
    before = len(chosen)
    rest = [place for place in range(len(sentences)) if place not in chosen]
    while rest:
        fitting = [place for place in rest if lengths[place] <= left]
        if not fitting and len(chosen) > before:
            break
        best = max(fitting or rest, key=lambda place: (value(place), -place))
        take(best)
        if not fitting:
            break
        rest.remove(best)
    return sorted(chosen)


def covering_order(sentences: Sequence[frozenset[str]], weights: Mapping[str, float]) -> list[int]:
    """The places of all sentences, each time the one that `select` would take next if every one fitted."""
    weights = dict(weights)

    def value(place: int) -> float:
        return math.fsum(weights[term] for term in sentences[place] if term in weights)

    # Values only fall, so one that is the greatest after it was computed anew is the greatest.
    waiting = [(-value(place), place) for place in range(len(sentences))]
    heapify(waiting)
    order: list[int] = []
    while waiting:
        _, place = heappop(waiting)
        now = (-value(place), place)
        if waiting and now > waiting[0]:
            heappush(waiting, now)
            continue
        order.append(place)
        for term in sentences[place]:
            if term in weights:
                weights[term] *= DECAY
    return order


class Extract(NamedTuple):
    """What is read of a hit: `text`, of about `kept` tokens, out of `tokens`."""

    text: str
    kept: int
    tokens: int


class _Parts(NamedTuple):
    """The title, where there is one, and the sentences of a hit, with the terms and the length of each.

    `sentences` are the characters of the hit's text that each has.
    """

    texts: list[str]
    terms: list[frozenset[str]]
    lengths: list[int]
    sentences: list[Sentence]

    @property
    def tokens(self) -> int:
        """Those of all of it."""
        return sum(self.lengths)


class Placed(NamedTuple):
    """The extract of the hit at `column` of the query at `row`."""

    row: int
    column: int
    extract: Extract


class _Source(NamedTuple):
    """A query's hits in their parts, the weights of its terms, and the tokens that a hit may have."""

    query: str
    hits: Sequence[Hit]
    parts: list[_Parts]
    weights: dict[str, float]
    room: int | None
    similarity: SentenceSimilarity | None

    def extracts(self, columns: Sequence[int]) -> list[Extract]:
        """The extracts of the hits at those places."""
        budgets = {column: self._budget(self.parts[column].tokens) for column in columns}
        near = self._near([column for column in columns if self.parts[column].tokens > budgets[column]])
        return [self._extract(column, budgets[column], near.get(column)) for column in columns]

    def _budget(self, tokens: int) -> int:
        """The tokens of the extract of a hit that has so many."""
        if self.room is None:
            return max(FLOOR, tokens // SHARE)
        return min(max(FLOOR, min(tokens, self.room) // SHARE), self.room)

    def _near(self, columns: Sequence[int]) -> dict[int, Float64Array]:
        """What the similarity of each part of those hits counts, 0 for a title; nothing where there is none."""
        if self.similarity is None or not columns:
            return {}
        sentences = [self.parts[column].sentences for column in columns]
        found = self.similarity(self.query, [self.hits[column] for column in columns], sentences)
        whole = math.fsum(self.weights.values()) or 1.0
        titles = [
            np.zeros(len(self.parts[column].texts) - len(some))
            for column, some in zip(columns, sentences, strict=True)
        ]
        return {
            column: NEAR * whole * np.concatenate([title, values])
            for column, title, values in zip(columns, titles, found, strict=True)
        }

    def _extract(self, column: int, budget: int, near: Float64Array | None) -> Extract:
        hit, part = self.hits[column], self.parts[column]
        if part.tokens <= budget:
            return Extract(content(hit.title, hit.text), part.tokens, part.tokens)
        chosen = select(part.terms, part.lengths, self.weights, budget, [0] if hit.title else (), near)
        kept = sum(part.lengths[place] for place in chosen)
        # A single sentence may be longer than what the model reads.
        kept = kept if self.room is None else min(kept, self.room)
        return Extract(" ".join(part.texts[place] for place in chosen), kept, part.tokens)


class Extractor:
    """Makes extracts of hits: the title and the sentences that match the query best."""

    def __init__(
        self, tokenizer: TextTokenizer, analyzer: str, similarity: SentenceSimilarity | None = None
    ) -> None:
        """Sentences match by the query's terms in them and, where it is given, by their `similarity` to the query.

        Raises UsageError for an unknown analyzer.
        """
        self._tokenizer = tokenizer
        self._terms: Callable[[str], list[str]] = load_analyzer(analyzer).tokens
        self._similarity = similarity

    def rounds(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        room: int | None,
        deadline: Deadline | None = None,
    ) -> Iterator[list[Placed]]:
        """The extracts of each query's hits: a third of what would be read in `room` tokens (None: of all).

        All at once; under a deadline those of the first hits of every query first, as long as there is time. A term
        weighs more the fewer of the query's hits have it, so all hits are analysed before the first extract is made.
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
            left = None if room is None else max(room - length, room // 2)
            sources.append(_Source(query, given, parts, weights, left, self._similarity))
        for columns in in_time(range(max(map(len, hits), default=0)), deadline, TIER):
            placed: list[Placed] = []
            for row, source in enumerate(sources):
                there = [column for column in columns if column < len(source.hits)]
                placed += map(Placed, repeat(row), there, source.extracts(there))
            yield placed

    def _split(self, hits: Sequence[Hit]) -> list[_Parts]:
        sentences = [split_sentences(hit.text, longest=LONGEST) for hit in hits]
        texts = [
            [*([hit.title] if hit.title else []), *(hit.text[start:end] for start, end in some)]
            for hit, some in zip(hits, sentences, strict=True)
        ]
        lengths = self._tokenizer([text for part in texts for text in part]).lengths.tolist()
        ends = list(accumulate(map(len, texts)))
        return [
            _Parts(
                part, [frozenset(self._terms(text)) for text in part], lengths[end - len(part) : end], some
            )
            for part, end, some in zip(texts, ends, sentences, strict=True)
        ]
