"""Probabilities and least ones on the command line, wrong inputs included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import HashEncoder, make_documents
from typer.testing import CliRunner

from leanseek import Index
from leanseek.cli import app
from leanseek.cli.output import chance
from leanseek.errors import ExitCode
from leanseek.searcher import request as serving
from leanseek.searcher.relevance.judge import packaged


class Twin(HashEncoder):
    """Not the default encoder, but what an index of it looks like."""

    name = "test-twin"
    dimensions = 384

    def __init__(self) -> None:
        super().__init__()
        self.fingerprint = packaged().fingerprint


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    kinds = {kind.fingerprint: kind for kind in (Twin(), HashEncoder())}
    monkeypatch.setattr(
        serving, "recorded_encoder", lambda recorded, device, for_queries: kinds[recorded.fingerprint]
    )
    Index.create(tmp_path / "my.index", encoder=Twin()).add(make_documents(60, 3), cache=False)
    return tmp_path / "my.index"


def call(*arguments: object, stdin: str | None = None) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def refused(result: Any, code: ExitCode, *parts: str) -> None:
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output and result.stdout == ""
    for part in parts:
        assert part in result.stderr


def test_hits_show_their_probability_to_people_and_programs(index: Path) -> None:
    hits = lines(call("search", index, "statin trial", "--json", "-k", 5).stdout)
    assert len(hits) == 5 and all(0 <= hit["probability"] <= 1 for hit in hits)
    shown = call("search", index, "statin trial", "-k", 5).stdout
    for hit in hits:
        assert f"p {chance(hit['probability'])}  {hit['id']}" in shown
    for bare in (("--relevance", "none"), ("--mode", "sparse")):
        assert all(
            "probability" not in hit for hit in lines(call("search", index, "wing", "--json", *bare).stdout)
        )
        assert "  p 0." not in call("search", index, "wing", *bare).stdout


def test_only_the_probable_are_shown(index: Path) -> None:
    hits = lines(call("search", index, "statin trial", "--json", "-k", 60).stdout)
    least = sorted(hit["probability"] for hit in hits)[-3]
    kept = lines(call("search", index, "statin trial", "--json", "-k", 60, "--min-probability", least).stdout)
    assert [hit["id"] for hit in kept] == [hit["id"] for hit in hits if hit["probability"] >= least]
    assert [hit["rank"] for hit in kept] == [1, 2, 3][: len(kept)]


def test_an_empty_answer_is_no_error_and_is_explained(index: Path) -> None:
    people = call("search", index, "statin trial", "--min-probability", 1)
    assert people.exit_code == 0 and people.stdout == ""
    hits = lines(call("search", index, "statin trial", "--json", "-k", 60).stdout)
    best = max(hits, key=lambda hit: (hit["probability"], -hit["rank"]))
    assert people.stderr.startswith(f"Nothing relevant found: the best of 60 candidates, {best['id']}")
    assert (
        f"has probability {chance(best['probability'])}, and --min-probability asks for 1.00."
        in people.stderr
    )
    assert "Without --min-probability it is shown." in people.stderr
    programs = call("search", index, "statin trial", "--min-probability", 1, "--json")
    assert programs.exit_code == 0 and programs.stdout == ""
    [told] = lines(programs.stderr)
    assert (told["hits"], told["threshold"], told["left_out"]) == (0, 1.0, 60)
    assert told["nearest"] == best


def test_no_candidates_at_all_is_told_as_ever(index: Path) -> None:
    asked = call("search", index, "wing", "--relevant-only", "--filter", "year > 3000")
    assert asked.exit_code == 0
    assert asked.stderr.startswith("Nothing found: none of the 60 documents meets the filter")
    assert call("search", index, "  ", "--relevant-only").stderr == "Nothing found: the query is empty.\n"
    told = call("search", index, "  ", "--relevant-only", "--json")
    assert told.stdout == ""
    assert lines(told.stderr) == [
        {"hits": 0, "reason": "empty_query", "message": "the query is empty", "notes": []}
    ]


def test_runs_leave_out_what_is_improbable(index: Path, tmp_path: Path) -> None:
    queries = tmp_path / "queries.tsv"
    queries.write_text("q1\tstatin trial\nq2\twing layer\n")
    everything, some = tmp_path / "all.trec", tmp_path / "some.trec"
    assert call("run", index, queries, "--out", everything).exit_code == 0
    least = sorted(
        hit["probability"] for hit in lines(call("search", index, "wing layer", "-k", 60, "--json").stdout)
    )[-4]
    result = call("run", index, queries, "--out", some, "--min-probability", least, "--json")
    assert result.exit_code == 0
    rows = [line.split()[:3:2] for line in some.read_text().splitlines()]
    complete = [line.split()[:3:2] for line in everything.read_text().splitlines()]
    assert 4 <= len([row for row in rows if row[0] == "q2"]) < len(rows) + 1 <= len(complete)
    assert all(row in complete for row in rows)
    refused(
        call("run", index, queries, "--out", some, "--relevance", "default"),
        ExitCode.USAGE,
        "--min-probability or --relevant-only",
    )


def test_a_model_of_ones_own(index: Path, tmp_path: Path) -> None:
    packaged().save(tmp_path / "own.safetensors")
    own = lines(call("search", index, "wing", "--json", "--relevance", tmp_path / "own.safetensors").stdout)
    assert own == lines(call("search", index, "wing", "--json").stdout)
    content = (tmp_path / "own.safetensors").read_bytes()
    place = content.index(b"slope") + content[content.index(b"slope") :].index(b"0.") + 2
    other = b"1" if content[place : place + 1] != b"1" else b"2"
    (tmp_path / "damaged").write_bytes(content[:place] + other + content[place + 1 :])
    for name, part in (("damaged", "checksum"), ("nowhere", "no such file")):
        refused(call("search", index, "wing", "--relevance", tmp_path / name), ExitCode.MODEL, part)


def test_what_cannot_be_asked(index: Path, tmp_path: Path) -> None:
    def refuses(*arguments: object, part: str, code: ExitCode = ExitCode.USAGE) -> None:
        refused(call("search", index, "wing", *arguments), code, part)

    refuses("--min-probability", 1.5, part="from 0 to 1")
    refuses("--min-probability", "nan", part="from 0 to 1")
    refuses("--min-probability", 0.5, "--relevant-only", part="one of the two")
    refuses("--min-probability", 0.5, "--mode", "sparse", part="needs the dense side")
    refuses("--relevant-only", "--relevance", "none", part="needs a relevance model")
    refuses("--relevance", "default", "--mode", "sparse", part="search is sparse")
    Index.create(tmp_path / "other", encoder=HashEncoder()).add(make_documents(9), cache=False)
    refused(
        call("search", tmp_path / "other", "wing", "--relevance", "default"),
        ExitCode.MODEL,
        HashEncoder.fingerprint[:12],
        "leanseek train relevance",
    )
    refused(call("search", tmp_path / "other", "wing", "--relevant-only"), ExitCode.USAGE, "another encoder")
    assert call("search", tmp_path / "other", "wing").exit_code == 0


@pytest.mark.parametrize(
    ("probability", "shown"),
    [
        (1.0, "1.00"),
        (0.876, "0.88"),
        (0.0712, "0.071"),
        (0.00123, "0.0012"),
        (0.00001, "<0.0001"),
        (0.0, "0.0000"),
    ],
)
def test_probabilities_for_people(probability: float, shown: str) -> None:
    assert chance(probability) == shown
