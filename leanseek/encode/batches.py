"""A model's work in batches: sorted by length, until a deadline, in the memory there is."""

from __future__ import annotations

import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from leanseek.encode.device import accelerated, threads_wanted
from leanseek.errors import ModelError, UsageError
from leanseek.types import Int32Array

TIER = 8
"""Hits of every list that are finished before the next are begun, where time may not suffice for all."""

# In ONNX Runtime small batches leave the activations in a processor's own cache, which is worth more than long matrix
# products.
_THREAD_TOKENS = 384
_MOST_THREADS = 16
_TORCH_TOKENS = 2048
_ACCELERATOR_TOKENS = 65536

_GROWTH = 4
"""A cautious pace foresees at most so many times the largest work measured: a larger one takes more than its share."""

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0}

_NO_MEMORY = (
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

Found = TypeVar("Found")
Item = TypeVar("Item")


class Deadline:
    """A point in time after which no more work is begun.

    >>> deadline = Deadline(0.2)
    >>> while work and deadline.allows(expected_seconds):
    ...     work.pop()()
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """It passes `seconds` from now, by the `clock`, in seconds. Raises UsageError below 0."""
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


class Pace:
    """How much work fits into a time, learned from call to call. Thread-safe."""

    def __init__(self, cautious: bool = False) -> None:
        """Nothing is known at first.

        A pace is usually hopeful: a faster time counts at once, a slower one half. A `cautious` one is for work that
        cannot be stopped: a slower time counts at once, a faster one by the geometric mean with what was known.
        """
        self._cautious = cautious
        self._seconds: float | None = None
        self._most = 0
        self._lock = threading.Lock()

    def learn(self, tokens: int, seconds: float) -> None:
        """So many tokens took so many seconds."""
        with self._lock:
            new = seconds / max(1, tokens)
            known = self._seconds or new
            self._seconds = (
                max(new, math.sqrt(known * new)) if self._cautious else min(new, (known + new) / 2)
            )
            self._most = max(self._most, tokens)

    def reach(self, seconds: float) -> float | None:
        """How many tokens are read in so many seconds; None where nothing was measured yet."""
        with self._lock:
            if self._seconds is None:
                return None
            tokens = seconds / self._seconds if self._seconds else math.inf
            return min(tokens, _GROWTH * self._most) if self._cautious else tokens


class Limit:
    """The `amount` of work that is done at once, halved where memory runs out. Thread-safe."""

    def __init__(self, amount: int) -> None:
        self.amount = amount
        self.halved = False
        self._lock = threading.Lock()

    def halve(self, tried: int) -> None:
        """Half of what was tried is done at once from now on, and never more than before."""
        with self._lock:
            self.amount = min(self.amount, max(1, tried // 2))
            self.halved = True


def out_of_memory(error: BaseException) -> bool:
    """Whether the error says that memory ran out, on a device or in the host: Python's, torch's or ONNX Runtime's."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return not isinstance(error, OSError) and any(words in text for words in _NO_MEMORY)


def onnx_batch_tokens(device: str | None) -> int:
    """How many tokens a batch has at most, with its padding, that ONNX Runtime runs on a device (None is the CPU)."""
    if accelerated(device):
        return _ACCELERATOR_TOKENS
    return _THREAD_TOKENS * min(threads_wanted() or os.cpu_count() or 1, _MOST_THREADS)


def torch_batch_tokens(device: str) -> int:
    """The same on a device of torch."""
    return _ACCELERATOR_TOKENS if accelerated(device) else _TORCH_TOKENS


def batches(lengths: Sequence[int] | Int32Array, budget: int) -> Iterator[NDArray[np.int64]]:
    """Positions of texts, longest first, in batches of at most `budget` tokens with padding.

    A text longer than that is a batch of its own. Texts of similar length are together, so little is
    spent on padding; the longest come first, so memory runs out at once or never.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        stop = start + max(1, budget // longest)
        yield order[start:stop]
        start = stop


class Piece(NamedTuple):
    """What a model reads at once: its number, by which it is requested, and its length in tokens."""

    number: int
    tokens: int


class Batches:
    """Puts pieces of work together for one model, and learns how much fits and how long it takes. Thread-safe."""

    def __init__(self, budget: int, piece: str) -> None:
        """At first a batch has at most `budget` tokens with its padding. `piece` is what one is called, as `pair`."""
        self._limit = Limit(budget)
        self._piece = piece
        self._pace = Pace()

    @property
    def notes(self) -> tuple[str, ...]:
        """Whether memory ran out."""
        if not self._limit.halved:
            return ()
        return (f"memory ran out, so batches were made smaller, down to {self._limit.amount:,} tokens",)

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

        In a round the longest are read together, so that little is spent on padding. While there is any time, one piece
        is tried, however slow earlier ones were.
        """
        tried = False
        for pieces in rounds:
            queue = sorted(pieces, key=lambda piece: (-piece.tokens, piece.number))
            start = 0
            while start < len(queue):
                budget = self._limit.amount
                if deadline is not None:
                    left = deadline.remaining()
                    if left <= 0:
                        return
                    reach = self._pace.reach(left)
                    # The first batch measures the pace, so it is one piece.
                    budget = 1 if reach is None or math.isinf(reach) else min(budget, int(reach))
                    if reach is not None and reach <= max(1, queue[start].tokens):
                        if tried:
                            return
                        # The known pace may be that of a slow moment; the shortest piece is the cheapest trial.
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
                    if len(batch) == 1:
                        raise ModelError(
                            f"memory ran out for a single {self._piece} of {longest:,} tokens; choose a smaller model, "
                            "or another device with --device"
                        ) from error
                    self._limit.halve(longest * len(batch))
                    continue
                tried = True
                if deadline is not None:
                    self._pace.learn(longest * len(batch), deadline.now() - began)
                start += len(batch)
                yield batch, found


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
