"""Questions in steps on the command line: what is printed, its JSON, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from leanseek import Document, Index
from leanseek.cli import app
from leanseek.errors import ExitCode


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    index = Index.create(tmp_path_factory.mktemp("research") / "i", encoder=None)
    index.add(
        [
            Document("france", "France won the World Cup in 1998.", "France", {"year": 1998}),
            Document("paris", "Paris is the capital of France.", "Paris", {"year": 2020}),
            Document("luther", "Luther was born in Eisleben.\x1b[31m", "Martin Luther", {"year": 1483}),
        ]
    )
    return index.path


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["research", *map(str, arguments)])


QUESTION = "where was Luther born and what is the capital of the country that won the World Cup?"


def test_what_is_printed(path: Path) -> None:
    result = call(path, *QUESTION.split(), "-k", 3)
    assert result.exit_code == 0 and not result.stderr and "\x1b" not in result.stdout
    lines = result.stdout.splitlines()
    assert lines[0] == "1. where was Luther born"
    assert lines[1].startswith("   Luther was born in Eisleben.") and lines[1].endswith(" [luther]")
    assert "2. the country that won the World Cup" in lines
    assert "3. what is the capital of the country France  (after 2)" in lines
    assert "   Paris is the capital of France. [paris]" in lines
    assert sum("luther  Martin Luther" in line for line in lines) == 1
    assert lines[-1].startswith("3 questions, 3 passages; 3 sources of them fit into a context of ")


def test_its_json(path: Path) -> None:
    result = call(path, QUESTION, "--json", "--filter", "year > 1900", "--max-tokens", 12)
    (record,) = map(json.loads, result.stdout.splitlines())
    assert not result.stderr
    assert [node["asked"] for node in record["nodes"]] == [
        "where was Luther born",
        "the country that won the World Cup",
        "what is the capital of the country France",
    ]
    assert {one["id"] for one in record["hits"]} == {"france", "paris"}
    assert all(claim["ids"] for claim in record["claims"])
    assert record["context"]["tokens"] <= 12
    assert "nothing was found for 'where was Luther born'" in record["notes"]


def test_notes_are_on_standard_error(path: Path) -> None:
    result = call(path, "Luther", "zzz", "--max-tokens", 1)
    assert result.exit_code == 0
    assert result.stderr == "note: max_tokens, 1, has no room for a passage on 'Luther zzz'\n"
    result = call(path, "qqq")
    assert result.exit_code == 0 and result.stderr == "note: nothing was found for 'qqq'\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([" "], ExitCode.USAGE, "the question is blank"),
        (["a", "--max-nodes", "0"], ExitCode.USAGE, "max_nodes is 0"),
        (["a", "-k", "0"], ExitCode.USAGE, "k is 0"),
        (["a", "--max-tokens", "-3"], ExitCode.USAGE, "max_tokens is -3"),
        (["a", "--planner", ""], ExitCode.USAGE, "the planner has no name"),
        (["a", "--planner", "/no/such.gguf"], ExitCode.MODEL, "there is no such file"),
        (["a", "--planner", "http://127.0.0.1:9/v1#m"], ExitCode.FAILURE, "cannot be asked"),
        (["a", "--planner", "http://u:p@h/v1"], ExitCode.USAGE, "holds a password"),
        (["a", "--filter", "colour = 1"], ExitCode.INPUT, "colour"),
        (["a", "--mode", "dense"], ExitCode.USAGE, "without a dense side"),
        (["a", "--planer", "rules"], ExitCode.USAGE, "No such option"),
    ],
)
def test_what_is_refused(path: Path, arguments: list[str], code: ExitCode, message: str) -> None:
    result = call(path, *arguments)
    assert result.exit_code == code and message in result.stderr and "Traceback" not in result.stderr


def test_no_index(tmp_path: Path) -> None:
    assert call(tmp_path / "nothing", "who?").exit_code == ExitCode.INDEX
