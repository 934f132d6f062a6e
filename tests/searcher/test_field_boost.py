"""Searches that understand what a query asks of fields: raised by default, required when strict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leanseek import Document, Index, Searcher
from leanseek.cli import app
from leanseek.errors import UsageError


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fields") / "i"
    with Index.create(folder, encoder=None) as index:
        index.add(
            Document(
                f"d{number:02}",
                f"statin trial number{number} about the heart",
                f"Report {'ABC'[number % 3]}",
                {"year": 2000 + number, "lang": "english" if number % 2 else "german"},
            )
            for number in range(20)
        )
    return folder


@pytest.fixture(scope="module")
def searcher(path: Path) -> Iterator[Searcher]:
    with Searcher.open(path) as opened:
        yield opened


def test_what_meets_the_constraints_comes_first(searcher: Searcher) -> None:
    query = "statin trials after 2015 in german"
    plain = [hit.id for hit in searcher.search(query, 20)]
    answer = searcher.answer(query, 20, understand=True)
    found = [hit.id for hit in answer.hits]
    assert plain[0] == "d00" and found[:2] == ["d16", "d18"] and sorted(found) == sorted(plain)
    assert [(one.condition, one.left) for one in answer.constraints] == [
        ("year > 2015", None),
        ('lang = "german"', None),
    ]
    assert [one.id for one in searcher.rank_batch([query], 2, understand=True)[0]] == ["d16", "d18"]


def test_a_boost_is_a_tenth_of_the_score(searcher: Searcher) -> None:
    # One word more is worth more than a year.
    query = "statin number3 since 2015"
    assert searcher.search(query, 1, understand=True)[0].id == "d03"


def test_strict_returns_nothing_else_and_agrees_with_the_filter(searcher: Searcher) -> None:
    answer = searcher.answer("statin trials after 2015 in german", 20, understand=True, strict=True)
    filtered = searcher.search("statin trials in", 20, filter='year > 2015 and lang = "german"')
    assert [(hit.id, hit.score) for hit in answer.hits] == [(hit.id, hit.score) for hit in filtered]
    assert [one.left for one in answer.constraints] == [4, 2]
    mixed = searcher.search_batch(["statin after 2018", "statin"], 20, understand=True, strict=True)
    assert [hit.id for hit in mixed[0]] == ["d19"] and len(mixed[1]) == 20


def test_a_filter_and_operators_hold_beside_constraints(searcher: Searcher) -> None:
    options = {"filter": 'lang = "english"', "understand": True, "strict": True}
    hits = searcher.search("statin after 2014 -number19", 20, **options)  # type: ignore[arg-type]
    assert {hit.id for hit in hits} == {"d15", "d17"}


@pytest.mark.parametrize(
    ("query", "filter", "sentence"),
    [
        (
            "statin after 2015 and before 2010",
            None,
            "year > 2015 and year < 2010, which no document has together",
        ),
        ("statin after 2050", None, "no document has year > 2050"),
        ("statin in 2016", 'lang = "english"', "no document that the filter admits has year = 2016"),
    ],
)
def test_contradictory_constraints_say_why_nothing_is_found(
    searcher: Searcher, query: str, filter: str | None, sentence: str
) -> None:
    answer = searcher.answer(query, understand=True, strict=True, filter=filter)
    assert answer.hits == [] and answer.nothing is not None
    assert answer.nothing.reason == "constraints" and sentence in answer.nothing.sentence


def test_understanding_of_a_query(searcher: Searcher) -> None:
    found = searcher.understand("statin trials after 2015")
    assert [(one.field, one.condition, one.start, one.end) for one in found.constraints] == [
        ("year", "year > 2015", 14, 24)
    ]
    assert found.rest == "statin trials"
    assert searcher.understand("zebra since 2001").constraints[0].condition == "year >= 2001"


def test_strict_without_understanding_is_refused(searcher: Searcher) -> None:
    with pytest.raises(UsageError, match="understand=True"):
        searcher.search("statin", strict=True)


def test_an_index_without_metadata_understands_titles_alone(tmp_path: Path) -> None:
    with Index.create(tmp_path / "i", encoder=None) as index:
        index.add([Document("a", "steam ferries", "Ferries"), Document("b", "after 2015 words", "Trains")])
    with Searcher.open(tmp_path / "i") as plain:
        assert [hit.id for hit in plain.search("words after 2015", understand=True)] == ["b"]


def test_the_command_shows_what_was_understood(path: Path) -> None:
    run = CliRunner().invoke
    told = run(app, ["search", str(path), "statin after 2015", "--understand", "--explain"]).output
    assert "asks for year > 2015 (0.90)" in told
    strict = run(
        app, ["search", str(path), "statin after 2015", "--understand", "--strict", "--explain"]
    ).output
    assert "asks for year > 2015 (4 documents left)" in strict
    empty = run(app, ["search", str(path), "statin after 2050", "--understand", "--strict"])
    assert empty.exit_code == 0 and "Nothing found: no document has year > 2050" in empty.output
    assert run(app, ["search", str(path), "statin", "--strict"]).exit_code == 2
