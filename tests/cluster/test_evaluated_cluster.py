"""A cluster under evaluation: the figures of one index, digit by digit, and a refusal of what is no such cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import make_documents, write_collection
from typer.testing import CliRunner

from leanseek.cli import app

pytest.importorskip("ir_measures")


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BEIR folder of 150 documents."""
    documents = make_documents(150, 4)
    return write_collection(
        tmp_path_factory.mktemp("collections") / "small",
        {one.id: one.text for one in documents},
        {f"q{number}": documents[number * 7].text for number in range(12)},
        {f"q{number}": [f"d{number * 7 + other}" for other in range(4)] for number in range(12)},
        "test",
    )


def leanseek(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == code, result.output
    return result.output


def test_a_cluster_scores_as_one_index(collection: Path, tmp_path: Path) -> None:
    url, out = tmp_path / "small.cluster", tmp_path / "results"
    leanseek("cluster", "build", collection, "--into", url, "--shards", 3, "--dense", "none", "--k1", "1.3")
    command = ("eval", "collection", collection, "--mode", "sparse", "--out", out)
    leanseek(*command, "--k1", "1.3", "--name", "one")
    said = leanseek(*command, "--cluster", url)
    assert "3shards" in said
    assert "made earlier" in leanseek(*command, "--cluster", url)
    one, many = (out / "small" / "test" / name for name in ("one", "bm25-k1=1.3-3shards"))
    assert (one / "per_query.jsonl").read_bytes() == (many / "per_query.jsonl").read_bytes()
    runs = [[line.split()[:-1] for line in (run / "run.trec").open()] for run in (one, many)]
    assert runs[0] == runs[1]
    means = [json.loads((run / "result.json").read_text())["means"] for run in (one, many)]
    assert means[0] == means[1] and means[0]["nDCG@10"] > 0

    # One that has changed since is not taken for the same.
    leanseek("cluster", "delete", url, "d3")
    assert "another name" in leanseek(*command, "--cluster", url, code=3)
    assert "does not hold the document 'd3'" in leanseek(*command, "--cluster", url, "--force", code=3)


def test_what_cannot_be_scored(collection: Path, tmp_path: Path) -> None:
    url = tmp_path / "other.cluster"
    source = tmp_path / "other.jsonl"
    source.write_text('{"_id": "elsewhere", "text": "wing"}\n')
    leanseek("cluster", "build", source, "--into", url, "--shards", 1, "--dense", "none")
    command = ("eval", "collection", collection, "--out", tmp_path / "results")
    assert "without vectors" in leanseek(*command, "--cluster", url, code=2)
    command = (*command, "--mode", "sparse")
    assert "does not hold" in leanseek(*command, "--cluster", url, code=3)
    assert "cluster build" in leanseek(*command, "--cluster", tmp_path / "nowhere", code=4)
    assert "leave out --index" in leanseek(*command, "--cluster", url, "--index", tmp_path / "x", code=2)
    assert "leave out --chunk" in leanseek(*command, "--cluster", url, "--chunk", "50", code=2)
    assert "--cluster URL" in leanseek(*command, "--address", "auto", code=2)
    assert not (tmp_path / "results").exists()
