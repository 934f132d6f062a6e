"""What a query was found to look at in a document, token by token."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import NamedTuple

from leanseek.rerank.incontext.reading import Read


class TokenAttention(NamedTuple):
    """Characters `start` to `end` of a document, and the calibrated attention on them; 0 where it is not counted."""

    start: int
    end: int
    attention: float


class DocumentAttention(NamedTuple):
    """A document's score and its tokens, in order. The score also counts the tokens of its number in the prompt."""

    score: float
    tokens: tuple[TokenAttention, ...]

    def shifted(self, characters: int) -> DocumentAttention:
        """The same for a text that begins so many characters earlier."""
        moved = (TokenAttention(start + characters, end + characters, one) for start, end, one in self.tokens)
        return DocumentAttention(self.score, tuple(moved))

    def peaks(self, count: int) -> tuple[tuple[int, int], ...]:
        """The (start, end) of the tokens that are looked at most, at most `count`, in the order of the text."""
        best = sorted((one for one in self.tokens if one.attention > 0), key=lambda one: -one.attention)
        return tuple(sorted((one.start, one.end) for one in best[:count]))


def explain(found: Read) -> DocumentAttention:
    """What was looked at in a document."""
    tokens = []
    for (start, end), attention in zip(found.offsets, found.attention, strict=True):
        start, end = max(start, found.begin), min(end, found.end)
        if start < end:
            tokens.append(TokenAttention(start - found.begin, end - found.begin, float(attention)))
    return DocumentAttention(found.score, tuple(tokens))


def as_html(document: str, tokens: Sequence[TokenAttention]) -> str:
    """The document as HTML, each token that is looked at marked the stronger the more it is."""
    strongest = max((token.attention for token in tokens), default=0.0)
    parts, reached = [], 0
    for start, end, attention in tokens:
        start = max(start, reached)
        if attention <= 0 or start >= end:
            continue
        parts.append(html.escape(document[reached:start]))
        strength = attention / strongest
        parts.append(
            f'<mark style="background:rgba(255,176,0,{strength:.2f})">{html.escape(document[start:end])}</mark>'
        )
        reached = end
    return "".join([*parts, html.escape(document[reached:])])
