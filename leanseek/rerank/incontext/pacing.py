"""How much a decoder reads in a given time, learned from what it has read."""

from __future__ import annotations

import math
import threading

_GROWTH = 4
"""So many times the longest prompt measured is foreseen at most: a longer one takes more than its share of time."""


class Pace:
    """Keeps how long a token takes from call to call. Thread-safe."""

    def __init__(self) -> None:
        """Nothing is known at first."""
        self._seconds: float | None = None
        self._longest = 0
        self._skipped = 0
        self._patience = 1
        self._lock = threading.Lock()

    def learn(self, tokens: int, seconds: float) -> None:
        """A prompt with so many tokens of documents took so many seconds.

        A slower one counts at once; after a faster one the pace is the geometric mean of both, so that a slow
        beginning is soon forgotten.
        """
        with self._lock:
            new = seconds / max(1, tokens)
            known = new if self._seconds is None else self._seconds
            self._seconds = max(new, math.sqrt(known * new))
            self._longest = max(self._longest, tokens)

    def reach(self, seconds: float) -> float | None:
        """How many tokens of documents are read in so many seconds; None where nothing was measured yet."""
        with self._lock:
            if self._seconds is None:
                return None
            return min(seconds / self._seconds if self._seconds else math.inf, _GROWTH * self._longest)

    def tries(self) -> bool:
        """Whether a query is read for which there seems to be no time: the machine may have become faster.

        The first such query is left out, then one is tried, then twice as many are left out each time.
        """
        with self._lock:
            if self._skipped < self._patience:
                self._skipped += 1
                return False
            self._skipped, self._patience = 0, 2 * self._patience
            return True

    def keeps_up(self) -> None:
        """Something was read in time: the next query without time is the first again."""
        with self._lock:
            self._skipped, self._patience = 0, 1
