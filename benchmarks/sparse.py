"""Sparse search side by side on the collection `big`: leanseek's BM25, bm25s, tantivy, Lucene and PISA.

    python benchmarks/sparse.py [--data FOLDER] [--engines leanseek,bm25s-numba] [--k 10,100,1000]
    python benchmarks/sparse.py --engines leanseek --k 10 --texts 100000,356400,1000000,2000000

Each engine (`sparse_engines.py`) builds its index, and then serves three sets of queries (one thread, fixed seed), in
processes of its own that hold nothing else; the rounds take turns, and of each engine the best round counts. Times are
of the processor, all threads of the process together. What is compiled while it runs is compiled before the clock
starts: every query is asked twice, and the second time counts. Prints Markdown tables; the numbers in brackets are
leanseek's relative to that engine's: 2.00 is twice as many queries, 0.50 half the seconds or bytes.

`--texts` are other sizes of the collection, each measured in turn. What is beyond the collection has the words of its
texts in new combinations: the first half of one text, and the second half of another. The queries stay the same.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from sparse_engines import ENGINES, Engine, names, stop_words

OURS = "leanseek"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
Figures: TypeAlias = dict[str, float]
"""By the head of their column."""


def read_texts(data: Path) -> list[str]:
    with gzip.open(data / "big" / "corpus.jsonl.gz") as file:
        records = (json.loads(line) for line in file)
        return [f"{record['title']} {record['text']}".strip() for record in records]


def enlarged(texts: list[str], count: int) -> list[str]:
    """So many texts: the first ones of these, and past the last of them halves of two."""
    chosen = texts[:count]
    while len(chosen) < count:
        at, round_ = len(chosen) % len(texts), len(chosen) // len(texts)
        first, second = texts[at].split(), texts[(at + 7919 * round_) % len(texts)].split()
        chosen.append(" ".join(first[: len(first) // 2] + second[len(second) // 2 :]))
    return chosen


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


def long_queries(texts: list[str]) -> list[str]:
    """100 of 100 words each, from texts put together."""
    choose = random.Random(11)
    return [" ".join(" ".join(choose.sample(texts, 12)).split()[:100]) for _ in range(100)]


def frequent_words(texts: list[str]) -> list[str]:
    """The 100 words that most texts have, without stop words."""
    left_out = set(stop_words())
    counted = Counter(word for text in texts for word in set(text.lower().split()))
    words = (word for word, _ in counted.most_common(400) if word.isalpha() and len(word) > 2)
    return [word for word in words if word not in left_out][:100]


def resident(name: str) -> float:
    """MB, from the kernel's account of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return float(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def build(engine: Engine, texts: list[str], folder: Path) -> Figures:
    engine.warm_up()
    before = resident("VmRSS")
    start = time.process_time()
    engine.build(texts, folder)
    seconds = time.process_time() - start
    disk = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    return {"build s": seconds, "build MB": resident("VmHWM") - before, "disk MB": disk}


def serve(engine: Engine, sets: dict[str, list[str]], ks: Sequence[int], folder: Path) -> Figures:
    engine.warm_up()
    search = engine.open(folder)
    figures = {}
    for name, queries in sets.items():
        for k in ks:
            for query in queries:
                search(query, k)
            taken = []
            for query in queries:
                start = time.process_time()
                search(query, k)
                taken.append(time.process_time() - start)
            figures[f"{name}, k = {k}: queries/s"] = len(queries) / sum(taken)
            figures[f"{name}, k = {k}: median ms"] = float(np.median(taken)) * 1000
            figures[f"{name}, k = {k}: p99 ms"] = float(np.percentile(taken, 99)) * 1000
    return {**figures, "serving MB": resident("VmRSS")}


def in_process(task: str, engine: str, size: int, given: argparse.Namespace, folder: Path) -> Figures:
    """What `build` or `serve` returns in a process of its own."""
    command = [sys.executable, __file__, "--data", str(given.data), "--engines", engine, "--task", task]
    done = subprocess.run(
        [*command, "--k", given.k, "--texts", str(size), "--folder", str(folder)],
        env={**os.environ, **dict.fromkeys(THREADS, "1")},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def compare(engines: Sequence[str], size: int, given: argparse.Namespace, folder: Path) -> dict[str, Figures]:
    """The best figure of all rounds, by engine and column."""
    best: dict[str, Figures] = {engine: {} for engine in engines}
    for round_ in range(given.rounds):
        for engine in engines:
            if round_ == 0 or not given.build_once:
                shutil.rmtree(folder / engine, ignore_errors=True)
                (folder / engine).mkdir()
                _keep_best(best[engine], in_process("build", engine, size, given, folder))
            _keep_best(best[engine], in_process("serve", engine, size, given, folder))
    return best


def _keep_best(best: Figures, found: Figures) -> None:
    for column, value in found.items():
        better = max if column.endswith("/s") else min
        best[column] = better(best.get(column, value), value)


def tables(best: dict[str, Figures]) -> str:
    columns = list(next(iter(best.values())))
    groups: dict[str, list[str]] = {}
    for column in columns:
        groups.setdefault(column.partition(":")[0] if ":" in column else "index", []).append(column)
    lines = []
    for group, members in groups.items():
        heads = [column.partition(": ")[2] or column for column in members]
        lines += ["", f"| {group} | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
        for engine, figures in best.items():
            cells = []
            for column in members:
                value = figures[column]
                ratio = f" ({best[OURS][column] / value:.2f})" if engine != OURS and OURS in best else ""
                cells.append(f"{value:,.0f}{ratio}" if value >= 100 else f"{value:.3g}{ratio}")
            lines.append(f"| {engine} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    default = Path(__file__).resolve().parents[2] / "shared" / "data" / "beir"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("LEANSEEK_DATA", default)))
    parser.add_argument("--engines", default="leanseek,bm25s-numba", help=f"of {', '.join(ENGINES)}")
    parser.add_argument("--k", default="10,100,1000", help="numbers of results, with commas between")
    parser.add_argument("--texts", default="356400", help="sizes of the collection, with commas between")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--build-once", action="store_true", help="build in the first round alone")
    parser.add_argument("--task", choices=["build", "serve"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    try:
        engines = names(given.engines)
    except ValueError as error:
        parser.error(str(error))
    if given.task:
        engine = ENGINES[engines[0]]()
        folder = given.folder / engines[0]
        if given.task == "build":
            texts = enlarged(read_texts(given.data), int(given.texts))
            print(json.dumps(build(engine, texts, folder)))
        else:
            sets = json.loads((given.folder / "queries.json").read_text())
            print(json.dumps(serve(engine, sets, [int(k) for k in given.k.split(",")], folder)))
        return
    texts = read_texts(given.data)
    sets = {
        "mixed": mixed_queries(given.data, texts),
        "100 words": long_queries(texts),
        "frequent word": frequent_words(texts),
    }
    del texts
    with tempfile.TemporaryDirectory(dir=given.folder) as folder_name:
        folder = Path(folder_name)
        (folder / "queries.json").write_text(json.dumps(sets))
        for size in map(int, given.texts.split(",")):
            print(f"\n{size:,} texts\n{tables(compare(engines, size, given, folder))}", flush=True)


if __name__ == "__main__":
    main()
