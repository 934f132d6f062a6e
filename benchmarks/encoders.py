"""Quality, speed and size of the encoder back ends, in one run.

    python benchmarks/encoders.py
    python benchmarks/encoders.py --collections scifact --encoders onnx-int8:all-MiniLM-L6-v2

nDCG@10 is of exact cosine search. Tokens per second (after the cut at the encoder's limit) are the best of
several passes over one sample, taken in turns so that a busy machine is unfair to all alike. "First query" is
a new process that loads the encoder and encodes one query. Vectors go through the vector cache: a second run
measures quality in seconds.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ranx import Qrels, Run, evaluate

from leanseek.encode import DEFAULT_MODEL, Encoder, VectorCache, encode_corpus, load_encoder
from leanseek.types import content

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
ENCODERS = [f"{prefix}{DEFAULT_MODEL}" for prefix in ("", "onnx:", "onnx-int8:", "static:")]
DEPTH = 100
FIRST_QUERY = """
import sys, time
started = time.perf_counter()
from leanseek.encode import load_encoder
load_encoder(sys.argv[1]).encode_queries(["do statins help?"])
print(time.perf_counter() - started)
"""


def read_lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def documents_of(folder: Path) -> tuple[list[str], list[str]]:
    lines = read_lines(folder / "corpus.jsonl")
    return [line["_id"] for line in lines], [content(line.get("title", ""), line["text"]) for line in lines]


def ndcg(encoder: Encoder, folder: Path) -> float:
    ids, texts = documents_of(folder)
    judged: dict[str, dict[str, int]] = {}
    with (folder / "qrels" / "test.tsv").open(encoding="utf-8") as file:
        for query, document, grade in list(csv.reader(file, delimiter="\t"))[1:]:
            if int(grade) > 0:
                judged.setdefault(query, {})[document] = int(grade)
    queries = {line["_id"]: line["text"] for line in read_lines(folder / "queries.jsonl")}
    asked = [query for query in queries if query in judged]
    with VectorCache(encoder.fingerprint) as cache:
        vectors, report = encode_corpus(encoder, texts, cache, progress=lambda n: show(folder, n, len(texts)))
    print(f"\r  {folder.name}: {report.sentence()}", file=sys.stderr)
    scores = encoder.encode_queries([queries[query] for query in asked]).vectors @ vectors.T
    run = {}
    for query, row in zip(asked, scores, strict=True):
        best = np.argsort(-row, kind="stable")[:DEPTH]
        run[query] = {ids[i]: float(row[i]) for i in best}
    return float(evaluate(Qrels(judged), Run(run), "ndcg@10"))


def show(folder: Path, done: int, total: int) -> None:
    print(f"\r  {folder.name}: {done:,}/{total:,}", end="", file=sys.stderr, flush=True)


def speeds(encoders: Sequence[Encoder], texts: Sequence[str], passes: int) -> list[float]:
    best = [0.0] * len(encoders)
    for _ in range(passes):
        for i, encoder in enumerate(encoders):
            started = time.perf_counter()
            tokens = encoder.encode_documents(texts).tokens
            seconds = time.perf_counter() - started
            read = tokens if encoder.max_tokens is None else np.minimum(tokens, encoder.max_tokens)
            best[i] = max(best[i], float(read.sum()) / seconds)
    return best


def first_query(name: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", FIRST_QUERY, name], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def size(folder: Path) -> int:
    """Bytes of the weights that the back end loads."""
    files = [*folder.glob("*.safetensors"), *folder.glob("*.onnx")]
    return sum(path.stat().st_size for path in files)


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--encoders", nargs="+", default=ENCODERS, metavar="NAME")
    options.add_argument("--collections", nargs="+", default=["scifact", "cranfield", "cisi"], metavar="NAME")
    options.add_argument("--data", type=Path, default=DATA, help="folder of BEIR collections")
    options.add_argument("--sample", type=int, default=200, help="documents timed")
    options.add_argument("--passes", type=int, default=3, help="timed passes; the best counts")
    given = options.parse_args()

    folders = [given.data / name for name in given.collections]
    encoders = [load_encoder(name) for name in given.encoders]
    texts = documents_of(folders[0])[1]
    sample = texts[:: max(1, len(texts) // given.sample)][: given.sample]
    rates = speeds(encoders, sample, given.passes)

    heads = ["encoder", "tokens/s", "x first", *(f"nDCG@10 {folder.name}" for folder in folders)]
    rows = [[*heads, "weights MB", "first query s", "D"]]
    for name, encoder, rate in zip(given.encoders, encoders, rates, strict=True):
        print(name, file=sys.stderr)
        quality = [f"{ndcg(encoder, folder):.4f}" for folder in folders]
        megabytes = f"{size(encoder.folder) / 1e6:.1f}"  # type: ignore[attr-defined]
        start = f"{min(first_query(name) for _ in range(given.passes)):.2f}"
        rows.append(
            [
                name,
                f"{rate:,.0f}",
                f"{rate / rates[0]:.1f}",
                *quality,
                megabytes,
                start,
                str(encoder.dimensions),
            ]
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print(
            "  ".join(
                cell.ljust(w) if i == 0 else cell.rjust(w)
                for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
        )


if __name__ == "__main__":
    main()
