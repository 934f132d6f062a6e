"""Questions back on the command line: as a record for programs, with a number to pick for people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leanseek import Document, Index, Searcher
from leanseek.cli import app, search_commands
from leanseek.records import question_of, question_record

SUBJECTS = ("whales", "poetry", "engines", "volcano")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clarify")
    for name in ("i", "fields"):
        Index.create(folder / name, encoder=None).add(
            Document(
                f"d{number:02}",
                f"river {SUBJECTS[number % 4]}",
                "",
                {"lang": ["en", "de"][number % 2], "old": number < 8} if name == "fields" else {},
            )
            for number in range(40)
        )
    return folder / "i"


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_program_gets_the_question_as_a_record(path: Path, option: list[str]) -> None:
    result = CliRunner().invoke(
        app, ["search", str(path), "river", "--filter", 'id != "d07"', "--clarify", *option]
    )
    assert result.exit_code == 0, result.output
    [line] = map(json.loads, result.stdout.splitlines())
    with Searcher.open(path) as searcher:
        question = searcher.clarify("river", filter='id != "d07"')
    assert question is not None and line == {
        "clarification": json.loads(json.dumps(question_record(question)))
    }
    assert question_of(line["clarification"]) == question


def test_where_there_is_nothing_to_ask_the_hits_come(path: Path) -> None:
    plain, clarified = (
        CliRunner().invoke(
            app,
            ["search", str(path), '"river whales"', "-k", "3", "--filter", 'id < "d06"', "--json", *option],
        )
        for option in ([], ["--clarify"])
    )
    assert plain.exit_code == clarified.exit_code == 0
    assert plain.stdout == clarified.stdout and len(plain.stdout.splitlines()) == 2


def test_people_pick_a_number(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_commands, "at_terminal", lambda: True)
    with Searcher.open(path) as searcher:
        question = searcher.clarify("river")
        assert question is not None
        texts = [one.text for one in question.options]
    for typed, shown in (("2\n", texts[1]), ("9\n1\n", texts[0]), ("0\n", None), ("\n", None), ("", None)):
        result = CliRunner().invoke(app, ["search", str(path), "river", "--clarify", "-k", "4"], input=typed)
        assert result.exit_code == 0, result.output
        asked, _, hits = result.output.partition("none of these")
        assert "What is it about?" in asked and all(f"{text} (10 of 40)" in asked for text in texts)
        said = {text for text in texts if text in hits}
        assert said == ({shown} if shown else set(SUBJECTS))


def test_a_chosen_value_narrows_the_filter_of_the_search(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_commands, "at_terminal", lambda: True)
    command = [
        "search",
        str(path.parent / "fields"),
        "river",
        "--clarify",
        "--filter",
        "old = true or old = false",
    ]
    result = CliRunner().invoke(app, [*command, "--facet", "lang"], input="1\n")
    assert result.exit_code == 0, result.output
    assert "In which language?" in result.output
    assert "de 20" in result.output.rsplit("lang", 1)[1] and "en" not in result.output.rsplit("lang", 1)[1]
