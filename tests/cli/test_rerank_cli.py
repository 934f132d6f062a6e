"""Re-ranking on the command line and in evaluations, with a tiny cross-encoder of random weights."""

from __future__ import annotations

import contextlib
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from rerank.cross_encoder_support import build_model, texts
from support import HashEncoder, make_documents
from typer.testing import CliRunner

from leanseek import Index
from leanseek.cli import app
from leanseek.errors import ExitCode
from leanseek.searcher import request

sentence_transformers = pytest.importorskip("sentence_transformers")

QUERIES = {"q1": "statin trial", "q2": "shock wave", "q3": "glucose and insulin"}


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a collection in BEIR's layout, its sparse index, and a model."""
    logging.getLogger("torch.__trace").propagate = False
    folder = tmp_path_factory.mktemp("rerank-cli")
    collection = folder / "small"
    (collection / "qrels").mkdir(parents=True)
    documents = [{"_id": f"d{n:02}", "title": "", "text": text} for n, text in enumerate(texts(60, 30))]
    (collection / "corpus.jsonl").write_text("\n".join(map(json.dumps, documents)))
    asked = [{"_id": query, "text": text} for query, text in QUERIES.items()]
    (collection / "queries.jsonl").write_text("\n".join(map(json.dumps, asked)))
    judged = [f"{query}\td{n:02}\t1" for query in QUERIES for n in range(0, 60, 7)]
    (collection / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *judged]))
    made = call("index", collection, "--into", folder / "index", "--dense", "none")
    assert made.exit_code == 0, made.output
    build_model(folder / "model")
    return folder


def reranked(place: Path, query: str, depth: int) -> list[str]:
    """What re-ranking by sentence-transformers gives."""
    found = [
        json.loads(line)
        for line in call("search", place / "index", query, "-k", "60", "--json").stdout.splitlines()
    ]
    peer = sentence_transformers.CrossEncoder(str(place / "model"), device="cpu")
    scores = peer.predict([(query, hit["text"]) for hit in found[:depth]], show_progress_bar=False)
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], found[i]["id"]))
    return [*(found[i]["id"] for i in order), *(hit["id"] for hit in found[depth:])]


def test_search_re_ranks_and_tells_how(place: Path) -> None:
    options = ("--rerank", f"cross-encoder:torch:{place / 'model'}", "--rerank-depth", 7)
    done = call("search", place / "index", QUERIES["q1"], "-k", "20", "--json", *options)
    assert done.exit_code == 0, done.output
    hits = [json.loads(line) for line in done.stdout.splitlines()]
    assert [hit["id"] for hit in hits] == reranked(place, QUERIES["q1"], 7)[:20]
    assert [standing["by"] for standing in hits[0]["history"]] == [
        "search",
        f"cross-encoder:torch:{place / 'model'}",
    ]
    assert json.loads(done.stderr.splitlines()[-1]) == {"reranked": 7, "to_rerank": 7, "notes": []}
    shown = call("search", place / "index", QUERIES["q1"], "--explain", *options)
    assert f"→ cross-encoder:torch:{place / 'model'} #1" in shown.stdout


def test_a_search_shows_how_far_its_re_ranking_is(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int, int | None]] = []
    options = ("--rerank", f"cross-encoder:torch:{place / 'model'}", "--rerank-depth", 7)
    shows = contextlib.nullcontext(lambda *step: told.append(step))
    monkeypatch.setattr("leanseek.cli.search_commands.progress_bar", lambda quiet: shows)
    for budget in ((), ("--rerank-budget", "1m")):
        told.clear()
        done = call("search", place / "index", "insulin and the heart", *options, *budget)
        assert done.exit_code == 0 and told[-1] == ("re-ranking", 7, 7)


def test_a_run_re_ranks_in_a_cascade(place: Path) -> None:
    name = f"cross-encoder:torch:{place / 'model'}"
    out = place / "run.trec"
    options = ("--rerank", name, "--rerank-depth", 9, "--rerank", name, "--rerank-depth", 4)
    done = call("run", place / "index", place / "small" / "queries.jsonl", "--out", out, "-k", 15, *options)
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in out.read_text().splitlines()]
    for query, text in QUERIES.items():
        assert [line[2] for line in lines if line[0] == query] == reranked(place, text, 9)[:15]


