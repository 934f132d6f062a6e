"""A collection as its evaluators know it: plain dictionaries, and leanseek's own run over it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import make_documents

from leanseek import Index, Searcher, read
from leanseek.encode import Encoder, load_encoder
from leanseek.types import Document

LONG = Document("long", "The orbit of the rocket. " * 9 + "A kinase is an enzyme.", metadata={"id": 7})


@dataclass(frozen=True)
class Loaded:
    """BEIR's three dictionaries, read here independently of leanseek's readers."""

    folder: Path
    corpus: dict[str, dict[str, str]]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]


@pytest.fixture(scope="session")
def few(collection: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cranfield's first 300 documents, and what its queries find among them."""
    whole, folder = collection("cranfield"), tmp_path_factory.mktemp("few")
    (folder / "qrels").mkdir()
    lines = (whole / "corpus.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:300]
    (folder / "corpus.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "queries.jsonl").write_bytes((whole / "queries.jsonl").read_bytes())
    kept = {json.loads(line)["_id"] for line in lines}
    head, *judged = (whole / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
    rows = [row for row in judged if row.split("\t")[1] in kept]
    (folder / "qrels" / "test.tsv").write_text("".join([head, *rows]), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def loaded(collection: Callable[[str], Path], few: Path) -> Callable[[str], Loaded]:
    """`loaded("scifact")`: its test split, and only the queries that it judges; `loaded("few")` is small."""

    def load(name: str) -> Loaded:
        folder = few if name == "few" else collection(name)
        qrels: dict[str, dict[str, int]] = {}
        with (folder / "qrels" / "test.tsv").open(encoding="utf-8", newline="") as file:
            for query, document, grade in list(csv.reader(file, delimiter="\t"))[1:]:
                qrels.setdefault(query, {})[document] = int(grade)
        records = [json.loads(line) for line in (folder / "corpus.jsonl").open(encoding="utf-8")]
        corpus = {row["_id"]: {"title": row["title"], "text": row["text"]} for row in records}
        asked = (json.loads(line) for line in (folder / "queries.jsonl").open(encoding="utf-8"))
        queries = {row["_id"]: row["text"] for row in asked if row["_id"] in qrels}
        return Loaded(folder, corpus, queries, qrels)

    return load


@pytest.fixture(scope="session")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sparse index of 60 documents of random words, some with titles and lists in their metadata."""
    path = tmp_path_factory.mktemp("papers") / "index"
    Index.create(path, encoder=None).add([*make_documents(60), LONG])
    return path


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """The encoder that the other tests use too, whose vectors the session's cache then shares."""
    return load_encoder("onnx:sentence-transformers/all-MiniLM-L6-v2")


@pytest.fixture(scope="session")
def indexed(
    encoder: Encoder, loaded: Callable[[str], Loaded], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """`indexed("scifact")`: an index of the collection made by leanseek's own reader."""
    made: dict[str, Path] = {}

    def index(name: str) -> Path:
        if name not in made:
            path = tmp_path_factory.mktemp(name) / "index"
            Index.create(path, encoder=encoder).add(read(loaded(name).folder))
            made[name] = path
        return made[name]

    return index


@pytest.fixture(scope="session")
def own_run(
    encoder: Encoder, loaded: Callable[[str], Loaded], indexed: Callable[[str], Path]
) -> Callable[[str, str], dict[str, dict[str, float]]]:
    """`own_run("scifact", "hybrid")`: leanseek's own run, 1,000 documents a query."""

    def run(name: str, mode: str) -> dict[str, dict[str, float]]:
        queries = loaded(name).queries
        with Searcher.open(indexed(name), encoder=encoder, mode=mode) as searcher:
            rankings = searcher.rank_batch(list(queries.values()), 1000)
        return {
            query: {document.id: document.score for document in ranking}
            for query, ranking in zip(queries, rankings, strict=True)
        }

    return run
