"""One hybrid query: in a process that is running, in eight threads, and in a fresh process; beside txtai and Chroma.

    python benchmarks/query.py [--data FOLDER] [--collection medquad] [--passages 8700] [--queries 300]
                               [--systems leanseek,txtai,chroma] [--before CHECKOUT] [--json FILE]

The first `--passages` documents of a collection are indexed, and queries of it are asked (fixed seed, k = 10, one at a
time). All systems encode with leanseek's encoder in ONNX Runtime and get the same vectors, so that "above encoding" is
what the system itself takes. txtai searches hybrid as leanseek does, with BM25 and texts in SQLite; Chroma has no local
hybrid search and is asked for vectors alone. Each system is in a process of its own that holds nothing else, with one
thread for libraries, and they are asked in turns, a block of queries each. `--before` is the folder of another checkout
of leanseek, which is asked in turns with this one on the same index. Prints Markdown tables; `--json` writes what was
measured.

Times are of the processor, as in ann.py: with one thread they are those of the clock where nothing else runs, and what
else runs changes them little. Queries a second in eight threads are of the clock. A fresh process is one from the start
of Python to its first answer: the interpreter with this script, the imports, opening the index, and the first query,
which loads the encoder.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

K = 10
QUERIES = 300
BLOCK = 50
ROUNDS = 2
FRESH = 5
THREADS = 8
MODEL = "all-MiniLM-L6-v2"
LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")

STAGES = {
    "encoding": "searcher.search.encoded",
    "candidates": "searcher.search.searched",
    "exact scores and fusion": "searcher.search.rank",
    "probabilities": "searcher.search.judged",
    "texts": "searcher.answer.shown_hits",
    "explanations": "searcher.answer.with_snippets",
}
"""The functions of leanseek whose time is a stage's."""


