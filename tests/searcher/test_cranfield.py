"""The whole pipeline on a real collection with the real encoder, against published and measured figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import pytrec_eval

from leanseek import Index, Searcher, read, read_queries

# BM25 as bm25s scores it, dense as sentence-transformers does; fusions at 100 candidates a side.
EXPECTED = {"sparse": 0.3420, "dense": 0.3736, "convex": 0.4119, "rrf": 0.4068}


@pytest.fixture(scope="module")
def indexed(collection: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = collection("cranfield")
    path = tmp_path_factory.mktemp("cranfield") / "index"
    Index.create(path, encoder="onnx:sentence-transformers/all-MiniLM-L6-v2").add(read(folder))
    return folder, path


@pytest.mark.parametrize("system", EXPECTED)
def test_ndcg_at_10(indexed: tuple[Path, Path], system: str) -> None:
    folder, path = indexed
    options = {"mode": system} if system in ("sparse", "dense") else {"fusion": system}
    queries = read_queries(folder)
    qrels: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        qrels.setdefault(query, {})[document] = int(grade)
    with Searcher.open(path, **options) as searcher:  # type: ignore[arg-type]
        found = searcher.search_batch([query.text for query in queries], 10)
    run = {
        query.id: {hit.id: -float(hit.rank) for hit in hits}
        for query, hits in zip(queries, found, strict=True)
    }
    scores = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"}).evaluate(run)
    mean = sum(row["ndcg_cut_10"] for row in scores.values()) / len(qrels)
    assert mean == pytest.approx(EXPECTED[system], abs=5e-4)
