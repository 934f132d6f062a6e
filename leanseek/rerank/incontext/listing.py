"""A query's documents, read in one prompt or in windows, from the least promising to the most promising end."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from leanseek.rerank.base import Judged
from leanseek.rerank.incontext.explanation import (
    AttentionExplanation,
    DocumentAttention,
    cut_to,
    explain,
    extract,
)
from leanseek.rerank.incontext.reader import Read, Task
from leanseek.types import Float64Array, Hit

Windows = Generator[list[int], Sequence[float], Float64Array]
"""Yields the places of the documents of a window, in their order; is sent their scores; returns (n,) all scores."""


def sliding(sizes: Sequence[int], room: int | None, window: int | None, stride: int | None) -> Windows:
    """Windows over documents given in the order of a prompt, the most promising last.

    `sizes` are the documents' tokens, `room` how many fit into a prompt (None: any number), `window` how many
    documents are in one prompt at most (None: as many as fit), `stride` by how many the window moves (None: half).
    Where fewer than `window` fit the stride is smaller in proportion, so that windows overlap as much.
    The best of a window move on into the next one, as a bubble rises; the others rank below them.

    The scores returned are those of the last window that a document was in, lowered by the least that keeps
    the order of the list: across windows they are not comparable.
    """
    order, below = list(range(len(sizes))), 0
    scores = np.full(len(sizes), np.nan)
    while True:
        end = fitting([sizes[place] for place in order[below:]], room, window) + below
        inside = order[below:end]
        # What came later was more promising, and ranks above where the scores are equal.
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
    """How many tokens the windows have together, where the documents stay in their order."""
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
    """How many documents, from the first on, fit into one prompt: at least one."""
    count = len(sizes) if window is None else min(window, len(sizes))
    if room is None:
        return count
    return max(1, int(np.searchsorted(np.cumsum(sizes[:count]), room, side="right")))


def descending(scores: Float64Array, order: Sequence[int]) -> Float64Array:
    """(n,) the scores, each lowered where needed to be below those before it in `order`."""
    lowered: Float64Array = scores.copy()
    for before, place in pairwise(order):
        if lowered[place] > lowered[before]:
            lowered[place] = np.nextafter(lowered[before], -np.inf)
    return lowered


class Piece(NamedTuple):
    """A part of a passage: its text, which passage it is of, where it starts there, and its size in tokens."""

    text: str
    owner: int
    start: int
    tokens: int


def in_pieces(tokenizer: Any, documents: Sequence[str], separator: str, room: int | None) -> list[Piece]:
    """The documents in their order, those of more than `room` tokens in pieces; sizes are those in a prompt.

    Pieces of nothing but white space are left out, but for the first where a passage has no others.
    """
    # The number is as wide as any that a document can get.
    around = f"{separator}[{len(documents)}] "
    if not documents:
        return []
    encoded = tokenizer(
        [around + document for document in documents],
        add_special_tokens=False,
        return_offsets_mapping=True,
        verbose=False,
    )
    pieces: list[Piece] = []
    for owner, (document, offsets) in enumerate(zip(documents, encoded["offset_mapping"], strict=True)):
        if room is None or len(offsets) <= room:
            pieces.append(Piece(document, owner, 0, len(offsets)))
            continue
        ends = [max(0, end - len(around)) for _, end in offsets]
        parts = [
            Piece(document[start:end], owner, start, size)
            for start, end, size in cuts(tokenizer, around, document, ends, room)
        ]
        pieces += [piece for piece in parts if piece.text.strip()] or parts[:1]
    return pieces


def cuts(
    tokenizer: Any, around: str, document: str, ends: Sequence[int], room: int
) -> Iterator[tuple[int, int, int]]:
    """The (start, end, tokens) of a document's pieces, which have at most `room` tokens with what is `around` them.

    `ends` are the characters at which the tokens of the whole end. A piece's own are counted again: cut in another
    place a text may have more tokens, and several may make up one character.
    """
    step = max(1, room - bisect_right(ends, 0))
    start = 0
    while start < len(document):
        last = bisect_right(ends, start) + step - 1
        end = max(start + 1, ends[last] if last < len(ends) else len(document))
        while (size := count(tokenizer, around + document[start:end])) > room and end > start + 1:
            end = start + max(1, min(end - start - 1, (end - start) * room // size))
        yield start, end, size
        start = end


def count(tokenizer: Any, text: str) -> int:
    """How many tokens a text has by itself."""
    return len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


class Listing:
    """A query and its documents (in pieces where they are long), the most promising last.

    `task` is the next prompt; None once `scores` (documents,) are known. `crowded`: fewer documents than the window
    fitted into a prompt, so that there are more windows. `left_out` less promising documents are not in it, for want
    of time. Its length is the number of documents.
    """

    def __init__(
        self,
        query: str,
        pieces: Sequence[Piece],
        room: int | None,
        window: int | None = None,
        stride: int | None = None,
        left_out: int = 0,
    ) -> None:
        self.query = query
        self.pieces = pieces
        self.room = room
        self.left_out = left_out
        self.crowded = False
        self.scores: Float64Array | None = None
        self.task: Task | None = None
        self._reads: dict[int, Read] = {}
        self._inside: list[int] = []
        self._window = len(pieces) if window is None else window
        self._arguments = [piece.tokens for piece in pieces], room, window, stride
        self._steps = sliding(*self._arguments)
        if pieces:
            self._show(next(self._steps))
        else:
            self.scores = np.zeros(0)

    def __len__(self) -> int:
        return len(self._owners())

    @property
    def cost(self) -> int:
        """How many tokens of documents are read in all, about: those in several windows count in each."""
        return cost(*self._arguments)

    @property
    def size(self) -> int:
        """How many tokens the documents of the task have."""
        return sum(self.pieces[place].tokens for place in self._inside)

    def take(self, reads: Sequence[Read]) -> None:
        """Take the readings of the task's documents, and go on to the next task."""
        self._reads.update(zip(self._inside, reads, strict=True))
        try:
            places = self._steps.send([one.score for one in reads])
            self.crowded |= len(self._inside) < self._window
            self._show(places)
        except StopIteration as end:
            self.task = None
            self._pieces_scores: Float64Array = end.value
            self.scores = np.array([end.value[self._best(owner)] for owner in self._owners()])

    def attention(self) -> list[DocumentAttention]:
        """The attention on each document, in its best piece. Once the scores are known."""
        if self.scores is None:
            return []
        best = [self._best(owner) for owner in self._owners()]
        return [
            explain(self._reads[place]).shifted(self.pieces[place].start)._replace(score=float(score))
            for place, score in zip(best, self.scores, strict=True)
        ]

    def _show(self, places: list[int]) -> None:
        self._inside = places
        self.task = Task(self.query, tuple(self.pieces[place].text for place in places))

    def _owners(self) -> range:
        return range(self.pieces[-1].owner + 1 if self.pieces else 0)

    def _best(self, owner: int) -> int:
        """The place of the document's piece with the highest score."""
        own = [place for place, piece in enumerate(self.pieces) if piece.owner == owner]
        return max(own, key=lambda place: self._pieces_scores[place])


def text_of(hit: Hit) -> str:
    """A hit's text in the prompt: its title and text, on lines of their own."""
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
    """The hits; those with an explanation get one with the attention on their tokens."""
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
                hit,
                explanation=AttentionExplanation(
                    was.sparse,
                    was.dense,
                    was.terms,
                    shown,
                    title,
                    text,
                    learned=was.learned,
                    expanded=was.expanded,
                ),
            )
        found.append(hit)
    return [*found, *hits[len(listing) :]]


def scores_of(listing: Listing) -> Float64Array:
    """(documents,) the scores of a finished listing."""
    return np.zeros(0) if listing.scores is None else listing.scores
