"""Hosts: one actor a node, which answers questions on the shards that it has opened.

Hosts are in groups, one for each replica: the hosts of a group have all shards between them. A host that dies is
started again by Ray, on another node where its own is gone.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from leanseek.cluster.epochs import read_epoch
from leanseek.cluster.local_shards import HELD, open_epoch
from leanseek.cluster.ray_address import connect
from leanseek.cluster.storage import open_storage
from leanseek.cluster.transport import OpenShards, Question
from leanseek.errors import ClusterError, EpochGoneError, OverloadedError, UsageError

NAMESPACE: Final = "leanseek"
WAITING: Final = 32
"""Calls that wait in a host at most; it refuses others at once."""
START: Final = 120.0
"""Seconds that hosts may take to start and to open their shards."""


class Place(NamedTuple):
    """Which replica a host belongs to, the shards that it has, and how many calls it answers at a time."""

    group: int
    shards: tuple[int, ...]
    threads: int = 2


class Host:
    """Answers questions on some shards of a cluster, of the epochs that it has prepared. An actor's class."""

    def __init__(self, url: str, place: Place) -> None:
        """Open the newest epoch of the place's shards, as after a restart too."""
        self._url = url
        self._place = place
        self._epochs: OrderedDict[int, OpenShards] = OrderedDict()
        self._lock = threading.Lock()
        self._preparing = threading.Lock()
        self._room = threading.Semaphore(place.threads)
        self._waiting = 0
        self.prepare(None)

    def place(self) -> Place:
        """What the host has."""
        return self._place

    def prepare(self, epoch: int | None) -> int:
        """Open an epoch beside those that are open, of which the oldest goes; returns its number."""
        with self._preparing:
            if epoch is None or epoch not in self._epochs:
                record, snapshots = open_epoch(open_storage(self._url), epoch, self._place.shards)
                epoch = record.number
                for snapshot in snapshots:
                    _ = snapshot.totals  # what the first query would wait for
                with self._lock:
                    self._epochs[epoch] = OpenShards(dict(zip(self._place.shards, snapshots, strict=True)))
                    while len(self._epochs) > HELD:
                        del self._epochs[min(self._epochs)]  # its files go with the last call that reads them
            return epoch

    def ask(self, epoch: int, questions: Mapping[int, Question[Any]], seconds: float) -> dict[int, Any]:
        """The answers to questions, which must begin within so many seconds.

        A duration, as the clocks of two machines differ. Raises EpochGoneError, OverloadedError.
        """
        until = time.monotonic() + seconds
        with self._lock:
            shards = self._epochs.get(epoch)
            if shards is None:
                raise EpochGoneError(f"epoch {epoch} of '{self._url}' is not open here")
            if self._waiting >= WAITING:
                raise OverloadedError(f"{self._waiting} calls are waiting in a host of '{self._url}'")
            self._waiting += 1
        try:
            began = self._room.acquire(timeout=max(seconds, 0.0))
        finally:
            with self._lock:
                self._waiting -= 1
        if not began:
            return {}
        try:
            return dict(shards.answers(questions, until))
        finally:
            self._room.release()


def layout(shards: int, replicas: int, nodes: int) -> list[Place]:
    """The places of one host a node: the shards of each group in turn.

    Raises UsageError where there are fewer nodes than replicas: two would go with one machine.
    """
    if replicas < 1:
        raise UsageError(f"replicas is {replicas}; there is at least 1")
    if nodes < replicas:
        raise UsageError(
            f"{replicas} replicas need as many nodes, and the Ray cluster has {nodes} that may run hosts. Add nodes, "
            f"or give --replicas {max(nodes, 1)}"
        )
    sizes = [len(range(group, nodes, replicas)) for group in range(replicas)]
    return [
        Place(node % replicas, tuple(range(node // replicas, shards, sizes[node % replicas])))
        for node in range(nodes)
    ]


def prefix(url: str) -> str:
    """What the names of a cluster's hosts begin with."""
    return f"{hashlib.sha256(open_storage(url).location.encode()).hexdigest()[:16]}-"


def serve_cluster(
    url: str, *, replicas: int = 2, address: str = "auto", threads: int | None = None, cpus: float = 0.1
) -> list[Place]:
    """Start one host on each node of a Ray cluster that has processors to give, and wait until all have their shards.

    Hosts outlive this process (`stop_cluster`). `threads` calls are answered at a time in each, by default as many as
    its node has processors and at least 2, and `cpus` is what a host takes of what Ray counts. Hosts of the same
    cluster that run already are stopped first.

    Raises UsageError, ClusterError, and what opening a cluster raises.
    """
    ray = connect(address, start=False)  # hosts outlive this process
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    storage = open_storage(url)
    epoch = read_epoch(storage)
    processors = {
        node["NodeID"]: int(node["Resources"]["CPU"])
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU", 0) > 0
    }
    nodes = sorted(processors)
    places = [
        place._replace(threads=threads or max(processors[node], 2))
        for node, place in zip(nodes, layout(len(epoch.shards), replicas, len(nodes)), strict=True)
    ]
    stop_cluster(url, address=address)
    kind = ray.remote(Host)
    started = []
    for number, (node, place) in enumerate(zip(nodes, places, strict=True)):
        options = {
            "name": f"{prefix(url)}{number}",
            "namespace": NAMESPACE,
            "lifetime": "detached",
            "max_restarts": -1,
            "max_task_retries": 0,
            "max_concurrency": place.threads + WAITING + 8,
            "num_cpus": cpus,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=True),
        }
        started.append(kind.options(**options).remote(storage.location, place))
    try:
        ray.get([host.prepare.remote(epoch.number) for host in started], timeout=START)
    except ray.exceptions.RayTaskError as error:
        stop_cluster(url, address=address)
        raise (error.cause or error) from None
    except ray.exceptions.RayError as error:
        stop_cluster(url, address=address)
        raise ClusterError(
            f"the hosts of '{url}' did not start: {str(error).strip().splitlines()[-1]}"
        ) from error
    return places


def stop_cluster(url: str, *, address: str = "auto") -> int:
    """Stop the hosts of a cluster; returns how many there were."""
    ray = connect(address, start=False)
    found = host_names(ray, url)
    for name in found:
        try:
            ray.kill(ray.get_actor(name, NAMESPACE), no_restart=True)
        except ValueError:
            continue
    return len(found)


def host_names(ray: Any, url: str) -> Sequence[str]:
    """The names of a cluster's hosts."""
    named = ray.util.list_named_actors(all_namespaces=True)
    return sorted(
        one["name"] for one in named if one["namespace"] == NAMESPACE and one["name"].startswith(prefix(url))
    )
