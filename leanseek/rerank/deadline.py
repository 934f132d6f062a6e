"""How long a re-ranking may take."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable

from leanseek.errors import UsageError

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