def test_an_evaluation_records_the_second_stage(place: Path) -> None:
    out = place / "results"
    options = ("--rerank", f"cross-encoder:torch:{place / 'model'}", "--rerank-depth", 5, "--mode", "sparse")
    done = call(
        "eval", "collection", place / "small", "--out", out, *options, "--rerank-long", "top2", "--json"
    )
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout.splitlines()[-1])
    assert record["system"] == "bm25-cross-encoder-torch-model-top5-top2"
    assert record["settings"]["rerank"] == {
        "names": [f"cross-encoder:torch:{place / 'model'}"],
        "depths": [5],
        "budget": None,
        "long": "top2",
    }
    again = call(
        "eval", "collection", place / "small", "--out", out, *options, "--rerank-long", "top2", "--json"
    )
    assert json.loads(again.stdout.splitlines()[-1])["made"] is False
    plain = call("eval", "collection", place / "small", "--out", out, "--mode", "sparse", "--json")
    told = json.loads(plain.stdout.splitlines()[-1])
    assert (
        told["settings"]["rerank"] is None and told["provenance"]["inputs"] != record["provenance"]["inputs"]
    )
    run = (Path(record["folder"]) / "run.trec").read_text().splitlines()
    for query, text in QUERIES.items():
        assert [line.split()[2] for line in run if line.split()[0] == query] == reranked(place, text, 5)
    assert call("eval", "leaderboard", out).exit_code == 0


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--rerank", "magic"), ExitCode.USAGE, "cross-encoder[:MODEL]"),
        (("--rerank", "cross-encoder:/nowhere"), ExitCode.MODEL, "the folder of a cross-encoder"),
        (("--rerank-depth", "5"), ExitCode.USAGE, "goes with a re-ranker"),
        (("--rerank-budget", "1s"), ExitCode.USAGE, "goes with a re-ranker"),
        (("--rerank", "cross-encoder:x", "--rerank-depth", "-5"), ExitCode.USAGE, "whole number"),
        (("--rerank", "cross-encoder:x", "--rerank-depth", "deep"), ExitCode.USAGE, "or auto"),
        (("--rerank", "cross-encoder:x", "--rerank-budget", "200"), ExitCode.USAGE, "such as 200ms"),
        (("--rerank", "in-context:x", "--rerank-long", "maxp"), ExitCode.USAGE, "not for in-context"),
        (("--adaptive",), ExitCode.USAGE, "adaptive re-ranking needs a re-ranker"),
        (("--rerank", "none", "--adaptive"), ExitCode.USAGE, "adaptive re-ranking needs a re-ranker"),
        (
            ("--rerank", "cross-encoder:x", "--rerank-depth", "auto", "--adaptive"),
            ExitCode.USAGE,
            "rather than auto",
        ),
        (
            ("--rerank", "cross-encoder:x", "--rerank", "cross-encoder:y", "--adaptive"),
            ExitCode.USAGE,
            "a single re-ranker",
        ),
    ],
)
def test_wrong_options_are_told(place: Path, options: tuple[str, ...], code: ExitCode, told: str) -> None:
    index, queries = place / "index", place / "small" / "queries.jsonl"
    for command in (("search", index, "statin"), ("run", index, queries, "--out", place / "x.trec")):
        done = call(*command, *options)
        assert done.exit_code == code, done.output
        assert told in done.stderr


def test_none_is_no_re_ranking(place: Path) -> None:
    plain = call("search", place / "index", "statin", "--json").stdout
    assert call("search", place / "index", "statin", "--json", "--rerank", "none").stdout == plain


def test_adaptive_re_ranking_goes_beyond_the_hits_of_the_search(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "recorded_encoder", lambda recorded, device, for_queries: HashEncoder())
    Index.create(tmp_path / "index", encoder=HashEncoder()).add(make_documents(300, 3), cache=False)
    name = f"cross-encoder:torch:{place / 'model'}"
    options = ("--rerank", name, "--rerank-depth", 20, "--adaptive")
    done = call("search", tmp_path / "index", QUERIES["q1"], "-k", 30, "--json", *options)
    assert done.exit_code == 0, done.output
    hits = [json.loads(line) for line in done.stdout.splitlines()]
    assert json.loads(done.stderr.splitlines()[-1]) == {"reranked": 20, "to_rerank": 20, "notes": []}
    begun = [hit["history"][0]["by"] for hit in hits]
    assert set(begun) == {"search", "adaptive"}
    assert sum(len(hit["history"]) == 2 for hit in hits) == 20
    shown = call("search", tmp_path / "index", QUERIES["q1"], "-k", 20, "--explain", *options)
    assert "adaptive #" in shown.stdout and "sparse not found" in shown.stdout
    out = tmp_path / "run.trec"
    done = call(
        "run", tmp_path / "index", place / "small" / "queries.jsonl", "--out", out, "-k", 30, *options
    )
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in out.read_text().splitlines()]
    assert [line[2] for line in lines if line[0] == "q1"] == [hit["id"] for hit in hits]


def test_adaptive_re_ranking_needs_vectors(place: Path) -> None:
    options = ("--rerank", f"cross-encoder:torch:{place / 'model'}", "--adaptive")
    done = call("search", place / "index", "statin", *options)
    assert done.exit_code == ExitCode.USAGE and "index again with an encoder" in done.stderr
