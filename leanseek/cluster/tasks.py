"""Where the work of building is done: in this process, or by tasks on the nodes of a Ray cluster.

Tasks are functions of plain values that leave what they make in the storage. Each can be done again, on another node,
with the same outcome, so that a node that dies costs what it had in hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from leanseek import __version__
from leanseek.cluster.ray_address import connect
from leanseek.errors import ClusterError, LeanseekError

Result = TypeVar("Result")
Told = Callable[[Any, float], None]
"""Called with what a task is about, and the share of it that is done."""

RETRIES: Final = 20
"""How often a task is done again whose node or process has died: one that dies each time would never end."""
WAITING: Final = 2
"""Tasks for each processor that Ray knows of: one runs, and the next is there when it ends."""
EVERY: Final = 0.5
"""Seconds between two looks at how far tasks have come."""


class Task(NamedTuple):
    """A call: what it is about, for its caller, and the function's arguments."""

    about: Any
    arguments: tuple[Any, ...]


class Pool(Protocol):
    """Does tasks."""

    remote: bool
    """Whether in other processes, which share no objects with this one."""

    @property
    def place(self) -> str:
        """Where, for people; empty for this process."""
        ...

    def run(
        self, function: Callable[..., Result], tasks: Iterable[Task], told: Told | None = None
    ) -> Iterator[tuple[Any, Result]]:
        """What each task is about with its result, in the order in which they end; raises the first error.

        Tasks are taken from the iterable when there is room for them. With `told` the function has one argument more:
        what it calls with the share of its work that is done.
        """
        ...


class LocalPool:
    """Does one task after the other, here: encoding uses all cores by itself."""

    remote = False
    place = ""

    def run(
        self, function: Callable[..., Result], tasks: Iterable[Task], told: Told | None = None
    ) -> Iterator[tuple[Any, Result]]:
        """See Pool."""
        for about, arguments in tasks:
            tick = () if told is None else (partial(told, about),)
            yield about, function(*arguments, *tick)


class RayPool:
    """Does tasks on all nodes of a Ray cluster, one core each."""

    remote = True

    def __init__(self, address: str) -> None:
        """Join the Ray cluster at an address. Raises as `connect`, and ClusterError where no node has a processor."""
        self._ray = connect(address)
        if self._processors() < 1:
            raise ClusterError(
                f"no node of the Ray cluster at '{address}' has a processor to give. Add nodes with "
                "'ray start --address HOST:PORT'"
            )

    @property
    def place(self) -> str:
        """See Pool."""
        nodes = sum(node["Alive"] and node["Resources"].get("CPU", 0) > 0 for node in self._ray.nodes())
        return f"{nodes} node{'s' * (nodes != 1)} of Ray with {self._processors()} processors"

    def run(
        self, function: Callable[..., Result], tasks: Iterable[Task], told: Told | None = None
    ) -> Iterator[tuple[Any, Result]]:
        """See Pool. A task whose node dies is done on another."""
        ray = self._ray
        # Spread, since what a task has in memory may be large.
        work = ray.remote(max_retries=RETRIES, num_cpus=1, scheduling_strategy="SPREAD")(do)
        shares = ray.remote(num_cpus=0, max_restarts=-1)(Shares).remote() if told is not None else None
        running: dict[Any, tuple[int, Any]] = {}

        def ended() -> Iterator[tuple[Any, Result]]:
            done: list[Any] = []
            while not done:
                done, _ = ray.wait(list(running), num_returns=1, timeout=EVERY)
                if not done and told is not None:
                    self._tell(shares, running.values(), told)
            for reference in done:
                _, about = running.pop(reference)
                yield about, self._result(reference)

        try:
            for number, task in enumerate(tasks):
                tick = () if shares is None else (Tick(shares, number),)
                running[work.remote(__version__, function, *task.arguments, *tick)] = (number, task.about)
                while len(running) >= max(WAITING * self._processors(), WAITING):
                    yield from ended()
            while running:
                yield from ended()
        finally:
            # Not by force: where a task ends at that moment, Ray 2.60 then ends this process.
            for reference in running:
                ray.cancel(reference)
            if shares is not None:
                ray.kill(shares)

    def _processors(self) -> int:
        return int(self._ray.cluster_resources().get("CPU", 0))

    def _result(self, reference: Any) -> Any:
        ray = self._ray
        try:
            return ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, LeanseekError | OSError | MemoryError):
                raise error.cause from None
            last = str(error).strip().splitlines()[-1]
            raise ClusterError(
                f"a task failed on a node: {last}. All nodes need the same Python and packages as this machine"
            ) from error
        except ray.exceptions.RayError as error:
            raise ClusterError(
                f"a task was lost {RETRIES + 1} times with its node or process: {str(error).strip().splitlines()[0]} "
                "It may need more memory than a node has; what was done stays, and the command can be repeated."
            ) from error

    def _tell(self, shares: Any, running: Iterable[tuple[int, Any]], told: Told) -> None:
        """Pass on how far the tasks that run have come; that nobody knows at present is no failure."""
        ray = self._ray
        try:
            found = ray.get(shares.read.remote(), timeout=EVERY)
        except ray.exceptions.RayError:
            return
        for number, about in running:
            if number in found:
                told(about, found[number])


class Shares:
    """The share of each task that is done, as far as it was heard of. An actor's class."""

    def __init__(self) -> None:
        self._done: dict[int, float] = {}

    def tell(self, task: int, share: float) -> None:
        """A task has come so far."""
        self._done[task] = share

    def read(self) -> dict[int, float]:
        """All that is known, by the task's number."""
        return self._done


class Tick:
    """What a task calls, on its node, with the share of it that is done."""

    def __init__(self, shares: Any, task: int) -> None:
        self._shares = shares
        self._task = task
        self._next = 0.0

    def __call__(self, share: float) -> None:
        """Tell it, unless it was told just now."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY
            self._shares.tell.remote(self._task, share)


def do(version: str, function: Callable[..., Result], *arguments: Any) -> Result:
    """The function's result, on a node. Raises ClusterError where this has another version of leanseek."""
    if version != __version__:
        raise ClusterError(
            f"a node has leanseek {__version__}, and the command was given by {version}; install the same on all nodes"
        )
    return function(*arguments)


def make_pool(address: str) -> Pool:
    """The pool at an address: `local`, or a Ray cluster's. Raises as `connect`, and `RayPool`."""
    return LocalPool() if address == "local" else RayPool(address)
