"""Filters that can only be mistakes: fields that no document has, and values that a field never holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leanseek import Document, Index, Searcher
from leanseek.cli import app
from leanseek.errors import ExitCode, FilterError

DOCUMENTS = [
    Document(
        "a", "ferry", metadata={"year": 2019, "ok": True, "when": "2024-03-01", "none": None, "lang": "en"}
    ),
    Document(
        "b", "ferry", metadata={"year": 2020.5, "ok": False, "mixed": [1, "1"], "lang": "2019", "size": "12"}
    ),
    Document("c", "ferry", metadata={"Doc Type": "x", "rare": 5, "huge": 2**65, "empty": []}),
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index") / "i"
    Index.create(path, encoder=None).add(DOCUMENTS[:2])
    Index.open(path).add(DOCUMENTS[2:])
    return path


@pytest.mark.parametrize(
    ("filter", "message"),
    [
        ('year = "2019"', 'The field year holds numbers, so year = "2019" never matches; write year = 2019'),
        ('year != "2019.5"', "write year != 2019.5"),
        ('year in ("2019", "2020")', r"write year in \(2019, 2020\)"),
        ('year not in ("x", "2020")', r"write year not in \(2019\)"),
        ('year >= "2019-01-01"', "holds numbers.*write year >= 2019"),
        ('year contains "20"', "holds numbers.*write year = 2019"),
        ("year = true", "holds numbers.*write year = 2019"),
        ('ok = "true"', "The field ok holds booleans.*write ok = true"),
        ('ok = "False"', "write ok = false"),
        ("ok = 1", "write ok = true"),
        ("ok >= 5", "write ok = false"),
        ("size = 12", 'The field size holds strings.*write size = "12"'),
        ("lang < 2019", 'write lang < "2019"'),
        ("lang = true", 'write lang = "2019"'),
        ("when > 5", 'The field when holds dates and times.*write when > "2024-03-01"'),
        ('when = "yesterday"', 'holds dates and times.*write when = "2024-03-01"'),
        ("mixed = true", "The field mixed holds numbers and strings.*write mixed = 1"),
        ('huge = "x"', f"write huge = {2**65}"),
        ("not (year = 2019 and not year = true)", "holds numbers"),
        ('`Doc Type` = 5', 'The field `Doc Type` holds strings.*write `Doc Type` = "5"'),
        ("yaer = 2019", "no document has; did you mean year\\? The fields are id, title, `Doc Type`,"),
        ("YEAR = 2019", "did you mean year"),
        ("doctype is null", "did you mean `Doc Type`"),
        ('ttle = "x"', "did you mean title"),
        ("not zzzzzz = 1", "zzzzzz, which no document has\\. The fields are"),
        ("a" * 100_000 + " is null", "which no document has"),
    ],
)  # fmt: skip
def test_mistakes_are_told(index: Path, filter: str, message: str) -> None:
    with Searcher.open(index) as searcher:
        for _ in range(2):
            with pytest.raises(FilterError, match=message) as raised:
                searcher.search("ferry", filter=filter)
            assert len(str(raised.value)) < 500
    with pytest.raises(FilterError, match=message):
        Index.open(index).delete(filter=filter)


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ("none is null", "abc"), ("empty is not null", ""), ('none = "x"', ""), ("rare = 5", "c"),
        ("rare is null", "ab"),        ('mixed = "1"', "b"), ("mixed = 1", "b"),
        ('year in ("2019", 2019)', "a"), ('lang = "2019"', "b"),
        ('id = "a"', "a"), ('title contains "x"', ""), ("ok != true", "b"), ('when contains "03"', "a"),
        (f"huge = {2**65}", "c"), (f"huge > {2**65 - 1}", "c"), (f"huge > {2**65}", ""), ("huge > 1e300", ""),
    ],
)  # fmt: skip
def test_what_could_match_is_asked(index: Path, filter: str, found: str) -> None:
    with Searcher.open(index) as searcher:
        assert sorted(hit.id for hit in searcher.search("ferry", filter=filter)) == list(found)


def test_an_empty_index_knows_no_field(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "i", encoder=None)
    assert Searcher.open(index.path).search("ferry", filter="yaer = 2019") == []
    assert index.delete(filter="yaer = 2019") == 0


@pytest.mark.parametrize("as_json", [["--json"], []])
@pytest.mark.parametrize("command", [["search", "INDEX", "ferry"], ["delete", "INDEX"]])
def test_the_command_line_tells_mistakes(index: Path, command: list[str], as_json: list[str]) -> None:
    arguments = [str(index) if part == "INDEX" else part for part in command]
    for filter, meant in (("yaer = 2019", "did you mean year?"), ('year = "2019"', "write year = 2019")):
        result = CliRunner().invoke(app, [*arguments, "--filter", filter, *as_json])
        assert result.exit_code == ExitCode.INPUT
        assert result.stdout == "" and meant in result.stderr


def test_truth_values_of_a_table(tmp_path: Path) -> None:
    (tmp_path / "flags.csv").write_text("id,text,ok\n1,ferry,True\n2,ferry,False\n3,ferry,\n")
    runner = CliRunner()
    assert not runner.invoke(
        app, ["index", str(tmp_path / "flags.csv"), "--into", str(tmp_path / "i"), "--dense", "none"]
    ).exit_code
    result = runner.invoke(app, ["search", str(tmp_path / "i"), "ferry", "--filter", "ok = true", "--json"])
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == ["1"]
