"""A session's history: the interest by hashing beside attention over all items, and what it does to rankings.

    python benchmarks/history.py cisi cranfield

First, for vectors of the collections' documents: the cosine of SDIM's interest with that of softmax attention, and how
long either takes for 200 candidates and 1,000 items, in one run on one thread. Then sessions made from judgments: see
docs/history.md. Indexes stay in --out.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from leanseek import Index, Searcher
from leanseek.cli.output import progress_bar
from leanseek.eval import Collection, open_collection, score
from leanseek.searcher.interest import InterestTable
from leanseek.types import Float32Array

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
ITEMS: Final = 1000
CANDIDATES: Final = 200
SLOPE: Final = 2.0
"""Of the logarithm of hashing's weight (1 - angle/π)³, 6/π at an angle of 90 degrees."""
SHOWN: Final = 3
OTHERS: Final = 5
WEIGHTS: Final = (0.05, 0.1, 0.2, 0.3)


def attention(items: Float32Array, candidates: Float32Array) -> Float32Array:
    """(c, D) the exact interest of each candidate (c, D) in items (h, D)."""
    weights = candidates @ items.T
    weights *= np.float32(SLOPE)
    np.exp(weights, out=weights)
    found: Float32Array = weights @ items / weights.sum(axis=1, keepdims=True)
    return found


def least_ms(call: Callable[[], object], repeats: int = 50) -> float:
    """Processor time of the fastest call, which other work on the machine disturbs least."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return min(times) * 1000


def interests(name: str, vectors: Float32Array) -> None:
    drawn = np.random.default_rng(0).permutation(len(vectors))
    items, candidates = vectors[drawn[:ITEMS]], vectors[drawn[-CANDIDATES:]]
    table = InterestTable(items)
    found, exact = table.interests(candidates), attention(items, candidates)
    cosines = (found * exact).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(exact, axis=1)
    slow = least_ms(lambda: attention(items, candidates))
    fast, made = least_ms(lambda: table.interests(candidates)), least_ms(lambda: InterestTable(items))
    print(
        f"| {name} | {cosines.mean():.4f} | {cosines.min():.4f} | {slow:.2f} ms | {fast:.2f} ms | {slow / fast:.1f} | "
        f"{made:.2f} ms |"
    )


def sessions(name: str, collection: Collection, searcher: Searcher) -> None:
    """nDCG@10 of the rest of the relevant documents, by weight, for each kind of history."""
    qrels = collection.qrels("test")
    relevant = {query: sorted(id for id, grade in one.items() if grade > 0) for query, one in qrels.items()}
    chance = random.Random(0)
    queries = [
        one for one in collection.queries("test") if len(relevant[one.id]) >= 2 * SHOWN and one.text.strip()
    ]
    own = {one.id: chance.sample(relevant[one.id], SHOWN) for one in queries}
    others = {
        one.id: chance.sample([each.id for each in queries if each.id != one.id], OTHERS) for one in queries
    }
    other = {query: [id for each in drawn for id in own[each]] for query, drawn in others.items()}
    kinds: dict[str, Callable[[str], Sequence[str]]] = {
        "own": lambda query: own[query],
        "mixed": lambda query: [*own[query], *other[query]],
        "other": lambda query: other[query],
    }
    left = {one.id: {id: g for id, g in qrels[one.id].items() if id not in own[one.id]} for one in queries}
    for kind, history in kinds.items():
        means = []
        for weight in (0.0, *WEIGHTS):
            rankings = {}
            for one in queries:
                [found] = searcher.rank_batch([one.text], 100, history=history(one.id), history_weight=weight)
                rankings[one.id] = {id: value for id, value in found if id not in own[one.id]}
            means.append(score(rankings, left, ["nDCG@10"]).means["nDCG@10"])
        print(f"| {name} ({len(queries)} queries), {kind} | {' | '.join(f'{mean:.4f}' for mean in means)} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("collections", nargs="+", metavar="COLLECTION")
    parser.add_argument("--out", type=Path, default=Path("history.indexes"))
    args = parser.parse_args()
    opened: dict[str, tuple[Collection, Searcher]] = {}
    for name in args.collections:
        collection, path = open_collection(DATA / name), args.out / f"{name}.index"
        if not path.exists():
            args.out.mkdir(parents=True, exist_ok=True)
            with progress_bar(False) as progress:
                Index.create(path).add(collection.documents(), progress=progress)
        opened[name] = collection, Searcher.open(path, relevance=None)
    print(
        "| | mean cosine | least | attention | hashing | ratio | making the table |\n|---|---|---|---|---|---|---|"
    )
    for name, (_, searcher) in opened.items():
        interests(name, searcher.source.vectors(np.arange(searcher.size)))
    print(f"\n| nDCG@10 | no history | {' | '.join(map(str, WEIGHTS))} |\n|---|---|{'---|' * len(WEIGHTS)}")
    for name, (collection, searcher) in opened.items():
        sessions(name, collection, searcher)


if __name__ == "__main__":
    main()
