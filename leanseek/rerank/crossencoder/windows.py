"""Windows: how a pair that is longer than the model reads is read in parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from leanseek.encode.batches import Piece
from leanseek.encode.tokenizer import TextTokenizer
from leanseek.errors import UsageError
from leanseek.rerank.crossencoder.layout import PairIds, PairLayout
from leanseek.rerank.score_cache import Pair, Scored
from leanseek.types import Float32Array, Float64Array, Int32Array

Long: TypeAlias = Literal["maxp", "firstp", "top2", "extract"]
"""What counts of a passage that is too long.

`maxp`: its best window; `firstp`: its first window alone; `top2`: the mean of its two best windows (Dai and
Callan, Deeper Text Understanding for IR, SIGIR 2019); `extract`: the sentences nearest the query.
"""
LONG: tuple[Long, ...] = get_args(Long)

OVERLAP = 4
"""Neighbouring windows share one part in so many of their tokens."""


class Span(NamedTuple):
    """A query's first `query` tokens with the tokens [start, end) of a passage."""

    query: int
    start: int
    end: int


def check_long(long: str) -> Long:
    """The way of reading with that name. Raises UsageError where there is none."""
    for known in LONG:
        if long == known:
            return known
    raise UsageError(f"'{long}' is no way of reading long passages. Choose from: {', '.join(LONG)}")


def spans(query: int, passage: int, room: int | None, first: bool = False) -> list[Span]:
    """The pairs to score of a query and a passage of so many tokens, where `room` tokens fit (None: any number).

    A pair that fits is one. Of one that does not, the query keeps half of the room, or more where the passage
    leaves it; the passage is read in windows of what is then left, all of the same size, evenly spaced and
    overlapping by a fourth at least; or in its first window alone.
    """
    if room is None or query + passage <= room:
        return [Span(query, 0, passage)]
    kept = min(query, max(room // 2, room - passage))
    size = room - kept
    if first or passage <= size:
        return [Span(kept, 0, min(passage, size))]
    step = max(1, size - size // OVERLAP)
    count = 1 + -(-(passage - size) // step)
    starts = [round(number * (passage - size) / (count - 1)) for number in range(count)]
    return [Span(kept, start, start + size) for start in starts]


def combine(scores: Float64Array, long: Long) -> float:
    """The score of a passage from those of its windows (w,), w of at least 1."""
    if long == "top2":
        return float(np.sort(scores)[-2:].mean())
    return float(scores.max())


@dataclass(frozen=True, slots=True)
class LongReport:
    """How much of passages was read, in the model's tokens without special ones.

    `long` passages had more than fits beside the query (or more than the extract). Reports add up.
    """

    passages: int = 0
    long: int = 0
    tokens: int = 0
    read: int = 0

    @classmethod
    def of(cls, tokens: Sequence[int], read: Sequence[int], long: int) -> LongReport:
        """The report over n passages: `tokens` (n,) each has, `read` (n,) were read."""
        return cls(len(tokens), long, sum(tokens), sum(read))

    def __add__(self, other: LongReport) -> LongReport:
        """The report over both sets of passages."""
        return LongReport(
            self.passages + other.passages,
            self.long + other.long,
            self.tokens + other.tokens,
            self.read + other.read,
        )

    def sentence(self, long: Long) -> str | None:
        """The report for people; None where every passage was read in one piece."""
        if not self.long:
            return None
        of = f"{self.long:,} of {self.passages:,} passages"
        lost = f"{self.tokens - self.read:,} of {self.tokens:,} tokens were not read"
        if long == "firstp":
            return f"{of} are longer than the model reads and count by their beginning: {lost} (--rerank-long maxp)"
        if long == "extract":
            return f"of {of} the sentences nearest the query were read: {lost}"
        counts = "best window counts" if long == "maxp" else "two best windows count"
        return f"{of} are longer than the model reads and were read in overlapping windows: the {counts}"


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

    def take(self, numbers: Sequence[int], logits: Float32Array) -> None:
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
