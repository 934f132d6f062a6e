"""Operators and collapsed copies on the command line: what is found, what is said of it, and how to do without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leanseek import Document, Index
from leanseek.cli import app
from leanseek.errors import ExitCode

DOCUMENTS = [
    Document("phrase", "The new york times reports on housing."),
    Document("scatter", "New shops open; times change in york, says new report."),
    Document("jaguarcar", "The jaguar sports car has a V8 engine."),
    Document("jaguarcat", "The jaguar is a wild cat that swims."),
    *(Document(f"copy{number}", "The pump leaks oil at the seal.") for number in range(8)),
    Document("other", "A leak at the pump's valve was mended."),
    Document("cold", "At -5 degrees the valve of it freezes."),
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    index = Index.create(tmp_path_factory.mktemp("operators") / "i", encoder=None)
    index.add(DOCUMENTS)
    return index.path


def search(path: Path, *words: str) -> tuple[list[dict[str, object]], dict[str, object]]:
    """The hits of a search, and what was said beside them."""
    result = CliRunner().invoke(app, ["search", "--json", str(path), *words])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stderr) if result.stderr.strip() else {}
    return [json.loads(line) for line in result.stdout.splitlines()], told


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (['"new york times"'], ["phrase"]),
        (["jaguar NOT car"], ["jaguarcat"]),
        (["jaguar -car"], ["jaguarcat"]),
        (["jaguar", "-car"], ["jaguarcat"]),
        (["+valve leak"], ["other", "cold"]),
        (["-5 degrees"], ["cold"]),
        (["jaguar -car", "--literal"], ["jaguarcar", "jaguarcat"]),
    ],
)
def test_operators(path: Path, words: list[str], ids: list[str]) -> None:
    hits, _ = search(path, *words)
    assert [hit["id"] for hit in hits][: len(ids)] == ids
    assert len(hits) == len(ids) or "+valve leak" in words


def test_what_was_understood_is_said(path: Path) -> None:
    _, told = search(path, "jaguar -car")
    assert told["operators"] == [{"written": "-car", "words": "car", "excludes": True, "left": 13}]
    result = CliRunner().invoke(app, ["search", str(path), 'jaguar "wild cat" -car', "--explain"])
    assert result.stdout.startswith(
        'requires "wild cat" (1 document left) · excludes car (1 document left)\n'
    )
    result = CliRunner().invoke(app, ["search", str(path), "jaguar"])
    assert "requires" not in result.output


def test_an_operator_that_leaves_nothing_is_named(path: Path) -> None:
    hits, told = search(path, 'jaguar "york new"')
    assert not hits and told["reason"] == "operators"
    result = CliRunner().invoke(app, ["search", str(path), 'jaguar "york new"'])
    assert result.stderr == (
        "Nothing found: no document has 'york new', which the query requires; leave \"york new\" out, or take the "
        "query literally (--literal).\n"
    )
    result = CliRunner().invoke(app, ["search", str(path), "jaguar +pump +swims"])
    assert (
        "no document of those that the filter and the operators before it leave has 'swims'" in result.stderr
    )


def test_a_query_that_only_excludes_is_an_error(path: Path) -> None:
    result = CliRunner().invoke(app, ["search", str(path), "--", "-car"])
    assert result.exit_code == ExitCode.USAGE and "only excludes: -car" in result.stderr
    hits, _ = search(path, "--literal", "--", "-car")
    assert [hit["id"] for hit in hits] == ["jaguarcar"]


def test_copies_are_collapsed(path: Path) -> None:
    hits, _ = search(path, "pump leaks oil", "-k", "3", "--collapse")
    assert [hit["id"] for hit in hits] == ["copy0", "other"]
    assert hits[0]["copies"] == [f"copy{number}" for number in range(1, 8)] and "copies" not in hits[1]
    result = CliRunner().invoke(app, ["search", str(path), "pump leaks oil", "--collapse"])
    assert "same text: copy1, copy2, copy3, copy4, copy5 and 2 more" in result.stdout


def test_runs_take_queries_literally(path: Path, tmp_path: Path) -> None:
    queries = tmp_path / "queries.tsv"
    queries.write_text("1\tjaguar -car\n", encoding="utf-8")
    for options, ids in (([], ["jaguarcar", "jaguarcat"]), (["--operators"], ["jaguarcat"])):
        out = tmp_path / "run.trec"
        result = CliRunner().invoke(app, ["run", str(path), str(queries), "--out", str(out), *options])
        assert result.exit_code == 0, result.output
        assert [line.split()[2] for line in out.read_text().splitlines()] == ids
