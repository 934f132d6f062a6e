"""Claims: the sentences that speak to a question, each with the documents that say it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from leanseek.text.sentences import PASSAGE, split_sentences
from leanseek.types import Hit

READ: Final = 3
"""Hits of a question that claims are taken from."""
CLAIMS: Final = 2
"""Claims of a question at most."""

_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence for the question of the node `node`, and the ids of the documents that it stands in."""

    node: str
    text: str
    ids: tuple[str, ...]


def claims_of(node: str, question: str, hits: Sequence[Hit]) -> list[Claim]:
    """The sentences of the first hits that share the rarest words with the question, best first.

    A sentence counts the words that it shares, each by how few of the sentences have it, and its hit's probability.
    """
    sentences = [
        (hit, " ".join(hit.text[start:end].split()))
        for hit in hits[:READ]
        for start, end in split_sentences(hit.text, PASSAGE)
    ]
    bags = [words_of(text) for _, text in sentences]
    spread = Counter(word for bag in bags for word in bag)
    asked = words_of(question)
    scores: dict[str, float] = {}
    ids: dict[str, dict[str, None]] = {}
    for (hit, text), bag in zip(sentences, bags, strict=True):
        shared = sum(math.log(1 + len(bags) / spread[word]) for word in sorted(asked & bag))
        weight = hit.probability if hit.probability is not None else 1 / (hit.rank + 1)
        scores[text] = max(scores.get(text, 0.0), shared * math.sqrt(weight))
        ids.setdefault(text, {})[hit.id] = None
    best = sorted((text for text in scores if scores[text] > 0), key=lambda text: -scores[text])
    return [Claim(node, text, tuple(ids[text])) for text in best[:CLAIMS]]


def words_of(text: str) -> frozenset[str]:
    """The words of a text in lower case; those that differ in an ending of a letter or two are the same."""
    return frozenset(word[: max(4, len(word) - 2)] for word in _WORD.findall(text.casefold()))
