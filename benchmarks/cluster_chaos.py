"""Hosts on Ray that are killed and frozen under load: every answer is compared with one machine's, bit for bit.

    python benchmarks/cluster_chaos.py FOLDER                       # ten minutes on a BEIR folder
    python benchmarks/cluster_chaos.py FOLDER --seconds 30 --every 6 --json

Several Ray nodes run on this machine. Clients ask at half of the rate that they reach without faults. In turn a host is
killed (SIGKILL), a host is frozen for three seconds (SIGSTOP), and a node is killed and another takes its place; near
the end the head's control service is killed and started again. Lost is what raised an error, wrong what differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leanseek import Index, Searcher, read, read_queries
from leanseek.cluster import ClusterIndex, ClusterSearcher, serve_cluster, stop_cluster
from leanseek.indexing.creation import make_plan

K = 10
MOST_QUERIES = 200
FROZEN = 3.0
CALM = 4.0
"""Seconds at the start without faults, at full rate."""
MEMORY = 80 << 20


def host_processes() -> list[int]:
    """The processes of the hosts."""
    found = subprocess.run(["pgrep", "-f", "^ray::Host"], capture_output=True, text=True, check=False)
    return sorted(map(int, found.stdout.split()))


class Load:
    """Clients that ask and compare, at most at `rate` queries a second all together; None: as fast as they can."""

    def __init__(self, searcher: Searcher, wanted: dict[str, list[tuple[str, float]]], clients: int) -> None:
        self.rate: float | None = None
        self.times: list[tuple[float, float]] = []
        self.wrong: list[str] = []
        self.lost: list[str] = []
        self._searcher, self._wanted, self._clients = searcher, wanted, clients
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self, number: int) -> None:
        chance = random.Random(number)
        queries = sorted(self._wanted)
        while not self._over.is_set():
            query = chance.choice(queries)
            began = time.monotonic()
            try:
                found = [(hit.id, hit.score) for hit in self._searcher.search(query, K)]
            except Exception as error:
                self.lost.append(f"{type(error).__name__}: {error}")
                continue
            taken = time.monotonic() - began
            self.times.append((began, taken))
            if found != self._wanted[query]:
                self.wrong.append(query)
            if self.rate is not None:
                self._over.wait(max(self._clients / self.rate - taken, 0.0))

    def end(self) -> None:
        """Wait for the clients."""
        self._over.set()
        for thread in self._threads:
            thread.join()


def faults(cluster: Any, nodes: list[Any], chance: random.Random, hosts: int) -> Iterator[str]:
    """One fault after the other; each only where all hosts are there, so that a replica is left."""
    while True:
        for kind in ("kill a host", "freeze a host", "kill a node"):
            waited = time.monotonic()
            while len(host_processes()) < hosts and time.monotonic() - waited < 60:
                time.sleep(0.2)
            if kind == "kill a node":
                node = nodes.pop(chance.randrange(len(nodes)))
                cluster.remove_node(node, allow_graceful=False)
                nodes.append(cluster.add_node(num_cpus=1, object_store_memory=MEMORY))
            else:
                process = chance.choice(host_processes())
                if kind == "kill a host":
                    os.kill(process, signal.SIGKILL)
                else:
                    os.kill(process, signal.SIGSTOP)
                    time.sleep(FROZEN)
                    os.kill(process, signal.SIGCONT)
            yield kind


def measured(folder: str, options: argparse.Namespace, place: Path) -> dict[str, Any]:
    """Build, serve, disturb, compare."""
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray
    from ray.cluster_utils import Cluster

    encoder = None if options.encoder == "none" else options.encoder
    index = Index.create(place / "one.index", encoder=encoder, dense="flat")
    index.add(read(folder), background=False)
    url = str(place / "many.cluster")
    ClusterIndex.build(url, read(folder), make_plan(encoder=encoder, dense="flat"), options.shards)
    queries = [query.text for query in read_queries(folder)][:MOST_QUERIES]
    with Searcher.open(place / "one.index", relevance=None) as one:
        wanted = {query: [(hit.id, hit.score) for hit in one.search(query, K)] for query in queries}
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": MEMORY},
    )
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=MEMORY) for _ in range(options.nodes)]
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        serve_cluster(url, replicas=options.replicas, address=cluster.address)
        searcher = ClusterSearcher.open(
            url, address=cluster.address, relevance=None, deadline=options.deadline
        )
        load = Load(searcher, wanted, options.clients)
        time.sleep(CALM)
        load.rate = len(load.times) / CALM / 2
        calm = sorted(taken for _, taken in load.times)
        done: list[str] = []
        disturbances = faults(cluster, nodes, random.Random(0), options.nodes)
        began = time.monotonic()
        while time.monotonic() - began < options.seconds * 0.8:
            done.append(next(disturbances))
            time.sleep(options.every)
        if options.control:
            cluster.head_node.kill_gcs_server()
            time.sleep(min(5.0, options.seconds * 0.1))
            cluster.head_node.start_gcs_server()
            done.append("kill the control service")
        time.sleep(max(options.seconds - (time.monotonic() - began), 0.0))
        load.end()
        searcher.close()
        if not options.control:
            stop_cluster(url, address=cluster.address)
    finally:
        ray.shutdown()
        cluster.shutdown()
    times = sorted(taken for _, taken in load.times)
    return {
        "answers": len(times),
        "lost": len(load.lost),
        "wrong": len(load.wrong),
        "calm_p99_ms": calm[int(len(calm) * 0.99)] * 1e3,
        "p50_ms": statistics.median(times) * 1e3,
        "p99_ms": times[int(len(times) * 0.99)] * 1e3,
        "slowest_ms": times[-1] * 1e3,
        "rate": load.rate,
        "faults": done,
        "errors": sorted(set(load.lost))[:3],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", help="a BEIR folder")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--every", type=float, default=15, help="seconds between two faults")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--deadline", type=float, default=10.0, help="seconds a call may take")
    parser.add_argument("--encoder", default="none", help="none searches words alone")
    parser.add_argument(
        "--no-control", dest="control", action="store_false", help="leave the control service"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = measured(options.folder, options, Path(place))
    if options.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:<12} {value:,.1f}" if isinstance(value, float) else f"{name:<12} {value}")


if __name__ == "__main__":
    main()
