"""Nearest-neighbour search side by side: LeanVecIndex against FAISS, hnswlib, usearch and SVS.

    python benchmarks/ann.py VECTORS.npy QUERIES.npy [--systems lean,svs-f16] [--sizes 50000,100000] [--k 10]
                             [--threads 1,2] [--plot curves.png] [--json rows.jsonl]

VECTORS (n, D) and QUERIES (m, D) are float32 and of unit length. The queries are shuffled; two thirds are learned
from (by those systems that learn), and all are asked the rest. Each system is built and searched in a process of
its own that holds nothing else; building takes one thread. Needs Linux, whose counters give
the peak memory of building. Then the systems take turns, several short rounds each,
and of each search the best round counts: what else the machine does slows all of them alike. Speed at a recall@k
is read off the line between measured points. Prints a Markdown table; `--plot` draws recall against queries per
second: of processor time with one thread, of time passed with several.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

ROUNDS = 3
RECALLS = (0.90, 0.95, 0.99)
ENOUGH = 0.993
"""Recall beyond which no further points are measured."""

Vectors = NDArray[np.float32]
Ordinals = NDArray[np.int64]


class Point(NamedTuple):
    setting: str
    recall: float
    per_second: float


@dataclass(frozen=True)
class Row:
    system: str
    size: int
    dimensions: int
    threads: int
    build_seconds: float
    """Processor time of one thread, which other processes hardly change."""
    bytes_a_vector: float
    peak: float
    """MB that building takes at most beyond the vectors and queries given."""
    points: list[Point]

    def at(self, recall: float) -> float | None:
        """Queries per second at that recall, on a logarithmic line between the points around it."""
        ordered = best_points(self.points)
        if not ordered or ordered[-1].recall < recall:
            return None
        if ordered[0].recall >= recall:
            return ordered[0].per_second
        speeds = np.log([point.per_second for point in ordered])
        return float(np.exp(np.interp(recall, [point.recall for point in ordered], speeds)))


def best_points(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats in both recall and speed, by recall."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: -point.recall):
        if not kept or point.per_second > kept[-1].per_second:
            kept.append(point)
    return kept[::-1]


class System(Protocol):
    def build(self, vectors: Vectors, learning: Vectors, threads: int) -> float:
        """Build, and return the bytes a vector takes."""
        ...

    def settings(self, k: int) -> Iterator[Any]:
        """From fast to thorough."""
        ...

    def search(self, queries: Vectors, k: int, setting: Any, threads: int) -> Ordinals: ...


class Lean:
    def __init__(self, secondary: str) -> None:
        self.secondary = secondary

    def build(self, vectors: Vectors, learning: Vectors, threads: int) -> float:
        from leanseek.indexing import LeanVecIndex

        self.index = LeanVecIndex.build(vectors, learning, secondary=self.secondary)  # type: ignore[arg-type]
        return self.index.bytes / len(vectors)

    def settings(self, k: int) -> Iterator[Any]:
        lists = round(4 * self.index.size**0.5)
        for share in (0.03, 0.045, 0.065, 0.09, 0.12, 0.16, 0.22, 0.3, 0.45, 0.7, 1.0):
            for factor in (4, 6, 9, 13, 20, 40, 80) if k < 100 else (1.5, 2, 3, 4.5, 7, 10):
                yield max(1, round(share * lists)), round(factor * k)

    def search(self, queries: Vectors, k: int, setting: Any, threads: int) -> Ordinals:
        from leanseek.indexing.dense.lean import Effort

        return self.index.search(queries, k, effort=Effort(*setting), threads=threads)[1]


class Faiss:
    def __init__(self, factory: str, parameter: str, depths: Sequence[float] = (1.0,)) -> None:
        self.factory, self.parameter, self.depths = factory, parameter, depths

    def build(self, vectors: Vectors, learning: Vectors, threads: int) -> float:
        import faiss

        faiss.omp_set_num_threads(threads)
        factory = self.factory.format(
            lists=2 ** round(np.log2(1.5 * len(vectors) ** 0.5)), half=vectors.shape[1] // 4
        )
        self.index = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
        self.index.train(vectors)
        self.index.add(vectors)
        return len(faiss.serialize_index(self.index)) / len(vectors)

    def settings(self, k: int) -> Iterator[Any]:
        for effort in (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024):
            for depth in self.depths if k < 100 or len(self.depths) == 1 else (1.5, 2.0, 5.0, 10.0):
                yield effort, depth

    def search(self, queries: Vectors, k: int, setting: Any, threads: int) -> Ordinals:
        import faiss

        faiss.omp_set_num_threads(threads)
        if self.parameter == "efSearch":
            parameters = faiss.SearchParametersHNSW(efSearch=max(setting[0], k))
        else:
            faiss.downcast_index(self.index.base_index).nprobe = setting[0]
            self.index.k_factor = setting[1]
            parameters = None
        return self.index.search(queries, k, params=parameters)[1]


class Hnswlib:
    def build(self, vectors: Vectors, learning: Vectors, threads: int) -> float:
        import hnswlib

        self.index = hnswlib.Index("ip", vectors.shape[1])
        self.index.init_index(len(vectors), M=16, ef_construction=200, random_seed=1)
        self.index.set_num_threads(threads)
        self.index.add_items(vectors, num_threads=threads)
        return self.index.index_file_size() / len(vectors)

    def settings(self, k: int) -> Iterator[Any]:
        yield from (10, 20, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)

    def search(self, queries: Vectors, k: int, setting: Any, threads: int) -> Ordinals:
        self.index.set_ef(max(setting, k))
        return self.index.knn_query(queries, k, num_threads=threads)[0].astype(np.int64)


class Usearch:
    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def build(self, vectors: Vectors, learning: Vectors, threads: int) -> float:
        from usearch.index import Index

        self.index = Index(
            ndim=vectors.shape[1], metric="cos", dtype=self.dtype, connectivity=16, expansion_add=128
        )
        self.index.add(np.arange(len(vectors)), vectors, threads=threads)
        return self.index.serialized_length / len(vectors)

    def settings(self, k: int) -> Iterator[Any]:
        yield from (10, 20, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)

    def search(self, queries: Vectors, k: int, setting: Any, threads: int) -> Ordinals:
        self.index.expansion_search = max(setting, k)
        return self.index.search(queries, k, threads=threads).keys.astype(np.int64)


class Svs:
    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def build(self, vectors: Vectors, learning: Vectors, threads: int) -> float:
        import svs

        parameters = svs.VamanaBuildParameters(
            alpha=0.95, graph_max_degree=64, window_size=128, prune_to=60, max_candidate_pool_size=256
        )
        data = np.ascontiguousarray(vectors, dtype=self.dtype)
        self.index = svs.Vamana.build(parameters, data, svs.DistanceType.MIP, num_threads=threads)
        return data.nbytes / len(data) + 4 * (64 + 1)

    def settings(self, k: int) -> Iterator[Any]:
        yield from (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)

    def search(self, queries: Vectors, k: int, setting: Any, threads: int) -> Ordinals:
        self.index.num_threads = threads
        self.index.search_window_size = max(setting, k)
        return self.index.search(queries, k)[0].astype(np.int64)


SYSTEMS: dict[str, Callable[[], System]] = {
    "lean": lambda: Lean("sq8"),
    "lean-f16": lambda: Lean("float16"),
    "svs-f16": lambda: Svs("float16"),
    "svs-f32": lambda: Svs("float32"),
    "hnswlib": Hnswlib,
    "usearch-f16": lambda: Usearch("f16"),
    "usearch-i8": lambda: Usearch("i8"),
    "faiss-hnsw": lambda: Faiss("HNSW32,Flat", "efSearch"),
    "faiss-pqfs": lambda: Faiss("IVF{lists},PQ{half}x4fsr,RFlat", "nprobe", (5.0, 10.0, 20.0)),
}


def recall(found: Ordinals, wanted: Ordinals) -> float:
    shared = [len(set(a) & set(b)) for a, b in zip(found.tolist(), wanted.tolist(), strict=True)]
    return float(np.mean(shared)) / wanted.shape[1]


def memory(field: str) -> float:
    """MB that this process holds (VmRSS) or held at most (VmHWM), as Linux tells."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def serve(name: str, data: Path, queries: Path, size: int, k: int, link: Connection) -> None:
    """One system's process: builds, then measures a round whenever it is asked to."""
    vectors, learning, test = load(data, queries, size)
    wanted = exact(vectors, test, k)
    # From here on the peak counts anew.
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    system = SYSTEMS[name]()
    started = time.process_time()
    footprint = system.build(vectors, learning, 1)
    link.send((time.process_time() - started, footprint, memory("VmHWM") - before))
    while (threads := link.recv()) is not None:
        points = []
        for setting in system.settings(k):
            # One thread's processor time tells its speed even on a machine that does other things, too.
            clock = time.process_time if threads == 1 else time.perf_counter
            started = clock()
            found = system.search(test, k, setting, threads)
            seconds = clock() - started
            points.append(Point(str(setting), recall(found, wanted), len(test) / seconds))
            if points[-1].recall > ENOUGH:
                break
        link.send(points)


