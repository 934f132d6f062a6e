"""Sparse search side by side: leanseek's BM25 against bm25s on the collection `big`.

    python benchmarks/sparse.py [--data FOLDER] [--engines leanseek,bm25s-numba,bm25s-numpy]

Each engine builds its index, and then serves 1,000 mixed queries (top 100, one thread, fixed seed), in processes
of its own that hold nothing else; the rounds take turns, and of each engine the best round counts. Both analyse
English with the Snowball stemmer and the same 33 stop words. Compiling with numba happens before the clock starts.
Prints a Markdown table; the numbers in brackets are relative to bm25s with its numba back end.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

QUERIES = 1000
K = 100
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Build:
    seconds: float
    memory: float
    """MB at the peak, beyond the texts."""
    disk: float
    """MB."""


@dataclass(frozen=True)
class Serve:
    per_second: float
    median: float
    """Milliseconds, as the 99th percentile."""
    p99: float
    resident: float
    """MB of the process after the queries."""


class Engine(Protocol):
    def warm_up(self) -> None: ...
    def build(self, texts: list[str], folder: Path) -> None: ...
    def open(self, folder: Path) -> Callable[[str], Any]: ...


class Leanseek:
    def warm_up(self) -> None:
        pass

    def build(self, texts: list[str], folder: Path) -> None:
        from leanseek.indexing.sparse import SparseBuilder
        from leanseek.text import load_analyzer

        builder = SparseBuilder(load_analyzer("english"))
        for text in texts:
            builder.add(text)
        builder.write(folder, np.arange(len(texts)))

    def open(self, folder: Path) -> Callable[[str], Any]:
        from leanseek.indexing.sparse import Bm25Index, Bm25Parameters, PostingsReader
        from leanseek.text import load_analyzer

        analyzer = load_analyzer("english")
        index = Bm25Index([PostingsReader(folder)], [None], analyzer, Bm25Parameters(), lambda _: [])
        return lambda query: index.search(query, K)


class Bm25s:
    def __init__(self, backend: str) -> None:
        import bm25s
        import Stemmer
        from bm25s.tokenization import Tokenizer

        logging.getLogger("bm25s").setLevel(logging.WARNING)
        self._backend = backend
        self._bm25s = bm25s
        self._tokenizer = lambda: Tokenizer(stemmer=Stemmer.Stemmer("english"))

    def _index(self, texts: list[str]) -> tuple[Any, Any]:
        tokenizer = self._tokenizer()
        tokens = tokenizer.tokenize(texts, show_progress=False, return_as="tuple")
        model = self._bm25s.BM25(method="lucene", k1=0.9, b=0.4, backend=self._backend)
        model.index(tokens, show_progress=False)
        return model, tokenizer

    def _searcher(self, model: Any, tokenizer: Any, k: int) -> Callable[[str], Any]:
        def search(query: str) -> Any:
            tokens = tokenizer.tokenize([query], update_vocab=False, show_progress=False)
            return model.retrieve(tokens, k=k, show_progress=False)

        return search

    def warm_up(self) -> None:
        self._searcher(*self._index(["to compile", "before timing"]), 1)("compile")

    def build(self, texts: list[str], folder: Path) -> None:
        model, tokenizer = self._index(texts)
        model.save(str(folder), show_progress=False)
        tokenizer.save_vocab(str(folder))

    def open(self, folder: Path) -> Callable[[str], Any]:
        model = self._bm25s.BM25.load(str(folder))
        model.backend = self._backend
        tokenizer = self._tokenizer()
        tokenizer.load_vocab(str(folder))
        return self._searcher(model, tokenizer, K)


ENGINES: dict[str, Callable[[], Engine]] = {
    "leanseek": Leanseek,
    "bm25s-numba": lambda: Bm25s("numba"),
    "bm25s-numpy": lambda: Bm25s("numpy"),
}
REFERENCE = "bm25s-numba"


def read_texts(data: Path) -> list[str]:
    with gzip.open(data / "big" / "corpus.jsonl.gz") as file:
        records = (json.loads(line) for line in file)
        return [f"{record['title']} {record['text']}".strip() for record in records]


def mixed_queries(data: Path, texts: list[str]) -> list[str]:
    """500 real English questions of all collections, and of the corpus 200 titles, 200 fragments, 100 words."""
    choose = random.Random(7)
    asked: list[str] = []
    for path in sorted(data.glob("*/queries.jsonl")):
        # Yoruba is not in the corpus, and arguana's queries are whole essays.
        if path.parent.name not in ("miracl-yo", "arguana-train"):
            with path.open() as file:
                queries = [json.loads(line)["text"] for line in file]
            asked += choose.sample(queries, min(len(queries), 60))
    chosen = choose.sample(asked, 500)
    long = [text.split() for text in choose.sample(texts, 4000) if len(text.split()) > 12]
    chosen += [" ".join(words[: choose.randint(1, 3)]) for words in long[:200]]
    for words in long[200:400]:
        length = choose.randint(4, 12)
        start = choose.randrange(len(words) - length)
        chosen.append(" ".join(words[start : start + length]))
    chosen += [choose.choice(words) for words in long[400:500]]
    choose.shuffle(chosen)
    return chosen


def resident(name: str) -> float:
    """MB, from the kernel's account of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return float(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def build(engine: Engine, data: Path, folder: Path) -> Build:
    texts = read_texts(data)
    engine.warm_up()
    before = resident("VmRSS")
    start = time.perf_counter()
    engine.build(texts, folder)
    seconds = time.perf_counter() - start
    disk = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    return Build(seconds, resident("VmHWM") - before, disk)


