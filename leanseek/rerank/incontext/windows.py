"""Lists too long for one prompt: windows of documents, from the least promising to the most promising end."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise

import numpy as np

from leanseek.rerank.incontext.capturing import Float64Array

Windows = Generator[list[int], Sequence[float], Float64Array]
"""Yields the places of the documents of a window, in their order; is sent their scores; returns (n,) all scores."""


def sliding(sizes: Sequence[int], room: int | None, window: int | None, stride: int | None) -> Windows:
    """Windows over documents given in the order of a prompt, the most promising last.

    `sizes` are the documents' tokens, `room` how many fit into a prompt (None: any number), `window` how many
    documents stand together at most (None: as many as fit), `stride` by how many the window moves (None: half).
    Where fewer than `window` fit the stride is smaller in proportion, so that windows overlap as much as asked.
    The best of a window move on into the next one, as a bubble rises; what is left behind stands below them.

    The scores returned are those of the last window that a document stood in, lowered by the least that keeps
    the order of the list: across windows they are not comparable.
    """
    order, below = list(range(len(sizes))), 0
    scores = np.full(len(sizes), np.nan)
    while True:
        end = fitting([sizes[place] for place in order[below:]], room, window) + below
        inside = order[below:end]
        # What stood later was more promising, and stays above where the scores are equal.
        inside_scores = yield inside
        ranked = sorted(range(len(inside)), key=lambda row: (inside_scores[row], row))
        for row, score in enumerate(inside_scores):
            scores[inside[row]] = score
        order[below:end] = [inside[row] for row in ranked]
        if end == len(order):
            return descending(scores, order[::-1])
        below += step(len(inside), window, stride)


def step(inside: int, window: int | None, stride: int | None) -> int:
    """By how many documents a window with so many `inside` moves: at least one, and all of a single one alone."""
    share = inside // 2 if stride is None or window is None else inside * stride // window
    return max(1, min(share, inside - 1))


def cost(sizes: Sequence[int], room: int | None, window: int | None, stride: int | None) -> int:
    """How many tokens stand in the windows together, where the documents stay in their order."""
    if not sizes:
        return 0
    steps, tokens = sliding(sizes, room, window, stride), 0
    inside = next(steps)
    try:
        while True:
            tokens += sum(sizes[place] for place in inside)
            inside = steps.send([0.0] * len(inside))
    except StopIteration:
        return tokens


def fitting(sizes: Sequence[int], room: int | None, window: int | None) -> int:
    """How many documents, from the first on, stand in one prompt: at least one."""
    count = len(sizes) if window is None else min(window, len(sizes))
    if room is None:
        return count
    return max(1, int(np.searchsorted(np.cumsum(sizes[:count]), room, side="right")))


def descending(scores: Float64Array, order: Sequence[int]) -> Float64Array:
    """(n,) the scores, each lowered where needed to stand below those before it in `order`."""
    lowered: Float64Array = scores.copy()
    for before, place in pairwise(order):
        if lowered[place] > lowered[before]:
            lowered[place] = np.nextafter(lowered[before], -np.inf)
    return lowered
