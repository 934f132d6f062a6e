"""The threads that answer queries, and how much work they take on."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

from leanseek.serve.keys import ANYONE, Key
from leanseek.serve.refusals import GoneError, RefusedError

Result = TypeVar("Result")

THREADS: Final = 96
"""Queries under way at a time: more than one batch of the encoder, so that the next batch fills meanwhile."""
STAGES: Final = ("wait", "encode", "search", "rerank")


@dataclass(slots=True)
class Ticket:
    """A request on its way: who asks, and whether anyone still waits for the answer."""

    id: str
    key: Key = ANYONE
    gone: bool = False
    index: str | None = None
    generation: int | None = None
    queries: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


class Task:
    """One query in a thread: it holds one of the slots, except while it waits for a model."""

    def __init__(self, ticket: Ticket, slots: threading.Semaphore) -> None:
        self.ticket = ticket
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._slots = slots
        self._last = time.perf_counter()

    def enter(self) -> None:
        """Wait for a slot. Raises GoneError where nobody waits for the answer any more."""
        self._slots.acquire()
        self.lap("wait")
        if self.ticket.gone:
            self._slots.release()
            raise GoneError

    def leave(self) -> None:
        """Give the slot to another."""
        self.lap("search")
        self._slots.release()

    def lap(self, stage: str) -> None:
        """Count the time since the last call for a stage."""
        now = time.perf_counter()
        self.seconds[stage] += now - self._last
        self._last = now

    @contextmanager
    def away(self, stage: str) -> Iterator[None]:
        """Leave the slot to others while a model works for this query."""
        self.leave()
        try:
            yield
        finally:
            self.lap(stage)
            # Without a look at `gone`: the thread has to come back with or without an error.
            self._slots.acquire()
            self.lap("wait")


TASK: contextvars.ContextVar[Task | None] = contextvars.ContextVar("task", default=None)
"""The query that this thread answers."""


class Workers:
    """Answers queries in threads, as many at a time as there are processors.

    A query that waits for a model gives its place to another. `most` queries wait or are answered at a time; what
    comes beyond is refused.
    """

    def __init__(self, most: int, threads: int = THREADS, slots: int | None = None) -> None:
        self.most = most
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="query")
        self._slots = threading.Semaphore(slots or os.cpu_count() or 1)
        self._admitted = 0

    @property
    def admitted(self) -> int:
        """How many queries wait or are answered now."""
        return self._admitted

    @contextmanager
    def room(self, queries: int) -> Iterator[None]:
        """Hold room for the queries of a request, for the event loop's thread alone.

        Raises RefusedError (429) where so many more are too many; one request by itself never is.
        """
        if self._admitted and self._admitted + queries > self.most:
            raise RefusedError(
                429,
                f"the server is busy: {self._admitted} queries wait, and at most {self.most} may; ask again later",
                "busy",
                retry_after=1,
            )
        self._admitted += queries
        try:
            yield
        finally:
            self._admitted -= queries

    async def run(self, ticket: Ticket, work: Callable[[], Result]) -> tuple[Result, dict[str, float]]:
        """What the work gives, done in a thread, and its seconds by stage. Raises what it raises.

        When the caller is cancelled, work that has not begun never does.
        """
        task = Task(ticket, self._slots)
        future = self._pool.submit(contextvars.copy_context().run, _within, task, work)
        return await asyncio.wrap_future(future), task.seconds

    def close(self) -> None:
        """End the threads; what they work on is finished."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _within(task: Task, work: Callable[[], Result]) -> Result:
    TASK.set(task)
    task.enter()
    try:
        return work()
    finally:
        task.leave()
