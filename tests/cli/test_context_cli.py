"""Passages for a prompt on the command line: `search --context`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from leanseek import Document, Index, Searcher
from leanseek.cli import app

TEXT = " ".join(f"Sentence number w{number} says x{number}." for number in range(20))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    index = Index.create(tmp_path_factory.mktemp("context") / "i", encoder=None, chunk_words=5)
    metadata: dict[str, Any] = {"page_starts": [0, 200], "heading_starts": [100], "headings": ["Later"]}
    index.add([Document("a", TEXT, "Title", metadata), Document("b", "w3\n alone")])
    return str(index.path)


def test_it_prints_what_the_searcher_packs(path: str) -> None:
    with Searcher.open(path) as searcher:
        for arguments, options in (
            ([], {}),
            (["--expand", "window:1"], {"expand": "window:1"}),
            (["--compress", "0.5"], {"compress": 0.5}),
            (["--expand", "document", "-k", "1"], {"expand": "document", "k": 1}),
            (["--filter", 'id = "b"'], {"filter": 'id = "b"'}),
        ):
            packed = searcher.context("w3 w9", 60, **options)
            result = CliRunner().invoke(app, ["search", path, "w3", "w9", "--context", "60", *arguments])
            assert (result.exit_code, result.stdout) == (0, f"{packed.text}\n")
            assert result.stderr.splitlines() == [f"note: {note}" for note in packed.notes]
            result = CliRunner().invoke(
                app, ["search", path, "w3 w9", "--json", "--context", "60", *arguments]
            )
            assert json.loads(result.stdout) == json.loads(json.dumps(asdict(packed)))
    assert packed.passages[0].spans[0].end == len("w3\n alone")


def test_spans_are_in_the_record(path: str) -> None:
    result = CliRunner().invoke(app, ["search", path, "w9", "--json", "--context", "60"])
    [span] = json.loads(result.stdout)["passages"][0]["spans"]
    assert TEXT[span["start"] : span["end"]] == "Sentence number w9 says x9."
    assert (span["page"], span["heading"]) == (2, "Later")


def test_nothing_is_said_on_standard_error(path: str) -> None:
    for arguments, note in (
        (["unheard", "--context", "60"], "note: nothing was found: no word of the query is in the index"),
        (["w9", "--context", "2"], "note: nothing fits: the citation of 'a' with one word takes 6 tokens"),
        (
            ["w9", "--context", "90", "--expand", "document"],
            "note: of 'a' only a part fits: 11 of its 20 passages",
        ),
    ):
        result = CliRunner().invoke(app, ["search", path, *arguments])
        assert result.exit_code == 0 and result.stderr.startswith(note), result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--context", "0"], "max_tokens is 0; give at least 1"),
        (["--context", "60", "--expand", "window:0"], "give passage, window:N"),
        (["--context", "60", "--compress", "0"], "compress is 0.0; give the share of the words to keep"),
        (["--context", "60", "--compress", "1.5"], "compress is 1.5; give the share"),
        (["--context", "60", "--compress", "half"], "Invalid value for '--compress'"),
        (["--compress", "0.5"], "--compress goes with --context TOKENS"),
        (["--expand", "document"], "--expand goes with --context TOKENS"),
        (["--context", "60", "--explain"], "--explain and --facet go with hits"),
        (["--context", "many"], "Invalid value for '--context'"),
    ],
)
def test_bad_input(path: str, arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["search", path, "w3", *arguments])
    assert result.exit_code == 2 and said in result.stderr and "Traceback" not in result.stderr
    assert not result.stdout


def test_a_wrong_expansion_is_found_before_the_index_is_opened(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["search", str(tmp_path / "none"), "w3", "--context", "9", "--expand", "all"]
    )
    assert "expand is 'all'" in result.stderr
