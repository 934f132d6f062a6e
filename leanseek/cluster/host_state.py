"""What a router knows of its hosts: how long their calls take, and which to leave alone."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final

from leanseek.cluster.hosts import Place

HEDGE_LEAST: Final = 0.010
HEDGE_FIRST: Final = 0.100
"""Seconds after which another replica is asked too: at least, and while little is known of a host."""
HEDGE_SHARE: Final = 0.05
HEDGE_BURST: Final = 20.0
"""How many calls may be asked again: a share of all, and so many at once."""
REMEMBERED: Final = 200
"""Calls whose times tell what is usual of a host."""
OVERDUE: Final = 0.5
"""Seconds after which a call that is not answered is asked elsewhere whatever the budget, and its host avoided."""
SILENT: Final = 2
"""Calls of a host that others have answered in its place, after which it is avoided if it has answered none since."""
AVOIDED: Final = 2.0
"""Seconds until a host is probed that is avoided because it failed or did not answer."""


class HostState:
    """What a router knows of a host."""

    def __init__(self, actor: Any, name: str, place: Place) -> None:
        self.actor = actor
        self.name = name
        self.place = place
        self.outstanding = 0
        self.avoided = False
        """Others are asked first, until it answers when nobody depends on it."""
        self._passed_over = 0
        self._times: deque[float] = deque(maxlen=REMEMBERED)
        self._lock = threading.Lock()

    def begun(self) -> None:
        """Count a call."""
        with self._lock:
            self.outstanding += 1

    def ended(self, seconds: float, well: bool) -> None:
        """Count its end."""
        with self._lock:
            self.outstanding -= 1
            if well:
                self._passed_over = 0
                self._times.append(seconds)

    def passed_over(self) -> None:
        """Count a call that another host has answered first; it is avoided if it answers nothing in between."""
        with self._lock:
            self._passed_over += 1
            silent = self._passed_over >= SILENT
        if silent:
            self.avoid()

    def avoid(self) -> None:
        """Ask others first for a while, and until it answers again."""
        with self._lock:
            if self.avoided:
                return
            self.avoided = True
        self._probe_later()

    def _probe_later(self) -> None:
        timer = threading.Timer(AVOIDED, self._probe)
        timer.daemon = True
        timer.start()

    def _probe(self) -> None:
        with suppress(Exception):  # this process may have left the Ray cluster
            self.actor.place.remote().future().add_done_callback(self._probed)

    def _probed(self, done: Future[Any]) -> None:
        if done.exception() is not None:
            self._probe_later()
            return
        with self._lock:
            self._passed_over = 0
            self.avoided = False

    @property
    def usual(self) -> float:
        """Seconds within which 95 % of its calls were answered."""
        with self._lock:
            times = sorted(self._times)
        if len(times) < 20:
            return HEDGE_FIRST
        return max(times[int(len(times) * 0.95)], HEDGE_LEAST)


class Budget:
    """A bucket of tokens that every call fills by a share, and every hedge takes one from."""

    def __init__(self) -> None:
        self.calls = 0
        self.hedges = 0
        self._tokens = HEDGE_BURST
        self._lock = threading.Lock()

    def call(self) -> None:
        """Count a call."""
        with self._lock:
            self.calls += 1
            self._tokens = min(self._tokens + HEDGE_SHARE, HEDGE_BURST)

    def hedge(self) -> bool:
        """Take a token; whether there was one."""
        with self._lock:
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            self.hedges += 1
            return True


class Sent:
    """Questions that a host was sent."""

    def __init__(self, host: HostState, shards: tuple[int, ...], future: Future[Any]) -> None:
        self.host = host
        self.shards = shards
        self.future = future
        self.at = time.monotonic()
        self.hedge_at = self.at + host.usual
        self.overdue_at = self.at + max(OVERDUE, 2 * host.usual)
        self.repeated = False
