"""What a GPU is worth: building, batch search, encoding and re-ranking, against the same card's other users.

    python benchmarks/gpu.py                    # the first CUDA card, at most a quarter of an hour
    python benchmarks/gpu.py --small            # a minute or two: shows that everything runs
    python benchmarks/gpu.py --device cuda:1 --parts vectors,encoding
    python benchmarks/gpu.py --device cpu       # small too, its times mean nothing

- vectors: a reduced index built on the device and on the CPU, and FAISS's IVF-SQ8; then many queries at once, exactly
  on the device, by the reduced index on the CPU, and by FAISS's flat index, on the card where FAISS was built with it.
  What the exact search does on the CPU, to score its candidates as the index does, is measured by itself as well.
  Made vectors of unit length in groups, or --vectors and --queries, float32 in .npy files.
- encoding: tokens a second of the default encoder, against sentence-transformers in float32 and in the same precision.
- cross-encoder: pairs a second against CrossEncoder.predict likewise; by default with random weights, whose work is
  that of cross-encoder/ms-marco-MiniLM-L6-v2.
- in-context: `benchmarks/rerank_attention.py`, against the same decoder with output_attentions.

Each prints its table when it is done, and how long it took. Ways take turns, the best round counts; a way whose first
call takes more than 20 s is not repeated, and that call counts. Seconds of the clock on a card, of the
processor with --device cpu.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
DIMENSIONS = 384
K = 10
SPARE = 32
"""Candidates of an exact search on a device beyond K."""
LONG = 20.0
"""Seconds; what takes longer is done once."""


class Size(NamedTuple):
    """How much is measured."""

    vectors: int
    queries: int
    texts: int
    lists: int
    """Queries whose passages a cross-encoder scores."""
    passages: str
    scale: str
    rounds: int


LARGE = Size(500_000, 10_000, 5_000, 20, "40", "large", 3)
SMALL = Size(6_000, 200, 24, 1, "3", "small", 1)


def best_of(ways: Mapping[str, Callable[[], Any]], rounds: int, clock: Callable[[], float]) -> dict[str, Any]:
    """For each way the seconds of its best round and what it returned; the first call counts only if it is long."""
    found, times = {}, {}
    for name, way in ways.items():
        begun = clock()
        found[name] = way()
        times[name] = clock() - begun
    again = [name for name in ways if times[name] < LONG]
    times |= dict.fromkeys(again, float("inf"))
    for _ in range(rounds):
        for name in again:
            way = ways[name]
            begun = clock()
            way()
            times[name] = min(times[name], clock() - begun)
    return {name: (times[name], found[name]) for name in ways}


def table(title: str, head: list[str], rows: list[list[str]]) -> None:
    print(f"\n### {title}\n\n| {' | '.join(head)} |\n| --- |{' ---: |' * (len(head) - 1)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    sys.stdout.flush()


def groups(count: int, chance: np.random.Generator, centres: Any) -> Any:
    """(count, D) unit vectors around centres."""
    found = centres[chance.integers(0, len(centres), count)]
    found = found + 0.8 * chance.standard_normal(found.shape, dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def made(size: Size) -> tuple[Any, Any]:
    chance = np.random.default_rng(0)
    centres = chance.standard_normal((max(size.vectors // 100, 20), DIMENSIONS), dtype=np.float32)
    return groups(size.vectors, chance, centres), groups(size.queries + 3_000, chance, centres)


def vectors(given: argparse.Namespace, size: Size, clock: Callable[[], float]) -> None:
    """Building and batch search."""
    import faiss

    from leanseek.indexing import LeanVecIndex

    if given.vectors:
        data, asked = np.load(given.vectors), np.load(given.queries)
    else:
        data, asked = made(size)
    learning, queries = asked[size.queries :], asked[: size.queries]
    built, rows = {}, []
    cards = getattr(faiss, "get_num_gpus", lambda: 0)()

    def ivf() -> Any:
        lists = round(4 * len(data) ** 0.5)
        index = faiss.index_factory(data.shape[1], f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
        if cards:
            index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
        index.train(data[np.random.default_rng(0).permutation(len(data))[: 50 * lists]])
        index.add(data)
        return index

    ways: dict[str, Callable[[], Any]] = {
        f"leanseek, lists on {given.device}": lambda: LeanVecIndex.build(data, learning, device=given.device),
        "leanseek, on the CPU": lambda: LeanVecIndex.build(data, learning),
        f"FAISS IVF-SQ8, on the {'card' if cards else 'CPU'}": ivf,
    }
    for name, way in ways.items():
        begun = clock()
        built[name] = way()
        rows.append([name, f"{clock() - begun:.1f}"])
    table(f"Building, {len(data):,} x {data.shape[1]}", ["index", "seconds"], rows)

    ours = next(iter(built.values()))
    flat = faiss.IndexFlatIP(data.shape[1])
    flat.add(data)
    _, truth = flat.search(queries, K)
    if cards:
        flat = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, flat)
    _, candidates = ours.search(queries, K + SPARE, device=given.device)

    def rescored() -> Any:
        scores = [ours.score(query, rows) for query, rows in zip(queries, candidates, strict=True)]
        best = np.argsort(-np.stack(scores), axis=1, kind="stable")[:, :K]
        return np.take_along_axis(candidates, best, 1)

    found = best_of(
        {
            f"leanseek, exact on {given.device}": lambda: ours.search(queries, K, device=given.device)[1],
            "of which scoring the candidates, on the CPU": rescored,
            "leanseek, reduced on the CPU": lambda: ours.search(queries, K)[1],
            f"FAISS flat, on the {'card' if cards else 'CPU'}": lambda: flat.search(queries, K)[1],
        },
        size.rounds,
        clock,
    )
    table(
        f"Batch search, {len(queries):,} queries, k = {K}",
        ["search", "queries/s", "of the true 10"],
        [
            [name, f"{len(queries) / seconds:,.0f}", f"{recall(ordinals, truth):.4f}"]
            for name, (seconds, ordinals) in found.items()
        ],
    )


def recall(found: Any, truth: Any) -> float:
    shares = [len(set(one) & set(other)) for one, other in zip(found.tolist(), truth.tolist(), strict=True)]
    return float(np.mean(shares)) / truth.shape[1]


def texts_of(count: int) -> list[str]:
    """Abstracts of scifact, over and over where there are fewer; made of words where they are not there."""
    path = DATA / "scifact" / "corpus.jsonl"
    if path.is_file():
        with path.open(encoding="utf-8") as file:
            known = [json.loads(line)["text"] for line in file]
    else:
        words = [f"word{number}" for number in range(2_000)]
        chance = np.random.default_rng(0)
        known = [" ".join(chance.choice(words, chance.integers(20, 250))) for _ in range(1_000)]
    return [known[place % len(known)] for place in range(count)]


def encoding(given: argparse.Namespace, size: Size, clock: Callable[[], float]) -> None:
    """Tokens a second."""
    from sentence_transformers import SentenceTransformer

    from leanseek.encode import load_encoder, resolve_model

    texts = texts_of(size.texts)
    encoder: Any = load_encoder(given.encoder, given.device)
    folder = str(resolve_model(given.encoder).path)
    ways = {
        f"leanseek, {encoder.precision}": lambda: encoder.encode_documents(texts).vectors,
        **peers(
            "sentence-transformers",
            lambda: SentenceTransformer(folder, device=given.device),
            lambda model: model.encode(texts, batch_size=given.batch, normalize_embeddings=True),
            encoder.precision,
        ),
    }
    limit = encoder.max_tokens or 1 << 30
    tokens = int(np.minimum(encoder.count_tokens(texts), limit).sum())
    found = best_of(ways, size.rounds, clock)
    whole = found["sentence-transformers, float32"][1]
    table(
        f"Encoding, {len(texts):,} texts of {tokens / len(texts):.0f} tokens",
        ["encoder", "tokens/s", "least cosine with float32"],
        [
            [name, f"{tokens / seconds:,.0f}", f"{unit_products(made, whole).min():.4f}"]
            for name, (seconds, made) in found.items()
        ],
    )


def unit_products(some: Any, other: Any) -> Any:
    some, other = (np.asarray(one, dtype=np.float32) for one in (some, other))
    lengths = np.linalg.norm(some, axis=1) * np.linalg.norm(other, axis=1)
    return (some * other).sum(axis=1) / lengths


def peers(
    name: str, load: Callable[[], Any], run: Callable[[Any], Any], precision: str
) -> dict[str, Callable[[], Any]]:
    """A peer's model in float32 and, where leanseek's is in another precision, in that."""
    import torch

    found = {}
    for kind in dict.fromkeys(["float32", precision]):
        model = load().to(getattr(torch, kind))
        found[f"{name}, {kind}"] = lambda model=model: run(model)
    return found


def random_cross_encoder(folder: Path, encoder: str) -> Path:
    """A cross-encoder of the size of the encoder's transformer, with random weights and its tokenizer."""
    import torch
    from transformers import AutoConfig, AutoTokenizer, BertForSequenceClassification

    from leanseek.encode import resolve_model

    source = resolve_model(encoder).path
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(str(source), num_labels=1)
    BertForSequenceClassification(config).save_pretrained(str(folder))
    AutoTokenizer.from_pretrained(str(source), model_max_length=512).save_pretrained(str(folder))
    return folder