def load(data: Path, queries: Path, size: int) -> tuple[Vectors, Vectors, Vectors]:
    """The first `size` vectors, learning queries and test queries."""
    asked = np.load(queries)
    asked = asked[np.random.default_rng(0).permutation(len(asked))]
    cut = len(asked) * 2 // 3
    vectors = np.ascontiguousarray(np.load(data, mmap_mode="r")[:size], dtype=np.float32)
    return vectors, asked[:cut], np.ascontiguousarray(asked[cut : cut + 1500])


def exact(vectors: Vectors, queries: Vectors, k: int) -> Ordinals:
    import faiss

    return faiss.knn(queries, vectors, k, metric=faiss.METRIC_INNER_PRODUCT)[1]


def measure(
    names: Sequence[str], data: Path, queries: Path, size: int, k: int, threads: Sequence[int]
) -> list[Row]:
    """Builds one system after the other, then lets them take turns."""
    # Processes that are started from here take it over; searches set their number of threads themselves.
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    context = multiprocessing.get_context("spawn")
    links, workers, built = {}, [], {}
    for name in names:
        here, there = context.Pipe()
        workers.append(context.Process(target=serve, args=(name, data, queries, size, k, there)))
        workers[-1].start()
        there.close()
        try:
            built[name] = here.recv()
        except EOFError:
            print(f"{name} failed on {size} vectors", file=sys.stderr)
            continue
        links[name] = here
        print(f"{name}: built {size} in {built[name][0]:.1f} s", file=sys.stderr)
    best: dict[tuple[str, int], dict[str, Point]] = {}
    for _ in range(ROUNDS):
        for count in threads:
            for name, link in list(links.items()):
                try:
                    link.send(count)
                    points = link.recv()
                except (EOFError, BrokenPipeError):
                    print(f"{name} failed while searching", file=sys.stderr)
                    del links[name]
                    continue
                known = best.setdefault((name, count), {})
                for point in points:
                    old = known.get(point.setting, point)
                    known[point.setting] = max(old, point, key=lambda each: each.per_second)
    for link in links.values():
        link.send(None)
    for worker in workers:
        worker.join()
    width = np.load(data, mmap_mode="r").shape[1]
    return [
        Row(name, size, width, count, *built[name], list(best[name, count].values()))
        for count in threads
        for name in links
    ]


