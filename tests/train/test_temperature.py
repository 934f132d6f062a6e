"""Temperatures tried on an index: what is told is what an index made so gives, and the index stays as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leanseek import Index, Searcher
from leanseek.cli import app
from leanseek.errors import UsageError
from leanseek.eval import open_collection, score
from leanseek.indexing.catalog import read_state
from leanseek.train import try_temperatures
from leanseek.types import Document

pytest.importorskip("sentence_transformers")


def test_temperatures_are_tried_and_used(collection: Callable[[str], Path], tmp_path: Path) -> None:
    cranfield = open_collection(collection("cranfield"))
    qrels = cranfield.qrels("test")
    wanted = {document for query in list(qrels)[:12] for document in qrels[query]}
    documents = [one for one in cranfield.documents() if one.id in wanted][:25]
    index = tmp_path / "index"
    Index.create(index).add(documents)
    before = read_state(index)
    here = {document.id for document in documents}
    queries = [query for query in cranfield.queries("test") if here & qrels[query.id].keys()][:12]
    files = [tmp_path / "queries.tsv", tmp_path / "qrels.tsv"]
    files[0].write_text("".join(f"{query.id}\t{' '.join(query.text.split())}\n" for query in queries))
    files[1].write_text(
        "query-id\tcorpus-id\tscore\n"
        + "".join(
            f"{q.id}\t{document}\t{grade}\n" for q in queries for document, grade in qrels[q.id].items()
        )
    )
    words = ["train", "temperature", str(index), "--queries", str(files[0]), "--qrels", str(files[1])]
    found = CliRunner().invoke(app, [*words, "--try", "0.7", "--max-tokens", "512", "--json"])
    assert found.exit_code == 0, found.output
    first, sharp = json.loads(found.stdout)["tried"]
    assert (first["temperature"], first["gain"], first["p"]) == (1.0, 0.0, 1.0)
    assert sharp["encoder"].endswith("[temperature=0.7, max_tokens=512]")
    assert sharp["ndcg"] == pytest.approx(first["ndcg"] + sharp["gain"])
    assert read_state(index) == before

    Index.create(tmp_path / "sharp", encoder=sharp["encoder"]).add(documents)
    with Searcher.open(tmp_path / "sharp", mode="dense", relevance=None) as searcher:
        rankings = searcher.rank_batch([query.text for query in queries], 10)
    run = {q.id: {one.id: one.score for one in ranking} for q, ranking in zip(queries, rankings, strict=True)}
    judged = {query.id: qrels[query.id] for query in queries}
    assert score(run, judged, ["nDCG@10"]).means["nDCG@10"] == pytest.approx(sharp["ndcg"])
    failed = CliRunner().invoke(app, [*words, "--try", "cold"])
    assert failed.exit_code == 2 and "give numbers" in failed.stderr


def test_an_index_of_words_alone_has_no_temperature(tmp_path: Path) -> None:
    Index.create(tmp_path / "index", encoder=None).add([Document("a", "cats purr")])
    with pytest.raises(UsageError, match="no dense side"):
        try_temperatures(tmp_path / "index", [], {})
