"""KITAB's measures: by their definition, from a file, and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leanseek import Document, Index, Searcher
from leanseek.cli import app
from leanseek.errors import InputError
from leanseek.eval import evaluate_constraints, read_constraints
from leanseek.eval.constraints import constraint_scores

QUERIES = [
    {"id": "a", "text": "statin trials after 2015", "base": 'lang = "english"', "gold": "year > 2015"},
    {
        "id": "b",
        "text": "english statin trials after 2015",
        "base": 'lang = "english"',
        "gold": "year > 2015",
    },
    {
        "id": "c",
        "text": "english statin trials after 2015 starting with A",
        "base": 'lang = "english"',
        "gold": 'year > 2015 and title starts with "A"',
    },
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("constraints")
    with Index.create(folder / "i", encoder=None) as index:
        index.add(
            Document(
                f"d{n}",
                "statin trial",
                "AB"[n // 2 % 2],
                {"year": 2010 + n, "lang": ["german", "english"][n % 2]},
            )
            for n in range(10)
        )
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, QUERIES)))
    return folder


def test_measures_by_their_definition() -> None:
    scores = constraint_scores(["a", "b", "c", "x"], {"a", "b", "c", "d", "e"}, {"a", "b", "d"})
    assert scores._asdict() == {
        "irrelevant": 0.25,
        "satisfied": 0.5,
        "unsatisfied": 0.25,
        "completeness": pytest.approx(2 / 3),
        "all_correct": 0.0,
        "constrainedness": pytest.approx(0.4),
    }
    assert constraint_scores(["b", "a"], {"a", "b"}, {"a", "b"}) == (0.0, 1.0, 0.0, 1.0, 1.0, 0.0)
    assert constraint_scores([], {"a"}, set()) == (0.0, 0.0, 0.0, 1.0, 1.0, 1.0)
    assert constraint_scores([], {"a"}, {"a"}) == (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_searches_are_compared_with_what_the_filters_admit(path: Path) -> None:
    queries = read_constraints(path / "queries.jsonl")
    with Searcher.open(path / "i") as searcher:
        strict = evaluate_constraints(searcher, queries, understand=True, strict=True)
        plain = evaluate_constraints(searcher, queries)
    # The first does not say that it is about English; d7 and d9 are what it means.
    assert strict.scores["a"] == (0.5, 0.5, 0.0, 1.0, 0.0, pytest.approx(0.6))
    assert strict.scores["b"] == strict.scores["b"]._replace(satisfied=1.0, completeness=1.0, all_correct=1.0)
    assert strict.scores["c"].all_correct == 1.0
    assert [(one.constraints, one.queries) for one in strict.groups] == [(1, 2), (2, 1), (None, 3)]
    assert strict.groups[0].means.all_correct == 0.5 and strict.groups[-1].means.all_correct == pytest.approx(
        2 / 3
    )
    assert plain.groups[-1].means.all_correct == 0.0


def test_the_command_prints_and_writes_the_means(path: Path) -> None:
    command = [
        "eval",
        "constraints",
        str(path / "i"),
        str(path / "queries.jsonl"),
        "--understand",
        "--strict",
    ]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 0 and "all correct" in told.output and "0.667" in told.output
    lines = CliRunner().invoke(app, [*command, "--json", "--per-query"]).stdout.splitlines()
    records = [json.loads(line) for line in lines]
    assert [one.get("id") for one in records[:3]] == ["a", "b", "c"] and records[-1]["queries"] == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a"}', ":1: a line is an object"),
        ('{"text": "a", "base": "x =", "gold": "y = 1"}', ":1: base: The filter cannot be read"),
        ("[]", ":1: a line is an object"),
        ("", "no queries"),
    ],
)
def test_files_that_are_none(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "q.jsonl").write_text(line + "\n")
    with pytest.raises(InputError) as raised:
        read_constraints(tmp_path / "q.jsonl")
    assert message in str(raised.value)
