"""What a reduced index costs as vectors grow: built as a stream from vectors that are made as they are read.

    python benchmarks/growth.py VECTORS.npy QUERIES.npy [--sizes 100000,356400,1000000,3000000,10000000]
                                [--folder FOLDER] [--json rows.jsonl] [--plot growth.svg]

VECTORS (n, D) and QUERIES (m, D) are float32 and of unit length. Beyond the n real vectors come copies with noise of
half their length, which varies in the directions that the real ones vary in, drawn by the row's number: every size is
the beginning of the next, and none is stored. The queries are shuffled; 300 are asked, and up to 1,500 others are
learned from. Each size is built by a process of its own, one thread, for recall .95, and searched by another, which
maps the files. The true best are found by comparing each query with each vector. Prints a Markdown table; `--json`
appends each row as it is measured, and `--plot` draws all that are in that file. Seconds and milliseconds are of the
processor. Memory: the largest RssAnon (what the process has of its own, looked at 50 times a second), and VmHWM, which
counts the pages of mapped files too. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scale import Watch, memory

from leanseek.indexing import LeanVecIndex
from leanseek.indexing.dense.lean.recall import shares_found
from leanseek.indexing.leanvec.dims import nearest
from leanseek.types import Float32Array, Int64Array

K = 10
ASKED = 300
LEARNED = 1_500
RECALL = 0.95
NOISE = 0.5
NOISES = 65_536
"""Rows of noise that are shared out."""


class Grown:
    """(size, D) vectors: the given ones, then copies with noise."""

    def __init__(self, vectors: Float32Array, noise: Float32Array, size: int, first: int = 0) -> None:
        self._vectors, self._noise, self._first = vectors, noise, first
        self.shape: tuple[int, ...] = (size - first, vectors.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Int64Array, /) -> Float32Array:
        numbers = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else rows
        numbers = numbers + self._first
        found: Float32Array = self._vectors[numbers % len(self._vectors)]
        copies = np.flatnonzero(numbers >= len(self._vectors))
        if len(copies):
            drawn = (numbers[copies].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(48)
            changed = found[copies] + self._noise[drawn.astype(np.int64)]
            found[copies] = changed / np.linalg.norm(changed, axis=1, keepdims=True)
        return found


def noise(vectors: Float32Array) -> Float32Array:
    """(65,536, D) of mean length `NOISE`, its covariance in proportion to that of the vectors (n, D)."""
    chance = np.random.default_rng(0)
    some = vectors[np.sort(chance.choice(len(vectors), min(len(vectors), 20_000), replace=False))]
    values, directions = np.linalg.eigh(np.cov(some.T.astype(np.float64)))
    root = (directions * np.sqrt(np.maximum(values, 0.0))) @ directions.T
    drawn: Float32Array = chance.standard_normal((NOISES, len(root)), dtype=np.float32) @ root.astype(
        np.float32
    )
    return drawn * np.float32(NOISE / np.linalg.norm(drawn, axis=1).mean())


@dataclass(frozen=True)
class Row:
    size: int
    build_seconds: float
    build_own: float
    build_resident: float
    disk: float
    """MB"""
    bytes_a_vector: float
    dims: int
    open_ms: float
    """Opening, and the first query."""
    median_ms: float
    p99_ms: float
    recall: float
    scanned: float
    """The share of the lists."""
    search_own: float
    search_resident: float


def queries(path: Path) -> tuple[Float32Array, Float32Array]:
    """Those to learn from, and those to ask."""
    both = np.load(path)
    both = both[np.random.default_rng(0).permutation(len(both))].astype(np.float32)
    return both[ASKED : ASKED + LEARNED], both[:ASKED]


def build(given: argparse.Namespace, size: int, folder: Path) -> dict[str, Any]:
    vectors = np.load(given.vectors, mmap_mode="r")
    with Watch() as watch:
        source = Grown(vectors, noise(vectors), size)
        started = time.process_time()
        LeanVecIndex.build(source, queries(given.queries)[0], recall=RECALL, into=folder)
        seconds = time.process_time() - started
    return {"build_seconds": seconds, "build_own": watch.peak, "build_resident": memory("VmHWM")}


def search(given: argparse.Namespace, size: int, folder: Path) -> dict[str, Any]:
    asked = queries(given.queries)[1]
    taken: list[float] = []
    found: list[Int64Array] = []
    with Watch() as watch:
        started = time.process_time()
        index = LeanVecIndex.open(folder)
        index.search(asked[:1], K, threads=1)
        opened = 1000 * (time.process_time() - started)
        for _ in range(2):  # the second time with the files' pages in memory
            taken, found = [], []
            for query in asked:
                started = time.process_time()
                found.append(index.search(query[None], K, threads=1)[1])
                taken.append(1000 * (time.process_time() - started))
        own, resident = max(watch.peak, memory("RssAnon")), memory("VmHWM")
    np.save(folder / "found.npy", np.concatenate(found))
    effort = index.calibration.effort(K)
    return {
        "disk": sum(path.stat().st_size for path in folder.iterdir() if path.name != "found.npy") / 1e6,
        "bytes_a_vector": index.bytes / size,
        "dims": index.dims,
        "open_ms": opened,
        "median_ms": float(np.median(taken)),
        "p99_ms": float(np.quantile(taken, 0.99)),
        "scanned": effort.breadth / index._engine.widest,
        "search_own": own,
        "search_resident": resident,
    }


TASKS = {"build": build, "search": search}


def in_process(task: str, given: argparse.Namespace, size: int, folder: Path) -> dict[str, Any]:
    """What a task returns in a process of its own."""
    command = [sys.executable, __file__, str(given.vectors), str(given.queries), "--task", task]
    done = subprocess.run(
        [*command, "--sizes", str(size), "--folder", str(folder)],
        env={**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured(given: argparse.Namespace, sizes: Sequence[int], folder: Path) -> Iterator[Row]:
    vectors = np.load(given.vectors, mmap_mode="r")
    asked, added = queries(given.queries)[1], noise(vectors)
    best = np.full((len(asked), 0), -np.inf, dtype=np.float32)
    before = 0
    for size in sorted(sizes):
        # The best of this size are among those of the one before and of what has been added.
        more, _ = nearest(asked, Grown(vectors, added, size, before), K)
        best = -np.sort(-np.concatenate([best, more], axis=1), axis=1)[:, :K]
        before = size
        index = folder / f"growth-{size}.lean"
        built = in_process("build", given, size, index)
        served = in_process("search", given, size, index)
        shares = shares_found(Grown(vectors, added, size), asked, best[:, -1], np.load(index / "found.npy"))
        shutil.rmtree(index)
        yield Row(size=size, recall=float(shares.mean()), **built, **served)


def table(rows: Sequence[Row]) -> Iterator[str]:
    heads = (
        "vectors | build s | µs a vector | own MB | resident MB | disk MB | bytes a vector | dims | lists scanned | "
        "recall | query median ms | p99 ms | open and first query ms | searching, own MB | resident MB"
    )
    yield f"| {heads} |"
    yield "|" + " ---: |" * (heads.count("|") + 1)
    for row in rows:
        cells = [
            *(f"{row.size:,}", f"{row.build_seconds:.0f}", f"{1e6 * row.build_seconds / row.size:.0f}"),
            *(f"{row.build_own:,.0f}", f"{row.build_resident:,.0f}", f"{row.disk:,.0f}"),
            *(f"{row.bytes_a_vector:.0f}", f"{row.dims}", f"{row.scanned:.1%}", f"{row.recall:.3f}"),
            *(f"{row.median_ms:.2f}", f"{row.p99_ms:.2f}", f"{row.open_ms:.0f}"),
            *(f"{row.search_own:,.0f}", f"{row.search_resident:,.0f}"),
        ]
        yield f"| {' | '.join(cells)} |"


def draw(rows: Sequence[Row], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    curves = {
        "build, seconds": [row.build_seconds for row in rows],
        "a query, ms": [row.median_ms for row in rows],
        "memory of building, GB": [row.build_own / 1000 for row in rows],
    }
    sizes = [row.size for row in rows]
    figure, panels = pyplot.subplots(1, len(curves), figsize=(4 * len(curves), 3.6))
    for panel, (title, values) in zip(panels, curves.items(), strict=True):
        panel.loglog(sizes, values, "o-")
        for power, style in ((1.0, ":"), (0.5, "--")):
            line = [values[0] * (size / sizes[0]) ** power for size in sizes]
            panel.loglog(sizes, line, style, color="grey", label=f"n^{power:g}")
        panel.set(title=title, xlabel="vectors")
        panel.grid(alpha=0.3)
    panels[0].legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("vectors", type=Path)
    parser.add_argument("queries", type=Path)
    parser.add_argument(
        "--sizes", default="100000,356400,1000000,3000000,10000000", help="with commas between"
    )
    parser.add_argument("--folder", type=Path, help="where the indexes stand while they are measured")
    parser.add_argument("--json", type=Path, help="append each row to this file")
    parser.add_argument("--plot", type=Path, help="draw all rows of the --json file")
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.plot and not given.json:
        parser.error("--plot draws what is in the --json file; give that, too")
    sizes = [int(size) for size in given.sizes.split(",") if size]
    if given.task:
        print(json.dumps(TASKS[given.task](given, sizes[0], given.folder)))
        return
    rows = []
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for row in measured(given, sizes, Path(folder)):
            rows.append(row)
            print(*table([row]), sep="\n", file=sys.stderr, flush=True)
            if given.json:
                with given.json.open("a") as file:
                    file.write(json.dumps(asdict(row)) + "\n")
    print(*table(rows), sep="\n")
    if given.plot:
        lines = given.json.read_text().splitlines()
        draw(sorted((Row(**json.loads(line)) for line in lines), key=lambda row: row.size), given.plot)


if __name__ == "__main__":
    main()
