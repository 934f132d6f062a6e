"""Extracts: the sentences of a passage that match a query best, for models that cannot read all of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import accumulate
from typing import NamedTuple

from leanseek.encode.batches import TIER, Deadline, in_time
from leanseek.encode.tokenizer import TextTokenizer
from leanseek.text import load_analyzer
from leanseek.text.sentences import split_sentences
from leanseek.types import Hit, content

SHARE = 3
"""An extract has a third of the tokens that would be read."""
FLOOR = 64
"""The least tokens of an extract where the model reads as many: a passage of no more is read whole."""
DECAY = 0.5
"""What the weight of a query term is multiplied by each time it is covered."""
LONGEST = 24
"""Words of a sentence; a longer one is read in pieces of that many."""


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
) -> list[int]:
    """Places of the sentences, ascending, that match a query best in at most `budget` tokens.

    `sentences` (n,) are the terms of each, `lengths` (n,) its tokens, `weights` those of the query's terms. Again
    and again the sentence with the greatest sum of weights is taken, of equal ones the first, and the weights of
    its terms are halved, so that other terms get covered (QUITE: Zou et al., Pre-trained Language Model based
    Ranking in Baidu Search, KDD 2021). Those in `kept` are taken before all others. Sentences that do not fit are
    skipped; where none fits, the best is taken all the same.
    """
    weights = dict(weights)
    chosen: list[int] = []
    left = budget

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
        # math.fsum: a plain sum over a set would depend on its order.
        best = max(
            fitting or rest,
            key=lambda place: (math.fsum(weights.get(term, 0.0) for term in sentences[place]), -place),
        )
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
    """Makes extracts of hits: the title and the sentences that match the query best."""

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
                *(hit.text[start:end] for start, end in split_sentences(hit.text, longest=LONGEST)),
            ]
            for hit in hits
        ]
        lengths = self._tokenizer([text for part in texts for text in part]).lengths.tolist()
        ends = list(accumulate(map(len, texts)))
        return [
            _Parts(part, [frozenset(self._terms(text)) for text in part], lengths[end - len(part) : end])
            for part, end in zip(texts, ends, strict=True)
        ]