def cross_encoder(given: argparse.Namespace, size: Size, clock: Callable[[], float]) -> None:
    """Pairs a second."""
    import torch
    from sentence_transformers import CrossEncoder

    from leanseek import Hit
    from leanseek.encode.device import half_precision
    from leanseek.rerank import load_reranker

    depth = 100 if size is LARGE else 12
    texts = texts_of(size.lists * depth)
    lists = [
        (" ".join(part[0].split()[:9]), part)
        for part in (texts[start : start + depth] for start in range(0, len(texts), depth))
    ]
    with tempfile.TemporaryDirectory() as work:
        folder = given.cross_encoder or str(random_cross_encoder(Path(work), given.encoder))
        ours: Any = load_reranker(f"cross-encoder:torch:{folder}", given.device, cache=False)

        def scored() -> list[float]:
            found = []
            for query, passages in lists:
                hits = [
                    Hit(place, f"{place:04d}", 1.0 / place, "", passage, {})
                    for place, passage in enumerate(passages, 1)
                ]
                scores = {hit.id: hit.score for hit in ours.rerank(query, hits)}
                found += [scores[hit.id] for hit in hits]
            return found

        ways = {
            "leanseek": scored,
            **peers(
                "CrossEncoder.predict",
                lambda: CrossEncoder(folder, device=given.device),
                lambda model: [
                    score
                    for query, passages in lists
                    for score in model.predict(
                        [(query, passage) for passage in passages], batch_size=given.batch
                    )
                ],
                half_precision(torch.device(given.device)) or "float32",
            ),
        }
        found = best_of(ways, size.rounds, clock)
    whole = found["CrossEncoder.predict, float32"][1]
    table(
        f"Cross-encoder, {len(lists)} lists of {depth} passages",
        ["reader", "pairs/s", "correlation with float32"],
        [
            [name, f"{len(texts) / seconds:,.0f}", f"{np.corrcoef(scores, whole)[0, 1]:.4f}"]
            for name, (seconds, scores) in found.items()
        ],
    )


