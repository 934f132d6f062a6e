"""Dates and times in filters: compared as moments, in segments of both forms."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from leanseek import Document, Index, Searcher
from leanseek.errors import FilterError
from leanseek.filters import parse_filter, stored_moment
from leanseek.filters.moments import moment_text, span
from leanseek.indexing.catalog import FORMAT

WHEN = {
    "berlin": "2024-03-01T13:00:00+01:00",
    "utc": "2024-03-01T12:30:00+00:00",
    "zulu": "2024-03-01T12:45:00Z",
    "millis": "2024-03-01T12:45:00.500Z",
    "next": "2024-03-02",
    "late": "2024-02-29T23:30:00-01:00",
    "naive": "2025-01-01 00:00:00.000000001",
    "text": "some day",
}
FILTERS = [
    ('when >= "2024-03-01T12:15:00Z"', "utc zulu millis next naive text"),
    ('when < "2024-03-01T12:45:00.200Z"', "berlin utc zulu late"),
    ('when <= "2024-03-01"', "berlin utc zulu millis late"),
    ('when < "2024-03-02"', "berlin utc zulu millis late"),
    ('when > "2024-03-01"', "next naive text"),
    ('when > "2024-03-01T12:45:00.4999999Z"', "millis next naive text"),
    ('when = "2024-03-01"', "berlin utc zulu millis late"),
    ('when != "2024-03-01"', "next naive text"),
    ('when = "2024-03-01T12:00Z"', "berlin"),
    ('when = "2024-03-01T04:45:00,50-0800"', "millis"),
    ('when = "2024-03-02T00:00:00"', "next"),
    ('when in ("2024-03-01T12:00:00Z", "2024-03-02", "some day")', "berlin next text"),
    ('when not in ("2024-03", "some day")', "naive"),
    ('when = "2024"', "berlin utc zulu millis next late"),
    ('when >= "2025"', "naive text"),
    ('when = "2024-03"', "berlin utc zulu millis next late"),
    ('when contains "+01"', "berlin"),
    ('when contains "T12:45"', "zulu millis"),
    ('when > "some"', "text"),
    ("when is null", ""),
    ('when >= "0001-01-01" and when <= "9999-12-31"', "berlin utc zulu millis next late naive"),
]


def make(folder: Path) -> Index:
    index = Index.create(folder, encoder=None)
    index.add([Document(name, "ferry", metadata={"when": when, "none": None}) for name, when in WHEN.items()])
    return index


def make_older(path: Path) -> None:
    """Turn the segments of an index into the form that they had before moments were stored."""
    with closing(sqlite3.connect(path / "catalog.sqlite", isolation_level=None)) as catalog:
        catalog.execute("PRAGMA user_version = 1")
        for file in path.glob("segments/*/passages.sqlite"):
            with closing(sqlite3.connect(file, isolation_level=None)) as database:
                database.execute("DROP TABLE fields")
                database.execute(
                    "UPDATE metadata SET kind = 'string', value = substr(value, instr(value, ' ') + 1) "
                    "WHERE kind = 'moment'"
                )
                database.execute("PRAGMA user_version = 0")
            content = file.read_bytes()
            catalog.execute(
                "UPDATE files SET size = ?, sha256 = ? WHERE name = 'passages.sqlite' AND segment = ?",
                (len(content), hashlib.sha256(content).hexdigest(), int(file.parent.name)),
            )


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An index, the same as it was stored before, that one merged with a new segment, and a compacted one."""
    folder = tmp_path_factory.mktemp("indexes")
    found = {name: folder / name for name in ("new", "older", "both", "merged")}
    for path in found.values():
        make(path)
    for name in ("older", "both", "merged"):
        make_older(found[name])
    for name in ("both", "merged"):
        Index.open(found[name]).add(
            [Document("added", "nothing", metadata={"when": "2024-03-01T12:00:00Z", "new": 1})]
        )
    Index.open(found["merged"]).compact()
    return found


@pytest.mark.parametrize("form", ["new", "older", "both", "merged"])
def test_moments_are_counted_and_dated_alike(paths: dict[str, Path], form: str) -> None:
    searcher = Searcher.open(paths[form])
    added = ["2024-03-01T12:00:00Z"] if form in ("both", "merged") else []
    facet = searcher.answer("ferry", facets=["when"]).facets["when"]
    assert dict(facet.values) == Counter([*WHEN.values(), *added])
    hits = searcher.search("ferry", 50, recency="when:90d", now="2030-01-01", explain=True)
    dates = {
        hit.id: hit.explanation.freshness.date
        for hit in hits
        if hit.explanation and hit.explanation.freshness
    }
    assert dates == {**WHEN, "text": None}


