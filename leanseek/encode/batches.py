"""Token ids of texts, and a model's work in batches: sorted by length, in time, in the memory there is."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from leanseek.errors import ModelError, UsageError
from leanseek.types import Int32Array

_SLICE = 1024


class Tokens(NamedTuple):
    """Of n texts: `ids`, an int32 array each, cut at the limit; `lengths` (n,) int32 before any cut."""

    ids: list[Int32Array]
    lengths: Int32Array


class TextTokenizer:
    """A `tokenizers` tokenizer that cuts at `max_tokens` (None: never) and tells what it cut."""

    def __init__(self, definition: str, max_tokens: int | None, special: bool = True) -> None:
        """`definition` is the content of a tokenizer.json; `special` adds the model's special tokens."""
        from tokenizers import Tokenizer

        self._tokenizer: Any = Tokenizer.from_str(definition)
        self._tokenizer.no_padding()
        self._special = special
        self._extra = int(self._tokenizer.num_special_tokens_to_add(False)) if special else 0
        if max_tokens is None:
            self._tokenizer.no_truncation()
        else:
            self._tokenizer.enable_truncation(max_tokens)

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Tokens of the texts, in their order."""
        ids: list[Int32Array] = []
        lengths: list[int] = []
        for start in range(0, len(texts), _SLICE):
            part = [encodable(text) for text in texts[start : start + _SLICE]]
            for encoding in self._tokenizer.encode_batch_fast(part, add_special_tokens=self._special):
                ids.append(np.asarray(encoding.ids, dtype=np.int32))
                # What does not fit is kept as further windows, each with its own special tokens.
                rest = sum(len(window.ids) - self._extra for window in encoding.overflowing)
                lengths.append(len(encoding.ids) + rest)
        return Tokens(ids, np.asarray(lengths, dtype=np.int32))


def encodable(text: str) -> str:
    """The text with lone surrogates, which no encoding can hold, replaced by question marks."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def batches(lengths: Sequence[int] | Int32Array, budget: int) -> Iterator[NDArray[np.int64]]:
    """Positions of texts, longest first, in batches of at most `budget` tokens with padding.

    A text longer than that is a batch of its own. Texts of similar length stand together, so little is
    spent on padding; the longest come first, so memory runs out at once or never.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        stop = start + max(1, budget // longest)
        yield order[start:stop]
        start = stop


_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0}


class Deadline:
    """A point in time after which no more work is begun.

    >>> deadline = Deadline(0.2)
    >>> while work and deadline.allows(expected_seconds):
    ...     work.pop()()
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """It passes `seconds` from now, by the `clock`, which tells seconds. Raises UsageError below 0."""
        if not seconds >= 0 or math.isinf(seconds):
            raise UsageError(f"a budget of {seconds} seconds is none; give 0 or more, such as 0.2")
        self._clock = clock
        self._end = clock() + seconds

    def now(self) -> float:
        """The clock's time in seconds, for measuring how long a piece of work takes."""
        return self._clock()

    def remaining(self) -> float:
        """Seconds that are left; negative once it has passed."""
        return self._end - self._clock()

    def allows(self, seconds: float = 0.0) -> bool:
        """Whether work of so many seconds would end in time."""
        return self.remaining() > seconds


def parse_budget(text: str) -> float:
    """Seconds from `200ms`, `1.5s` or `2m`. Raises UsageError for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|m)\s*", text)
    if match is None:
        raise UsageError(f"'{text}' is not a length of time; give a number with ms, s or m, such as 200ms")
    return float(match[1]) * _UNITS[match[2]]


_WORDS = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "failed to allocate memory",
    "bad_alloc",
    # cuBLAS and cuDNN: CUBLAS_STATUS_ALLOC_FAILED.
    "status_alloc_failed",
    # ONNX Runtime's arena: "Available memory of 1234 is smaller than requested bytes of 5678".
    "is smaller than requested bytes",
)


def out_of_memory(error: BaseException) -> bool:
    """Whether the error says that memory ran out, on a device or here: Python's, torch's or ONNX Runtime's."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return not isinstance(error, OSError) and any(words in text for words in _WORDS)


TIER = 8
"""Hits of every list that are finished before the next are begun, where time may not suffice for all."""

Found = TypeVar("Found")
Item = TypeVar("Item")


class Piece(NamedTuple):
    """What a model reads at once: its number, by which it is asked for, and its length in tokens."""

    number: int
    tokens: int


