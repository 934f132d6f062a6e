"""Indexes of given texts, built and opened as an index directory would."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import pytest

from leanseek import Index, Searcher, SparseSettings
from leanseek.indexing.sparse import Bm25Index, Bm25Parameters, PostingsReader, SparseBuilder
from leanseek.indexing.sparse.kernel import Kernel
from leanseek.reading import read
from leanseek.text import Analyzer, load_analyzer
from leanseek.types import content

Segment: TypeAlias = Callable[[Sequence[str]], PostingsReader]
Indexed: TypeAlias = Callable[..., Bm25Index]


class Texts(NamedTuple):
    """A collection as the tests need it, documents in order of their ids."""

    documents: list[str]
    queries: list[str]


@pytest.fixture(scope="session")
def simple() -> Analyzer:
    return load_analyzer("simple")


@pytest.fixture(scope="session")
def segment(tmp_path_factory: pytest.TempPathFactory, simple: Analyzer) -> Segment:
    """`segment(texts)` writes the texts as one segment, in their order, and opens it."""

    def make(texts: Sequence[str], analyzer: Analyzer = simple) -> PostingsReader:
        builder = SparseBuilder(analyzer)
        for text in texts:
            builder.add(text)
        folder = tmp_path_factory.mktemp("segment")
        builder.write(folder, np.arange(len(texts)))
        return PostingsReader(folder)

    return make


@pytest.fixture(scope="session")
def indexed(segment: Segment, simple: Analyzer) -> Indexed:
    """`indexed([texts, ...])` is an index of one segment for each list of texts; equals go by ordinal."""

    def make(
        segments: Sequence[Sequence[str]],
        *,
        deleted: Sequence[np.ndarray | None] | None = None,
        parameters: Bm25Parameters | None = None,
        ids: Sequence[str] | None = None,
        kernel: Kernel | None = None,
    ) -> Bm25Index:
        return Bm25Index(
            [segment(texts) for texts in segments],
            [None] * len(segments) if deleted is None else deleted,
            simple,
            parameters or Bm25Parameters(),
            lambda ordinals: [(f"{o:09}" if ids is None else ids[o], 0) for o in ordinals.tolist()],
            kernel=kernel,
        )

    return make


@pytest.fixture(scope="session")
def texts(collection: Callable[[str], Path]) -> Callable[..., Texts]:
    """`texts(name, queries=30)`: a collection's documents and some of its queries (or titles, without any)."""

    def read(name: str, queries: int = 30) -> Texts:
        folder = collection(name)
        plain, packed = folder / "corpus.jsonl", folder / "corpus.jsonl.gz"
        with plain.open("rb") if plain.exists() else gzip.open(packed) as file:
            records = [json.loads(line) for line in file]
        records.sort(key=lambda record: record["_id"])
        documents = [content(record["title"], record["text"]) for record in records]
        choose = random.Random(3)
        if (folder / "queries.jsonl").exists():
            with (folder / "queries.jsonl").open("rb") as file:
                asked = [json.loads(line)["text"] for line in islice(file, 3000)]
        else:
            asked = [record["title"] for record in records if record["title"]]
        return Texts(documents, choose.sample(asked, min(queries, len(asked))))

    return read


@pytest.fixture(scope="session")
def many_texts() -> list[str]:
    """150,000 texts of a few words, so of three windows; word i is about 1 / i as frequent as word 1."""
    generator = np.random.default_rng(5)
    lengths = generator.geometric(0.12, 150_000)
    words = np.minimum((1 / generator.random(int(lengths.sum()))).astype(np.int64), 20_000)
    pieces = np.split(words, np.cumsum(lengths)[:-1])
    return [" ".join(f"w{word}" for word in piece.tolist()) for piece in pieces]


@pytest.fixture(scope="session")
def many_queries() -> list[str]:
    """Queries over `many_texts`: single words, rare with common ones, repetitions, long ones."""
    choose = random.Random(11)
    ranks = [1, 1, 2, 3, 5, 8, 13, 40, 100, 300, 1000, 3000, 9000, 19_999]
    return [
        " ".join(f"w{choose.choice(ranks) + choose.randrange(3)}" for _ in range(length))
        for length in [1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 12, 20, 40] * 3
    ]


@pytest.fixture
def ndcg(tmp_path: Path) -> Callable[[Path, SparseSettings], float]:
    """`ndcg(folder, settings)`: mean nDCG@10 of a collection's test queries, by pytrec_eval."""

    def measure(folder: Path, settings: SparseSettings) -> float:
        trec = pytest.importorskip("pytrec_eval")
        index = Index.create(tmp_path / "measured.index", encoder=None, sparse=settings)
        index.add(read(str(folder)))
        qrels: dict[str, dict[str, int]] = {}
        for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
            query, document, grade = line.split("\t")
            qrels.setdefault(query, {})[document] = int(grade)
        records = map(json.loads, (folder / "queries.jsonl").open())
        queries = {record["_id"]: record["text"] for record in records if record["_id"] in qrels}
        with Searcher.open(tmp_path / "measured.index") as searcher:
            ranked = searcher.rank_batch(queries.values(), 100)
        run = {
            query: {hit.id: hit.score for hit in hits} for query, hits in zip(queries, ranked, strict=True)
        }
        scores = trec.RelevanceEvaluator(qrels, {"ndcg_cut_10"}).evaluate(run)
        return sum(score["ndcg_cut_10"] for score in scores.values()) / len(qrels)

    return measure