class Encoding:
    """leanseek's encoder of queries, with a clock."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._encoder: Any = None

    def __call__(self, texts: Sequence[str]) -> Any:
        if self._encoder is None:
            from leanseek.encode import load_query_encoder

            self._encoder = load_query_encoder(MODEL)
        start = time.process_time()
        vectors = self._encoder.encode_queries(texts).vectors
        self.seconds += time.process_time() - start
        return vectors


class Leanseek:
    def __init__(self) -> None:
        self.clock: dict[str, float] = dict.fromkeys(STAGES, 0.0)

    def open(self, folder: Path) -> None:
        from leanseek import Searcher

        self._searcher = Searcher.open(folder / "leanseek")

    def search(self, query: str, explain: bool) -> object:
        return self._searcher.search(query, K, explain=explain)

    def measure_stages(self) -> None:
        """From now on `clock` counts what each stage takes."""
        for stage, name in STAGES.items():
            module, function = name.rsplit(".", 1)
            self._wrap(stage, importlib.import_module(f"leanseek.{module}"), function)

    def _wrap(self, stage: str, module: Any, name: str) -> None:
        function: Callable[..., Any] = getattr(module, name)

        def timed(*given: Any, **named: Any) -> Any:
            start = time.process_time()
            try:
                return function(*given, **named)
            finally:
                self.clock[stage] += time.process_time() - start

        setattr(module, name, timed)

    @property
    def encoding(self) -> float:
        return self.clock["encoding"]


class Peer:
    """A system whose queries are encoded here."""

    def __init__(self) -> None:
        self._encode = Encoding()

    @property
    def encoding(self) -> float:
        return self._encode.seconds


class Txtai(Peer):
    @staticmethod
    def build(folder: Path, documents: Sequence[Any], vectors: Any) -> None:
        from txtai import Embeddings

        texts = [f"{one.title} {one.text}".strip() for one in documents]
        known = dict(zip(texts, vectors, strict=True))
        index = Embeddings(
            method="external",
            transform=lambda asked: [known[text] for text in asked],
            hybrid=True,
            content=True,
        )
        index.index((one.id, text, None) for one, text in zip(documents, texts, strict=True))
        index.config.pop("transform")
        index.save(str(folder / "txtai"))

    def open(self, folder: Path) -> None:
        from txtai import Embeddings

        self._index = Embeddings()
        self._index.load(str(folder / "txtai"))
        self._index.model.transform = self._encode

    def search(self, query: str, explain: bool) -> object:
        return self._index.search(query, K)


class Chroma(Peer):
    @staticmethod
    def _client(folder: Path) -> Any:
        import chromadb

        settings = chromadb.Settings(anonymized_telemetry=False)
        return chromadb.PersistentClient(str(folder / "chroma"), settings)

    @classmethod
    def build(cls, folder: Path, documents: Sequence[Any], vectors: Any) -> None:
        collection = cls._client(folder).create_collection(
            "texts", embedding_function=None, metadata={"hnsw:space": "ip"}
        )
        for start in range(0, len(documents), 1000):
            some = documents[start : start + 1000]
            collection.add(
                ids=[one.id for one in some],
                documents=[one.text for one in some],
                embeddings=vectors[start : start + 1000],
            )

    def open(self, folder: Path) -> None:
        self._collection = self._client(folder).get_collection("texts", embedding_function=None)

    def search(self, query: str, explain: bool) -> object:
        return self._collection.query(query_embeddings=self._encode([query]), n_results=K)


THREADED = ("leanseek", "chroma")
"""Systems that several threads may ask: txtai shares a cursor of SQLite among them."""
SYSTEMS: dict[str, Any] = {"leanseek": Leanseek, "txtai": Txtai, "chroma": Chroma}
"""Classes that `build` (but leanseek), `open` and `search`, and whose `encoding` is the seconds spent encoding."""


def read_collection(data: Path, name: str, passages: int, asked: int) -> tuple[list[Any], list[str]]:
    """The first documents of a collection, and some of its queries; `all` are all that have queries."""
    import random
    from itertools import islice

    from leanseek import Document, read

    folders = [data / name]
    if name == "all":
        folders = sorted(path.parent for path in data.glob("*/queries.jsonl"))
    documents = [
        Document(f"{folder.name}-{one.id}", one.text, one.title)
        for folder in folders
        for one in islice(read(folder / "corpus.jsonl"), passages)
    ][:passages]
    lines = [line for folder in folders for line in (folder / "queries.jsonl").read_text().splitlines()]
    queries = [json.loads(line)["text"] for line in lines]
    return documents, random.Random(7).sample(queries, min(asked, len(queries)))


def build(
    data: Path, name: str, passages: int, asked: int, folder: Path, systems: Sequence[str]
) -> list[str]:
    """Index the documents with each system; returns the queries."""
    import numpy as np

    from leanseek import Index, Searcher

    documents, queries = read_collection(data, name, passages, asked)
    if not (folder / "leanseek").exists():
        Index.create(folder / "leanseek", encoder=MODEL).add(documents)
    with Searcher.open(folder / "leanseek") as searcher:
        source = searcher.source
        vectors = source.vectors(
            np.array([source.find([one.id])[one.id][0] for one in documents], dtype=np.int64)
        )
    for system in systems:
        if system != "leanseek" and not (folder / system).exists():
            SYSTEMS[system].build(folder, documents, vectors)
    return queries


def measured(
    system: Any, queries: Sequence[str], explain: bool, threads: int, stages: bool
) -> dict[str, Any]:
    """Milliseconds of each query, of its encoding and of each stage, or queries a second with several threads."""
    if threads:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(threads) as pool:
            start = time.perf_counter()
            list(pool.map(lambda query: system.search(query, explain), queries))
            return {"per_second": len(queries) / (time.perf_counter() - start)}
    total, encoding = [], []
    parts: dict[str, list[float]] = {stage: [] for stage in STAGES} if stages else {}
    for query in queries:
        before, clock = system.encoding, dict(system.clock) if stages else {}
        start = time.process_time()
        system.search(query, explain)
        total.append(1000 * (time.process_time() - start))
        encoding.append(1000 * (system.encoding - before))
        for stage, taken in parts.items():
            taken.append(1000 * (system.clock[stage] - clock[stage]))
    return {"total": total, "encoding": encoding, "stages": parts}


def serve(name: str, folder: Path, fresh: str | None) -> None:
    """The process of one system: answers tasks on standard input, one JSON a line; or one query, with its times."""
    times = [time.process_time()]
    system = SYSTEMS[name]()
    importlib.import_module({"leanseek": "leanseek.searcher", "chroma": "chromadb"}.get(name, name))
    times.append(time.process_time())
    system.open(folder)
    times.append(time.process_time())
    if fresh is not None:
        system.search(fresh, False)
        print(json.dumps([*times, time.process_time()]))
        return
    if isinstance(system, Leanseek):
        system.measure_stages()
    for line in sys.stdin:
        print(json.dumps(measured(system, **json.loads(line))), flush=True)


class Worker:
    """A process that `serve`s one system, from another checkout of leanseek where one is given."""

    def __init__(self, system: str, folder: Path, checkout: Path | None = None) -> None:
        self._process = subprocess.Popen(
            command(system, folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=where(checkout),
        )

    def __call__(
        self, queries: Sequence[str], explain: bool = False, threads: int = 0, stages: bool = False
    ) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        task = {"queries": list(queries), "explain": explain, "threads": threads, "stages": stages}
        print(json.dumps(task), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        self._process.communicate()


def command(system: str, folder: Path, *more: str) -> list[str]:
    return [sys.executable, __file__, "--serve", system, "--folder", str(folder), *more]


def where(checkout: Path | None) -> dict[str, str]:
    return (
        os.environ
        | dict.fromkeys(LIBRARIES, "1")
        | ({"PYTHONPATH": str(checkout)} if checkout is not None else {})
    )


def fresh_times(system: str, folder: Path, query: str, checkout: Path | None) -> list[float]:
    """Seconds of a fresh process to its first answer: interpreter, imports, opening, first query."""
    found = subprocess.run(
        command(system, folder, "--fresh", query),
        capture_output=True,
        text=True,
        env=where(checkout),
        check=True,
    )
    times = [0.0, *json.loads(found.stdout)]
    return [after - before for before, after in pairwise(times)]


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def median(values: Sequence[float]) -> float:
    return percentile(values, 0.5)


def blocks(queries: Sequence[str]) -> Iterator[Sequence[str]]:
    for _ in range(ROUNDS):
        for start in range(0, len(queries), BLOCK):
            yield queries[start : start + BLOCK]


def compare(
    rows: dict[str, tuple[str, Path | None, bool]], folder: Path, queries: list[str]
) -> dict[str, Any]:
    """What each row's system takes, asked in turns."""
    workers = {name: Worker(system, folder, checkout) for name, (system, checkout, _) in rows.items()}
    found: dict[str, Any] = {
        name: {"total": [], "encoding": [], "stages": {}, "threads": {}} for name in rows
    }
    for name, (_, _, explain) in rows.items():
        workers[name](queries, explain)  # memory maps and memos are warm
    for some in blocks(queries):
        for name, (_, _, explain) in rows.items():
            answer = workers[name](some, explain, stages=rows[name][0] == "leanseek")
            for key in ("total", "encoding"):
                found[name][key] += answer[key]
            for stage, taken in answer["stages"].items():
                found[name]["stages"].setdefault(stage, []).extend(taken)
    for _ in range(ROUNDS):
        for name, (system, _, explain) in rows.items():
            for threads in (1, THREADS) if system in THREADED else ():
                rate = workers[name](queries, explain, threads)["per_second"]
                found[name]["threads"].setdefault(threads, []).append(rate)
    for worker in workers.values():
        worker.close()
    for number in range(FRESH):
        for name, (system, checkout, explain) in rows.items():
            if not explain:
                taken = fresh_times(system, folder, queries[number], checkout)
                found[name].setdefault("fresh", []).append(taken)
    return found


