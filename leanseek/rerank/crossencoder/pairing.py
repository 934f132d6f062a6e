"""Pairs of texts as the windows that a cross-encoder reads, and the logits of these as the pairs' scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from leanseek.encode.tokens import Int32Array, TextTokenizer
from leanseek.rerank.batches import Piece
from leanseek.rerank.crossencoder.layout import PairIds, PairLayout
from leanseek.rerank.crossencoder.windows import Long, Span, combine, spans
from leanseek.rerank.scores import Pair, Scored
from leanseek.types import Float32Array


class _Window(NamedTuple):
    """A part of a pair that the model reads at once."""

    pair: Pair
    span: Span


class PairWindows:
    """The windows of the pairs of one call, numbered as they are added; each distinct text is tokenised once."""

    def __init__(self, tokenizer: TextTokenizer, layout: PairLayout, room: int | None, long: Long) -> None:
        """`tokenizer` adds no special tokens; `room` is how many others fit into a pair."""
        self._tokenizer = tokenizer
        self._layout = layout
        self._room = room
        self._long = long
        self._first = long in ("firstp", "extract")
        self._tokens: dict[str, Int32Array] = {}
        self._windows: list[_Window] = []
        self._logits: list[float] = []
        self._of: dict[Pair, range] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def add(self, pairs: Sequence[Pair]) -> list[Piece]:
        """The windows of pairs not added before, to be read."""
        self._tokenise(text for pair in pairs for text in (pair.query, pair.passage))
        start = len(self._windows)
        for pair in pairs:
            query, passage = self._tokens[pair.query], self._tokens[pair.passage]
            found = spans(len(query), len(passage), self._room, first=self._first)
            self._of[pair] = range(len(self._windows), len(self._windows) + len(found))
            self._windows += [_Window(pair, span) for span in found]
        self._logits += [float("nan")] * (len(self._windows) - start)
        return [
            Piece(number, self._layout.special + span.query + span.end - span.start)
            for number, (_, span) in enumerate(self._windows[start:], start)
        ]

    def ids(self, numbers: Sequence[int]) -> list[PairIds]:
        """What the model reads of the windows."""
        found = []
        for number in numbers:
            (query, passage, _), span = self._windows[number]
            parts = self._tokens[query][: span.query], self._tokens[passage][span.start : span.end]
            found.append(self._layout.join(*parts))
        return found

    def keep(self, numbers: Sequence[int], logits: Float32Array) -> None:
        """Take the logits (n,) of the windows."""
        for number, logit in zip(numbers, logits.tolist(), strict=True):
            self._logits[number] = logit

    def scored(self) -> dict[Pair, Scored]:
        """The pairs of which all windows were read."""
        found = {}
        for pair, numbers in self._of.items():
            logits = np.array(self._logits[numbers.start : numbers.stop])
            if not np.isnan(logits).any():
                span = self._windows[numbers.start].span
                tokens = len(self._tokens[pair.passage])
                found[pair] = Scored(combine(logits, self._long), tokens, span.end - span.start)
        return found

    def _tokenise(self, texts: Iterable[str]) -> None:
        new = [text for text in dict.fromkeys(texts) if text not in self._tokens]
        self._tokens.update(zip(new, self._tokenizer(new).ids, strict=True))
