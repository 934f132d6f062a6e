"""Between hits and what of them stands in a prompt: texts on the way there, scores and explanations on the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from leanseek.rerank.base import Judged
from leanseek.rerank.incontext.explaining import AttentionExplanation, cut_to, extract
from leanseek.rerank.incontext.listing import Listing
from leanseek.types import Hit


def text_of(hit: Hit) -> str:
    """What of a hit stands in the prompt: its title and text, on lines of their own."""
    return f"{hit.title}\n{hit.text}" if hit.title else hit.text


def texts_of(hits: Sequence[Hit]) -> list[str]:
    """The hits' texts in the order of the prompt: the best last."""
    return [text_of(hit) for hit in reversed(hits)]


def judged(count: int, listing: Listing | None) -> Judged:
    """The scores of `count` hits, the best hit first; NaN for those that there was no time for."""
    scores = np.full(count, np.nan)
    if listing is not None:
        scores[: len(listing)] = scores_of(listing)[::-1]
    return Judged(scores)


def explained(hits: Sequence[Hit], listing: Listing | None) -> list[Hit]:
    """The hits; those with an explanation get one that tells what was looked at in them."""
    if listing is None or all(hit.explanation is None for hit in hits):
        return list(hits)
    found = []
    for hit, attention in zip(hits[: len(listing)], reversed(listing.attention()), strict=True):
        if (was := hit.explanation) is not None:
            whole = text_of(hit)
            text = cut_to(attention.tokens, len(whole) - len(hit.text), len(whole))
            title = cut_to(attention.tokens, 0, len(hit.title))
            shown = extract(hit.text, text)
            hit = replace(
                hit, explanation=AttentionExplanation(was.sparse, was.dense, was.terms, shown, title, text)
            )
        found.append(hit)
    return [*found, *hits[len(listing) :]]


def scores_of(listing: Listing) -> Any:
    """(documents,) the scores of a finished listing."""
    return np.zeros(0) if listing.scores is None else listing.scores