class Batches:
    """Puts pieces of work together for one model, and learns how much fits and how long it takes. Thread-safe."""

    def __init__(self, budget: int, piece: str) -> None:
        """At first a batch has at most `budget` tokens with its padding. `piece` is what one is called, as `pair`."""
        self._budget = budget
        self._piece = piece
        self._pace = 0.0
        self._halved = False
        self._lock = threading.Lock()

    @property
    def notes(self) -> tuple[str, ...]:
        """Whether memory ran out."""
        if not self._halved:
            return ()
        return (f"memory ran out, so batches were made smaller, down to {self._budget:,} tokens",)

    def run(
        self,
        lengths: Sequence[int],
        ranks: Sequence[int],
        run: Callable[[list[int]], Found],
        deadline: Deadline | None = None,
    ) -> Iterator[tuple[list[int], Found]]:
        """Places of pieces and what `run` made of them, batch by batch, until all are done or the deadline is near.

        `lengths` (n,) are the pieces' tokens. Under a deadline the pieces of the best `ranks` (n,), from 0, are
        finished before the others.

        Raises ModelError where memory does not suffice for a single piece.
        """
        rounds = (
            [Piece(place, int(lengths[place])) for place in places] for places in tiers(ranks, deadline)
        )
        return self.run_rounds(rounds, run, deadline)

    def run_rounds(
        self,
        rounds: Iterable[Sequence[Piece]],
        run: Callable[[list[int]], Found],
        deadline: Deadline | None = None,
    ) -> Iterator[tuple[list[int], Found]]:
        """`run` for pieces that are made as they are needed: those of a round are finished before the next is made.

        In a round the longest stand together, so that little is spent on padding. While there is any time, one piece
        is tried, however slow earlier ones were.
        """
        tried = False
        for pieces in rounds:
            queue = sorted(pieces, key=lambda piece: (-piece.tokens, piece.number))
            start = 0
            while start < len(queue):
                budget, pace = self._budget, self._pace
                if deadline is not None:
                    # The first batch measures the pace, so it is one piece.
                    budget = min(budget, int(deadline.remaining() / pace)) if pace else 1
                    if not deadline.allows(max(1, queue[start].tokens) * pace):
                        if tried or not deadline.allows():
                            return
                        # What is known may be the pace of a slow moment; the shortest piece tells for least.
                        queue.insert(start, queue.pop())
                        budget = 1
                longest = max(1, queue[start].tokens)
                batch = [piece.number for piece in queue[start : start + max(1, budget // longest)]]
                began = deadline.now() if deadline is not None else 0.0
                try:
                    found = run(batch)
                except Exception as error:
                    if not out_of_memory(error):
                        raise
                    self._halve(len(batch), longest, error)
                    continue
                tried = True
                if deadline is not None:
                    self._learn((deadline.now() - began) / (longest * len(batch)))
                start += len(batch)
                yield batch, found

    def _halve(self, pieces: int, longest: int, error: Exception) -> None:
        if pieces == 1:
            raise ModelError(
                f"memory ran out for a single {self._piece} of {longest:,} tokens; choose a smaller model, or another "
                "device with --device"
            ) from error
        with self._lock:
            self._budget = max(1, min(self._budget, longest * pieces) // 2)
            self._halved = True

    def _learn(self, pace: float) -> None:
        """Keep how many seconds a token takes; a faster one counts at once, a slower one half."""
        with self._lock:
            self._pace = min(pace, (self._pace + pace) / 2) if self._pace else pace


def tiers(ranks: Sequence[int], deadline: Deadline | None) -> list[list[int]]:
    """Places of the pieces, those of the best `TIER` ranks first; all together where there is no deadline."""
    if deadline is None:
        return [list(range(len(ranks)))]
    found: list[list[int]] = [[] for _ in range(max(ranks, default=0) // TIER + 1)]
    for place, rank in enumerate(ranks):
        found[rank // TIER].append(place)
    return found


def in_time(items: Sequence[Item], deadline: Deadline | None, step: int = 1) -> Iterator[Sequence[Item]]:
    """The items in blocks of `step`, while there is time; all together where there is no deadline."""
    step = step if deadline is not None else max(len(items), 1)
    for start in range(0, len(items), step):
        if deadline is not None and not deadline.allows():
            return
        yield items[start : start + step]
