"""Expanded queries and descriptions on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leanseek import Document, Index, Searcher
from leanseek.cli import app
from leanseek.errors import ExitCode

SUBJECTS = ["statin cholesterol muscle", "wing slipstream lift", "matrix vector rank", "orbit rocket fuel"]
DOCUMENTS = [
    Document(
        f"d{number}",
        f"{SUBJECTS[number % 4]} word{number} word{number % 7}. A study of {SUBJECTS[number % 4]}.",
    )
    for number in range(60)
] + [Document(f"e{number}", f"filler{number} page") for number in range(300)]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    index = Index.create(tmp_path_factory.mktemp("expansion") / "i", encoder=None)
    index.add(DOCUMENTS)
    return index.path


def invoke(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_a_search_shows_how_its_query_was_expanded(path: Path) -> None:
    code, out, _ = invoke("search", str(path), "cholesterol", "--expand", "rm3", "--explain", "-k", "2")
    assert code == 0
    best = ", ".join(hit.id for hit in Searcher.open(path).search("cholesterol", 10))
    assert out.startswith(f"rm3 learned from {best}\nterms: cholesterol 0.")
    assert "statin 0." in out
    code, out, err = invoke("search", str(path), "cholesterol", "--expand", "description", "--json")
    told = json.loads(err)["expansion"]
    assert (code, told["method"]) == (0, "description")
    assert told["sentences"][0]["id"] in told["relevant"]
    expected = Searcher.open(path).search("cholesterol", expand="description")
    assert [json.loads(line)["id"] for line in out.splitlines()] == [hit.id for hit in expected]
    code, out, err = invoke("search", str(path), "unheard", "--expand", "rm3", "--explain")
    assert "rm3 found nothing to learn from" in err


def test_documents_are_named(path: Path) -> None:
    named = ["--relevant", "d0,d4", "--relevant", "d8", "--irrelevant", "d1"]
    code, out, _ = invoke("search", str(path), "study", "--expand", "rocchio", "--explain", *named)
    assert code == 0
    assert out.startswith("rocchio learned from d0, d4, d8 against d1\n")
    expected = Searcher.open(path).search(
        "study", expand="rocchio", relevant=["d0", "d4", "d8"], irrelevant=["d1"]
    )
    assert [out.index(f"  {hit.id}\n") for hit in expected] == sorted(
        out.index(f"  {hit.id}\n") for hit in expected
    )
    assert all(int(hit.id[1:]) % 4 == 0 for hit in expected)


def test_a_run_is_expanded(path: Path, tmp_path: Path) -> None:
    queries = tmp_path / "queries.tsv"
    queries.write_text("q1\tcholesterol\nq2\tlift\n")
    run = str(tmp_path / "run.trec")
    assert invoke("run", str(path), str(queries), "--out", run, "--expand", "rm3", "-k", "5")[0] == 0
    found = [line.split()[2] for line in (tmp_path / "run.trec").read_text().splitlines()]
    lists = Searcher.open(path).rank_batch(["cholesterol", "lift"], 5, expand="rm3")
    assert found == [id for ranking in lists for id, _ in ranking]


def test_describe(path: Path) -> None:
    code, out, _ = invoke("describe", str(path), "study", "--relevant", "d0,d4", "--irrelevant", "d1")
    assert code == 0
    assert "statin cholesterol muscle" in out.splitlines()[0]
    assert out.splitlines()[0].endswith("[d0]")
    assert out.splitlines()[-1] == "learned from d0, d4 against d1"
    code, out, _ = invoke("describe", str(path), "study of", "lift", "--json")
    record = json.loads(out)
    assert set(record) == {"text", "sentences", "relevant", "irrelevant", "terms", "notes"}
    assert len(record["relevant"]) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["search", "x", "--expand", "rm3", "--expand", "rocchio"],
            "expand has rm3 and rocchio; give one of them",
        ),
        (["search", "x", "--expand", "document"], "--expand goes with --context TOKENS"),
        (["search", "x", "--expand", "dense-prf"], "dense-prf expands the query of the dense side"),
        (["search", "x", "--expand", "bo1"], "to expand the query, rm3, rocchio, dense-prf, description"),
        (["search", "x", "--relevant", "d1"], "give expand too"),
        (
            ["describe", "study", "--relevant", "zz"],
            "the index has no document 'zz', which is named as relevant",
        ),
        (["describe", "unheard"], "nothing in the index is relevant to 'unheard'"),
    ],
)
def test_what_is_refused(path: Path, arguments: list[str], message: str) -> None:
    code, _, err = invoke(arguments[0], str(path), *arguments[1:])
    assert code == ExitCode.USAGE
    assert message in " ".join(err.split())
