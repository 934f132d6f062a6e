"""Questions asked in steps beside the same questions asked whole: what is found, and what it costs.

    python benchmarks/research.py COLLECTION [--split dev] [--index DIR] [--pairs 400] [--seed 1] [--others]

Pairs of the collection's questions whose documents have different titles are joined by "and". Reported is how often the
relevant documents of both are among the 10 best. `--others` draws as many pairs from questions that the pairs do not
have: rules and numbers are chosen there.

Time is that of eight questions in one graph beside one question, and beside the eight as one text, in turns.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from leanseek import Index, Searcher
from leanseek.encode import DEFAULT_MODEL
from leanseek.rag import research
from leanseek.reading import read, read_qrels, read_queries

K = 10
NODES = 8
ROUNDS = 25


class Asked(NamedTuple):
    """A question, its relevant documents, and the title of the first of them."""

    text: str
    relevant: frozenset[str]
    title: str


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("collection", type=Path)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--index", type=Path, default=None)
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--others", action="store_true")
    given = parser.parse_args()

    asked = questions(given.collection, given.split)
    pairs = drawn(asked, given.pairs, given.seed)
    if given.others:
        used = {one.text for pair in pairs for one in pair}
        pairs = drawn([one for one in asked if one.text not in used], given.pairs, given.seed + 1)
    with tempfile.TemporaryDirectory() as work:
        index = given.index or Path(work) / "index"
        if not index.exists():
            with Index.create(index, encoder=DEFAULT_MODEL) as made:
                made.add(read(given.collection))
        with Searcher.open(index) as searcher:
            quality(searcher, pairs)
            cost(searcher, [one.text for one in asked])


def questions(collection: Path, split: str) -> list[Asked]:
    """The split's questions in the order of the file."""
    titles = {document.id: document.title for document in read(collection)}
    qrels = read_qrels(collection / "qrels" / f"{split}.tsv")
    found = []
    for query in read_queries(collection / "queries.jsonl"):
        relevant = frozenset(one for one, grade in qrels.get(query.id, {}).items() if grade > 0)
        if relevant and query.text.strip():
            found.append(Asked(query.text.strip(), relevant, titles[min(relevant)]))
    return found


def drawn(asked: Sequence[Asked], count: int, seed: int) -> list[tuple[Asked, Asked]]:
    """Pairs of questions, none in two of them."""
    left = list(asked)
    random.Random(seed).shuffle(left)
    pairs = []
    while left and len(pairs) < count:
        first = left.pop()
        other = next((at for at in reversed(range(len(left))) if left[at].title != first.title), None)
        if other is None:
            break
        pairs.append((first, left.pop(other)))
    return pairs


def joined(pair: tuple[Asked, Asked]) -> str:
    """Both questions in one sentence."""
    first, second = pair
    return f"{first.text.rstrip(' ?.!')} and {second.text[0].lower()}{second.text[1:]}"


def quality(searcher: Searcher, pairs: Sequence[tuple[Asked, Asked]]) -> None:
    """How often both relevant documents are found, asked whole and in steps."""
    texts = [joined(pair) for pair in pairs]
    apart = sum(len(research.plan(text)) > 1 for text in texts)
    print(f"{len(pairs)} pairs, {apart} of them taken apart")
    for mode in ("sparse", "hybrid"):
        ranked = searcher.rank_batch(texts, K, mode=mode)
        whole = [[hit.id for hit in hits] for hits in ranked]
        steps = [[hit.id for hit in research.run(searcher, text, k=K, mode=mode).hits] for text in texts]
        for name, lists in (("whole", whole), ("in steps", steps)):
            both = sum(
                all(one.relevant & set(ids) for one in pair) for pair, ids in zip(pairs, lists, strict=True)
            )
            print(f"{mode:8} {name:10} both among {K}: {both / len(pairs):.3f}")


def cost(searcher: Searcher, texts: Sequence[str]) -> None:
    """Milliseconds of one question, of eight in a graph, and of the eight as one text."""
    chosen = list(texts)
    random.Random(0).shuffle(chosen)

    def graph(asked: Sequence[str]) -> research.Planner:
        nodes = [research.Node(str(number), text) for number, text in enumerate(asked)]
        return lambda question, most: research.Graph(nodes)

    def timed(planner: research.Planner) -> tuple[float, float]:
        begin, used = time.perf_counter(), time.process_time()
        research.run(searcher, "?", planner=planner)
        return 1000 * (time.perf_counter() - begin), 1000 * (time.process_time() - used)

    ways: dict[str, Callable[[Sequence[str]], research.Planner]] = {
        "one node": lambda asked: graph(asked[:1]),
        "eight nodes": graph,
        "the eight as one text": lambda asked: graph([" and ".join(asked)]),
    }
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        asked = chosen[number * NODES : (number + 1) * NODES]
        for name, way in ways.items():
            spent[name].append(timed(way(asked)))
    one = [statistics.median(values) for values in zip(*spent["one node"][1:], strict=True)]
    for name, times in spent.items():
        wall, processor = (statistics.median(values) for values in zip(*times[1:], strict=True))
        print(
            f"{name:22} {wall:7.1f} ms ({wall / one[0]:.2f}), processor {processor:7.1f} ms ({processor / one[1]:.2f})"
        )


if __name__ == "__main__":
    main()