def print_tables(found: dict[str, Any]) -> None:
    columns = (
        "p50 ms",
        "p99 ms",
        "encoding p50",
        "above encoding p50",
        "queries/s",
        "8 threads",
        "fresh process s",
    )
    print(f"| | {' | '.join(columns)} |\n| --- |{' ---: |' * len(columns)}")
    for name, row in found.items():
        above = [whole - part for whole, part in zip(row["total"], row["encoding"], strict=True)]
        rates = [median(row["threads"][count]) for count in (1, THREADS) if row["threads"]]
        threads = f"{rates[0]:,.0f} | {rates[1]:,.0f} ({rates[1] / rates[0]:.2f})" if rates else "– | –"
        fresh = f"{median([sum(times) for times in row['fresh']]):.2f}" if "fresh" in row else ""
        print(
            f"| {name} | {median(row['total']):.2f} | {percentile(row['total'], 0.99):.2f} | "
            f"{median(row['encoding']):.2f} | {median(above):.2f} | {threads} | "
            f"{fresh} |"
        )
    staged = {name: row for name, row in found.items() if row["stages"]}
    print(f"\n| stage, median ms | {' | '.join(staged)} |\n| --- |{' ---: |' * len(staged)}")
    for stage in STAGES:
        cells = (f"{median(row['stages'][stage]):.2f}" for row in staged.values())
        print(f"| {stage} | {' | '.join(cells)} |")
    started = {name: row["fresh"] for name, row in found.items() if "fresh" in row}
    print(f"\n| fresh process, median s | {' | '.join(started)} |\n| --- |{' ---: |' * len(started)}")
    for place, part in enumerate(("interpreter", "imports", "opening", "first query")):
        cells = (f"{median([times[place] for times in rounds]):.3f}" for rounds in started.values())
        print(f"| {part} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("LEANSEEK_DATA"))
    parser.add_argument("--collection", default="medquad")
    parser.add_argument("--passages", type=int, default=8700)
    parser.add_argument("--queries", type=int, default=QUERIES)
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--before", type=Path, help="another checkout of leanseek")
    parser.add_argument("--folder", type=Path, help="where the indexes are, and stay for another run")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", choices=SYSTEMS, help=argparse.SUPPRESS)
    parser.add_argument("--fresh", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.folder, given.fresh)
        return
    if given.data is None:
        parser.error("the collections are needed: --data FOLDER, or LEANSEEK_DATA")
    systems = given.systems.split(",")
    rows: dict[str, tuple[str, Path | None, bool]] = {}
    for system in systems:
        rows[system] = (system, None, False)
        if system == "leanseek":
            rows["leanseek, explained"] = (system, None, True)
            if given.before is not None:
                rows["before"] = (system, given.before, False)
                rows["before, explained"] = (system, given.before, True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        queries = build(given.data, given.collection, given.passages, given.queries, folder, systems)
        found = compare(rows, folder, queries)
    print_tables(found)
    if given.json is not None:
        given.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
