"""Hosts on Ray under load: every single answer is compared with one index's, bit for bit.

    python benchmarks/cluster_chaos.py FOLDER                      # ten minutes of faults on a BEIR folder
    python benchmarks/cluster_chaos.py FOLDER --seconds 60 --json
    python benchmarks/cluster_chaos.py FOLDER --what exact refresh overload gone --seconds 60

Several Ray nodes run on this machine, and clients ask hosts on them.

chaos     at half of the rate that clients reach, at random a host is killed (SIGKILL), a host is frozen for three
          seconds (SIGSTOP), or a node is killed and another takes its place; near the end the head's control service
          is killed and started again. The slowest answer is compared with the hedge plus 3 times the calm p99.
exact     at full rate, without faults.
refresh   epochs are published while clients ask.
overload  three times the rate that clients reach is asked for: what is answered, and how fast the rest is refused.
gone      all replicas of a shard are frozen.

Lost is what raised an error, wrong what differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leanseek import Document, Index, Searcher, read, read_queries
from leanseek.cluster import ClusterIndex, ClusterSearcher, LocalNodes, serve_cluster, stop_cluster
from leanseek.errors import LeanseekError, OverloadedError
from leanseek.indexing.creation import make_plan

K = 10
MOST_QUERIES = 200
FROZEN = 3.0
CHANGED = 0.01
"""The share of the documents that each epoch changes."""

Answers = Mapping[str, Sequence[tuple[str, float]]]


@dataclass
class Served:
    """A cluster that hosts on several Ray nodes serve, and one index's answers to the queries, by epoch."""

    url: str
    address: str
    wanted: Mapping[int, Answers]
    options: Mapping[str, Any]
    nodes: LocalNodes
    hosts: int

    @property
    def queries(self) -> list[str]:
        """What is asked."""
        return sorted(self.wanted[1])

    def searcher(self, **options: Any) -> ClusterSearcher:
        """A router of its own."""
        return ClusterSearcher.open(self.url, address=self.address, **{**self.options, **options})

    def processes(self) -> list[int]:
        """The processes of the hosts that have opened their shards."""
        raylets = {
            process.process.pid
            for node in self.nodes.cluster.list_all_nodes()
            for process in node.all_processes.get("raylet", ())
        }
        listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
        found = (line.split(maxsplit=2) for line in listed.stdout.splitlines())
        return [
            int(pid)
            for pid, parent, title in found
            if int(parent) in raylets and title.startswith("ray::Host") and "__init__" not in title
        ]

    def settle(self, seconds: float = 60.0) -> None:
        """Wait until all hosts are there, so that every shard has all its replicas."""
        until = time.monotonic() + seconds
        while len(self.processes()) < self.hosts and time.monotonic() < until:
            time.sleep(0.1)


@contextmanager
def serving(
    place: Path,
    documents: Sequence[Document],
    queries: Sequence[str],
    *,
    encoder: Any = None,
    shards: int = 4,
    nodes: int = 4,
    replicas: int = 2,
    epochs: int = 0,
    deadline: float = 10.0,
) -> Iterator[Served]:
    """Build one index and a cluster of the same documents, and serve the cluster. `epochs` changes are known ahead."""
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray

    options: dict[str, Any] = {"relevance": None, "encoder": encoder}
    wanted: dict[int, Answers] = {}
    index = Index.create(place / "one.index", encoder=encoder, dense="flat")
    index.add(documents, cache=False, background=False)
    for epoch in range(1, epochs + 2):
        if epoch > 1:
            change(index, documents, epoch)
        with Searcher.open(place / "one.index", **options) as one:
            wanted[epoch] = {query: answer_of(one, query) for query in queries}
    url = str(place / "many.cluster")
    ClusterIndex.build(url, documents, make_plan(encoder=encoder, dense="flat"), shards)
    with LocalNodes(nodes) as local:
        ray.init(address=local.address, log_to_driver=False, logging_level="ERROR")
        places = serve_cluster(url, replicas=replicas, address=local.address)
        options["deadline"] = deadline
        yield Served(url, local.address, wanted, options, local, len(places))


def change(index: Any, documents: Sequence[Document], epoch: int) -> None:
    """What epoch `epoch` changes, of an index or a cluster: some documents become others, or go."""
    chosen = random.Random(epoch).sample(documents, max(int(len(documents) * CHANGED), 2))
    if epoch % 3 == 0:
        index.delete([document.id for document in chosen], ignore_missing=True)
        return
    other = random.Random(-epoch).sample(documents, len(chosen))
    texts = [
        Document(one.id, two.text, one.title, one.metadata) for one, two in zip(chosen, other, strict=True)
    ]
    index.add(texts, on_duplicate="replace")


