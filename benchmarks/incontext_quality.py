"""How well the packaged decoder re-ranks judged pools, and whether the tokens and heads that it names matter.

    python benchmarks/incontext_quality.py FOLDER [--split test] [--queries 100] [--checked 40]

FOLDER is a collection in BEIR's layout whose judgments list all candidates of a query, relevant or not, such as WikiQA.
Candidates are ordered by BM25, the best last in the prompt. Three things are printed: nDCG@10 of BM25 and of the heads;
by how much the best document's score falls without the ten tokens that an explanation names, and without ten random
ones; and what masking the selected heads loses, and as many random ones.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from leanseek import Index, Searcher, read, read_queries
from leanseek.decode import DEFAULT_DECODER, load_decoder
from leanseek.reading import read_qrels
from leanseek.rerank import InContextReranker
from leanseek.rerank.incontext import DocumentAttention, published_for
from leanseek.train import Example, check_heads
from leanseek.train.prompt_examples import ndcg

TOKENS = 10


class Pool(NamedTuple):
    """A query with its candidates, the best of BM25 last, and BM25's scores."""

    example: Example
    scores: list[float]


def pools(folder: Path, split: str, count: int) -> list[Pool]:
    """The first `count` pools with relevant and other candidates, in an order drawn once."""
    qrels = read_qrels(folder / "qrels" / f"{split}.tsv")
    documents = {document.id: document for document in read(folder)}
    queries = [
        query
        for query in read_queries(str(folder / "queries.jsonl"))
        if len({grade > 0 for grade in qrels.get(query.id, {}).values()}) == 2
    ]
    random.Random(0).shuffle(queries)
    queries = queries[:count]
    with tempfile.TemporaryDirectory() as work:
        with Index.create(Path(work) / "i", encoder=None) as index:
            index.add(documents.values())
        with Searcher.open(Path(work) / "i") as searcher:
            ranked = searcher.rank_batch(
                [query.text for query in queries], candidates=[list(qrels[query.id]) for query in queries]
            )
    found = []
    for query, ranking in zip(queries, ranked, strict=True):
        order = ranking[::-1]
        texts = [documents[one.id] for one in order]
        found.append(
            Pool(
                Example(
                    query.text,
                    tuple(f"{one.title}\n{one.text}" if one.title else one.text for one in texts),
                    tuple(qrels[query.id][one.id] > 0 for one in order),
                ),
                [one.score for one in order],
            )
        )
    return found


def without(text: str, spans: list[tuple[int, int]]) -> str:
    """The text without these characters."""
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + text[end:]
    return text


def falls(
    reranker: InContextReranker, example: Example, found: list[DocumentAttention], seed: int
) -> tuple[float, float]:
    """By how much the best document's score falls without the tokens named, and without as many random ones."""
    best = max(range(len(found)), key=lambda place: found[place].score)
    named = found[best].peaks(TOKENS)
    tokens = [(one.start, one.end) for one in found[best].tokens]
    drawn = random.Random(seed).sample(tokens, min(len(named), len(tokens)))
    lost = []
    for spans in (named, drawn):
        changed = list(example.documents)
        changed[best] = without(changed[best], list(spans))
        lost.append(found[best].score - reranker.score(example.query, changed)[best])
    return lost[0], lost[1]


def mean_ndcg(scores: list[list[float]], given: list[Pool]) -> float:
    return statistics.fmean(
        float(ndcg(np.array([one]), np.array(pool.example.relevant))[0])
        for one, pool in zip(scores, given, strict=True)
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--checked", type=int, default=40, help="queries that are ranked with heads masked")
    given = parser.parse_args()

    found = pools(given.folder, given.split, given.queries)
    decoder = load_decoder(precision="fast")
    selected = InContextReranker(decoder, heads="published")
    begun, spent = time.perf_counter(), time.process_time()
    explained = [selected.explain(pool.example.query, pool.example.documents) for pool in found]
    seconds = (time.perf_counter() - begun, time.process_time() - spent)
    print(f"{len(found)} queries, {statistics.fmean(len(one.scores) for one in found):.1f} candidates each")
    print(
        f"nDCG@10: BM25 {mean_ndcg([pool.scores for pool in found], found):.4f}, selected heads "
        f"{mean_ndcg([[one.score for one in pool] for pool in explained], found):.4f}"
    )
    print(
        f"seconds a query: {seconds[0] / len(found):.2f}, of the processor {seconds[1] / len(found):.2f}",
        flush=True,
    )

    lost = [
        falls(selected, pool.example, one, place)
        for place, (pool, one) in enumerate(zip(found, explained, strict=True))
    ]
    named, drawn = (statistics.median(one) for one in zip(*lost, strict=True))
    more = sum(one > other for one, other in lost)
    print(
        f"median fall of the best document's score: {named:.4f} without the {TOKENS} tokens named, {drawn:.4f} without "
        f"{TOKENS} random ones; more for {more} of {len(lost)} queries",
        flush=True,
    )

    listed = published_for(DEFAULT_DECODER)
    checked = check_heads(
        InContextReranker(decoder).reader, listed.heads, [pool.example for pool in found[: given.checked]]
    )
    print(
        f"nDCG@10 by all heads {checked.whole:.4f}; masking the selected loses {checked.lost:.4f}, masking as many "
        f"random ones {checked.lost_by_others:.4f} ("
        + " ".join(f"{checked.whole - one:.4f}" for one in checked.without_others)
        + ")"
    )


if __name__ == "__main__":
    main()
