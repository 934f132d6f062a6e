"""Where the work of building is done: in this process, or by tasks on the nodes of a Ray cluster.

Tasks are functions of plain values that leave what they make in the storage. Each can be done again, on another node,
with the same outcome, so that a node that dies costs what it had in hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol, TypeVar

from leanseek.cluster.ray_address import connect

Result = TypeVar("Result")


class Task(NamedTuple):
    """A call: what it is about, for its caller, and the function's arguments."""

    about: Any
    arguments: tuple[Any, ...]


class Pool(Protocol):
    """Does tasks."""

    remote: bool
    """Whether in other processes, which share no objects with this one."""

    def run(self, function: Callable[..., Result], tasks: Iterable[Task]) -> Iterator[tuple[Any, Result]]:
        """What each task is about with its result, in the order in which they end; raises the first error.

        Tasks are taken from the iterable when there is room for them.
        """
        ...


class LocalPool:
    """Does one task after the other, here: encoding uses all cores by itself."""

    remote = False

    def run(self, function: Callable[..., Result], tasks: Iterable[Task]) -> Iterator[tuple[Any, Result]]:
        """See Pool."""
        for about, arguments in tasks:
            yield about, function(*arguments)


class RayPool:
    """Does tasks on all nodes of a Ray cluster, one core each."""

    remote = True

    def __init__(self, address: str) -> None:
        """Join the Ray cluster at an address (see `connect`)."""
        self._ray = connect(address)

    def run(self, function: Callable[..., Result], tasks: Iterable[Task]) -> Iterator[tuple[Any, Result]]:
        """See Pool. A task whose node dies is done on another, as often as it takes."""
        ray = self._ray
        remote = ray.remote(max_retries=-1, num_cpus=1)(function)
        running: dict[Any, Any] = {}

        def ended() -> Iterator[tuple[Any, Result]]:
            done, _ = ray.wait(list(running), num_returns=1)
            for reference in done:
                try:
                    yield running.pop(reference), ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise (error.cause or error) from None

        try:
            for about, arguments in tasks:
                running[remote.remote(*arguments)] = about
                if len(running) >= max(2 * int(ray.cluster_resources().get("CPU", 1)), 2):
                    yield from ended()
            while running:
                yield from ended()
        finally:
            for reference in running:
                ray.cancel(reference, force=True)


def make_pool(address: str) -> Pool:
    """The pool at an address: `local`, or a Ray cluster's. Raises as `connect`."""
    return LocalPool() if address == "local" else RayPool(address)
