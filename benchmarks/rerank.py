"""Pairs a second of the cross-encoder back ends and of sentence-transformers, in one run.

    OMP_NUM_THREADS=2 python benchmarks/rerank.py --threads 2
    python benchmarks/rerank.py --model FOLDER --collections scifact --queries 5

The pairs are each query with its best 100 passages by BM25. Without --model the model has the default encoder's
weights under a head of random ones: as fast as a trained one of that size. sentence-transformers runs as it does
by default; ours without its score cache. The peers take turns, several times, so that a busy machine is unfair to
all alike: the ratio is that of the fastest turns, beside it the median of all turns' ratios and the ratio of the
processor's seconds, which other work does not lengthen (but ONNX Runtime's threads spin while they wait: --threads 1
is fair). With a trained model each one's nDCG@10 stands beside them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from leanseek import Index, Searcher
from leanseek.encode import resolve_model
from leanseek.encode.models import DEFAULT_MODEL
from leanseek.encode.torch_encoder import quiet_loading
from leanseek.eval.base import Collection
from leanseek.eval.collections import open_collection
from leanseek.eval.measures import score
from leanseek.rerank import RerankOptions
from leanseek.rerank.crossencoder import load
from leanseek.types import Hit, content

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
DEPTH = 100
BACKENDS = ("torch", "onnx", "onnx-int8")
PEER = "sentence-transformers"


def with_random_head(folder: Path) -> Path:
    """A cross-encoder of the default encoder's weights, made in the folder."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    source = resolve_model(DEFAULT_MODEL).path
    torch.manual_seed(0)
    with quiet_loading():
        model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=1)
    model.classifier.weight.data.normal_(0.0, 0.3)
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.model_max_length = model.config.max_position_embeddings
    tokenizer.save_pretrained(folder)
    return folder


def candidates(collection: Collection, queries: int | None) -> tuple[list[str], list[str], list[list[Hit]]]:
    """Ids and texts of judged queries, and the best passages of each by BM25."""
    split = "test"
    judged = [query for query in collection.queries(split) if collection.qrels(split).get(query.id)]
    asked = judged[:queries]
    with tempfile.TemporaryDirectory() as folder:
        Index.create(Path(folder) / "index", encoder=None).add(collection.documents())
        with Searcher.open(Path(folder) / "index") as searcher:
            found = searcher.search_batch([query.text for query in asked], DEPTH)
    return [query.id for query in asked], [query.text for query in asked], found


Measure = Callable[[Sequence[str], Sequence[Sequence[Hit]]], list[np.ndarray]]


def peer(model: str) -> Measure:
    import torch
    from sentence_transformers import CrossEncoder

    loaded = CrossEncoder(model, device="cpu")

    def run(queries: Sequence[str], hits: Sequence[Sequence[Hit]]) -> list[np.ndarray]:
        pairs = [
            (query, content(hit.title, hit.text))
            for query, given in zip(queries, hits, strict=True)
            for hit in given
        ]
        scores = loaded.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
        return np.split(scores, np.cumsum([len(given) for given in hits])[:-1])

    return run


def ours(backend: str, model: str) -> Measure:
    reranker = load(RerankOptions(f"{backend}:{model}", "cpu", long="firstp", cache=False))
    return lambda queries, hits: [judged.scores for judged in reranker.judge(queries, hits)]


def ndcg(
    collection: Collection, ids: Sequence[str], hits: Sequence[Sequence[Hit]], scores: Sequence[np.ndarray]
) -> float:
    run = {
        query: {hit.id: float(one) for hit, one in zip(given, said, strict=True)}
        for query, given, said in zip(ids, hits, scores, strict=True)
    }
    qrels = {query: collection.qrels("test")[query] for query in ids}
    return float(score(run, qrels, ["nDCG@10"]).means["nDCG@10"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="a trained cross-encoder's folder or name")
    parser.add_argument("--collections", nargs="+", default=["trec-dl-2019", "scifact"])
    parser.add_argument(
        "--queries", type=int, default=3, help="of each collection, with 100 pairs each; 0: all"
    )
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    given = parser.parse_args()

    import torch

    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        model = str(resolve_model(given.model).path if given.model else with_random_head(Path(folder)))
        peers: dict[str, Measure] = {PEER: peer(model)} | {name: ours(name, model) for name in BACKENDS}
        for name in given.collections:
            collection = open_collection(str(DATA / name))
            ids, queries, hits = candidates(collection, given.queries or None)
            compare(collection, ids, queries, hits, peers, given.passes, trained=given.model is not None)


def compare(
    collection: Collection,
    ids: Sequence[str],
    queries: Sequence[str],
    hits: Sequence[Sequence[Hit]],
    peers: dict[str, Measure],
    passes: int,
    trained: bool,
) -> None:
    pairs = sum(map(len, hits))
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    cpu: dict[str, list[float]] = {name: [] for name in peers}
    found: dict[str, list[np.ndarray]] = {}
    for number in range(passes + 1):
        for name, run in peers.items():
            started, spent = time.perf_counter(), time.process_time()
            found[name] = run(queries, hits)
            if number:  # the first turn warms up
                seconds[name].append(time.perf_counter() - started)
                cpu[name].append(time.process_time() - spent)
    print(f"\n{collection.name}: {len(ids)} queries, {pairs:,} pairs, {passes} turns", flush=True)
    print(f"{'':24}{'pairs/s':>9}{'ratio':>7}{'median':>8}{'CPU':>6}{'difference':>12}{'nDCG@10':>9}")
    reference = np.concatenate(found[PEER])
    for name in peers:
        ratios = [theirs / mine for theirs, mine in zip(seconds[PEER], seconds[name], strict=True)]
        difference = np.abs(np.concatenate(found[name]) - reference).max()
        quality = f"{ndcg(collection, ids, hits, found[name]):9.4f}" if trained else f"{'-':>9}"
        print(
            f"{name:24}{pairs / min(seconds[name]):9.1f}{min(seconds[PEER]) / min(seconds[name]):7.2f}"
            f"{statistics.median(ratios):8.2f}{min(cpu[PEER]) / min(cpu[name]):6.2f}{difference:12.1e}{quality}",
            flush=True,
        )


if __name__ == "__main__":
    main()
