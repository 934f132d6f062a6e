"""The attention that a query paid to a document, token by token."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from leanseek.rerank.incontext.reader import Read
from leanseek.types import AttentionExplanation as AttentionExplanation
from leanseek.types import Snippet
from leanseek.types import TokenAttention as TokenAttention

WORDS = 40
"""In an extract."""
_SHARE = 0.25
"""Words are marked that get this much of what the strongest gets."""


class DocumentAttention(NamedTuple):
    """A document's score and its tokens, in order. The score also counts the tokens of its number in the prompt."""

    score: float
    tokens: tuple[TokenAttention, ...]

    def shifted(self, characters: int) -> DocumentAttention:
        """The same for a text that begins so many characters earlier."""
        moved = (TokenAttention(start + characters, end + characters, one) for start, end, one in self.tokens)
        return DocumentAttention(self.score, tuple(moved))

    def peaks(self, count: int) -> tuple[tuple[int, int], ...]:
        """The (start, end) of the tokens with most attention, at most `count`, in the order of the text."""
        best = sorted((one for one in self.tokens if one.attention > 0), key=lambda one: -one.attention)
        return tuple(sorted((one.start, one.end) for one in best[:count]))


def cut_to(tokens: Sequence[TokenAttention], start: int, end: int) -> tuple[TokenAttention, ...]:
    """The tokens that touch the characters `start` to `end` of their text, cut to these and counted from `start`."""
    cut = (TokenAttention(max(one.start, start), min(one.end, end), one.attention) for one in tokens)
    return tuple(
        TokenAttention(one.start - start, one.end - start, one.attention)
        for one in cut
        if one.start < one.end
    )


def explain(found: Read) -> DocumentAttention:
    """The attention on a document."""
    tokens = []
    for (start, end), attention in zip(found.offsets, found.attention, strict=True):
        start, end = max(start, found.begin), min(end, found.end)
        if start < end:
            tokens.append(TokenAttention(start - found.begin, end - found.begin, float(attention)))
    return DocumentAttention(found.score, tuple(tokens))


def extract(text: str, tokens: Sequence[TokenAttention], words: int = WORDS) -> Snippet:
    """The `words` words of a text with most attention together, the first such; the strongest are marked."""
    places = [match.span() for match in re.finditer(r"\S+", text)]
    ends = [end for _, end in places]
    looked = [0.0] * len(places)
    for start, end, attention in tokens:
        for place in range(bisect_right(ends, start), len(places)):
            if places[place][0] >= end:
                break
            looked[place] += max(0.0, attention)
    if not places:
        return Snippet("")
    sums = [sum(looked[first : first + words]) for first in range(max(1, len(places) - words + 1))]
    first = max(range(len(sums)), key=lambda place: (sums[place], -place))
    last = min(first + words, len(places)) - 1
    begin, end = places[first][0], places[last][1]
    before, after = "…" if first else "", "…" if last + 1 < len(places) else ""
    least = _SHARE * max(looked[first : last + 1])
    marked = tuple(
        (start - begin + len(before), stop - begin + len(before))
        for (start, stop), one in zip(places[first : last + 1], looked[first : last + 1], strict=True)
        if one > 0 and one >= least
    )
    return Snippet(before + re.sub(r"\s", " ", text[begin:end]) + after, marked)