def table(rows: Sequence[Row]) -> str:
    speeds_head = " | ".join(f"q/s at {recall:.2f}" for recall in RECALLS)
    lines = [
        f"| system | vectors | threads | {speeds_head} | build s | bytes a vector | peak MB |",
        "| --- |" + " ---: |" * 8,
    ]
    for row in rows:
        speeds = [row.at(recall) for recall in RECALLS]
        shown = " | ".join("–" if speed is None else f"{speed:,.0f}" for speed in speeds)
        lines.append(
            f"| {row.system} | {row.size:,} x {row.dimensions} | {row.threads} | {shown} | {row.build_seconds:.1f} "
            f"| {row.bytes_a_vector:.0f} | {row.peak:.0f} |"
        )
    return "\n".join(lines)


def draw(rows: Sequence[Row], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    groups = sorted({(row.size, row.threads) for row in rows})
    figure, panels = pyplot.subplots(1, len(groups), figsize=(6 * len(groups), 5), squeeze=False)
    for panel, group in zip(panels[0], groups, strict=True):
        for row in rows:
            if (row.size, row.threads) == group:
                points = [point for point in best_points(row.points) if point.recall > 0.7]
                panel.plot([p.recall for p in points], [p.per_second for p in points], "o-", label=row.system)
        panel.set(
            title=f"{group[0]:,} vectors, {group[1]} thread{'s' * (group[1] > 1)}",
            xlabel="recall",
            ylabel="queries per second",
            yscale="log",
        )
        panel.grid(alpha=0.3)
        panel.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("vectors", type=Path)
    parser.add_argument("queries", type=Path)
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--sizes", help="comma-separated; all vectors by default")
    parser.add_argument("--k", type=int, default=10, help="how many of the nearest are wanted (default: 10)")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    names = given.systems.split(",")
    if unknown := set(names) - set(SYSTEMS):
        parser.error(f"unknown systems: {', '.join(unknown)}; choose from {', '.join(SYSTEMS)}")
    total = len(np.load(given.vectors, mmap_mode="r"))
    sizes = [int(size) for size in given.sizes.split(",")] if given.sizes else [total]
    threads = [int(count) for count in given.threads.split(",")]
    rows = []
    for size in sizes:
        rows += measure(names, given.vectors, given.queries, min(size, total), given.k, threads)
        if given.json:
            given.json.write_text("\n".join(json.dumps(asdict(row)) for row in rows) + "\n")
    print(table(rows))
    if given.plot:
        draw(rows, given.plot)


if __name__ == "__main__":
    main()