def answer_of(searcher: Searcher, query: str) -> list[tuple[str, float]]:
    """Ids and scores."""
    return [(hit.id, hit.score) for hit in searcher.search(query, K)]


class Load:
    """Clients that ask and compare, at most at `rate` queries a second all together; None: as fast as they can."""

    def __init__(self, served: Served, searcher: ClusterSearcher, clients: int = 8) -> None:
        self.rate: float | None = None
        self.times: list[tuple[float, float]] = []
        """When each answer was asked for, and the seconds it took."""
        self.wrong: list[str] = []
        self.lost: list[str] = []
        self._served, self._searcher, self._clients = served, searcher, clients
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self, number: int) -> None:
        chance = random.Random(number)
        queries = self._served.queries
        while not self._over.is_set():
            query = chance.choice(queries)
            first, began = self._searcher.generation, time.monotonic()
            try:
                found = answer_of(self._searcher, query)
            except Exception as error:
                self.lost.append(f"{type(error).__name__}: {error}")
                continue
            taken = time.monotonic() - began
            self.times.append((began, taken))
            epochs = range(first, self._searcher.generation + 1)
            if not any(found == self._served.wanted[epoch][query] for epoch in epochs):
                self.wrong.append(query)
            if self.rate is not None:
                self._over.wait(max(self._clients / self.rate - taken, 0.0))

    def since(self, moment: float) -> list[float]:
        """The seconds that the answers took which were asked for after a moment, ascending."""
        return sorted(taken for began, taken in self.times if began >= moment)

    def end(self) -> dict[str, Any]:
        """Wait for the clients; what they found."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        return {
            "answers": len(self.times),
            "lost": len(self.lost),
            "wrong": len(self.wrong),
            "errors": sorted(set(self.lost))[:3],
            **times_of(self.since(0.0)),
        }


def times_of(seconds: Sequence[float]) -> dict[str, float]:
    """What is usual, of times in ascending order."""
    if not seconds:
        return {}
    return {
        "p50_ms": seconds[len(seconds) // 2] * 1e3,
        "p99_ms": seconds[int(len(seconds) * 0.99)] * 1e3,
        "slowest_ms": seconds[-1] * 1e3,
    }


def exact(served: Served, seconds: float, clients: int = 8) -> dict[str, Any]:
    """At full rate, without faults; and the processor time that a query takes."""
    hosts = served.processes()
    with served.searcher() as searcher:
        router, before = time.process_time(), processor_time(hosts)
        load = Load(served, searcher, clients)
        time.sleep(seconds)
        found = load.end()
        answers = max(found["answers"], 1)
        return {
            **found,
            "rate": answers / seconds,
            "hedged": hedged(searcher),
            "router_cpu_ms": (time.process_time() - router) / answers * 1e3,
            "hosts_cpu_ms": (processor_time(hosts) - before) / answers * 1e3,
        }


def processor_time(processes: Sequence[int]) -> float:
    """The seconds of processor that some processes have used."""
    ticks = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def hedged(searcher: ClusterSearcher) -> float:
    """The share of the calls that were asked twice."""
    budget = searcher._transport.budget  # type: ignore[attr-defined]
    return float(budget.hedges / max(budget.calls, 1))


def faults(served: Served, chance: random.Random) -> Iterator[str]:
    """One fault after the other at random, each only where all hosts are there, so that a replica is left."""
    while True:
        served.settle()
        kind = chance.choice(("kill a host", "kill a host", "freeze a host", "kill a node"))
        if kind == "kill a node":
            served.nodes.kill(chance.randrange(len(served.nodes)))
            served.nodes.add()
        else:
            process = chance.choice(served.processes())
            if kind == "kill a host":
                os.kill(process, signal.SIGKILL)
            else:
                os.kill(process, signal.SIGSTOP)
                time.sleep(FROZEN)
                os.kill(process, signal.SIGCONT)
        yield kind


def chaos(
    served: Served,
    seconds: float,
    *,
    every: float = 10.0,
    calm: float = 10.0,
    clients: int = 8,
    control: bool = True,
    seed: int = 0,
) -> dict[str, Any]:
    """Faults at half load. With `control` Ray's control service is killed at the end: hosts are not started again after
    it."""
    with served.searcher() as searcher:
        load = Load(served, searcher, clients)
        time.sleep(calm / 2)
        load.rate = len(load.times) / (calm / 2) / 2
        began = time.monotonic()
        time.sleep(calm)
        quiet = times_of(load.since(began))
        hedge = max(host.usual for host in searcher._transport._hosts)  # type: ignore[attr-defined]
        done: list[str] = []
        disturbances = faults(served, random.Random(seed))
        disturbed = time.monotonic()
        while time.monotonic() - disturbed < seconds * 0.85:
            done.append(next(disturbances))
            time.sleep(every)
        served.settle()
        if control:
            served.nodes.cluster.head_node.kill_gcs_server()
            time.sleep(min(5.0, seconds * 0.08))
            served.nodes.cluster.head_node.start_gcs_server()
            done.append("kill the control service")
        time.sleep(max(seconds - (time.monotonic() - disturbed), 1.0))
        found = load.end()
        return {
            **found,
            **times_of(load.since(disturbed)),
            "rate": load.rate,
            "calm_p99_ms": quiet["p99_ms"],
            "hedge_ms": hedge * 1e3,
            "bound_ms": hedge * 1e3 + 3 * quiet["p99_ms"],
            "hedged": hedged(searcher),
            "faults": {kind: done.count(kind) for kind in dict.fromkeys(done)},
        }


def gone(served: Served, deadline: float = 1.5) -> dict[str, Any]:
    """All replicas of a shard frozen: what is raised and when, and what is answered without it."""
    held = {}
    with served.searcher() as searcher:
        for host in searcher._transport._hosts:  # type: ignore[attr-defined]
            held[process_of(host.actor)] = host.place.shards
    query = served.queries[0]
    frozen = [process for process, shards in held.items() if 0 in shards]
    alive = {shard for process, shards in held.items() if process not in frozen for shard in shards}
    with (
        served.searcher(deadline=deadline) as strict,
        served.searcher(deadline=deadline, partial="allow") as lax,
    ):
        try:
            for process in frozen:
                os.kill(process, signal.SIGSTOP)
            began = time.monotonic()
            try:
                strict.search(query)
                raised = "nothing"
            except LeanseekError as error:
                raised = type(error).__name__
            taken = time.monotonic() - began
            began = time.monotonic()
            coverage = lax.answer(query).coverage
            partial = time.monotonic() - began
        finally:
            for process in frozen:
                os.kill(process, signal.SIGCONT)
        shards = lax._transport.epoch.shards
    wanted = sum(shards[shard].totals.passages for shard in alive) / sum(
        one.totals.passages for one in shards
    )
    return {
        "raised": raised,
        "raised_after_s": taken,
        "deadline_s": deadline,
        "coverage": coverage,
        "exact_coverage": wanted,
        "answered_after_s": partial,
    }


def process_of(actor: Any) -> int:
    """The process of a host."""
    import ray

    return int(ray.get(actor.__ray_call__.remote(lambda _: os.getpid()), timeout=20))


def refresh(
    served: Served, documents: Sequence[Document], *, clients: int = 8, pause: float = 1.0
) -> dict[str, Any]:
    """Epochs are published one after the other while clients ask."""
    index = ClusterIndex.open(served.url, encoder=served.options["encoder"])
    with served.searcher() as searcher:
        load = Load(served, searcher, clients)
        switches = []
        for epoch in sorted(served.wanted)[1:]:
            time.sleep(pause)
            change(index, documents, epoch)
            began = time.monotonic()
            assert searcher.refresh() and searcher.generation == epoch
            switches.append(time.monotonic() - began)
        time.sleep(pause)
        return {**load.end(), "epochs": len(switches), "slowest_switch_s": max(switches)}


def overload(
    served: Served, seconds: float, *, times: float = 3.0, deadline: float = 2.0, clients: int = 8
) -> dict[str, Any]:
    """More is asked for than is answered: `times` what clients reach that wait for their answers."""
    with served.searcher(deadline=deadline) as searcher:
        load = Load(served, searcher, clients)
        time.sleep(seconds / 2)
        began = time.monotonic()
        time.sleep(seconds)
        load.end()
        capacity = len([moment for moment, taken in load.times if moment + taken >= began]) / seconds
        arrivals = Arrivals(served, searcher, capacity * times)
        time.sleep(seconds / 2)
        return {"capacity": capacity, "lost_before": len(load.lost), **arrivals.measured(seconds)}


class Arrivals:
    """Queries that arrive at a rate, whether earlier ones are answered or not."""

    def __init__(self, served: Served, searcher: ClusterSearcher, rate: float) -> None:
        self.ended: list[tuple[float, str, float]] = []
        """When each query ended, how, and after how many seconds."""
        self._served, self._searcher, self._rate = served, searcher, rate
        self._over = threading.Event()
        self._clock = threading.Thread(target=self._arrive)
        self._clock.start()

    def _arrive(self) -> None:
        chance, due = random.Random(0), time.monotonic()
        threads: list[threading.Thread] = []
        while not self._over.is_set():
            due += chance.expovariate(self._rate)
            time.sleep(max(due - time.monotonic(), 0.0))
            threads.append(threading.Thread(target=self._ask, args=(chance.choice(self._served.queries),)))
            threads[-1].start()
            if len(threads) > 1000:
                threads = [thread for thread in threads if thread.is_alive()]
        for thread in threads:
            thread.join()

    def _ask(self, query: str) -> None:
        began = time.monotonic()
        try:
            found = answer_of(self._searcher, query)
            how = "answered" if found == self._served.wanted[self._searcher.generation][query] else "wrong"
        except OverloadedError:
            how = "refused"
        except LeanseekError as error:
            how = type(error).__name__
        now = time.monotonic()
        self.ended.append((now, how, now - began))

    def measured(self, seconds: float) -> dict[str, Any]:
        """What happens in the seconds from now on; then it ends."""
        began = time.monotonic()
        time.sleep(seconds)
        until = time.monotonic()
        self._over.set()
        self._clock.join()
        ended = [(how, taken) for moment, how, taken in self.ended if began <= moment < until]
        by_kind: dict[str, list[float]] = {}
        for how, taken in sorted(ended, key=lambda one: one[1]):
            by_kind.setdefault(how, []).append(taken)
        return {
            "asked": len(ended) / (until - began),
            "goodput": len(by_kind.get("answered", ())) / (until - began),
            "ended": {how: len(some) for how, some in by_kind.items()},
            "answered": times_of(by_kind.get("answered", ())),
            "refused": times_of(by_kind.get("refused", ())),
        }


def measured(options: argparse.Namespace, place: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """All that is asked for, each as it ends: Ray may end the process that leaves a cluster without control service."""
    documents = list(read(options.folder))
    queries = [query.text for query in read_queries(options.folder)][:MOST_QUERIES]
    encoder = None
    if options.encoder != "none":
        from leanseek import load_encoder

        encoder = load_encoder(options.encoder)
    with serving(
        place,
        documents,
        queries,
        encoder=encoder,
        shards=options.shards,
        nodes=options.nodes,
        replicas=options.replicas,
        epochs=6 if "refresh" in options.what else 0,
        deadline=options.deadline,
    ) as served:
        experiments: dict[str, Callable[[], dict[str, Any]]] = {
            "exact": lambda: exact(served, options.seconds, options.clients),
            "overload": lambda: overload(served, options.seconds / 2, clients=options.clients),
            "gone": lambda: gone(served),
            "refresh": lambda: refresh(served, documents, clients=options.clients, pause=options.seconds / 8),
            "chaos": lambda: chaos(
                served,
                options.seconds,
                every=options.every,
                clients=options.clients,
                control=options.control,
                seed=options.seed,
            ),
        }
        for name, run in experiments.items():  # chaos last: hosts are not started again after it
            if name in options.what:
                served.settle()
                yield name, run()
        if not (options.control and "chaos" in options.what):
            stop_cluster(served.url, address=served.address)


def main() -> None:
    """Parse the command line and print what is found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", help="a BEIR folder")
    parser.add_argument(
        "--what", nargs="+", choices=("chaos", "exact", "refresh", "overload", "gone"), default=["chaos"]
    )
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--every", type=float, default=10, help="seconds between two faults")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0, help="which faults, and when")
    parser.add_argument("--deadline", type=float, default=10.0, help="seconds a call may take")
    parser.add_argument("--encoder", default="none", help="none searches words alone")
    parser.add_argument(
        "--no-control", dest="control", action="store_false", help="leave the control service"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        for what, figures in measured(options, Path(place)):
            if options.json:
                print(json.dumps({what: figures}), flush=True)
                continue
            print(what)
            for name, value in figures.items():
                print(
                    f"  {name:<16} {value:,.5g}" if isinstance(value, float) else f"  {name:<16} {value}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
