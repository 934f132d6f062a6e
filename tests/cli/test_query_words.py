"""The words of a query as they are typed: without quotes, with dashes, and among options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import HashEncoder
from typer.testing import CliRunner

from leanseek import Document, Index
from leanseek.cli import app
from leanseek.errors import ExitCode


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def index(tmp_path: Path) -> Path:
    documents = [Document("a", "At -5 degrees the pump freezes.", metadata={"n": 5}), Document("b", "A kiwi")]
    Index.create(tmp_path / "i", encoder=None).add(documents)
    return tmp_path / "i"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("pump", "freezes"), ["a"]),
        (("-k", 3, "pump", "--json", "freezes"), ["a"]),
        (("pump", "-k1", "freezes"), ["a"]),
        (("-5 degrees",), ["a"]),
        (("-5", "degrees", "-k", "2"), ["a"]),
        (("--", "-5", "degrees"), ["a"]),
        (("degrees", "--", "-k"), ["a"]),
        (("degrees", "--filter=n > 3"), ["a"]),
        (("degrees", "--filter", "n = -3"), []),
        (("degrees", "-"), ["a"]),
        (("kiwi degrees", ""), ["b", "a"]),
    ],
)
def test_words(index: Path, words: tuple[object, ...], expected: list[str]) -> None:
    done = call("search", index, *words, *([] if "--" in words else ["--json"]))
    assert done.exit_code == 0, done.output
    found = done.stdout.splitlines()
    if "--" in words:
        assert ["degrees" in line for line in found] == [False, True]
    else:
        assert [json.loads(line)["id"] for line in found] == expected


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("pump", "--fitler", "x"), "--fitler"),
        (("pump", "-k"), "-k"),
        (("pump", "-k", "-3"), "k is -3"),
        (("pump", "-k", "x"), "'-k'"),
        ((), "QUERY"),
    ],
)
def test_options_that_are_wrong_are_no_words(index: Path, words: tuple[object, ...], told: str) -> None:
    done = call("search", index, *words)
    assert done.exit_code == ExitCode.USAGE and told in done.output


def test_help_of_a_command_with_words(index: Path) -> None:
    for option in ("-h", "--help"):
        assert "Search an index" in call("search", index, "-5", option).stdout


def test_nothing_found_says_why(index: Path) -> None:
    for words in (("zebra", "unicorn"), ("zebra unicorn",)):
        done = call("search", index, *words)
        assert done.exit_code == 0 and done.stdout == ""
        assert done.stderr.startswith(
            "Nothing found: no word of the query is in the index (zebra, unicorn); the index"
        )
    done = call("search", index, "zebra", "--json")
    assert done.stdout == ""
    (told,) = map(json.loads, done.stderr.splitlines())
    assert (told["hits"], told["reason"], told["notes"]) == (0, "unknown_words", [])


def test_a_query_that_is_cut_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leanseek.searcher.request.recorded_encoder", lambda *_, **__: HashEncoder())
    Index.create(tmp_path / "i", encoder=HashEncoder()).add([Document("a", "pump")])
    query = " ".join(["pump", *(f"w{number}" for number in range(14))])
    told = "1 query cut at the encoder's 12 tokens: 3 tokens lost."
    shown = call("search", tmp_path / "i", query)
    assert "pump" in shown.stdout and shown.stderr == f"note: {told}\n"
    programs = call("search", tmp_path / "i", query, "--json")
    assert json.loads(programs.stderr) == {"query_tokens_lost": 3, "notes": [told]}
    (tmp_path / "q.tsv").write_text(f"1\t{query}\n")
    assert told in call("run", tmp_path / "i", tmp_path / "q.tsv", "--out", tmp_path / "r").stdout