@pytest.mark.parametrize("form", ["new", "older", "both", "merged"])
@pytest.mark.parametrize(("expression", "expected"), FILTERS)
def test_moments_compare_in_the_order_of_time(
    paths: dict[str, Path], form: str, expression: str, expected: str
) -> None:
    with Searcher.open(paths[form]) as searcher:
        found = {hit.id for hit in searcher.search("ferry", 20, filter=expression)}
        assert found == set(expected.split())
        assert {hit.metadata["when"] for hit in searcher.search("ferry", 20)} == set(WHEN.values())
        assert {"id", "title", "when"} <= set(searcher.fields)
        assert len(searcher.search("ferry", 20, filter="none is null")) == len(WHEN)
        with pytest.raises(FilterError, match="no document has"):
            searcher.search("ferry", filter="nine is null")
    filter = parse_filter(expression)
    assert {name for name, when in WHEN.items() if filter.matches({"when": when})} == set(expected.split())


def test_an_index_takes_the_newer_format_with_its_next_segment(paths: dict[str, Path]) -> None:
    formats = {}
    for name, path in paths.items():
        with closing(sqlite3.connect(path / "catalog.sqlite")) as catalog:
            ((formats[name],),) = catalog.execute("PRAGMA user_version").fetchall()
    assert formats == {"new": FORMAT, "older": 1, "both": FORMAT, "merged": FORMAT}


@pytest.mark.parametrize(
    "text",
    ["", "2024", "2024-03", "20240301", "2024-13-01", "2024-02-30", "2024-3-1", "0000-01-01", "2024-03-01T",
     "x2024-03-01", "2024-03-01T25:00", "2024-03-01T24:00:01", "2024-03-01T12:60", "2024-03-01T12",
     "2024-03-01T12:00:61",
     "2024-03-01Z", "2024-03-01T12:00+24:00", "2024-03-01 ", " 2024-03-01", "2024-03-01\n", "２０２４-03-01",
     "0001-01-01T00:00+01:00",
     "9999-12-31T23:00-01:00", "2024-03-01T12:00:00.", "2024-03-01T12:00:00Z Z", "2024-03-01" + "0" * 10**6],
)  # fmt: skip
def test_texts_that_are_no_moments(text: str) -> None:
    assert stored_moment(text) is None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-02-29", "2024-02-29T00:00:00"), ("2024-03-01t12:00z", "2024-03-01T12:00:00"),
        ("2024-03-01 12:00:00 +0130", "2024-03-01T10:30:00"), ("2024-12-31T24:00", "2025-01-01T00:00:00"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00"), ("2024-03-01T00:30+01", "2024-02-29T23:30:00"),
        ("1890-01-01T00:00:00+00:53:28", "1889-12-31T23:06:32"), ("2024-03-01T12:00:00.1200", "2024-03-01T12:00:00.12"),
        ("2024-03-01T12:00:00." + "0" * 10**6, "2024-03-01T12:00:00"),
    ],
)  # fmt: skip
def test_moments_in_their_spellings(text: str, moment: str) -> None:
    assert stored_moment(text) == f"{moment} {text}"
    assert moment_text(f"{moment} {text}") == text


ZONES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.just(UTC),
    st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
TIMES = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=ZONES)


@settings(max_examples=500)
@given(TIMES, TIMES, st.integers(0, 999))
@example(datetime(2024, 3, 1, 12, 45), datetime(2024, 3, 1, 12, 45, 0, 500_000), 0)
def test_order_is_that_of_the_moments(first: datetime, second: datetime, nanoseconds: int) -> None:
    def aware(moment: datetime) -> datetime:
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    for operator, holds in (
        ("<", "__lt__"),
        ("<=", "__le__"),
        (">", "__gt__"),
        (">=", "__ge__"),
        ("=", "__eq__"),
    ):
        condition = parse_filter(f'when {operator} "{second.isoformat()}"')
        assert condition.matches({"when": first.isoformat()}) == getattr(aware(first), holds)(aware(second))
    whole = first.isoformat(timespec="microseconds")
    finer = f"{whole[:26]}{nanoseconds:03}{whole[26:]}"
    assert parse_filter(f'when > "{whole}"').matches({"when": finer}) == (nanoseconds > 0)


@given(st.dates(date(1, 1, 2), date(9999, 12, 30)), TIMES)
def test_a_date_is_its_whole_day(day: date, time: datetime) -> None:
    moment = (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    for operator, holds in (
        ("<", "__lt__"),
        ("<=", "__le__"),
        (">", "__gt__"),
        (">=", "__ge__"),
        ("=", "__eq__"),
    ):
        condition = parse_filter(f'when {operator} "{day.isoformat()}"')
        assert condition.matches({"when": time.isoformat()}) == getattr(moment.date(), holds)(day)
    bounds = span(day.isoformat())
    assert bounds is not None and bounds[0] < bounds[1]
