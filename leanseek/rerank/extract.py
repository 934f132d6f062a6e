"""A passage's sentences that answer a query best, for models that cannot read all of it, or should not have to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from leanseek.searcher.sentences import Word, ends_sentence, split_words

DECAY = 0.5
"""What a query term that is covered once counts for afterwards."""
_LONGEST = 24


class Sentence(NamedTuple):
    """The characters [start, end) of a text: a sentence, or 24 words of a longer one."""

    start: int
    end: int


def split_sentences(text: str) -> list[Sentence]:
    """The sentences of a text, in order; a blank text has none."""
    words = split_words(text)
    sentences = []
    first = 0
    for number, word in enumerate(words):
        if number + 1 - first == _LONGEST or ends_sentence(text, words, number):
            sentences.append(_sentence(words[first], word))
            first = number + 1
    return sentences


def _sentence(first: Word, last: Word) -> Sentence:
    return Sentence(first.start, last.end)


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
    """Places of the sentences, ascending, that say most about a query in at most `budget` tokens.

    `sentences` (n,) are the terms of each, `lengths` (n,) its tokens, `weights` those of the query's terms. Again
    and again the sentence with the greatest sum of weights is taken, of equal ones the first, and the weights of
    its terms are halved, so that other terms have their turn (QUITE: Zou et al., Pre-trained Language Model based
    Ranking in Baidu Search, KDD 2021). Those in `kept` are taken before all others. Sentences that do not fit are
    passed over; where not even one fits, the best is taken all the same.
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
        # A sum over a set would depend on the order in which the set is walked.
        best = max(
            fitting or rest,
            key=lambda place: (math.fsum(weights.get(term, 0.0) for term in sentences[place]), -place),
        )
        take(best)
        if not fitting:
            break
        rest.remove(best)
    return sorted(chosen)
