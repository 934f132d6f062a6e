"""A Ray cluster of several nodes on this machine, to try things on: its nodes can be killed."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

from leanseek.errors import ClusterError, MissingPackageError

MEMORY: Final = 80 << 20
"""Bytes of each node's object store, which only references go through."""


class LocalNodes:
    """So many nodes of one processor each, beside a head that gives none. To be closed.

    `cluster` is Ray's own object.
    """

    def __init__(self, count: int) -> None:
        """Raises MissingPackageError where Ray is not installed, ClusterError where a node does not start."""
        try:
            from ray.cluster_utils import Cluster
        except ImportError as error:
            raise MissingPackageError("a cluster of machines", "ray", "cluster") from error
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": MEMORY}
        self._nodes: list[Any] = []
        self.cluster: Any = None
        try:
            self.cluster = Cluster(initialize_head=True, head_node_args=head)
            for _ in range(count):
                self.add()
        except Exception as error:
            if self.cluster is not None:
                self.cluster.shutdown()
            raise ClusterError(f"a node of Ray did not start on this machine: {error}") from error
        self.address = str(self.cluster.address)

    def add(self) -> None:
        """Start another node."""
        self._nodes.append(self.cluster.add_node(num_cpus=1, object_store_memory=MEMORY))

    def __len__(self) -> int:
        """How many nodes there are beside the head."""
        return len(self._nodes)

    def kill(self, number: int = 0) -> None:
        """Kill a node, with all that runs on it, as if its machine had lost power."""
        node = self._nodes.pop(number)
        raylet = node.all_processes["raylet"][0].process.pid
        # Its workers would go on until they miss it.
        workers = subprocess.run(["pgrep", "-P", str(raylet)], capture_output=True, text=True, check=False)
        self.cluster.remove_node(node, allow_graceful=False)
        for worker in workers.stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(worker), signal.SIGKILL)

    def close(self) -> None:
        """Stop all nodes, and leave the cluster."""
        import ray

        ray.shutdown()
        self.cluster.shutdown()

    def __enter__(self) -> LocalNodes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
