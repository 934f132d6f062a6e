"""What indexing costs as a collection grows: `big`, repeated under new ids, streamed into a sparse index.

    python benchmarks/scale.py [--data FOLDER] [--passages 250000,500000,1000000,2000000] [--join 1]

`--join 2` makes each passage of two texts, which is somewhat longer than a passage of MS MARCO (429 characters on
average against some 330).

Each size is indexed by a process of its own from a generator, so that no texts are held; another process opens the
index and searches it, and a third merges its segments. Prints a Markdown table. Memory is told twice: what the
process has of its own (the largest RssAnon of /proc/self/status, looked at 50 times a second), and all that was
resident (VmHWM), which counts the pages of memory-mapped files too that the system takes back when it needs them.
Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path

from leanseek import Document, Index, Searcher, read
from leanseek.types import content

K = 10
QUERIES = 1000
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Task:
    """What one process did: seconds, seconds of the processor, MB at the peak (its own, and all), MB on the disk,
    milliseconds of a query."""

    seconds: float
    processor: float
    own: float
    resident: float
    disk: float
    median: float = 0.0
    p99: float = 0.0
    segments: int = 0


class Watch:
    """The largest RssAnon while it is open, in MB."""

    def __enter__(self) -> Watch:
        self.peak = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.02):
            self.peak = max(self.peak, memory("RssAnon"))


def memory(name: str) -> float:
    """MB, from the kernel's account of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return float(line.split()[1]) / 1024
    raise SystemExit("the kernel's account of memory is needed: this benchmark runs on Linux only")


def repeated(corpus: Path, passages: int, join: int) -> Iterator[Document]:
    """So many documents: the collection again and again, the ids of each round with its number behind them."""

    def rounds() -> Iterator[Document]:
        for number in count():
            source = read(corpus)
            while texts := list(islice(source, join)):
                text = " ".join(content(document.title, document.text) for document in texts[1:])
                first = texts[0]
                yield Document(f"{first.id}-{number}", f"{first.text} {text}".strip(), first.title)

    return islice(rounds(), passages)


def on_disk(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def measured(work: Callable[[], None], folder: Path) -> Task:
    with Watch() as watch:
        start, worked = time.perf_counter(), time.process_time()
        work()
        seconds, processor = time.perf_counter() - start, time.process_time() - worked
    return Task(
        seconds, processor, watch.peak, memory("VmHWM"), on_disk(folder), segments=len(segments(folder))
    )


def segments(folder: Path) -> list[Path]:
    return [path for path in (folder / "segments").iterdir() if path.is_dir()]


def build(corpus: Path, passages: int, join: int, folder: Path) -> Task:
    def work() -> None:
        Index.create(folder, encoder=None).add(repeated(corpus, passages, join))

    return measured(work, folder)


def compact(corpus: Path, passages: int, join: int, folder: Path) -> Task:
    def work() -> None:
        Index.open(folder).compact()

    return measured(work, folder)


def search(corpus: Path, passages: int, join: int, folder: Path) -> Task:
    """`seconds` is what opening and the first query take; then each of `QUERIES` texts of titles, once."""
    choose = random.Random(7)
    titles = [document.title for document in read(corpus) if document.title]
    queries = choose.sample(titles, QUERIES)
    taken = []
    with Watch() as watch:
        start, worked = time.perf_counter(), time.process_time()
        searcher = Searcher.open(folder)
        searcher.search(queries[0], K)
        opened, processor = time.perf_counter() - start, time.process_time() - worked
        for query in queries:
            start = time.perf_counter()
            searcher.search(query, K)
            taken.append(1000 * (time.perf_counter() - start))
    taken.sort()
    return Task(
        opened,
        processor,
        watch.peak,
        memory("VmHWM"),
        on_disk(folder),
        taken[len(taken) // 2],
        taken[len(taken) * 99 // 100],
        len(segments(folder)),
    )


TASKS = {"build": build, "search": search, "compact": compact}


def in_process(task: str, data: Path, passages: int, join: int, folder: Path) -> Task:
    """What a task returns in a process of its own."""
    command = [sys.executable, __file__, "--task", task, "--data", str(data), "--passages", str(passages)]
    command += ["--join", str(join)]
    done = subprocess.run(
        [*command, "--folder", str(folder)],
        env={**os.environ, **dict.fromkeys(THREADS, "1")},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return Task(**json.loads(done.stdout.splitlines()[-1]))


def table(sizes: list[int], join: int, data: Path, folder: Path) -> Iterator[str]:
    heads = (
        "passages | index s | of the processor | passages/s | own MB | resident MB | disk MB | segments | open ms | "
        "query median ms | p99 ms | search own MB | compact s | compact own MB | after it: query median ms | p99 ms"
    )
    yield f"| {heads} |"
    yield "|" + "---:|" * (heads.count("|") + 1)
    for size in sizes:
        index = folder / f"scale-{size}.index"
        shutil.rmtree(index, ignore_errors=True)
        built = in_process("build", data, size, join, index)
        served = in_process("search", data, size, join, index)
        merged = in_process("compact", data, size, join, index)
        again = in_process("search", data, size, join, index)
        shutil.rmtree(index)
        cells = [
            *(
                f"{size:,}",
                f"{built.seconds:.0f}",
                f"{built.processor:.0f}",
                f"{size / built.seconds:,.0f}",
                f"{built.own:,.0f}",
            ),
            *(f"{built.resident:,.0f}", f"{built.disk:,.0f}", f"{built.segments}"),
            *(
                f"{served.seconds * 1000:.0f}",
                f"{served.median:.2f}",
                f"{served.p99:.2f}",
                f"{served.own:,.0f}",
            ),
            *(f"{merged.seconds:.1f}", f"{merged.own:,.0f}", f"{again.median:.2f}", f"{again.p99:.2f}"),
        ]
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    default = Path(__file__).resolve().parents[2] / "shared" / "data" / "beir"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("LEANSEEK_DATA", default)))
    parser.add_argument(
        "--passages", default="250000,500000,1000000,2000000", help="sizes, with commas between"
    )
    parser.add_argument("--join", type=int, default=1, help="texts of `big` that make up a passage")
    parser.add_argument("--folder", type=Path, help="where the indexes stand while they are measured")
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    sizes = [int(size) for size in given.passages.split(",")]
    if given.task:
        done = TASKS[given.task](given.data / "big", sizes[0], given.join, given.folder)
        print(json.dumps(asdict(done)))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for line in table(sizes, given.join, given.data, Path(folder)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