def serve(engine: Engine, queries: list[str], folder: Path) -> Serve:
    engine.warm_up()
    search = engine.open(folder)
    for query in queries:
        search(query)
    taken = []
    for query in queries:
        start = time.perf_counter()
        search(query)
        taken.append(time.perf_counter() - start)
    milliseconds = np.array(taken) * 1000
    return Serve(
        len(queries) / sum(taken),
        float(np.median(milliseconds)),
        float(np.percentile(milliseconds, 99)),
        resident("VmRSS"),
    )


def in_process(task: str, engine: str, data: Path, folder: Path) -> dict[str, float]:
    """What `build` or `serve` returns in a process of its own."""
    command = [sys.executable, __file__, "--data", str(data), "--engines", engine, "--task", task]
    done = subprocess.run(
        [*command, "--folder", str(folder)],
        env={**os.environ, **dict.fromkeys(THREADS, "1")},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    values: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return values


def compare(engines: list[str], data: Path, folder: Path, rounds: int) -> str:
    (folder / "queries.json").write_text(json.dumps(mixed_queries(data, read_texts(data))))
    builds: dict[str, list[Build]] = {engine: [] for engine in engines}
    serves: dict[str, list[Serve]] = {engine: [] for engine in engines}
    for _ in range(rounds):
        for engine in engines:
            shutil.rmtree(folder / engine, ignore_errors=True)
            (folder / engine).mkdir()
            builds[engine].append(Build(**in_process("build", engine, data, folder)))
            serves[engine].append(Serve(**in_process("serve", engine, data, folder)))
    rows = {}
    for engine in engines:
        built = min(builds[engine], key=lambda one: one.seconds)
        served = max(serves[engine], key=lambda one: one.per_second)
        rows[engine] = [*asdict(served).values(), *asdict(built).values()]
    heads = ["queries/s", "median ms", "p99 ms", "serving MB", "build s", "build MB", "disk MB"]
    lines = ["| engine | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    for engine, row in rows.items():
        cells = []
        for at, value in enumerate(row):
            ratio = (
                f" ({value / rows[REFERENCE][at]:.2f})" if REFERENCE in rows and engine != REFERENCE else ""
            )
            cells.append(f"{value:.2f}{ratio}" if value < 10 else f"{value:,.0f}{ratio}")
        lines.append(f"| {engine} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    default = Path(__file__).resolve().parents[2] / "shared" / "data" / "beir"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("LEANSEEK_DATA", default)))
    parser.add_argument("--engines", default="leanseek,bm25s-numba", help=f"of {', '.join(ENGINES)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--task", choices=["build", "serve"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    engines = given.engines.split(",")
    unknown = set(engines) - set(ENGINES)
    if unknown:
        parser.error(f"unknown engines: {', '.join(sorted(unknown))}; known: {', '.join(ENGINES)}")
    if given.task:
        engine = ENGINES[engines[0]]()
        folder = given.folder / engines[0]
        if given.task == "build":
            print(json.dumps(asdict(build(engine, given.data, folder))))
        else:
            queries = json.loads((given.folder / "queries.json").read_text())
            print(json.dumps(asdict(serve(engine, queries, folder))))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(compare(engines, given.data, Path(folder), given.rounds))


if __name__ == "__main__":
    main()