def in_context(given: argparse.Namespace, size: Size, clock: Callable[[], float]) -> None:
    """The script beside this one; its ways are processes of their own, for their peak memory."""
    script = Path(__file__).with_name("rerank_attention.py")
    print(f"\n### In context, passages of {100 if size is LARGE else 30} words\n", flush=True)
    command = [sys.executable, str(script), "--device", given.device, "--scale", size.scale]
    command += ["--passages", size.passages, "--words", "100" if size is LARGE else "30"]
    done = subprocess.run([*command, "--runs", str(size.rounds)], check=False)
    if done.returncode:
        print(
            f"in-context: {script.name} ended with {done.returncode}; the other parts are not touched",
            flush=True,
        )


PARTS = {"vectors": vectors, "encoding": encoding, "cross-encoder": cross_encoder, "in-context": in_context}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--small", action="store_true", help="little of everything")
    parser.add_argument("--vectors", type=Path)
    parser.add_argument(
        "--queries", type=Path, help="10,000 are asked and those after them learned from; with --vectors"
    )
    parser.add_argument("--encoder", default="all-MiniLM-L6-v2")
    parser.add_argument("--cross-encoder", help="a model's folder; by default one with random weights")
    parser.add_argument("--batch", type=int, default=256, help="the batch size of sentence-transformers")
    given = parser.parse_args()
    parts = given.parts.split(",")
    if unknown := sorted({*parts} - {*PARTS}):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if (given.vectors is None) != (given.queries is None):
        parser.error("--vectors and --queries go together")
    import torch

    from leanseek.encode.device import check_device
    from leanseek.errors import LeanseekError

    try:
        check_device(given.device)
    except LeanseekError as error:
        parser.error(f"{error}; to see that everything runs: --device cpu")
    on_cpu = given.device == "cpu"
    card = "CPU" if on_cpu else torch.cuda.get_device_name(torch.device(given.device))
    print(f"{card}, torch {torch.__version__}")
    begun = time.perf_counter()
    for part in parts:
        PARTS[part](
            given,
            SMALL if on_cpu or given.small else LARGE,
            time.process_time if on_cpu else time.perf_counter,
        )
        print(f"\n{part}: after {time.perf_counter() - begun:,.0f} s", flush=True)


if __name__ == "__main__":
    main()
