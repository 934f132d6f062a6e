"""When a language model that is writing should search, and for what: its own doubt decides.

A token counts by how uncertain the model was when it wrote it, and by how much of what it wrote after that rests on
it. Stop words count nothing, nor do words that it has read: what it copies needs no search. (ATLAS in arXiv 2504.01281;
the score and the query from attention are those of Su et al.: "DRAGIN: Dynamic Retrieval Augmented Generation based on
the Information Needs of LLMs", ACL 2024.)
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from leanseek.errors import UsageError
from leanseek.text.registry import load_analyzer
from leanseek.types import Float64Array

QUERY_TOKENS = 8
"""How many tokens a query is made of."""


class Word(NamedTuple):
    """Characters `start` to `end` of a text that are searched as one term, or several that overlap."""

    start: int
    end: int


class Trigger:
    """Decides after a few more tokens of an answer whether to search before going on.

    >>> trigger = Trigger(0.5)
    >>> trigger.decide(["Statins", " lower", " the", " ferr", "itin"], [0.3, 0.9, 0.1, 4.1, 0.2])
    'Statins lower ferritin'
    """

    def __init__(
        self,
        threshold: float,
        *,
        idf: Callable[[Sequence[str]], Any] | None = None,
        analyzer: str = "english",
    ) -> None:
        """A search is asked for where a token's score is above `threshold`; below 0 it always is.

        `idf` tells how rare each of some words is, as `Searcher.idf` does, for queries made without attention.
        `analyzer` knows the stop words (see `leanseek.text.load_analyzer`).

        Raises UsageError for a threshold that is no number or an unknown analyser.
        """
        if math.isnan(threshold):
            raise UsageError(
                "the threshold is not a number; give 0 or more, or a negative one to search always"
            )
        self.threshold = threshold
        self._idf = idf
        self._analyzer = load_analyzer(analyzer)

    def scores(
        self, tokens: Sequence[str], entropies: Sequence[float], attention: Any = None, *, read: str = ""
    ) -> Float64Array:
        """(n,) each token's entropy, times the most attention that a later token pays to it.

        0 in stop words and in words of the text that was `read`. The last token has no later ones, and 0. Without
        `attention` the entropy alone. Raises as `decide` does.
        """
        return self._scores(
            tokens, words_of(tokens, self._spans), *checked(tokens, entropies, attention), read
        )

    def decide(
        self, tokens: Sequence[str], entropies: Sequence[float], attention: Any = None, *, read: str = ""
    ) -> str | None:
        """The query to search for, None where no token's score is above the threshold.

        - `tokens` are the n texts of a model's tokens so far, which together are the text; the question may be among
          them, and marks that are no text are "".
        - `entropies` (n,) in nats are those of the model's choice in each place; 0 for what it was given.
        - `attention` (n, n) has in row i what token i attends to, as a mean over heads.
        - `read`: the passages that the model has read, whose words are not in doubt.

        The query is made of the 8 tokens with most attention from the last one, as the whole words that they stand in
        and in the order of the text; without attention, of the 8 words with most idf, without that of the last 8. Where
        there are no words there is no query.

        Raises UsageError for another number of entropies than of tokens, for attention of another shape, and for
        values that are negative or not finite.
        """
        given, looked = checked(tokens, entropies, attention)
        words = words_of(tokens, self._spans)
        scores = self._scores(tokens, words, given, looked, read)
        if not any(word is not None for word in words) or not scores.max() > self.threshold:
            return None
        text = "".join(tokens)
        if looked is not None:
            order = [int(place) for place in np.argsort(-looked[-1], kind="stable") if words[place]]
            chosen = {word for place in order[:QUERY_TOKENS] if (word := words[place]) is not None}
        else:
            chosen = self._rarest(text, list(dict.fromkeys(word for word in words if word is not None)))
        # The first of words that are the same.
        distinct = {text[word.start : word.end].casefold(): word for word in sorted(chosen, reverse=True)}
        return " ".join(text[word.start : word.end] for word in sorted(distinct.values()))

    def _scores(
        self,
        tokens: Sequence[str],
        words: Sequence[Word | None],
        entropies: Float64Array,
        attention: Float64Array | None,
        read: str,
    ) -> Float64Array:
        text, known = "".join(tokens), set(self._analyzer.tokens(read))
        doubted = {
            word: not known.issuperset(self._analyzer.tokens(text[word.start : word.end]))
            for word in set(words)
            if word is not None
        }
        counts = np.array([word is not None and doubted[word] for word in words], dtype=np.float64)
        if attention is None:
            return np.asarray(entropies * counts)
        later = np.tril(attention, -1).max(axis=0, initial=0.0)
        return np.asarray(entropies * later * counts)

    def _rarest(self, text: str, words: Sequence[Word]) -> set[Word]:
        """The words with most idf, the last of equal ones; of words that are the same the last."""
        newest = sorted({text[word.start : word.end].casefold(): word for word in words}.values())
        if self._idf is not None:
            rarity = np.asarray(self._idf([text[word.start : word.end] for word in newest]), np.float64)
            newest = [newest[place] for place in np.argsort(rarity, kind="stable")]
        return set(newest[-QUERY_TOKENS:])

    def _spans(self, text: str) -> list[Word]:
        """The words of a text that are no stop words; terms that overlap are one."""
        found: list[Word] = []
        for span in sorted(self._analyzer.spans(text), key=lambda span: (span.start, -span.end)):
            if found and span.start < found[-1].end:
                found[-1] = Word(found[-1].start, max(found[-1].end, span.end))
            else:
                found.append(Word(span.start, span.end))
        return found


def words_of(tokens: Sequence[str], spans: Callable[[str], Sequence[Word]]) -> list[Word | None]:
    """The word that each token is in, the first of several; None for one that is in no word."""
    ends = list(accumulate(map(len, tokens)))
    found: list[Word | None] = [None] * len(tokens)
    for word in reversed(spans("".join(tokens))):
        for place in range(bisect_right(ends, word.start), bisect_right(ends, word.end - 1) + 1):
            if tokens[place]:
                found[place] = word
    return found


def checked(
    tokens: Sequence[str], entropies: Sequence[float], attention: Any
) -> tuple[Float64Array, Float64Array | None]:
    """The entropies and the attention as arrays. Raises UsageError, see `Trigger.decide`."""
    if isinstance(tokens, str):
        raise UsageError("tokens is a single text; give the list of the model's tokens")
    count = len(tokens)
    given = np.asarray(entropies, dtype=np.float64)
    if given.shape != (count,):
        raise UsageError(
            f"{count} tokens need {count} entropies; given are {given.size}. Give 0 for tokens that the model did not "
            "write"
        )
    looked = None if attention is None else np.asarray(attention, dtype=np.float64)
    if looked is not None and looked.shape != (count, count):
        raise UsageError(
            f"{count} tokens need attention of shape ({count}, {count}), a row for each token; given is {looked.shape}"
        )
    for name, values in (("entropies", given), ("attention", looked)):
        wrong = np.array([]) if values is None else values[~(np.isfinite(values) & (values >= 0))]
        if wrong.size:
            raise UsageError(f"{name} must be finite and 0 or more; given is {wrong[0]}")
    return given, looked
