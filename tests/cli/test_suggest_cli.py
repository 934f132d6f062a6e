"""Suggestions and corrected words on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leanseek import Document, Index
from leanseek.cli import app
from leanseek.errors import ExitCode

DOCUMENTS = [
    Document("n1", "The conquest began in 1066. Who led it? A duke.", "Norman conquest"),
    Document("n2", "Castles were built by the dukes.", "Norman castles"),
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    index = Index.create(tmp_path_factory.mktemp("suggest") / "i", encoder=None)
    index.add(DOCUMENTS)
    return index.path


def test_suggestions_as_lines_and_as_json(path: Path) -> None:
    result = CliRunner().invoke(app, ["suggest", str(path), "norman", "c"])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == ["Norman castles", "Norman conquest"]
    result = CliRunner().invoke(app, ["suggest", str(path), "norman", "-k", "1", "--json"])
    [line] = map(json.loads, result.stdout.splitlines())
    assert line["text"] == "Norman castles" and line["kind"] == "completion" and line["source"] == "title"


def test_what_was_opened_is_kept_and_comes_first(path: Path, tmp_path: Path) -> None:
    mine = tmp_path / "me.json"
    options = ["suggest", str(path), "norman", "--profile", str(mine)]
    assert CliRunner().invoke(app, [*options, "--opened", "n1"]).exit_code == 0
    assert CliRunner().invoke(app, options).stdout.splitlines()[0] == "Norman conquest"
    before = mine.read_bytes()
    result = CliRunner().invoke(app, [*options, "--opened", "n9"])
    assert result.exit_code == ExitCode.INPUT and "'n9'" in result.stderr
    assert mine.read_bytes() == before


def test_a_damaged_profile_is_said_and_stays(path: Path, tmp_path: Path) -> None:
    mine = tmp_path / "me.json"
    mine.write_text("{oops")
    result = CliRunner().invoke(
        app, ["suggest", str(path), "norman", "--profile", str(mine), "--opened", "n1"]
    )
    assert result.exit_code == ExitCode.INPUT and "damaged" in result.stderr
    assert mine.read_text() == "{oops"


def test_opened_needs_a_profile(path: Path) -> None:
    result = CliRunner().invoke(app, ["suggest", str(path), "norman", "--opened", "n1"])
    assert result.exit_code == ExitCode.USAGE and "--profile" in result.stderr


def test_nothing_to_suggest(path: Path) -> None:
    result = CliRunner().invoke(app, ["suggest", str(path), "zebra"])
    assert result.exit_code == 0 and not result.stdout and "Nothing to suggest" in result.stderr


@pytest.mark.parametrize("command", ["search", "suggest"])
def test_typing_mistakes_are_said(path: Path, command: str) -> None:
    result = CliRunner().invoke(app, [command, str(path), "norman conqest"])
    assert "Did you mean: norman conquest" in result.stderr
    result = CliRunner().invoke(app, [command, str(path), "norman conqest", "--json"])
    assert {"did_you_mean": "norman conquest"} in [
        json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")
    ]
    assert "ou mean" not in CliRunner().invoke(app, [command, str(path), "norman conquest"]).stderr
