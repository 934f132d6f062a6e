"""How many calls a router lets through: so many at a time, some that wait in their order, and none beyond.

More calls than a cluster answers would otherwise wait until each is too late, and then it answers none in time. A call
that is refused costs next to nothing, and its caller knows at once.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from leanseek.errors import OverloadedError

SMOOTHING: Final = 0.1
"""The weight of the last call in what a call usually takes."""
DEVIATIONS: Final = 2.0
"""A call may well take so many mean deviations longer than usual."""


class Room(NamedTuple):
    """Calls that a cluster can have: `at_once` are worked on, and `waiting` more wait for them."""

    at_once: int
    waiting: int

    def within(self, calls: int) -> Room:
        """The same with at most so many calls in all."""
        at_once = min(self.at_once, calls)
        return Room(at_once, calls - at_once)


class LoadLimit:
    """Lets calls through within a `Room`. Thread-safe."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._running = 0
        self._queue: deque[threading.Event] = deque()
        self._usual = 0.0
        self._deviation = 0.0

    @property
    def held(self) -> Room:
        """The calls that are under way, and those that wait."""
        with self._lock:
            return Room(self._running, len(self._queue))

    @contextmanager
    def place(self, until: float | None) -> Iterator[None]:
        """A call's place, which it waits for no longer than `until` (of `time.monotonic`; None: as long as it takes).

        Raises OverloadedError, at once where there is no room, or the calls before it would take all its time.
        """
        self._enter(until)
        began = time.monotonic()
        try:
            yield
        finally:
            self._leave(time.monotonic() - began)

    def _enter(self, until: float | None) -> None:
        with self._lock:
            if self._running < self._room.at_once:
                self._running += 1
                return
            waiting = len(self._queue)
            if waiting >= self._room.waiting:
                raise OverloadedError(
                    f"{self._running} calls are under way and {waiting} wait, which is all that this cluster takes; "
                    "ask again later, or serve it with more replicas"
                )
            if until is not None and self._expected(waiting) > until - time.monotonic():
                raise OverloadedError(
                    f"{self._running + waiting} calls are before this one, and would take all its time; ask again "
                    "later, or give it more time"
                )
            mine = threading.Event()
            self._queue.append(mine)
        try:
            if mine.wait(None if until is None else max(until - time.monotonic(), 0.0)):
                return
        except BaseException:
            self._give_up(mine)
            raise
        self._give_up(mine)
        raise OverloadedError("the calls before this one took all its time; ask again later")

    def _expected(self, waiting: int) -> float:
        """Seconds until a call is answered that so many wait before, given that all places are taken."""
        return (waiting + 1) * self._usual / self._room.at_once + self._usual + DEVIATIONS * self._deviation

    def _give_up(self, mine: threading.Event) -> None:
        """Wait no longer; a place that has just come goes to the next call."""
        with self._lock:
            if not mine.is_set():
                self._queue.remove(mine)
                return
        self._pass_on()

    def _pass_on(self) -> None:
        """Give a place to the next call."""
        with self._lock:
            if self._queue:
                self._queue.popleft().set()
            else:
                self._running -= 1

    def _leave(self, seconds: float) -> None:
        with self._lock:
            if not self._usual:
                self._usual = seconds
            else:
                self._deviation += SMOOTHING * (abs(seconds - self._usual) - self._deviation)
                self._usual += SMOOTHING * (seconds - self._usual)
        self._pass_on()
